"""False alarms and planted shifts: ``python -m benchmarks.drift --data DIR ...``.

A binarizer is fitted to half of a set's documents. In random samples of the other half no
difference may be noticed, and in what is planted in them it must be, whether or not it is worth
acting on: of another set's texts that lie alike, codes find as much as before, and are kept.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets import Floats, read_dataset
from benchmarks.results import Target, at_least, at_most, write
from bitryoshka import Binarizer, check_drift, fit

TRIALS = 100
PLANTED_TRIALS = 20
ROWS = 500
MOST_ALARMS = 0.05


def planted(rows: Floats, rng: np.random.Generator) -> dict[str, Floats]:
    """Samples that are no longer what was fitted to."""
    d = rows.shape[1]
    towards = rng.normal(size=d) / d**0.5
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    other_model = rng.normal(size=(d, d)) / d**0.5
    return {
        "mean moved by 0.5": (rows + 0.5 * towards).astype(np.float32),
        "rotated": (rows @ turn).astype(np.float32),
        "another model (random map, tanh)": np.tanh(4 * rows @ other_model).astype(np.float32),
    }


def trials(binarizer: Binarizer, fresh: Floats, others: dict[str, Floats]) -> dict[str, Any]:
    """By kind of sample, how often each advice was given, and a difference noticed at all."""
    rng = np.random.default_rng(0)
    size = min(ROWS, len(fresh) // 2)

    def draw(rows: Floats) -> Floats:
        picked: Floats = rows[rng.choice(len(rows), min(size, len(rows)), replace=False)]
        return picked

    advice: dict[str, Counter[str]] = {}
    noticed: Counter[str] = Counter()

    def look(name: str, rows: Floats) -> None:
        found = check_drift(binarizer, draw(rows))
        advice.setdefault(name, Counter())[found.advice] += 1
        noticed[name] += found.moved or found.advice != "keep"

    for _ in range(TRIALS):
        look("fresh sample", fresh)
    for _ in range(PLANTED_TRIALS):
        for name, rows in (planted(draw(fresh), rng) | others).items():
            look(name, rows)
    return {
        "sample": size,
        "advice": {name: dict(counts) for name, counts in advice.items()},
        "noticed": {name: noticed[name] / counts.total() for name, counts in advice.items()},
    }


def targets(sets: dict[str, Any]) -> list[Target]:
    """False alarms on the worst set, and each planted shift on the set where it hides best."""
    kinds: dict[str, list[float]] = {}
    for found in sets.values():
        for name, share in found["noticed"].items():
            kind = "other texts" if name.startswith("texts of") else name
            kinds.setdefault(kind, []).append(share)
    alarms = kinds.pop("fresh sample")
    return [
        at_most("false alarms on fresh samples, worst set", MOST_ALARMS, max(alarms)),
        *(at_least(f"{kind}: found, worst set", 0.95, min(x)) for kind, x in kinds.items()),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Check every set and save the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--data", nargs="+", type=Path, required=True, help="folders of sets")
    parser.add_argument("--bits", type=int, default=384)
    parser.add_argument("--method", default="progressive", help="of the fit")
    given = parser.parse_args(arguments)
    documents = {folder.name: read_dataset(folder).documents for folder in given.data}
    sets = {}
    for number, (name, rows) in enumerate(documents.items()):
        order = np.random.default_rng(0).permutation(len(rows))
        fitted, fresh = np.array_split(order, 2)
        binarizer = fit(rows[fitted], bits=given.bits, method=given.method).binarizer
        other = list(documents)[number - 1]
        others = {f"texts of {other}": documents[other]} if other != name else {}
        sets[name] = trials(binarizer, rows[fresh], others) | {"documents": len(rows)}
        print(name, sets[name], flush=True)
    figures = {"trials": TRIALS, "planted_trials": PLANTED_TRIALS, "bits": given.bits}
    write("drift", {**figures, "sets": sets}, targets(sets))


if __name__ == "__main__":
    main()
