"""Whether codes are those of their vectors, but for what rounding may turn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitryoshka.additive import Additive
from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import unpack

# of a vector's length
NEAR = 1e-5
# of the loss of an additive code: what rounding may add to it
WORSE = 1e-4
# of a cut additive code, whose loss is unknown: what no tie explains
_MANY_BITS = 0.25
_MANY_ROWS = 0.01
_FEW_ROWS = 2


class Judged(NamedTuple):
    """Codes beside those of encoding anew: see `Verification`."""

    wrong_rows: int
    wrong_bits: int
    near_bits: int


def judge(binarizer: Binarizer, vectors: NDArray[np.float32], codes: NDArray[np.uint8]) -> Judged:
    """How codes (n, bits/8) of vectors (n, d) differ from those of encoding anew."""
    if not len(vectors):
        return Judged(0, 0, 0)
    differ, wrong = _differing(binarizer, vectors, codes)
    count = int(wrong.sum())
    return Judged(int(wrong.any(axis=1).sum()), count, int(differ.sum()) - count)


def wrong_codes(
    binarizer: Binarizer, vectors: NDArray[np.float32], codes: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Which rows have a wrong code, (n,), as `judge` counts them."""
    if not len(vectors):
        return np.zeros(0, bool)
    return np.asarray(_differing(binarizer, vectors, codes)[1].any(axis=1))


def _differing(
    binarizer: Binarizer, vectors: NDArray[np.float32], codes: NDArray[np.uint8]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Bits (n, bits) that are not those of encoding anew, and those of them that are wrong."""
    codes = np.ascontiguousarray(codes)
    differ = unpack(binarizer.encode(vectors)) != unpack(codes)
    if binarizer.additive is None:
        steps = binarizer.project(vectors) / binarizer.step
        distance = np.abs(steps - np.round(steps)) * binarizer.step
        length = 1.0 if binarizer.metric == "cosine" else np.linalg.norm(vectors, axis=1)[:, None]
        near = distance < NEAR * (length + np.abs(binarizer.offset))
        return differ, differ & ~near[:, binarizer.bit_dimension]
    worse = _worse(binarizer, binarizer.additive, vectors, codes, differ)
    return differ, differ & worse[:, None]


def _worse(
    binarizer: Binarizer,
    additive: Additive,
    vectors: NDArray[np.float32],
    codes: NDArray[np.uint8],
    differ: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which additive codes no tie explains, (n,)."""
    if binarizer.bits == additive.bits:
        losses = binarizer.losses(vectors, codes)
        return np.asarray(losses > binarizer.losses(vectors) * (1 + WORSE))
    share = differ.mean(axis=1)
    many = (share > 0).sum() > _FEW_ROWS + _MANY_ROWS * len(share)
    return np.asarray(share > (0 if many else _MANY_BITS))
