"""Query weights by regression: what each bit of a code says about the vector, all bits together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import prefix, unpack
from bitryoshka.evaluation import asymmetric_topk, exact_topk, recall_at_k

Floats = NDArray[np.float32]

# as a share of a bit's variance, which is about 1
RIDGE = 0.03
# the last leaves the weights as they are
RIDGES = (RIDGE, 0.1, 0.3, 1.0, 3.0, 10.0, 1e6)
# longer codes lose nothing to a light one, and every one that is tried costs the cube of the length
JUDGED_BITS = 1024
FEWEST, MOST, SEARCHED = 40, 300, 10_000
_BLOCK = 8192


class Moments(NamedTuple):
    """Of a sample's bits, as -1 and 1, and vectors: covariance (bits, bits), and (bits, d)."""

    bits: NDArray[np.float64]
    vectors: NDArray[np.float64]

    @classmethod
    def of(cls, binarizer: Binarizer, sample: Floats) -> Moments:
        """Read in blocks, so that no more than a block of bits is unpacked."""
        bits = binarizer.bits
        gram, cross = np.zeros((bits, bits)), np.zeros((bits, binarizer.dimensions))
        ones, total = np.zeros(bits), np.zeros(binarizer.dimensions)
        for start in range(0, len(sample), _BLOCK):
            rows = sample[start : start + _BLOCK]
            signs = unpack(binarizer.encode(rows)) * np.float32(2) - 1
            gram += signs.T @ signs
            cross += signs.T @ rows
            ones += signs.sum(axis=0, dtype=np.float64)
            total += rows.sum(axis=0, dtype=np.float64)
        n = len(sample)
        return cls(gram / n - np.outer(ones, ones) / n**2, cross / n - np.outer(ones, total) / n**2)

    def decoder(self, prior: Floats, ridge: float) -> Floats:
        """Of the first bits, as many as the prior has rows; a regression shrunk to the prior."""
        n = len(prior)
        regularised = self.bits[:n, :n] + ridge * np.eye(n)
        solved: Floats = np.linalg.solve(regularised, self.vectors[:n] + ridge * prior)
        return solved.astype(np.float32)


def regressed_weights(
    binarizer: Binarizer, sample: Floats, ridge: float | Sequence[float] = RIDGE
) -> Binarizer:
    """The same codes with query weights from a ridge regression, at every nested length.

    ``sample`` (N, d) float32, normalised where the metric is "cosine". The decoder D (bits, d)
    minimises ``|x - mean - D^T s(x)|^2 + ridge |D - D0|^2`` over the sample, where s(x) are the
    centred bits and D0 is the decoder that the binarizer has; the weights of a query are ``D q``.
    A bit's plain level knows its own quantizer alone; here bits that go together share the work.
    ``ridge``: one, or one for each length.
    """
    moments = Moments.of(binarizer, sample)
    ridges = np.broadcast_to(ridge, len(binarizer.nested_bits)).tolist()
    found = [
        moments.decoder(prior, strength)
        for prior, strength in zip(decoders(binarizer), ridges, strict=True)
    ]
    return replace(binarizer, weight_projection=np.concatenate(found))


def retrieval_weights(binarizer: Binarizer, rows: Floats, queries: Floats, seed: int) -> Binarizer:
    """Regressed weights, shrunk at every length as far as retrieval is best.

    The regression knows how the whole sample spreads. Where near neighbours spread otherwise, as
    among many short texts, it ranks them worse than plain levels do, and more so the shorter the
    code. ``queries`` (Q, d) judge; where there are fewer than 40, rows that the regression does not
    see while it is judged.
    """
    order = np.random.default_rng(seed).permutation(len(rows))
    judges = 0 if len(queries) >= FEWEST else min(MOST, len(rows) // 5)
    asked = queries[:MOST] if judges == 0 else rows[order[:judges]]
    seen = rows[np.sort(order[judges:])]
    searched = rows[np.sort(order[judges : judges + SEARCHED])]
    k = min(10, len(searched))
    exact = exact_topk(asked, searched, k, "inner_product").rows
    codes, moments = binarizer.encode(searched), Moments.of(binarizer, seen)

    def recall(prior: Floats, ridge: float) -> float:
        weights = asked @ moments.decoder(prior, ridge).T
        found = asymmetric_topk(weights, prefix(codes, len(prior)), k).rows
        return float(recall_at_k(found, exact, k).mean())

    def best(prior: Floats) -> float:
        if len(prior) > JUDGED_BITS:
            return RIDGE
        return max(RIDGES, key=lambda ridge: recall(prior, ridge))

    return regressed_weights(binarizer, rows, [best(prior) for prior in decoders(binarizer)])


def decoders(binarizer: Binarizer) -> list[Floats]:
    """The decoder (length, d) that the binarizer has, at every length."""
    unit = np.eye(binarizer.dimensions, dtype=np.float32)
    return [binarizer.query_weights(unit, length).T for length in binarizer.nested_bits]
