"""Fitting additive codes: the decoder by regression on the bits, the bits by descent, in turns.

Both lower the loss of `bitryoshka.additive` (alternation as in Babenko and Lempitsky, "Additive
quantization for extreme vector compression", CVPR 2014). NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from bitryoshka.additive import Additive
from bitryoshka.binarizer import SEARCHED_ROWS, Binarizer
from bitryoshka.bits import unpack
from bitryoshka.training.closed_form import (
    QUERY_CENTRING,
    Goal,
    Projection,
    default_nested_bits,
    itq_projection,
)
from bitryoshka.training.decoding import Decoder, Neighbours, regression

Floats = NDArray[np.float32]

# what the rotation lacks, the start that is learned from the bits has
ITQ_ITERATIONS = 15
RIDGE, LIGHT_RIDGE = 0.5, 0.1
# share of the bits that a restart turns
FLIPPED = 0.04
# of the regression that bits start from, as a share of the mean variance
START_RIDGE = 0.1


class Settings(NamedTuple):
    """How additive codes are fitted.

    ``score_weight``: a of the loss. ``ridge``: of the regressions, see there. ``rounds`` of
    regression and descent, ``sweeps`` of a descent, and ``restarts`` once the decoder stands.
    Each cut that is asked for counts in the loss as often as the whole code is longer.
    ``neighbour_weight``: of near neighbours in the regression of the queries' weights.
    """

    score_weight: float = 2.0
    ridge: float = RIDGE
    rounds: tuple[int, ...] = (2, 2)
    sweeps: int = 8
    restarts: int = 0
    neighbour_weight: float = 64.0


def usual_settings(bits: int, dimensions: int) -> Settings:
    """What suits codes of so many bits: beyond one bit a dimension less is left to smooth."""
    return Settings(ridge=RIDGE if bits <= dimensions else LIGHT_RIDGE)


def additive_codes(
    rows: Floats,
    queries: Floats,
    goal: Goal,
    hamming_bits: int,
    settings: Settings,
    start: Projection | None = None,
) -> Binarizer:
    """An additive code of rows (N, d), N > 1.

    Queries have decoders of their own, which keep the order of near neighbours as well; ``queries``
    (Q, d), none or more, look for neighbours beside the rows. A query's bits are the signs of its
    weights, or where Hamming prefixes are asked for, those of its projection.
    ``goal.nested_bits``: cuts that the bits are searched for too; None: for the whole code alone,
    and the usual cuts are offered as they come. ``start``: `hamming_start`, if it is at hand.
    """
    if goal.metric == "cosine":
        return _fitted(rows, queries, goal, hamming_bits, settings, start)
    # what weighs errors against one another is made for vectors about as long as unit vectors
    size = float(np.sqrt(np.mean(np.einsum("nd,nd->n", rows, rows, dtype=np.float64)))) or 1.0
    if start is not None:
        start = start._replace(offset=_times(start.offset, 1 / size))
    unit = (_times(rows, 1 / size), _times(queries, 1 / size))
    return _resized(_fitted(*unit, goal, hamming_bits, settings, start), size)


def _times(array: Floats, factor: float) -> Floats:
    return (array * factor).astype(np.float32)


def _resized(b: Binarizer, size: float) -> Binarizer:
    """The code of vectors that are so many times as long: it has the same bits."""
    additive = cast(Additive, b.additive)
    return replace(
        b,
        offset=_times(b.offset, size),
        weight_projection=_times(cast(Floats, b.weight_projection), size),
        hamming_offset=_times(cast(Floats, b.hamming_offset), size),
        additive=replace(
            additive,
            decoder=_times(additive.decoder, size),
            centre=_times(additive.centre, size),
            score_weight=additive.score_weight / size**2,
        ),
    )


def _fitted(
    rows: Floats,
    queries: Floats,
    goal: Goal,
    hamming_bits: int,
    settings: Settings,
    start: Projection | None,
) -> Binarizer:
    lengths = tuple(sorted({*(goal.nested_bits or ()), goal.bits}))
    start = start or hamming_start(rows, goal, hamming_bits)
    for rounds in settings.rounds:
        signs = _signs(rows, start)
        staged = _residual_stages(rows, signs, lengths, settings, goal.seed)
        decoders = [_regression(rows, staged[:, :n], settings) for n in lengths]
        for _ in range(rounds):
            bits = _encode(_additive(lengths, decoders, settings, goal.seed, 0), rows, signs)
            decoders = [
                _regression(rows, bits[:, :n], settings, known)
                for n, known in zip(lengths, decoders, strict=True)
            ]
        used, start = start, _learned_start(rows, bits[:, :hamming_bits])
    additive = _additive(lengths, decoders, settings, goal.seed, settings.restarts)
    nested = goal.nested_bits or default_nested_bits(goal.bits, hamming_bits)
    nested = tuple(sorted({*nested, hamming_bits, goal.bits}))
    found, around = _encode(additive, rows, signs), Neighbours.of(rows, queries, goal.seed)
    weights = {n: _query_decoder(rows, found[:, :n], settings, around).rows for n in nested}
    # with bits that mean something without the others, queries are projected as rows are, half
    # centred
    prefixed = lengths[0] < hamming_bits
    return Binarizer(
        projection=used.weights,
        offset=used.offset,
        nested_bits=nested,
        metric=goal.metric,
        weight_projection=np.concatenate([*weights.values()]),
        hamming_projection=None if prefixed else weights[hamming_bits],
        hamming_offset=QUERY_CENTRING * used.offset if prefixed else np.zeros_like(used.offset),
        additive=additive,
    )


def _regression(
    rows: Floats, signs: Floats, settings: Settings, start: Decoder | None = None
) -> Decoder:
    return regression(rows, signs, settings.score_weight, settings.ridge, start)


def _query_decoder(rows: Floats, signs: Floats, settings: Settings, around: Neighbours) -> Decoder:
    """What queries weigh bits by: the rows' decoder, moved to keep the order of neighbours."""
    a, ridge, weight = settings.score_weight, settings.ridge, settings.neighbour_weight
    plain = regression(rows, signs, a, ridge)
    return regression(rows, signs, a, ridge, plain, around, weight) if weight else plain


def hamming_start(rows: Floats, goal: Goal, hamming_bits: int) -> Projection:
    """The ITQ projection of the Hamming bits, behind that of the shortest prefix asked for.

    The prefix is a good Hamming code by itself, and the bits after it see the whole space again, so
    that the longer ones are too.
    """
    whole = itq_projection(rows, hamming_bits, goal.seed, ITQ_ITERATIONS)
    short = min(goal.nested_bits or (goal.bits,))
    if short >= hamming_bits:
        return whole
    prefix = itq_projection(rows, short, goal.seed, ITQ_ITERATIONS)
    return Projection(
        *(
            np.concatenate([a, b[: hamming_bits - short]])
            for a, b in zip(prefix, whole, strict=True)
        )
    )


def _learned_start(rows: Floats, bits: Floats) -> Projection:
    """The linear map whose signs come near to bits (N, m): what a descent starts from."""
    mean, balance = rows.mean(axis=0), bits.mean(axis=0)
    gram = (rows.T @ rows).astype(np.float64) / len(rows) - np.outer(mean, mean)
    gram.flat[:: len(gram) + 1] += START_RIDGE * np.trace(gram) / len(gram) + 1e-12
    cross = rows.T @ bits / len(rows) - np.outer(mean, balance)
    weights = np.linalg.solve(gram, cross).T.astype(np.float32)
    return Projection(weights, weights @ mean - balance, balance)


def _signs(rows: Floats, projection: Projection) -> Floats:
    above = rows @ projection.weights.T > projection.offset
    return np.where(above, np.float32(1), np.float32(-1))


def _residual_stages(
    rows: Floats, signs: Floats, lengths: Sequence[int], settings: Settings, seed: int
) -> Floats:
    """The signs (N, m), and behind them ITQ signs of what is left, stage by stage.

    A stage ends at each of ``lengths``, and has no more bits than the first.
    """
    m = signs.shape[1]
    while (done := signs.shape[1]) < lengths[-1]:
        size = min(m, min(n for n in lengths if n > done) - done)
        decoder = regression(rows, signs, 0.0, settings.ridge)
        left = rows - decoder.centre - signs @ decoder.rows
        stage = itq_projection(left, size, seed, ITQ_ITERATIONS)
        signs = np.concatenate([signs, _signs(left, stage)], axis=1)
    return signs


def _additive(
    lengths: tuple[int, ...],
    decoders: Sequence[Decoder],
    settings: Settings,
    seed: int,
    restarts: int,
) -> Additive:
    turned = np.random.default_rng(seed).random((restarts, lengths[-1])) < FLIPPED
    return Additive(
        lengths=lengths,
        length_weights=np.float32(lengths[-1]) / np.array(lengths, np.float32),
        decoder=np.concatenate([decoder.rows for decoder in decoders]),
        centre=np.stack([decoder.centre for decoder in decoders]),
        flips=np.packbits(turned, axis=1),
        score_weight=settings.score_weight,
        sweeps=settings.sweeps,
    )


def _encode(additive: Additive, rows: Floats, start: Floats) -> Floats:
    """Bits (N, bits) as -1 and +1."""
    found = np.empty((len(rows), additive.bits), np.float32)
    for begin in range(0, len(rows), SEARCHED_ROWS):
        block = slice(begin, begin + SEARCHED_ROWS)
        found[block] = unpack(additive.encode(rows[block], start[block]))
    return found * 2 - 1
