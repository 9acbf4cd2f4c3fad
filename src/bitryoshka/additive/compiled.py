"""The sweeps of `bitryoshka.additive.descent` as machine code (Numba), row by row."""

from __future__ import annotations

from contextlib import suppress

import numba
import numpy as np

from bitryoshka.additive.descent import Floats, Problem, State


def descend_compiled(problem: Problem, state: State) -> None:
    """As `descend_blocked` of `bitryoshka.additive.descent`, but for ties within rounding."""
    _descend(problem.gram, problem.score, *state, np.float32(problem.score_weight), problem.sweeps)


@numba.njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _descend(
    gram: Floats,
    score: Floats,
    signs: Floats,
    residual: Floats,
    along: Floats,
    a: np.float32,
    sweeps: int,
) -> None:
    bits, lengths = len(gram), len(score)
    for n in range(len(signs)):
        s, v = signs[n], residual[n]
        quiet = 0  # bits looked at since one turned
        for step in range(sweeps * bits):
            i = step % bits
            wanted = v[i]
            reach = gram[i, i]
            for part in range(lengths):
                weighed = a * score[part, n, i]
                wanted += weighed * along[part, n]
                reach += weighed * score[part, n, i]
            wanted += s[i] * reach
            turn = (np.float32(1) if wanted >= 0 else np.float32(-1)) - s[i]
            if turn != 0:
                for j in range(bits):
                    v[j] -= turn * gram[i, j]
                for part in range(lengths):
                    along[part, n] -= turn * score[part, n, i]
                s[i] += turn
                quiet = 0
            else:
                quiet += 1
                if quiet == bits:
                    break


# where nothing can be written, it is compiled anew in each process
with suppress(RuntimeError):
    _descend.enable_caching()
