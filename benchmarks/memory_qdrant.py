"""`benchmarks.memory` for Qdrant: its engine in process with less memory than the vectors.

``python -m benchmarks.memory_qdrant`` (``--rows 20000`` some minutes). Linux, as root.

Rows, queries and codes as in `benchmarks.memory`, layouts as in `benchmarks.memory_qdrant_layouts`:
vectors and a graph, the engine's own quantizations with rescoring, and codes as vectors of -1 and
+1 that it quantizes to their bits. What each is taken at is chosen for a recall of WANTED by
queries of their own.

Then every layout is opened by a process of its own in a control group, once for each limit of
memory, from much to little, until one is not enough: the kernel ends the process, or it does not
answer in time. Limits are shares of what float HNSW works on, its vectors and its graph (the index
of Qdrant has no vectors of its own). A process enters its group when Python and the libraries are
loaded, so that the limit holds for the engine: its memory, the file cache of what it reads, and
what a query takes. With a limit nothing of the files is in memory before, without one all of it.

Bytes read are those of the disk, which the kernel counts for the process, of the measured queries;
resident bytes are how much more the process has in memory in the end than before it opened the
shard, mapped files included, and those of its own that no limit can take away.

``--folder`` is where the data lies, on a disk: with it, steps that were done there are not done
again, and a run that was ended goes on.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import qdrant_edge

from benchmarks.memory import CODES, Steps, fitted, vectors_of, working_folder
from benchmarks.memory_choice import WANTED, Choice, as_figures
from benchmarks.memory_group import check_on_disk, drop_file_cache, memory_group
from benchmarks.memory_qdrant_layouts import (
    ALONE,
    IN_MEMORY,
    LAYOUTS,
    ON_DISK,
    OURS,
    OWN,
    K,
    Kept,
    build,
    choose,
    layouts,
)
from benchmarks.memory_qdrant_process import Effort, Job, in_a_process, shard_folder
from benchmarks.results import Target, at_least, at_most, write
from bitryoshka.evaluation import exact_topk
from bitryoshka.qdrant.edge import Shard

ROWS = 200_000
UNLIMITED = "none"
# of what float HNSW works on; from much to little
SHARES = {"1/2": 1 / 2, "1/4": 1 / 4, "1/8": 1 / 8, "1/16": 1 / 16, "1/32": 1 / 32}
LIMITS = (UNLIMITED, *SHARES)
JUDGED = "1/4"
GROUP = f"bitryoshka-{os.getpid()}"


def read_all(folder: Path) -> None:
    """Have all files of a folder in memory."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.read_bytes()


def measure(job: Job, limit: int | None) -> dict[str, Any] | None:
    """A job within a limit of memory in bytes."""
    if limit is None:
        read_all(shard_folder(job.folder, job.name))
        return in_a_process(job)
    drop_file_cache()
    with memory_group(GROUP) as group:
        group.limit(limit)
        return in_a_process(job._replace(group=group.folder))


def working_set(built: Mapping[str, Mapping[str, float]]) -> int:
    """Bytes of float HNSW's vectors and graph."""
    return int(built[IN_MEMORY]["vector_bytes"] + built[IN_MEMORY]["graph_bytes"])


def limits(whole: int) -> dict[str, int | None]:
    """Bytes by the limit's name."""
    return {UNLIMITED: None} | {name: int(share * whole) for name, share in SHARES.items()}


def run(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Every step that the folder lacks; the figures."""
    steps = Steps(folder)
    queries, rows = vectors_of(folder, given.rows, given.texts)
    compared = layouts(fitted(folder, rows, given.method))
    truth = exact_topk(queries["choosing"], rows, K, "inner_product").rows.tolist()
    built, choices = {}, {}
    for name, kept in compared.items():
        place = shard_folder(folder, name)
        built[name] = steps.once(f"built {name}", lambda k=kept, p=place: build(k, rows, p))

        def chosen(kept: Kept = kept, place: Path = place) -> Choice:
            with closing(qdrant_edge.EdgeShard.load(str(place))) as opened:
                return choose(Shard(opened, place.name), kept, queries["choosing"], truth)

        choices[name] = Choice(*steps.once(f"chosen {name}", chosen))
    truth = exact_topk(queries["measured"], rows, K, "inner_product").rows.tolist()
    effort = Effort(given.warm, given.seconds, given.asked, given.threads, given.patience)
    allowed = limits(working_set(built))
    for turn, name in itertools.product(range(given.rounds), given.layouts):
        job = Job(folder, name, choices[name], queries, truth, effort, None)
        for limit in (limit for limit in LIMITS if limit in given.limits):
            outcome = steps.once(
                f"round {turn}, {limit}, {name}",
                lambda job=job, limit=limit: measure(job, allowed[limit]),
            )
            # less is not enough either
            if outcome is None:
                break
    found = outcomes(steps)
    return {
        "rows": given.rows,
        "dimensions": int(rows.shape[1]),
        "method": given.method,
        "codes": {name: {"bits": b, "hamming_bits": h} for name, (b, h) in CODES.items()},
        "threads": given.threads,
        "patience_seconds": given.patience,
        "built": built,
        "limits": {name: size for name, size in allowed.items() if name in found},
        "chosen": as_figures(choices),
        "layouts": found,
        "least_limit_bytes": least(found, allowed),
    }


def outcomes(steps: Steps) -> dict[str, dict[str, Any]]:
    """By limit and layout, of each its fastest round; None where no round was answered."""
    found: dict[str, dict[str, list[Any]]] = {}
    for step, outcome in steps.done.items():
        if step.startswith("round "):
            _, limit, name = step.split(", ", 2)
            found.setdefault(limit, {}).setdefault(name, []).append(outcome)
    ordered = {limit: found[limit] for limit in LIMITS if limit in found}
    return {limit: {n: fastest(r) for n, r in of.items()} for limit, of in ordered.items()}


def fastest(rounds: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
    """The round with the least median time: other work on the machine only slows a search."""
    answered = [found for found in rounds if found is not None]
    return min(answered, key=lambda found: found["p50_milliseconds"], default=None)


def least(
    found: Mapping[str, Mapping[str, Any]], allowed: Mapping[str, int | None]
) -> dict[str, int]:
    """Bytes of the least limit within which a layout answered."""
    return {
        name: allowed[limit] or 0
        for limit in LIMITS
        if allowed[limit]
        for name, figures in found.get(limit, {}).items()
        if figures
    }


def targets(figures: Mapping[str, Any]) -> list[Target]:
    """What codes were to reach within a quarter of what float HNSW works on, and in size."""
    built = figures["built"]
    found = [
        at_most(
            "no vectors stored: share of float HNSW on the disk",
            0.5,
            built[ALONE]["disk_bytes"] / built[ON_DISK]["disk_bytes"],
        )
    ]
    under = {n: of for n, of in figures["layouts"].get(JUDGED, {}).items() if of}
    enough = {n for n, choice in figures["chosen"].items() if choice["recall"] >= WANTED}
    ours = [under[n]["p50_milliseconds"] for n in OURS.values() if n in under and n in enough]
    own = [under[n]["p50_milliseconds"] for n in OWN if n in under and n in enough]
    if ours and ON_DISK in under:
        floats = under[ON_DISK]["p50_milliseconds"]
        found.append(
            at_least(f"{JUDGED}: median time of floats on disk over ours", 5, floats / min(ours))
        )
    if ours and own:
        found.append(
            at_most(
                f"{JUDGED}: our median time over that of the best own quantization",
                1,
                min(ours) / min(own),
            )
        )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_qdrant", description=__doc__)
    parser.add_argument("--folder", type=Path, help="kept; else a temporary one")
    parser.add_argument("--texts", type=Path, nargs="+", default=[], help="folders of text files")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--method", default="additive", help="of the codes, see bitryoshka.fit")
    parser.add_argument("--limits", nargs="+", choices=LIMITS, default=LIMITS)
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=LAYOUTS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--warm", type=float, default=10, help="seconds of warming up")
    parser.add_argument("--seconds", type=float, default=15, help="of one thread, at most")
    parser.add_argument("--asked", type=float, default=6, help="seconds of all threads")
    parser.add_argument("--patience", type=float, default=300, help="seconds of a measurement")
    given = parser.parse_args(arguments)
    with working_folder(given.folder) as folder:
        if {*given.limits} != {UNLIMITED}:
            check_on_disk(folder)
            # before the work that comes first
            with memory_group(GROUP):
                drop_file_cache()
        figures = run(folder, given)
    write("memory_qdrant", figures, targets(figures))


if __name__ == "__main__":
    main()
