"""Vectors and binarizers that tests can predict exactly."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from hypothesis import settings
from numpy.typing import NDArray

from bitryoshka.additive import Additive
from bitryoshka.binarizer import Binarizer, Metric
from bitryoshka.training.closed_form import Layout, uniform_levels

quick = settings(deadline=None, max_examples=60, derandomize=True)


def exact_binarizer(
    seed: int, metric: Metric = "inner_product", dimensions: int = 16, deepest: int = 8
) -> Binarizer:
    """A binarizer with a random layout, for which float32 rounds nothing on integer vectors.

    W and offset hold small integers, steps are powers of two; under cosine the vectors must
    have norms that are powers of two, see `signed_rows`.
    """
    rng = np.random.default_rng(seed)
    m = int(rng.choice([8, 16, 24]))
    further = np.repeat(np.arange(m), rng.integers(0, deepest, m))
    rng.shuffle(further)
    dimension = np.concatenate([np.arange(m), further[: len(further) // 8 * 8]])
    plane = np.array([np.sum(dimension[:i] == j) for i, j in enumerate(dimension)])
    bits, depth = len(dimension), np.bincount(dimension, minlength=m)
    cuts = rng.choice(np.arange(8, bits + 1, 8), rng.integers(0, bits // 8 + 1), replace=False)
    nested = tuple(sorted({m, bits, *cuts.tolist()}))
    step = np.exp2(rng.integers(-1, 4, m)).astype(np.float32)
    layout = Layout(dimension.astype(np.int32), plane.astype(np.uint8), depth)
    return Binarizer(
        projection=rng.integers(-3, 4, (m, dimensions)).astype(np.float32),
        offset=rng.integers(-4, 5, m).astype(np.float32),
        step=step,
        bit_dimension=layout.dimension,
        bit_plane=layout.plane,
        levels=uniform_levels(step, layout, nested),
        nested_bits=nested,
        metric=metric,
    )


def exact_signs(bits: int) -> Binarizer:
    """The signs of the vectors themselves, under cosine."""
    return Binarizer(
        projection=np.eye(bits, dtype=np.float32),
        offset=np.zeros(bits, np.float32),
        step=np.ones(bits, np.float32),
        bit_dimension=np.arange(bits, dtype=np.int32),
        bit_plane=np.zeros(bits, np.uint8),
        levels=np.ones((1, bits), np.float32),
        nested_bits=(bits,),
    )


def integer_rows(seed: int, rows: int, dimensions: int = 16) -> NDArray[np.float32]:
    """Integer-valued rows, none of them zero."""
    vectors = np.random.default_rng(seed).integers(-9, 10, (rows, dimensions))
    vectors[:, 0] |= 1
    return vectors.astype(np.float32)


def signed_rows(seed: int, rows: int) -> NDArray[np.float32]:
    """Rows of 16 entries +-1, +-2 or +-4, all of one size in a row: norms 4, 8 and 16."""
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (rows, 16)) * 2 - 1
    return (signs * np.exp2(rng.integers(0, 3, (rows, 1)))).astype(np.float32)


def naive_codes(binarizer: Binarizer, vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The formula in `Binarizer`'s docstring, one row and one bit at a time."""
    depth = Counter(binarizer.bit_dimension.tolist())
    codes = []
    for row in vectors.tolist():
        length = math.sqrt(sum(v * v for v in row)) if binarizer.metric == "cosine" else 1.0
        numbers = []
        for j, weights in enumerate(binarizer.projection.tolist()):
            z = sum(w * v / length for w, v in zip(weights, row, strict=True))
            z -= float(binarizer.offset[j])
            k = math.ceil(z / float(binarizer.step[j])) - 1 + 2 ** (depth[j] - 1)
            numbers.append(min(max(k, 0), 2 ** depth[j] - 1))
        digits = ""
        for j, p in zip(binarizer.bit_dimension.tolist(), binarizer.bit_plane, strict=True):
            digits += format(numbers[j], f"0{depth[j]}b")[p]
        codes.append(list(int(digits, 2).to_bytes(len(digits) // 8, "big")))
    return np.array(codes, np.uint8)


def clustered(
    seed: int, rows: int, dimensions: int = 48, rank: int = 10, off_centre: float = 0.5
) -> NDArray[np.float32]:
    """Clusters in a subspace with a falling spectrum, away from the origin, and a little noise."""
    world = np.random.default_rng(7)
    basis = np.linalg.qr(world.normal(size=(dimensions, rank)))[0].T
    centres = world.normal(size=(24, rank))
    away = off_centre * world.normal(size=dimensions) / math.sqrt(dimensions)
    rng = np.random.default_rng(seed)
    inner = centres[rng.integers(0, 24, rows)] + 0.5 * rng.normal(size=(rows, rank))
    inner *= 1 / np.sqrt(1 + np.arange(rank))
    noise = 0.02 * rng.normal(size=(rows, dimensions))
    return (inner @ basis + away + noise).astype(np.float32)


def additive_binarizer(
    seed: int,
    *,
    hamming_bits: int | None = None,
    lengths: tuple[int, ...] = (48,),
    metric: Metric = "cosine",
    restarts: int = 0,
    score_weight: float = 2.0,
    dimensions: int = 32,
) -> Binarizer:
    """An additive code of random rows, which fall in length; its queries are weighed by them."""
    rng = np.random.default_rng(seed)
    bits = lengths[-1]
    m = hamming_bits or bits
    falling = 0.5 / np.sqrt(4 + np.arange(bits))
    decoder = [
        rng.normal(size=(n, dimensions)) / np.sqrt(dimensions) * 2 * falling[:n, None]
        for n in lengths
    ]
    nested = tuple(sorted({*lengths, m}))
    return Binarizer(
        projection=decoder[-1][:m],
        offset=0.02 * rng.normal(size=m),
        nested_bits=nested,
        metric=metric,
        weight_projection=rng.normal(size=(sum(nested), dimensions)),
        hamming_projection=decoder[-1][:m],
        hamming_offset=np.zeros(m),
        additive=Additive(
            lengths=lengths,
            length_weights=np.float32(bits) / np.array(lengths, np.float32),
            decoder=np.concatenate(decoder),
            centre=0.05 * rng.normal(size=(len(lengths), dimensions)),
            flips=np.packbits(rng.random((restarts, bits)) < 0.1, axis=1),
            score_weight=score_weight,
            sweeps=8,
        ),
    )
