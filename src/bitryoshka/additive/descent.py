"""Sweeps over the bits of additive codes: each bit is turned where that lowers the loss.

For one vector x, decoder rows D (b, d), centre c and bits s (b,) the loss is, but for what does not
depend on s, ``a (x . r)^2 - s . (u + v)`` with the residual ``r = x - c - s D``, ``u = D (x - c)``
and ``v = D r``. A bit that turns by t moves ``v`` by ``-t D D_i``, a row of the Gram matrix, and
``x . r`` by ``-t D_i . x``: residuals themselves are never made. Of a loss over several lengths,
Gram matrices and u are sums, and each length has an ``x . r`` of its own.

A sign of 0 is a bit that is not set yet: the first sweep gives it its better sign.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

GROUP = 32


class Problem(NamedTuple):
    """What a block of n vectors leaves to search.

    ``gram`` (b, b): products of the decoder's rows. ``linear`` (n, b): u. For each of l lengths,
    times the root of its weight, ``score`` (l, n, b): D x, 0 beyond its bits, and ``along`` (l, n):
    ``x . (x - c)``. ``score_weight``: a. ``sweeps``: how many at most.
    """

    gram: Floats
    linear: Floats
    score: Floats
    along: Floats
    score_weight: float
    sweeps: int


class State(NamedTuple):
    """Signs (n, b), ``v`` (n, b) and ``x . r`` (l, n), each changed in place by a descent."""

    signs: Floats
    residual: Floats
    along: Floats

    @classmethod
    def of(cls, problem: Problem, signs: Floats) -> State:
        """The state that signs (n, b) start from; they are not copied."""
        residual = problem.linear - signs @ problem.gram
        along = problem.along - np.einsum("nb,lnb->ln", signs, problem.score)
        return cls(signs, residual, along)

    def loss(self, problem: Problem) -> Floats:
        """The loss of each row (n,), but for ``|x - c|^2``."""
        explained = np.einsum("nb,nb->n", self.signs, problem.linear + self.residual)
        found: Floats = problem.score_weight * (self.along**2).sum(axis=0) - explained
        return found


def search(problem: Problem, start: Floats, flips: Floats) -> Floats:
    """The best signs (n, b) found from ``start`` (n, b), and from the best so far with bits turned.

    ``flips`` (restarts, b): -1 where a restart turns a bit before its descent, 1 elsewhere. All
    rows turn the same bits, so that a code does not depend on the rows beside it.
    """
    descend = _descent()
    best = State.of(problem, start)
    descend(problem, best)
    if not len(flips):
        return best.signs
    loss = best.loss(problem)
    for flip in flips:
        tried = State.of(problem, best.signs * flip)
        descend(problem, tried)
        found = tried.loss(problem)
        # a gain within rounding is none
        better = found < loss - np.float32(1e-6)
        best.signs[better] = tried.signs[better]
        loss = np.where(better, found, loss)
    return best.signs


def descend_blocked(problem: Problem, state: State) -> None:
    """Sweep until no bit turns, all rows at once.

    Bits are taken in groups. Within a group every turn is seen by the bits after it; what the whole
    group has turned reaches the other groups as one matrix product.
    """
    active = np.arange(len(state.signs))
    for _ in range(problem.sweeps):
        rows = State(state.signs[active], state.residual[active], state.along[:, active])
        turned = _sweep(problem, rows, problem.score[:, active])
        state.signs[active], state.residual[active], state.along[:, active] = rows
        active = active[turned]
        if not len(active):
            return


def _sweep(problem: Problem, state: State, score: Floats) -> NDArray[np.bool_]:
    """One pass over the bits; which rows turned any."""
    gram, a = problem.gram, np.float32(problem.score_weight)
    turned = np.zeros(len(state.signs), np.bool_)
    along = state.along
    for begin in range(0, len(gram), GROUP):
        group = slice(begin, begin + GROUP)
        inside = gram[group, group]
        # copies, a row for each bit: v is changed in place
        v, s = (np.array(part[:, group].T, order="C") for part in (state.residual, state.signs))
        p = np.ascontiguousarray(score[:, :, group].transpose(2, 0, 1))
        weighed = a * p
        reach = inside.diagonal()[:, None] + (weighed * p).sum(axis=1)
        turns = np.zeros_like(s)
        for i in range(len(s)):
            wanted = v[i] + s[i] * reach[i]
            for part, left in zip(weighed[i], along, strict=True):
                wanted += part * left
            turn = np.where(wanted >= 0, np.float32(1), np.float32(-1)) - s[i]
            if turn.any():
                turns[i] = turn
                along -= turn * p[i]
                v[i + 1 :] -= inside[i, i + 1 :, None] * turn
        if turns.any():
            turned |= turns.any(axis=0)
            state.signs[:, group] = (s + turns).T
            np.subtract(state.residual, turns.T @ gram[group], out=state.residual)
    return turned


@cache
def _descent() -> Callable[[Problem, State], None]:
    """The compiled form where Numba is there, and fits the NumPy that is."""
    try:
        from bitryoshka.additive.compiled import descend_compiled
    except ImportError:
        return descend_blocked
    return descend_compiled
