"""Query weights by regression: what each bit of a code says about the vector, all bits together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import unpack

Floats = NDArray[np.float32]

# as a share of a bit's variance, which is about 1; from 0.01 to 0.1 nothing changes
RIDGE = 0.03
_BLOCK = 8192


def regressed_weights(binarizer: Binarizer, sample: Floats, ridge: float = RIDGE) -> Binarizer:
    """The same codes with query weights from a ridge regression, at every nested length.

    ``sample`` (N, d) float32, normalised where the metric is "cosine". The decoder D (bits, d)
    minimises ``|x - mean - D^T s(x)|^2 + ridge |D - D0|^2`` over the sample, where s(x) are the
    centred bits and D0 is the decoder that the binarizer has; the weights of a query are ``D q``.
    A bit's plain level knows its own quantizer alone; here bits that go together share the work.
    """
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
    gram = gram / n - np.outer(ones, ones) / n**2
    cross = cross / n - np.outer(ones, total) / n**2
    unit = np.eye(binarizer.dimensions, dtype=np.float32)
    decoders = []
    for length in binarizer.nested_bits:
        prior = binarizer.query_weights(unit, length).T
        regularised = gram[:length, :length] + ridge * np.eye(length)
        decoders.append(np.linalg.solve(regularised, cross[:length] + ridge * prior))
    return replace(binarizer, weight_projection=np.concatenate(decoders).astype(np.float32))
