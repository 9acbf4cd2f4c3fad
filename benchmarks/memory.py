"""Where codes pay: one Postgres that has less memory than its vectors and their index.

``python -m benchmarks.memory`` (hours; ``--rows 200000`` about one). Linux, as root.

Rows are short texts (`benchmarks.sentences`) as vectors of WordLlama's, 256 float32 dimensions.
Some are held out as queries: those that choose each layout's settings, those that warm up, those
that are measured and those that many clients ask. Tables and indexes are made without a limit. The
settings of a layout (`benchmarks.memory_layouts`) are the shortest list that finds WANTED of the
exact first ten for the queries that choose, and of the pairs of list and shortlist that do, the one
that reads the fewest pages; where none finds as much, the one that finds most.

Then, for every limit of memory, every layout gets a server started with nothing of its files in
memory, in a control group that has so much for its processes, its shared buffers (a quarter of the
limit) and its file cache together. One client asks the queries that warm up, for a while, and then
those that are measured; then several clients ask others. Pages are what EXPLAIN counts, of 8 KiB;
pages from the disk and processor time are what the kernel counts for the server process.

``--folder`` is where the data lies, on a disk: with it, steps that were done there are not done
again, and a run that was ended goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import bitryoshka
from benchmarks.memory_choice import (
    LOOKED_AT,
    WANTED,
    Choice,
    as_figures,
    cheapest,
    pairs,
    recall_of,
    shortest_list,
)
from benchmarks.memory_group import check_on_disk, drop_file_cache, memory_group
from benchmarks.memory_layouts import (
    ALONE,
    FLOAT,
    LONG,
    OURS,
    RANKED,
    SHORT,
    Layout,
    build,
    build_small,
    enroll,
    layouts,
    size,
)
from benchmarks.postgres_statements import K, Search
from benchmarks.results import Target, at_least, at_most, write
from benchmarks.revision import clocks
from benchmarks.sentences import embedded, short_texts
from bitryoshka import Binarizer
from bitryoshka.evaluation import exact_topk
from bitryoshka.postgres import connect, embedded_server, install
from bitryoshka.postgres.server import Connection

Floats = NDArray[np.float32]

ROWS, BUILD_ROWS, SAMPLE = 1_000_000, 100_000, 10_000
USES = {"choosing": 200, "warming": 2000, "measured": 300, "asked": 1000}
# bits of the codes, and how many of them are Hamming bits
CODES = {SHORT: (384, 256), LONG: (768, 256)}
UNLIMITED, HALF_INDEX = "none", "half the index"
# of what float HNSW works on, its table and its index
SHARES = {"3/4": 0.75, "1/2": 0.5, "1/5": 0.2, "1/10": 0.1}
# the one that the targets ask for first
LIMITS = (HALF_INDEX, "1/10", "1/2", UNLIMITED, "1/5", "3/4")
PAGE, GROUP = 8192, f"bitryoshka-{os.getpid()}"


class Steps:
    """What was done in a folder, kept in a file after each step."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "steps.json"
        self.done: dict[str, Any] = {}
        if self._path.is_file():
            self.done = json.loads(self._path.read_text("utf-8"))

    def once(self, name: str, work: Callable[[], Any]) -> Any:
        """A step's outcome, worked out if it was not."""
        if name not in self.done:
            self.done[name] = work()
            beside = self._path.with_suffix(".new")
            beside.write_text(json.dumps(self.done, indent=1), "utf-8")
            beside.replace(self._path)
            print(name, self.done[name], flush=True)
        return self.done[name]


def vectors_of(folder: Path, rows: int, texts: Sequence[Path]) -> tuple[dict[str, Floats], Floats]:
    """Queries by their use, and the rows that are searched; made where the folder has none."""
    path, wanted = folder / "vectors.npy", sum(USES.values()) + rows
    if not path.is_file():
        # some texts have equal vectors
        np.save(path, embedded(short_texts(wanted * 102 // 100, texts))[:wanted])
    every = np.load(path)
    if len(every) != wanted:
        raise ValueError(f"{path} has {len(every):,} vectors, expected {wanted:,}")
    *queries, searched = np.split(every, np.cumsum([*USES.values()]))
    return dict(zip(USES, queries, strict=True)), searched


def fitted(folder: Path, rows: Floats, method: str) -> dict[str, Binarizer]:
    """Codecs by name, fitted where the folder has none."""
    found = {}
    for name, (bits, hamming) in CODES.items():
        path = folder / f"{name}.safetensors"
        if not path.is_file():
            fit = bitryoshka.fit(rows[:SAMPLE], bits=bits, hamming_bits=hamming, method=method)
            fit.binarizer.save(path)
        found[name] = Binarizer.load(path)
    return found


@contextmanager
def server(folder: Path, shared_buffers: int, limit: int | None = None) -> Iterator[str]:
    """A server over a folder's data, in a group of its own if its memory is limited; its DSN."""
    settings = folder / "postgresql.auto.conf"
    if not settings.is_file():
        with embedded_server(folder):
            pass
    settings.write_text(
        f"shared_buffers = {max(shared_buffers // PAGE, 128)}\n"
        # nothing works but what is asked for
        "autovacuum = off\nmax_wal_size = '8GB'\n"
    )
    with ExitStack() as stack:
        group = stack.enter_context(memory_group(GROUP)) if limit else None
        with group.entered() if group else nullcontext():
            dsn = stack.enter_context(embedded_server(folder))
        if group and limit:
            group.limit(limit)
        yield dsn


def disk_bytes(connection: Connection) -> int:
    """Bytes that the server process has had read from the disk."""
    lines = Path(f"/proc/{connection.info.backend_pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["read_bytes"])


def ask(connection: Connection, search: Search, queries: Floats, seconds: float) -> Iterator[Any]:
    """What is found for the queries, one after the other, as long as there is time."""
    ends = time.perf_counter() + seconds
    for query in queries:
        yield search.run(connection, query)
        if time.perf_counter() > ends:
            break


def throughput(dsn: str, search: Search, queries: Floats, clients: int, seconds: float) -> float:
    """Queries a second that so many clients are answered, each on a connection of its own."""

    def work(client: int) -> int:
        with connect(dsn) as own:
            search.settle(own)
            mine = itertools.cycle(np.roll(queries, -client * len(queries) // clients, axis=0))
            search.run(own, next(mine))
            return sum(1 for _ in ask(own, search, mine, seconds))

    with ThreadPoolExecutor(clients) as pool:
        started = time.perf_counter()
        answered = sum(pool.map(work, range(clients)))
        return answered / (time.perf_counter() - started)


def chosen(
    steps: Steps,
    connection: Connection,
    compared: Mapping[str, Layout],
    queries: Floats,
    rows: Floats,
) -> dict[str, Choice]:
    """What every layout is taken at; staged ones rank the same codes, and have the same pairs."""
    truth = exact_topk(queries, rows, K, "inner_product").rows.tolist()
    open_to = steps.once("pairs", lambda: pairs(connection, RANKED, queries, truth))

    def choose(layout: Layout) -> Choice:
        if not layout.staged:
            return shortest_list(connection, layout.search, queries, truth)
        return cheapest(connection, layout, [Choice(*pair) for pair in open_to], queries)

    return {
        name: Choice(*steps.once(f"chosen {name}", lambda layout=layout: choose(layout)))
        for name, layout in compared.items()
    }


class Effort(NamedTuple):
    """Seconds of warming up, of the one client at most, and of the many; and how many they are."""

    warming: float
    measured: float
    asked: float
    clients: int


def measure(
    dsn: str,
    layout: Layout,
    choice: Choice,
    queries: Mapping[str, Floats],
    truth: Sequence[Sequence[int]],
    effort: Effort,
) -> dict[str, float]:
    """Recall, times, what is read, and queries a second of one layout."""
    with connect(dsn) as connection:
        search = layout.search(connection, choice.length, choice.shortlist)
        search.settle(connection)
        warmed = sum(1 for _ in ask(connection, search, queries["warming"], effort.warming))
        read, times = disk_bytes(connection), [clocks(connection)]
        found = []
        for ids in ask(connection, search, queries["measured"], effort.measured):
            found.append(ids)
            times.append(clocks(connection))
        read = disk_bytes(connection) - read
        processor, clock = np.diff(times, axis=0).T * 1e3
        pages = [search.pages(connection, query) for query in queries["measured"][:LOOKED_AT]]
    return {
        "warmed_up_by": warmed,
        "queries": len(found),
        "recall": recall_of(found, truth[: len(found)]),
        "p50_milliseconds": float(np.median(clock)),
        "p99_milliseconds": float(np.quantile(clock, 0.99)),
        "processor_milliseconds": float(np.median(processor)),
        "pages": median(pages),
        "disk_pages": read / PAGE / len(found),
        "queries_a_second": throughput(dsn, search, queries["asked"], effort.clients, effort.asked),
    }


def working_set(sizes: Mapping[str, int]) -> int:
    """Bytes of float HNSW's table and index."""
    return sizes["float table"] + sizes["float index"]


def limits(sizes: Mapping[str, int]) -> dict[str, int | None]:
    """Bytes by the limit's name.

    A server with several clients needs some 40 MiB for itself: about 150,000 rows for the least.
    """
    found = {HALF_INDEX: sizes["float index"] // 2, UNLIMITED: None}
    return found | {name: int(share * working_set(sizes)) for name, share in SHARES.items()}


def run(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Every step that the folder lacks; the figures."""
    steps = Steps(folder)
    queries, rows = vectors_of(folder, given.rows, given.texts)
    codecs = fitted(folder, rows, given.method)
    data, compared = folder / "data", layouts(codecs)
    with server(data, given.shared_buffers) as dsn, connect(dsn) as connection:
        install(connection)
        enroll(connection, codecs)
        for name, work in build(connection, rows, codecs).items():
            steps.once(f"built {name}", work)
        sizes = steps.once(
            "sizes",
            lambda: {
                **{name: size(connection, layout.relations) for name, layout in compared.items()},
                "float table": size(connection, ["floats"]),
                "float index": size(connection, ["floats_vector"]),
            },
        )
        choices = chosen(steps, connection, compared, queries["choosing"], rows)
        small = steps.once(
            "small memory", lambda: build_small(connection, rows[: given.build_rows], codecs[SHORT])
        )
    truth = exact_topk(queries["measured"], rows, K, "inner_product").rows.tolist()
    effort = Effort(given.warm, given.seconds, given.asked, given.clients)
    found: dict[str, dict[str, list[Any]]] = {}
    for turn, limit, name in itertools.product(range(given.rounds), given.limits, compared):

        def work(limit: str = limit, name: str = name) -> dict[str, float]:
            allowed = limits(sizes)[limit]
            if allowed:
                drop_file_cache()
            with server(data, (allowed or working_set(sizes)) // 4, allowed) as dsn:
                return measure(dsn, compared[name], choices[name], queries, truth, effort)

        outcome = steps.once(f"round {turn}, {limit}, {name}", work)
        found.setdefault(limit, {}).setdefault(name, []).append(outcome)
    return {
        "rows": given.rows,
        "dimensions": int(rows.shape[1]),
        "method": given.method,
        "codes": {name: {"bits": b, "hamming_bits": h} for name, (b, h) in CODES.items()},
        "clients": given.clients,
        "rounds": given.rounds,
        "bytes": sizes,
        "limits": {name: limits(sizes)[name] for name in given.limits},
        "chosen": as_figures(choices),
        "small_memory": small,
        "layouts": {limit: {n: middle(r) for n, r in of.items()} for limit, of in found.items()},
    }


def middle(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each figure's median over rounds."""
    return {key: float(np.median([found[key] for found in rounds])) for key in rounds[0]}


def targets(figures: Mapping[str, Any]) -> list[Target]:
    """What codes were to reach where float HNSW's index is twice the memory, and in size."""
    sizes, small = figures["bytes"], figures["small_memory"]
    found = [
        at_most(
            "no vectors stored: share of a table of vectors with its index",
            1 / 8,
            sizes[ALONE] / sizes[FLOAT],
        ),
        at_most(
            "index of codes built within 64 MiB: share of halfvec's time",
            0.5,
            small["codes"]["seconds"] / small["halfvec"]["seconds"],
        ),
    ]
    if under := figures["layouts"].get(HALF_INDEX):
        reached = [n for n in OURS if figures["chosen"][n]["recall"] >= WANTED]
        best = min(reached, key=lambda name: under[name]["p50_milliseconds"])
        floats, ours = under[FLOAT], under[best]
        found += [
            at_least(
                "float HNSW's index twice the memory: its median time over that of ours",
                10,
                floats["p50_milliseconds"] / ours["p50_milliseconds"],
            ),
            at_least(
                "float HNSW's index twice the memory: queries a second, times float HNSW's",
                10,
                ours["queries_a_second"] / floats["queries_a_second"],
            ),
        ]
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--folder", type=Path, help="kept; else a temporary one")
    parser.add_argument("--texts", type=Path, nargs="+", default=[], help="folders of text files")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--build-rows", type=int, default=BUILD_ROWS, help="of builds in 64 MiB")
    parser.add_argument("--method", default="additive", help="of the codes, see bitryoshka.fit")
    parser.add_argument("--limits", nargs="+", choices=LIMITS, default=LIMITS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--warm", type=float, default=10, help="seconds of warming up")
    parser.add_argument("--seconds", type=float, default=15, help="of one client, at most")
    parser.add_argument("--asked", type=float, default=6, help="seconds of all clients")
    parser.add_argument("--shared-buffers", type=int, default=2**31, help="bytes, while building")
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = given.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bitryoshka-")))
        folder.mkdir(parents=True, exist_ok=True)
        if {*given.limits} != {UNLIMITED}:
            check_on_disk(folder)
            # before the hours that come first
            with memory_group(GROUP):
                drop_file_cache()
        figures = run(folder, given)
    write("memory", figures, targets(figures))


if __name__ == "__main__":
    main()
