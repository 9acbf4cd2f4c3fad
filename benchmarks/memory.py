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
limit, two fifths or three fifths) and its file cache together. One client asks the queries that
warm up, for a while, and then those that are measured; then several clients ask others. Pages are
what EXPLAIN counts, of 8 KiB; pages from the disk and processor time are what the kernel counts for
the server process.

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import psycopg
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
from benchmarks.memory_group import GroupError, check_on_disk, drop_file_cache, memory_group
from benchmarks.memory_layouts import (
    ALONE,
    FLOAT,
    HALF,
    LAYOUTS,
    LONG,
    OURS,
    SHORT,
    Layout,
    build,
    build_small,
    enroll,
    layouts,
    ranked,
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
CODES = {SHORT: (256, 256), LONG: (768, 768)}
UNLIMITED, HALF_INDEX = "none", "half the index"
MORE_BUFFERS = "half the index with more buffers"
MOST_BUFFERS = "half the index with most buffers"
# shared buffers, of a limit: what PostgreSQL's manual begins with, the most that it expects to be
# of use, and what leaves just enough for the server itself and pages that are read but once
BUFFERS = 0.25
SHARES_OF_BUFFERS = {HALF_INDEX: BUFFERS, MORE_BUFFERS: 0.4, MOST_BUFFERS: 0.6}
# of what float HNSW works on, its table and its index
SHARES = {"3/4": 0.75, "1/2": 0.5, "1/5": 0.2, "1/10": 0.1}
# those that the targets ask for first
LIMITS = (*SHARES_OF_BUFFERS, UNLIMITED, *SHARES)
# the first queries read what all of them need, however long that takes
WARMED, LEAST = 200, 50
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


@contextmanager
def working_folder(folder: Path | None) -> Iterator[Path]:
    """The folder, made where it is not there; without one, one that is gone in the end."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="bitryoshka-") as name:
            yield Path(name)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


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
        # nothing works but what is asked for, and little is set aside for more clients
        "autovacuum = off\nmax_wal_size = '8GB'\nmax_connections = 20\n"
    )
    with ExitStack() as stack:
        group = stack.enter_context(memory_group(GROUP)) if limit else None
        with group.entered() if group else nullcontext():
            dsn = stack.enter_context(embedded_server(folder))
        if group and limit:
            if not group.processes():
                raise GroupError(f"a server of an earlier run is at work over {folder}: stop it")
            group.limit(limit)
        yield dsn


def disk_bytes(connection: Connection) -> int:
    """Bytes that the server process has had read from the disk."""
    lines = Path(f"/proc/{connection.info.backend_pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["read_bytes"])


def ask(
    connection: Connection,
    search: Search,
    queries: Iterable[Floats],
    seconds: float,
    least: int = 1,
) -> Iterator[list[int]]:
    """What is found for the queries, as long as there is time, but for ``least`` of them."""
    ends = time.perf_counter() + seconds
    for number, query in enumerate(queries, 1):
        yield search.run(connection, query)
        if number >= least and time.perf_counter() > ends:
            break


def throughput(dsn: str, search: Search, queries: Floats, clients: int, seconds: float) -> float:
    """Queries a second that so many clients are answered, each on a connection of its own.

    0 where the server has not the memory for them.
    """

    def work(client: int) -> int:
        with connect(dsn) as own:
            search.settle(own)
            mine = itertools.cycle(np.roll(queries, -client * len(queries) // clients, axis=0))
            search.run(own, next(mine))
            return sum(1 for _ in ask(own, search, mine, seconds))

    with ThreadPoolExecutor(clients) as pool:
        started = time.perf_counter()
        try:
            answered = sum(pool.map(work, range(clients)))
        except psycopg.OperationalError:  # ended by the kernel, for want of memory
            return 0.0
        return answered / (time.perf_counter() - started)


def chosen(
    steps: Steps,
    connection: Connection,
    codecs: Mapping[str, Binarizer],
    queries: Floats,
    rows: Floats,
) -> dict[str, Choice]:
    """What every layout is taken at; those that rank the same codes have the same pairs."""
    truth = exact_topk(queries, rows, K, "inner_product").rows.tolist()
    open_to = {
        codes: steps.once(
            f"pairs, {codes}", lambda make=make: pairs(connection, make, queries, truth)
        )
        for codes, make in ranked(codecs).items()
    }

    def choose(layout: Layout) -> Choice:
        if layout.codes is None:
            return shortest_list(connection, layout.search, queries, truth)
        choices = [Choice(*pair) for pair in open_to[layout.codes]]
        return cheapest(connection, layout, choices, queries)

    return {
        name: Choice(*steps.once(f"chosen {name}", lambda layout=layout: choose(layout)))
        for name, layout in layouts(codecs).items()
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
        first = ask(connection, search, queries["warming"], effort.warming, WARMED)
        warmed = sum(1 for _ in first)
        read, times = disk_bytes(connection), [clocks(connection)]
        found = []
        for ids in ask(connection, search, queries["measured"], effort.measured, LEAST):
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
    half = sizes["float index"] // 2
    found: dict[str, int | None] = dict.fromkeys(SHARES_OF_BUFFERS, half)
    found[UNLIMITED] = None
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
        choices = chosen(steps, connection, codecs, queries["choosing"], rows)
    truth = exact_topk(queries["measured"], rows, K, "inner_product").rows.tolist()
    effort = Effort(given.warm, given.seconds, given.asked, given.clients)
    for turn, limit, name in itertools.product(range(given.rounds), given.limits, given.layouts):

        def work(limit: str = limit, name: str = name) -> dict[str, float]:
            allowed = limits(sizes)[limit]
            if allowed:
                drop_file_cache()
            share = SHARES_OF_BUFFERS.get(limit, BUFFERS)
            buffers = int((allowed or working_set(sizes)) * share)
            with server(data, buffers, allowed) as dsn:
                return measure(dsn, compared[name], choices[name], queries, truth, effort)

        steps.once(f"round {turn}, {limit}, {name}", work)
    with server(data, given.shared_buffers) as dsn, connect(dsn) as connection:
        small = steps.once(
            "small memory", lambda: build_small(connection, rows[: given.build_rows], codecs[SHORT])
        )
    found = outcomes(steps)
    return {
        "rows": given.rows,
        "dimensions": int(rows.shape[1]),
        "method": given.method,
        "codes": {name: {"bits": b, "hamming_bits": h} for name, (b, h) in CODES.items()},
        "clients": given.clients,
        "bytes": sizes,
        "limits": {name: size for name, size in limits(sizes).items() if name in found},
        "chosen": as_figures(choices),
        "small_memory": small,
        "layouts": found,
    }


def outcomes(steps: Steps) -> dict[str, dict[str, dict[str, float]]]:
    """What was measured in the folder by limit and layout, of each its fastest round."""
    found: dict[str, dict[str, list[Any]]] = {}
    for step, outcome in steps.done.items():
        if step.startswith("round "):
            _, limit, name = step.split(", ", 2)
            found.setdefault(limit, {}).setdefault(name, []).append(outcome)
    return {limit: {n: fastest(r) for n, r in of.items()} for limit, of in found.items()}


def fastest(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """The round with the least median time: other work on the machine only slows a search."""
    return min(rounds, key=lambda found: found["p50_milliseconds"])


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
        at_most(
            "index of codes built within 64 MiB, ef_construction 64: share of halfvec's time",
            0.5,
            small["codes, ef_construction 64"]["seconds"] / small["halfvec"]["seconds"],
        ),
    ]
    for limit, buffers in SHARES_OF_BUFFERS.items():
        if not (under := figures["layouts"].get(limit)) or FLOAT not in under:
            continue
        ours = under[best(figures, limit)]
        label = f"float HNSW's index twice the memory, {buffers:.0%} of it shared buffers"
        found += [
            at_least(
                f"{label}: its median time over that of ours",
                10,
                under[FLOAT]["p50_milliseconds"] / ours["p50_milliseconds"],
            ),
            at_least(
                f"{label}: queries a second, times float HNSW's",
                10,
                ours["queries_a_second"] / under[FLOAT]["queries_a_second"],
            ),
        ]
    if free := figures["layouts"].get(UNLIMITED):
        ours = free[best(figures, UNLIMITED)]
        found += [
            at_most(
                f"no limit: median time of ours over that of {name}",
                1,
                ours["p50_milliseconds"] / free[name]["p50_milliseconds"],
            )
            for name in (FLOAT, HALF)
            if name in free
        ]
    return found


def best(figures: Mapping[str, Any], limit: str) -> str:
    """The fastest of our layouts that find enough."""
    under = figures["layouts"][limit]
    reached = [n for n in OURS if n in under and figures["chosen"][n]["recall"] >= WANTED]
    return min(reached, key=lambda name: under[name]["p50_milliseconds"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--folder", type=Path, help="kept; else a temporary one")
    parser.add_argument("--texts", type=Path, nargs="+", default=[], help="folders of text files")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--build-rows", type=int, default=BUILD_ROWS, help="of builds in 64 MiB")
    parser.add_argument("--method", default="additive", help="of the codes, see bitryoshka.fit")
    parser.add_argument("--limits", nargs="+", choices=LIMITS, default=LIMITS)
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=LAYOUTS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--warm", type=float, default=10, help="seconds of warming up")
    parser.add_argument("--seconds", type=float, default=15, help="of one client, at most")
    parser.add_argument("--asked", type=float, default=6, help="seconds of all clients")
    parser.add_argument("--shared-buffers", type=int, default=2**31, help="bytes, while building")
    given = parser.parse_args(arguments)
    with working_folder(given.folder) as folder:
        if {*given.limits} != {UNLIMITED}:
            check_on_disk(folder)
            # before the hours that come first
            with memory_group(GROUP):
                drop_file_cache()
        figures = run(folder, given)
    write("memory", figures, targets(figures))


if __name__ == "__main__":
    main()
