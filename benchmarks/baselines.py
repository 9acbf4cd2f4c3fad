"""Codes to compare with, written without the library: plain NumPy, floats in place of bits.

Each function fits on documents (N, d) alone and returns documents and queries as small float
vectors whose inner product is the code's score, so that one matrix product searches them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import Floats

ITERATIONS = 50
MOST_PLANES = 8


class Scored(NamedTuple):
    """``documents`` (N, m) as stored, ``hamming`` (Q, m) and ``asymmetric`` (Q, m) queries."""

    documents: Floats
    hamming: Floats
    asymmetric: Floats


def signs(x: NDArray[np.floating]) -> Floats:
    """+1 where x > 0, -1 elsewhere."""
    return np.where(x > 0, np.float32(1), np.float32(-1))


def sign_codes(documents: Floats, queries: Floats, bits: int) -> Scored:
    """Signs of the first dimensions."""
    return Scored(signs(documents[:, :bits]), signs(queries[:, :bits]), queries[:, :bits])


def itq_projection(documents: Floats, bits: int, seed: int = 0) -> tuple[Floats, Floats]:
    """``(projection (d, bits), mean (d,))`` of PCA and the ITQ rotation.

    Gong and Lazebnik, "Iterative quantization", CVPR 2011: alternate the nearest signs and the
    orthogonal Procrustes rotation.
    """
    mean = documents.mean(axis=0)
    centred = documents - mean
    axes = np.linalg.svd(centred.T @ centred)[0][:, :bits]
    z = centred @ axes
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(bits, bits)))[0].astype(
        np.float32
    )
    for _ in range(ITERATIONS):
        u, _, vt = np.linalg.svd(signs(z @ rotation).T @ z)
        rotation = (u @ vt).T
    return (axes @ rotation).astype(np.float32), mean


def itq_codes(documents: Floats, queries: Floats, bits: int, seed: int = 0) -> Scored:
    """ITQ of one length: the asymmetric query is not centred."""
    projection, mean = itq_projection(documents, bits, seed)
    return Scored(
        signs((documents - mean) @ projection),
        signs((queries - mean) @ projection),
        queries @ projection,
    )


def progressive_codes(
    documents: Floats, queries: Floats, bits: int, hamming_bits: int, seed: int = 0
) -> Scored:
    """The closed-form progressive code, decoded: ITQ, then greedy bits by measured error."""
    projection, mean = itq_projection(documents, hamming_bits, seed)
    z = ((documents - mean) @ projection).astype(np.float32)
    levels = [_quantized(z, planes) for planes in range(1, MOST_PLANES + 1)]
    errors = np.array([((z - level) ** 2).mean(axis=0) for level in levels])
    gains = errors[:-1] - errors[1:]
    depth = np.zeros(hamming_bits, np.int64)
    for _ in range(bits - hamming_bits):
        gain = np.where(
            depth < MOST_PLANES - 1,
            gains[np.minimum(depth, MOST_PLANES - 2), np.arange(hamming_bits)],
            -np.inf,
        )
        depth[int(np.argmax(gain))] += 1
    decoded = np.stack([levels[p][:, j] for j, p in enumerate(depth)], axis=1)
    return Scored(
        np.ascontiguousarray(decoded),
        signs((queries - mean) @ projection),
        queries @ projection,
    )


def _quantized(z: Floats, planes: int) -> Floats:
    """Each column at the middles of 2^planes equal cells, whose width a grid search chose."""
    half = 2 ** (planes - 1)
    sample, spread = z[:2000], z.std(axis=0)
    best, chosen = np.full(z.shape[1], np.inf), spread.copy()
    for width in np.linspace(1.2, 2.2, 24, dtype=np.float32):
        step = spread * width / np.float32(half**0.8)
        error = ((sample - _middles(sample, step, half)) ** 2).mean(axis=0)
        chosen = np.where(error < best, step, chosen)
        best = np.minimum(error, best)
    return _middles(z, chosen, half)


def _middles(z: Floats, step: Floats, half: int) -> Floats:
    cell = np.clip(np.floor(z / step), -half, half - 1)
    middles: Floats = ((cell + np.float32(0.5)) * step).astype(np.float32)
    return middles
