"""A layout of `benchmarks.memory_qdrant`, measured by a process of its own.

The process enters its control group when Python and the libraries are loaded, so that the group's
limit holds for the engine alone.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import qdrant_edge
from numpy.typing import NDArray

from benchmarks.memory_choice import Choice, recall_of
from benchmarks.memory_qdrant_layouts import LAYOUTS, OURS, Kept, ids_of, layouts
from bitryoshka import Binarizer
from bitryoshka.qdrant.edge import Shard

Floats = NDArray[np.float32]

# the first queries read what all of them need, however long that takes
WARMED, LEAST = 200, 50
# how the kernel ends what has not the memory that it needs
ENDED = (-signal.SIGKILL, -signal.SIGBUS)


class Effort(NamedTuple):
    """Seconds of warming up, of the one thread at most, and of the many; how many they are.

    ``patience``: seconds in which each of the two has to be over.
    """

    warming: float
    measured: float
    asked: float
    threads: int
    patience: float


class Job(NamedTuple):
    """What a process measures; ``group``: the folder of its control group."""

    folder: Path
    name: str
    choice: Choice
    queries: Mapping[str, Floats]
    truth: Sequence[Sequence[int]]
    effort: Effort
    group: Path | None


def shard_folder(folder: Path, name: str) -> Path:
    """Where a layout's shard lies."""
    return folder / "shards" / str(LAYOUTS.index(name))


def own_bytes() -> dict[str, int]:
    """Of this process: bytes read from the disk, in memory, and of those its own."""
    read = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    resident, own = (int(status[key].split()[0]) * 1024 for key in ("VmRSS", "RssAnon"))
    return {"disk": int(read["read_bytes"]), "resident": resident, "own": own}


def ask(
    shard: Shard, kept: Kept, choice: Choice, queries: Iterable[Floats], seconds: float, least: int
) -> Iterator[list[int]]:
    """What is found for the queries, as long as there is time, but for ``least`` of them."""
    ends = time.perf_counter() + seconds
    for number, query in enumerate(queries, 1):
        yield ids_of(shard, kept.search(query, choice.length, choice.shortlist))
        if number >= least and time.perf_counter() > ends:
            break


def work(sender: Connection, job: Job) -> None:
    """Measure in this process, and send the figures of one thread, then the rate of many."""
    codecs = {name: Binarizer.load(job.folder / f"{name}.safetensors") for name in OURS}
    kept, effort = layouts(codecs)[job.name], job.effort
    if job.group:
        (job.group / "cgroup.procs").write_text(str(os.getpid()))
    before, started = own_bytes(), time.perf_counter()
    with closing(qdrant_edge.EdgeShard.load(str(shard_folder(job.folder, job.name)))) as opened:
        shard, opening = Shard(opened, job.name), time.perf_counter() - started
        asked = ask(shard, kept, job.choice, job.queries["warming"], effort.warming, WARMED)
        warmed, reading = sum(1 for _ in asked), own_bytes()
        found: list[list[int]] = []
        times = [(time.process_time(), time.perf_counter())]
        queries = job.queries["measured"]
        for ids in ask(shard, kept, job.choice, queries, effort.measured, LEAST):
            found.append(ids)
            times.append((time.process_time(), time.perf_counter()))
        after = own_bytes()
        processor, clock = np.diff(times, axis=0).T * 1e3
        sender.send(
            {
                "opening_seconds": opening,
                "warmed_up_by": warmed,
                "queries": len(found),
                "recall": recall_of(found, job.truth[: len(found)]),
                "p50_milliseconds": float(np.median(clock)),
                "p99_milliseconds": float(np.quantile(clock, 0.99)),
                "processor_milliseconds": float(np.median(processor)),
                "disk_bytes_a_query": (after["disk"] - reading["disk"]) / len(found),
                "resident_bytes": after["resident"] - before["resident"],
                "own_bytes": after["own"] - before["own"],
            }
        )
        sender.send(throughput(shard, kept, job))


def throughput(shard: Shard, kept: Kept, job: Job) -> float:
    """Queries a second that so many threads are answered."""
    threads, queries = job.effort.threads, job.queries["asked"]

    def thread(number: int) -> int:
        # no copy of the queries: it would count for the limit
        first = number * len(queries) // threads
        mine = (queries[(first + n) % len(queries)] for n in itertools.count())
        return sum(1 for _ in ask(shard, kept, job.choice, mine, job.effort.asked, 1))

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        answered = sum(pool.map(thread, range(threads)))
    return answered / (time.perf_counter() - started)


def in_a_process(job: Job) -> dict[str, Any] | None:
    """A job's figures from a process of its own; None where its memory was not enough.

    The rate is 0 where it was not enough for many threads.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(sender, job), daemon=True)
    process.start()
    sender.close()
    figures: dict[str, Any] | None = None
    try:
        if receiver.poll(job.effort.patience):
            figures = receiver.recv()
            rate = receiver.recv() if receiver.poll(job.effort.patience) else 0.0
            return {**figures, "queries_a_second": rate} if figures else None
    except EOFError:
        process.join()
        if process.exitcode not in ENDED:
            raise RuntimeError(
                f"{job.name}: expected figures or an end for want of memory, found exit status "
                f"{process.exitcode}"
            ) from None
    finally:
        process.kill()
        process.join()
    return None if figures is None else {**figures, "queries_a_second": 0.0}
