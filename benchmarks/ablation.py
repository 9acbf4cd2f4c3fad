"""What each part of a code is worth: ``python -m benchmarks.ablation --data DIR [DIR ...]``.

First codes of 384 bits with one part more than the one before, up to additive codes with their
usual settings, then those with one part changed at a time. All are fitted to the documents of each
set, and judged by its queries.

Last, a network in front of the bits: it learns to imitate the bits of the usual code, whose weights
the queries keep. It may have seen the documents that it encodes, as all other rows have, or each
half of them is encoded by a network that saw the other half. Beside it stand the signs that the
usual code's descent starts from, which are linear in the vector.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.datasets import Floats, read_dataset
from benchmarks.judge import Coded, Judge
from benchmarks.quality_table import mean_rows, table
from benchmarks.results import Target, at_least, write
from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import unpack
from bitryoshka.training.additive import (
    Settings,
    additive_codes,
    hamming_start,
    usual_settings,
)
from bitryoshka.training.closed_form import (
    Goal,
    Projection,
    itq_codes,
    progressive_codes,
    sign_codes,
)
from bitryoshka.training.decoding import regression
from bitryoshka.training.distilling import NEIGHBOURS
from bitryoshka.training.neighbourhood import Neighbourhood
from bitryoshka.training.weights import learn_weights

BITS, PROGRESSIVE_HAMMING, SHORT_HAMMING = 384, 192, 256
GOAL = Goal(BITS, (BITS,), "cosine", 0)
HIDDEN, STEPS, BATCH, RATE = 1024, 800, 256, 1e-3

START, DESCENT, USUAL = "additive: start only", "+ descent", "+ neighbours in the weights (usual)"
RESTARTS = "usual, 4 restarts"
GAINS = {"descent": (DESCENT, START), "neighbours": (USUAL, DESCENT), "restarts": (RESTARTS, USUAL)}
LEAST_GAINS = {"descent": 0.005, "neighbours": 0.005}


def changes(usual: Settings) -> dict[str, Settings]:
    """The usual settings with one of them changed, by name."""
    return {
        RESTARTS: usual._replace(restarts=4),
        "usual, score weight 0": usual._replace(score_weight=0.0),
        "usual, start not learned from the bits": usual._replace(rounds=(4,)),
        "usual, fewer rounds (1, 1)": usual._replace(rounds=(1, 1)),
        "usual, more rounds (3, 3)": usual._replace(rounds=(3, 3)),
        "usual, light ridge (0.3 times)": usual._replace(ridge=0.3 * usual.ridge),
        "usual, heavy ridge (3 times)": usual._replace(ridge=3 * usual.ridge),
    }


def binarizers(rows: Floats, code: Binarizer, start: Projection) -> Iterator[tuple[str, Binarizer]]:
    """Every code by name; ``code``: the usual one, ``start``: what its first descent began with."""
    usual, none = usual_settings(BITS, rows.shape[1]), rows[:0]
    additive = partial(additive_codes, rows, none, GOAL, BITS, start=start)
    yield "sign", sign_codes(rows, GOAL, "zero")
    yield "+ thresholds (mean)", sign_codes(rows, GOAL, "mean")
    yield "+ rotation (ITQ)", itq_codes(rows, GOAL)
    name = f"progressive ({PROGRESSIVE_HAMMING} Hamming bits)"
    yield name, progressive_codes(rows, GOAL, PROGRESSIVE_HAMMING)
    yield START, start_only(rows, start, usual)
    yield DESCENT, additive(usual._replace(neighbour_weight=0.0))
    yield USUAL, code
    around = Neighbourhood.of(rows, none, GOAL.seed, NEIGHBOURS)
    yield "usual, weights trained further", learn_weights(code, around, GOAL.seed)
    for name, settings in changes(usual).items():
        yield name, additive(settings)
    name = f"usual, {SHORT_HAMMING} Hamming bits"
    yield name, additive_codes(rows, none, GOAL, SHORT_HAMMING, usual)


def start_only(rows: Floats, start: Projection, settings: Settings) -> Binarizer:
    """ITQ signs whose weights come from the regression, as do the bits of queries."""
    signs = signs_of(rows @ start.weights.T - start.offset)
    weights = regression(rows, signs, settings.score_weight, settings.ridge).rows
    return Binarizer(
        projection=start.weights,
        offset=start.offset,
        nested_bits=(BITS,),
        weight_projection=weights,
        hamming_projection=weights,
        hamming_offset=np.zeros(BITS, np.float32),
    )


def imitations(rows: Floats, code: Binarizer) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Bits for the usual code that are not its own, by name: packed (N, bits/8)."""
    assert code.additive is not None
    bits = unpack(code.encode(rows)).astype(np.float32)
    linear = signs_of(rows @ code.projection.T - code.offset)
    yield "usual, its start's bits alone", np.packbits(linear > 0, axis=1)
    halves = np.array_split(np.random.default_rng(GOAL.seed).permutation(len(rows)), 2)
    unseen = np.empty_like(bits)
    for learned, asked in (halves, halves[::-1]):
        unseen[asked] = imitated(rows[learned], bits[learned], rows[asked], STEPS // 2)
    seen = imitated(rows, bits, rows, STEPS)
    for label, signs in (("seen", seen), ("unseen", unseen)):
        yield f"network, {label} documents: bits alone", np.packbits(signs > 0, axis=1)
        found = code.additive.encode(rows, signs)
        yield f"network, {label} documents: descent from there", found


def imitated(rows: Floats, bits: Floats, asked: Floats, steps: int) -> Floats:
    """Signs of ``asked`` (n, d) by a network with one hidden layer, trained on 0/1 bits of rows."""
    # unit vectors, brought to the size that the layers' first weights are made for
    size = np.float32(np.sqrt(rows.shape[1]))
    x, y = torch.from_numpy(rows * size), torch.from_numpy(bits)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(GOAL.seed)
        network = torch.nn.Sequential(
            torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, BITS)
        )
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.15)
    generator = np.random.default_rng(GOAL.seed)
    for _ in range(steps):
        batch = generator.integers(0, len(x), BATCH)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return signs_of(network(torch.from_numpy(asked * size)).numpy())


def signs_of(values: Floats) -> Floats:
    """-1 or +1."""
    return np.where(values > 0, np.float32(1), np.float32(-1))


def codes(judge: Judge) -> Iterator[tuple[str, Coded]]:
    """The set under every code, by name."""
    rows = np.ascontiguousarray(judge.data.documents)
    start = hamming_start(rows, GOAL, BITS)
    usual = usual_settings(BITS, rows.shape[1])
    code = additive_codes(rows, rows[:0], GOAL, BITS, usual, start)
    for name, binarizer in binarizers(rows, code, start):
        yield name, Coded.of(judge, binarizer)
    coded = Coded.of(judge, code)
    for name, found in imitations(rows, code):
        yield name, coded._replace(encoded=replace(coded.encoded, codes=found))


def measure(coded: Coded, usual: Coded | None) -> dict[str, Any]:
    """Figures by search, and the share of bits that are as in the usual code, if that is known."""
    judge, length = coded.judge, str(BITS)
    found: dict[str, Any] = {
        "asymmetric": {length: judge.figures(coded.asymmetric(BITS))},
        "funnel": {length: judge.figures(coded.funnel(BITS))},
        "hamming": {length: judge.figures(coded.hamming(BITS))},
    }
    if usual is not None and coded.binarizer is usual.binarizer:
        same = unpack(coded.encoded.codes) == unpack(usual.encoded.codes)
        found["same_bits"] = float(same.mean())
    return found


def gains(mean: Mapping[str, Any]) -> dict[str, float]:
    """Recall of a float query that a part adds."""
    recall = {name: found["asymmetric"][str(BITS)]["recall"] for name, found in mean.items()}
    return {part: recall[more] - recall[less] for part, (more, less) in GAINS.items()}


def targets(gained: Mapping[str, float]) -> list[Target]:
    """What the two parts that every additive code has must add."""
    return [
        at_least(f"recall gained by {part}", least, gained[part])
        for part, least in LEAST_GAINS.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    given = parser.parse_args(arguments)
    sets: dict[str, Any] = {}
    for folder in given.data:
        found, usual = {}, None
        for name, coded in codes(Judge.of(read_dataset(folder))):
            usual = coded if name == USUAL else usual
            found[name] = measure(coded, usual)
            print(folder.name, name, flush=True)
        sets[folder.name] = found
    mean = mean_rows(list(sets.values()))
    print(table(mean))
    gained = gains(mean)
    figures = {"k": 10, "mean_over": list(sets), "mean": mean, "gains": gained, "sets": sets}
    write("ablation", figures, targets(gained))


if __name__ == "__main__":
    main()
