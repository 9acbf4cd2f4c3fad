"""`fit` on input that breaks binarizers: ``python -m benchmarks.hostile``.

Each input is judged by new rows of its distribution, which `fit` never sees: recall@10 of the exact
float top 10 under Hamming distance on prefixes, by float query on cuts, and of the funnel. A row
that is as near as the tenth counts as one of the ten, so that duplicates do no harm.

``auto`` is what `fit` chooses. It is compared, query by query, with the closed form that turns out
best for these queries, which no user could know; it must not be behind by more than noise: the
interval of the difference must reach 0.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import bitryoshka
from benchmarks.datasets import Dataset
from benchmarks.judge import Coded, Judge, K, Search
from benchmarks.made_up import World
from benchmarks.results import Target, at_least, write
from bitryoshka.errors import BitsError
from bitryoshka.evaluation import bootstrap_interval

CHOICES = ("auto",)
CLOSED = ("sign", "centred", "rotation", "itq", "progressive")
KINDS = ("hamming", "asymmetric", "funnel")
ROWS, QUERIES = 5_000, 400
_TIE = 1e-6

Recalls = dict[str, dict[str, NDArray[np.float64]]]
"""Recall of each query, (Q,), by kind of search and length."""


class Input(NamedTuple):
    """How to draw ``n`` rows (n, d), how many rows to fit, and the lengths of the code."""

    draw: Callable[[np.random.Generator, int], NDArray[np.generic]]
    rows: int
    lengths: tuple[int, ...]


def inputs(rows: int = ROWS) -> dict[str, Input]:
    """All inputs by name."""
    usual = (64, 128, 192, 384)
    return {
        "all-positive features (GIST-like), d = 960": Input(_gist_like, rows, usual),
        "strongly off centre, d = 384": Input(_drawn(384, off_centre=10), rows, usual),
        "isotropic noise, d = 384": Input(
            lambda g, n: g.standard_normal((n, 384), np.float32), rows, usual
        ),
        "few rows (100), d = 384": Input(_drawn(384), 100, usual),
        "duplicates, d = 384": Input(_drawn(384), rows, usual),
        "d = 8": Input(_drawn(8), rows, (8, 16, 32)),
        "d = 4096": Input(_drawn(4096), min(rows, 2_000), usual),
        "integers (SIFT-like), d = 128": Input(_sift_like, rows, (32, 64, 128)),
    }


def _drawn(
    dimensions: int, off_centre: float = 0.5
) -> Callable[[np.random.Generator, int], NDArray[np.generic]]:
    return lambda generator, n: World(dimensions, off_centre).draw(n, generator)


def _gist_like(generator: np.random.Generator, n: int) -> NDArray[np.generic]:
    """Energies of filters: positive, skewed, of a common scale in each row."""
    found: NDArray[np.float32] = np.exp(World(960).draw(n, generator) * np.float32(10)) / 20
    return found


def _sift_like(generator: np.random.Generator, n: int) -> NDArray[np.generic]:
    """Histograms of gradients: small integers, many of them 0, a few large."""
    spread = World(128).draw(n, generator) * np.float32(12)
    return np.clip(np.rint(20 * np.exp(spread) - 10), 0, 218).astype(np.float32)


def drawn(name: str, made: Input, queries: int, seed: int = 0) -> tuple[NDArray[np.generic], Judge]:
    """Rows for `fit`, as they come, and the judge of what it makes of them."""
    rng = np.random.default_rng(seed)
    rows, asked = made.draw(rng, made.rows), made.draw(rng, queries)
    if name.startswith("duplicates"):
        rows = rows[rng.integers(0, len(rows) // 10, len(rows))]
    unit = [np.asarray(x, np.float32) for x in (rows, asked)]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in unit]
    data = Dataset(name, unit[0], unit[1], None, [frozenset()] * queries, None)
    return rows, Judge.of(data)


def recalls(judge: Judge, search: Search) -> NDArray[np.float64]:
    """Share of the first 10 found rows that are at least as near as the tenth nearest, (Q,)."""
    scores = judge.data.queries @ judge.data.documents.T
    tenth = np.take_along_axis(scores, judge.exact[:, K - 1 : K], axis=1)
    found = np.take_along_axis(scores, judge.found(search), axis=1)
    shares: NDArray[np.float64] = (found >= tenth - _TIE).mean(axis=1)
    return shares


def all_recalls(judge: Judge, b: bitryoshka.Binarizer, lengths: Sequence[int]) -> Recalls:
    """Recall of every search; beyond its sign bits a code's Hamming part is all of them."""
    coded = Coded.of(judge, b)
    return {
        "hamming": {str(n): recalls(judge, coded.hamming(n)) for n in lengths},
        "asymmetric": {str(n): recalls(judge, coded.asymmetric(n)) for n in lengths},
        "funnel": {str(lengths[-1]): recalls(judge, coded.funnel(lengths[-1]))},
    }


def overall(found: Recalls) -> NDArray[np.float64]:
    """One figure for each query, (Q,): a third for each kind, as in `fit`'s own choice."""
    kinds = [np.mean(list(found[kind].values()), axis=0) for kind in KINDS]
    mean: NDArray[np.float64] = np.mean(kinds, axis=0)
    return mean


def measure(name: str, made: Input, queries: int) -> dict[str, Any]:
    """Figures of one input."""
    rows, judge = drawn(name, made, queries)
    chosen: dict[str, str] = {}
    found: dict[str, Recalls] = {}
    seconds: dict[str, float] = {}
    for method in CHOICES:
        started = time.perf_counter()
        b = bitryoshka.fit(
            rows, bits=made.lengths[-1], nested_bits=made.lengths, method=method
        ).binarizer
        seconds[method] = time.perf_counter() - started
        chosen[method] = str(b.info["method"])
        found[method] = all_recalls(judge, b, made.lengths)
    closed = {kind: all_recalls(judge, b, made.lengths) for kind, b in closed_forms(rows, made)}
    best = max(closed, key=lambda kind: float(overall(closed[kind]).mean()))
    return {
        "rows": len(rows),
        "queries": queries,
        "bits": made.lengths[-1],
        "seconds": seconds,
        "chosen": chosen,
        "best_closed_form": best,
        "difference": {k: differences(v, closed[best]) for k, v in found.items()},
        "recall": {k: means(v) for k, v in {**found, **closed}.items()},
    }


def closed_forms(
    rows: NDArray[np.generic], made: Input
) -> Iterator[tuple[str, bitryoshka.Binarizer]]:
    """Every closed form that reaches the length, fitted to all rows."""
    bits, nested = made.lengths[-1], made.lengths
    for method in CLOSED:
        try:
            result = bitryoshka.fit(rows, bits=bits, nested_bits=nested, method=method)
        except BitsError:
            continue
        yield method, result.binarizer


def differences(found: Recalls, best: Recalls) -> dict[str, Any]:
    """Intervals of the difference of recall: overall, and by kind of search."""
    pairs = {"overall": overall(found) - overall(best)}
    for kind in KINDS:
        gains = [found[kind][length] - best[kind][length] for length in found[kind]]
        pairs[kind] = np.mean(gains, axis=0)
    return {kind: bootstrap_interval(gain)._asdict() for kind, gain in pairs.items()}


def means(found: Recalls) -> dict[str, Any]:
    """Mean recall of every search, and overall."""
    kinds: dict[str, Any] = {
        kind: {length: float(values.mean()) for length, values in lengths.items()}
        for kind, lengths in found.items()
    }
    return {**kinds, "overall": float(overall(found).mean())}


def targets(figures: dict[str, Any]) -> list[Target]:
    """The upper end of every interval reaches 0."""
    return [
        at_least(f"{name}: {kind} against the best closed form, upper end", 0, ends["high"])
        for name, found in figures["inputs"].items()
        for kind, ends in ((k, d["overall"]) for k, d in found["difference"].items())
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--inputs", nargs="+", default=[""], help="beginnings of names")
    parser.add_argument("--name", default="hostile", help="name of the result file")
    given = parser.parse_args(arguments)
    found: dict[str, Any] = {}
    for name, made in inputs(given.rows).items():
        if name.startswith(tuple(given.inputs)):
            found[name] = row = measure(name, made, given.queries)
            print(
                f"{name}: {row['chosen']}, best {row['best_closed_form']}, "
                f"{row['seconds']['auto']:.0f} s"
            )
            for kind, gain in row["difference"].items():
                print(f"  {kind}: {gain['overall']}", flush=True)
    figures = {"k": K, "inputs": found}
    write(given.name, figures, targets(figures), module="hostile")


if __name__ == "__main__":
    main()
