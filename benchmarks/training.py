"""Time and memory of `fit`, and how many rows it needs: ``python -m benchmarks.training``.

Every case runs in a process of its own and reads a memory-mapped file of made-up vectors. Memory is
what the process holds at most beyond what it held before `fit`, torch's libraries included:
``mib`` counts the pages of the file that the system maps into it, ``own_mib`` does not.
``cpu_seconds`` are the processor's, which a busy machine leaves as they are, ``seconds`` the
clock's. Each case is saved when it is done.

With ``--data DIR [DIR ...]`` also the subsample curve: the codes that `fit` chooses from more
and more rows of a set, judged by the same held-out queries over all of its documents. With
``--keep``, cases and curves of the result file that are not measured anew stay in it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import psutil
from numpy.typing import NDArray

import bitryoshka
from benchmarks.datasets import Dataset, read_dataset
from benchmarks.judge import Coded, Judge
from benchmarks.made_up import World
from benchmarks.results import FOLDER, Target, at_most, read, write
from bitryoshka.evaluation import bootstrap_interval
from bitryoshka.training import fitting

MIB = 2**20
PREFIXES, CUTS = (64, 128), (192, 384)
SIZES = (1_000, 2_000, 5_000, 10_000, 20_000)
MOST_SECONDS, MOST_MIB = 300, 2048


class Case(NamedTuple):
    """Rows and dimensions of the input, and bits of the code."""

    rows: int
    dimensions: int
    bits: int

    @property
    def label(self) -> str:
        """Name in the result file."""
        return f"{self.rows} x {self.dimensions}, {self.bits} bits"

    @classmethod
    def parse(cls, text: str) -> Case:
        """From ``ROWSxDIMENSIONSxBITS``."""
        rows, dimensions, bits = map(int, text.split("x"))
        return cls(rows, dimensions, bits)


PROMISED = Case(100_000, 384, 384)
SAMPLE, SAMPLE_SECONDS = Case(20_000, 384, 384), 60
CASES = (
    SAMPLE,
    *(Case(rows, d, 384) for d in (384, 1024) for rows in (10_000, 100_000, 1_000_000)),
    *(Case(10_000, d, 384) for d in (768, 3072)),
)


class Peak:
    """The most memory that this process held, looked at every few milliseconds."""

    def __init__(self) -> None:
        self.held = self.own = 0.0

    def look(self) -> None:
        """Take note of what is held now."""
        found = psutil.Process().memory_info()
        self.held = max(self.held, found.rss / MIB)
        self.own = max(self.own, (found.rss - getattr(found, "shared", 0)) / MIB)


@contextmanager
def watching(interval: float = 0.005) -> Iterator[Peak]:
    """Watch this process's memory until the block ends."""
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        while not done.wait(interval):
            peak.look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak.look()


def cost_of_fit(path: Path, bits: int, method: str) -> dict[str, Any]:
    """Fit to a file and say what it took."""
    before = Peak()
    before.look()
    started, worked = time.perf_counter(), time.process_time()
    with watching() as peak:
        vectors = np.load(path, mmap_mode="r")
        binarizer = bitryoshka.fit(vectors, bits=bits, method=method).binarizer
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "mib": peak.held - before.held,
        "own_mib": peak.own - before.own,
        "sample_rows": binarizer.info["sample_rows"],
        "chosen": binarizer.info["method"],
    }


def measure_case(case: Case, method: str, folder: Path) -> dict[str, Any]:
    """The cost of a fit to made-up vectors, in a process that has done nothing before."""
    path = folder / "vectors.npy"
    World(case.dimensions).write(path, case.rows)
    try:
        fresh = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max_workers=1, mp_context=fresh) as pool:
            return pool.submit(cost_of_fit, path, case.bits, method).result()
    finally:
        path.unlink()


def curve(data: Dataset, sizes: Sequence[int], method: str) -> dict[str, Any]:
    """Recall of codes fitted to the first rows of one random order, by number of rows.

    `fit`'s own limit on the rows that it samples is lifted. ``behind_all`` is what is lost against
    the codes fitted to all rows: the mean recall of all searches, query by query.
    """
    judge = Judge.of(data)
    order = np.random.default_rng(0).permutation(len(data.documents))
    found: dict[str, Any] = {}
    recalls: dict[str, NDArray[np.float64]] = {}
    for size in [*(n for n in sizes if n < len(order)), len(order)]:
        rows = data.documents[np.sort(order[:size])]
        started = time.perf_counter()
        with patch.object(fitting, "SAMPLE_ROWS", size):
            binarizer = bitryoshka.fit(
                rows, bits=CUTS[-1], nested_bits=(*PREFIXES, *CUTS), method=method
            ).binarizer
        seconds = time.perf_counter() - started
        searched = search_recalls(Coded.of(judge, binarizer))
        recalls[str(size)] = np.mean(list(searched.values()), axis=0)
        means = {label: float(values.mean()) for label, values in searched.items()}
        found[str(size)] = {"seconds": seconds, "recall": means}
        print(f"  {size} rows, {seconds:.0f} s: {recalls[str(size)].mean():.3f}", flush=True)
    for label, values in recalls.items():
        behind = bootstrap_interval(recalls[str(len(order))] - values)
        found[label]["behind_all"] = behind._asdict()
    return found


def search_recalls(coded: Coded) -> dict[str, NDArray[np.float64]]:
    """Recall of each query, (Q,), by search."""
    judge = coded.judge
    searches = {f"Hamming {b}": coded.hamming(b) for b in PREFIXES}
    searches |= {f"asymmetric {b}": coded.asymmetric(b) for b in CUTS}
    searches[f"funnel {CUTS[-1]}"] = coded.funnel(CUTS[-1])
    return {label: judge.recalls(judge.found(search)) for label, search in searches.items()}


def targets(costs: dict[str, Any]) -> list[Target]:
    """What was promised for 20,000 and for 100,000 x 384, if that was measured."""
    targets = []
    for case, most in ((SAMPLE, SAMPLE_SECONDS), (PROMISED, MOST_SECONDS)):
        if found := costs.get(case.label):
            targets.append(at_most(f"{case.label}: seconds", most, found["seconds"]))
    if found := costs.get(PROMISED.label):
        targets.append(at_most(f"{PROMISED.label}: MiB", MOST_MIB, found["mib"]))
    return targets


def _by_dimensions(label: str) -> tuple[int, ...]:
    rows, dimensions, bits = map(int, re.findall(r"\d+", label))
    return dimensions, bits, rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument(
        "--cases", type=Case.parse, nargs="*", default=CASES, metavar="ROWSxDIMENSIONSxBITS"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="ROWS")
    parser.add_argument("--method", default="auto", help="method of the fits that are timed")
    parser.add_argument("--name", default="training", help="name of the result file")
    parser.add_argument("--keep", action="store_true", help="keep what is not measured anew")
    given = parser.parse_args(arguments)
    held = read(FOLDER / f"{given.name}.json")["figures"] if given.keep else {}
    costs: dict[str, Any] = dict(held.get("costs", {}))
    curves: dict[str, Any] = dict(held.get("curves", {}))

    def save() -> None:
        figures = {
            "method": given.method,
            "threads": os.environ.get("OMP_NUM_THREADS", "all cores"),
            "costs": dict(sorted(costs.items(), key=lambda cost: _by_dimensions(cost[0]))),
            "curves": curves,
        }
        write(given.name, figures, targets(costs), module="training")

    for case in given.cases:
        with tempfile.TemporaryDirectory() as folder:
            costs[case.label] = found = measure_case(case, given.method, Path(folder))
        print(f"{case.label}: {found}", flush=True)
        save()
    for folder in given.data:
        print(folder.name, flush=True)
        data = read_dataset(folder)
        curves[folder.name] = {**data.facts, "rows": curve(data, given.sizes, given.method)}
        save()


if __name__ == "__main__":
    main()
