"""Whether plans keep their promise: ``python -m benchmarks.plan --data DIR ...``.

A binarizer is fitted to a set's documents; its queries, or documents held out, are split at random
into those that a plan is made with and fresh ones, again and again. A plan is kept where the fresh
queries' recall is at most 0.01 below its target.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets import Dataset, Floats, hold_out, read_dataset
from benchmarks.results import Target, at_least, write
from bitryoshka import Binarizer, PlanError, fit
from bitryoshka.evaluation import query_cost, recalls_by_parameters
from bitryoshka.planning import choose

K = 10
TARGETS = (0.9, 0.95, 0.98)
TRIALS = 200
TOLERANCE = 0.01
KEPT = 0.95
CONFIDENCE = 0.95
HELD_OUT = 1000


def pools(data: Dataset) -> dict[str, Dataset]:
    """The set with its own queries, and with documents held out in their place."""
    held = min(HELD_OUT, len(data.documents) // 4)
    found = {"held-out documents": hold_out(data.name, data.documents, held, 0)}
    if data.judgements is not None:
        found["queries"] = data
    return found


def trials(binarizer: Binarizer, documents: Floats, queries: Floats) -> dict[str, dict[str, Any]]:
    """For each target: plans made, the share of them that was kept, and what they looked like."""
    recalls = recalls_by_parameters(
        binarizer, documents, queries, K, ("asymmetric", "exact", "shortlist")
    )
    figures = {}
    for target in TARGETS:
        kept, costs, reached = [], [], []
        for trial in range(TRIALS):
            order = np.random.default_rng(trial).permutation(len(queries))
            planning, fresh = np.array_split(order, 2)
            planned = {choice: values[planning] for choice, values in recalls.items()}
            try:
                chosen, _ = choose(planned, K, target, CONFIDENCE, trial)
            except PlanError:
                continue
            recall = float(recalls[chosen][fresh].mean())
            kept.append(recall >= target - TOLERANCE)
            costs.append(query_cost(chosen))
            reached.append(recall)
        figures[str(target)] = {"planned": len(kept)} | (
            {
                "kept": float(np.mean(kept)),
                "fresh_recall": float(np.mean(reached)),
                "median_cost": float(np.median(costs)),
            }
            if kept
            else {}
        )
    return figures


def targets(sets: dict[str, dict[str, Any]]) -> list[Target]:
    """The least share of kept plans over all sets and kinds of queries, for each target."""
    found = []
    for target in map(str, TARGETS):
        shares = [
            kind["targets"][target]["kept"]
            for entry in sets.values()
            for kind in entry.values()
            if kind["targets"][target]["planned"]
        ]
        if shares:
            name = f"recall {target}: share of plans kept on fresh queries, worst set"
            found.append(at_least(name, KEPT, min(shares)))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Plan on every set and save the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan", description=__doc__)
    parser.add_argument("--data", nargs="+", type=Path, required=True, help="folders of sets")
    parser.add_argument("--bits", type=int, default=384)
    parser.add_argument("--method", default="auto", help="of the fit")
    given = parser.parse_args(arguments)
    sets: dict[str, dict[str, Any]] = {}
    for folder in given.data:
        for kind, data in pools(read_dataset(folder)).items():
            fitted = fit(data.documents, bits=given.bits, method=given.method).binarizer
            sets.setdefault(data.name, {})[kind] = {
                "documents": len(data.documents),
                "queries": len(data.queries),
                "method": fitted.info["method"],
                "targets": trials(fitted, data.documents, data.queries[:2000]),
            }
            print(data.name, kind, sets[data.name][kind], flush=True)
    settings = {"trials": TRIALS, "tolerance": TOLERANCE, "confidence": CONFIDENCE, "k": K}
    write("plan", {**settings, "bits": given.bits, "sets": sets}, targets(sets))


if __name__ == "__main__":
    main()
