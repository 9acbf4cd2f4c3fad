"""Decoders: what each bit of a code says about the vector, all bits together.

Both regressions are linear in the decoder's rows, whose products with a query are its weights. The
first brings decoded vectors near to their own, the second brings the differences between the scores
of near neighbours near to the exact ones, which is what ranks them. NumPy only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitryoshka.evaluation import exact_topk

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

# of conjugate gradients: how many at most, and what of the squared error may be left
STEPS = 12
PRECISION = 1e-6
NEIGHBOURS = 32
MOST_ANCHORS = 4000
_BLOCK = 64


class Decoder(NamedTuple):
    """Rows (bits, d) and centre (d,): a vector is near ``centre + signs @ rows``."""

    rows: Floats
    centre: Floats


class Neighbours(NamedTuple):
    """Anchors (A, d) and the numbers of their nearest rows (A, k), the anchor itself left out."""

    anchors: Floats
    near: Rows

    @classmethod
    def of(cls, rows: Floats, queries: Floats, seed: int) -> Neighbours:
        """Random rows and all queries, at most 4,000 of each, look for their neighbours."""
        generator = np.random.default_rng(seed)
        own = np.sort(generator.permutation(len(rows))[:MOST_ANCHORS])
        k = min(NEIGHBOURS, len(rows) - 1)
        found = exact_topk(rows[own], rows, k + 1, "inner_product").rows
        other = found != own[:, None]
        # among equal rows the anchor may not be found: then the last one goes
        other[other.all(axis=1), -1] = False
        near = found[other].reshape(len(own), k)
        asked = queries[generator.permutation(len(queries))[:MOST_ANCHORS]]
        if len(asked):
            near = np.concatenate([near, exact_topk(asked, rows, k, "inner_product").rows])
        return cls(np.concatenate([rows[own], asked]), near)


def regression(
    rows: Floats,
    signs: Floats,
    score_weight: float,
    ridge: float,
    start: Decoder | None = None,
    around: Neighbours | None = None,
    neighbour_weight: float = 0.0,
) -> Decoder:
    """The decoder D, c of signs (N, bits) of rows (N, d), by ridge regression.

    It minimises ``sum |r|^2 + score_weight (x . r)^2`` over the rows, r the residuals, plus
    ``ridge * bits * |D|^2``, by conjugate gradients. With neighbours it adds the mean over all
    anchors q and their near rows i of ``(q . r_i - mean over the near rows)^2``, times N and
    ``neighbour_weight``: a shift of all scores of a query does not change its ranking.
    ``start``: where to begin; None: at the plain regression.
    """
    n, bits = signs.shape
    design: Floats = np.concatenate([signs, np.ones((n, 1), np.float32)], axis=1)
    penalty = np.full((bits + 1, 1), ridge * bits, np.float32) + np.float32(1e-6 * n)
    penalty[-1] = 1e-6 * n
    gram = (design.T @ design).astype(np.float64)
    gram.flat[:: bits + 2] += penalty[:, 0]
    inverse: Floats = np.linalg.inv(gram).astype(np.float32)
    squares = np.einsum("nd,nd->n", rows, rows)
    wanted = design.T @ (rows * (1 + score_weight * squares)[:, None])
    local = None
    if around is not None and neighbour_weight:
        strength = neighbour_weight * n / around.near.size
        local = _Local(around, signs, strength)
        wanted[:-1] += local.target(rows)

    def applied(x: Floats) -> Floats:
        decoded = design @ x
        if score_weight:
            decoded += score_weight * np.einsum("nd,nd->n", decoded, rows)[:, None] * rows
        found: Floats = design.T @ decoded + penalty * x
        if local is not None:
            found[:-1] += local.applied(x[:-1])
        return found

    begin: Floats = (inverse @ (design.T @ rows)).astype(np.float32)
    if start is not None:
        begin = np.concatenate([start.rows, start.centre[None]]).astype(np.float32)
    solved = _conjugate_gradients(applied, wanted, inverse, begin)
    return Decoder(np.ascontiguousarray(solved[:-1]), np.ascontiguousarray(solved[-1]))


def _conjugate_gradients(
    applied: Callable[[Floats], Floats], wanted: Floats, inverse: Floats, x: Floats
) -> Floats:
    """Solve ``applied(x) = wanted``, preconditioned by the inverse of the plain regression."""
    left = wanted - applied(x)
    step = inverse @ left
    size = float(np.vdot(left, step))
    enough = PRECISION * float(np.vdot(wanted, inverse @ wanted))
    direction = step
    for _ in range(STEPS):
        if size <= enough:
            break
        moved = applied(direction)
        rate = size / float(np.vdot(direction, moved))
        x = (x + rate * direction).astype(np.float32)
        left = (left - rate * moved).astype(np.float32)
        step = inverse @ left
        before, size = size, float(np.vdot(left, step))
        direction = (step + size / before * direction).astype(np.float32)
    return x


class _Local:
    """The part of the normal equations that neighbours add, block by block of anchors."""

    def __init__(self, around: Neighbours, signs: Floats, strength: float) -> None:
        self.around, self.signs, self.strength = around, signs, np.float32(strength)

    def target(self, rows: Floats) -> Floats:
        """From the exact scores, (bits, d)."""
        return self._gathered(lambda anchors, near: rows[near] @ anchors[:, :, None])

    def applied(self, decoder: Floats) -> Floats:
        """From the scores of a decoder's rows (bits, d)."""
        return self._gathered(
            lambda anchors, near: self.signs[near] @ (anchors @ decoder.T)[:, :, None]
        )

    def _gathered(self, scores_of: Callable[[Floats, Rows], Floats]) -> Floats:
        anchors, near = self.around
        weighed = np.empty((len(anchors), self.signs.shape[1]), np.float32)
        for begin in range(0, len(anchors), _BLOCK):
            block = slice(begin, begin + _BLOCK)
            scores = scores_of(anchors[block], near[block])[:, :, 0]
            scores = scores - scores.mean(axis=1, keepdims=True)
            weighed[block] = (scores[:, None, :] @ self.signs[near[block]])[:, 0]
        return self.strength * (weighed.T @ anchors)
