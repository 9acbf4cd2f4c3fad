"""What each part of a code is worth: ``python -m benchmarks.ablation --data DIR [DIR ...]``.

First the closed forms, each with one part more than the one before, then the learned method with
one part switched off at a time (`bitryoshka.training.distilling.Recipe`). One code of 768 bits, 256
of them Hamming bits, for all lengths (sign codes: 384 bits); fitted on the documents alone, judged
by the sets' queries.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bitryoshka.training.signs import learn_signs

from benchmarks.datasets import Floats, read_dataset
from benchmarks.judge import Coded, Judge
from benchmarks.quality_table import mean_rows, table
from benchmarks.results import write
from bitryoshka.binarizer import Binarizer
from bitryoshka.training.closed_form import (
    Goal,
    itq_codes,
    nested_start,
    progressive_codes,
    sign_codes,
)
from bitryoshka.training.distilling import NEIGHBOURS, Recipe
from bitryoshka.training.neighbourhood import Neighbourhood
from bitryoshka.training.weights import learn_weights

NESTED = (64, 128, 192, 256, 384, 768)
HAMMING_BITS, SHORT_BITS = 256, 64
WHOLE = Goal(NESTED[-1], NESTED, "cosine", 0)
SIGNS = Goal(384, NESTED[:-1], "cosine", 0)


def variants(rows: Floats) -> dict[str, Callable[[], Binarizer]]:
    """How to make each code, by name."""
    around = Neighbourhood.of(rows, rows[:0], 0, NEIGHBOURS)
    whole = progressive_codes(rows, WHOLE, HAMMING_BITS)
    recipe = Recipe()

    def learned(change: dict[str, Any], weights: bool = True) -> Binarizer:
        changed = recipe._replace(**change)
        start = nested_start(rows, WHOLE, HAMMING_BITS, SHORT_BITS)
        signs = learn_signs(start, around, 0, changed).binarizer
        return learn_weights(signs, around, 0, changed) if weights else signs

    return {
        "sign": lambda: sign_codes(rows, SIGNS, "zero"),
        "+ thresholds (mean)": lambda: sign_codes(rows, SIGNS, "mean"),
        "+ rotation (ITQ)": lambda: itq_codes(rows, SIGNS),
        "+ precision bits": lambda: replace(whole, hamming_offset=None),
        "+ queries half centred": lambda: whole,
        "+ learned weights": lambda: learn_weights(whole, around, 0, recipe),
        "+ learned signs (all)": lambda: learned({}),
        "all, no learned weights": lambda: learned({}, weights=False),
        "all, no cuts in the loss": lambda: learned({"cuts": 0.0}),
        "all, no orthogonality": lambda: learned({"orthogonality": 0.0}),
        "all, one projection for queries": lambda: learned({"query_signs": False}),
        "all, anchors as they are": lambda: learned({"jitter": 0.0}),
        "all, quantizer's steps learned": lambda: learned({"learn_steps": True}),
        "all, noise before the sign": lambda: learned({"noise": 0.3}),
        "all, weights by regression alone": lambda: learned({"weight_steps": 0}),
        "all, signs as they start": lambda: learned({"sign_steps": 0}),
    }


def measure(coded: Coded) -> dict[str, Any]:
    """Figures of one code at its prefixes and cuts, and of the funnel on the whole code."""
    b, judge = coded.binarizer, coded.judge
    prefixes = [n for n in (64, 128, 256) if n <= b.hamming_bits]
    return {
        "hamming": {str(n): judge.figures(coded.hamming(n)) for n in prefixes},
        "asymmetric": {
            str(n): judge.figures(coded.asymmetric(n)) for n in (192, 384, 768) if n <= b.bits
        },
        "funnel": {str(b.bits): judge.figures(coded.funnel(b.bits))},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    given = parser.parse_args(arguments)
    sets: dict[str, Any] = {}
    for folder in given.data:
        judge = Judge.of(read_dataset(folder))
        found: dict[str, Any] = {}
        for name, make in variants(np.ascontiguousarray(judge.data.documents)).items():
            found[name] = measure(Coded.of(judge, make()))
            print(folder.name, name, flush=True)
        sets[folder.name] = found
    mean = mean_rows(list(sets.values()))
    print(table(mean))
    write("ablation", {"k": 10, "mean_over": list(sets), "mean": mean, "sets": sets}, [])


if __name__ == "__main__":
    main()
