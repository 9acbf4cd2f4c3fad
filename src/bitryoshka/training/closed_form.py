"""Binarizers that need no training loop: sign, centred, rotation, ITQ and progressive codes.

NumPy only. Every function takes a sample ``(N, d)`` float32, already normalised where the
metric is "cosine", and returns a `Binarizer`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitryoshka.binarizer import MAX_PLANES, Binarizer, Metric
from bitryoshka.errors import BitsError

Floats = NDArray[np.float32]

# Mean squared error and step of the best uniform quantizer with 1 to 8 bits for a Gaussian of
# variance 1: J. Max, "Quantizing for minimum distortion", IRE Trans. Inf. Theory 6 (1960),
# table 2, extended to 8 bits by the same minimisation.
DISTORTION = np.array(
    [1, 0.3634, 0.1188, 0.03744, 0.01154, 0.003495, 0.001040, 0.0003043, 8.769e-5]
)
STEP = np.array([1.5958, 0.9957, 0.5860, 0.3352, 0.1881, 0.1041, 0.0569, 0.0308])

ITQ_ITERATIONS = 50
# more rows turn the rotation no further
ITQ_ROWS = 10_000

# How far queries are centred before their signs are taken. The rows are centred whole, which
# balances their bits; but `<q, x - mean>` ranks rows as `<q, x>` does, and `<q - mean, x - mean>`
# does not. Half the way keeps the queries' bits balanced and most of their ranking
# (benchmarks/ablation.py measures it).
QUERY_CENTRING = 0.5


class Goal(NamedTuple):
    """What a binarizer is fitted for."""

    bits: int
    nested_bits: tuple[int, ...] | None
    metric: Metric
    seed: int


class Subspace(NamedTuple):
    """Principal axes of a sample: ``mean`` (d,), ``axes`` (m, d), ``variances`` (m,)."""

    mean: Floats
    axes: Floats
    variances: Floats


class Layout(NamedTuple):
    """Order of the bits of a code: ``dimension`` (bits,), ``plane`` (bits,), ``depth`` (m,)."""

    dimension: NDArray[np.int32]
    plane: NDArray[np.uint8]
    depth: NDArray[np.int64]


def default_nested_bits(bits: int, hamming_bits: int) -> tuple[int, ...]:
    """32, 64, 96, 128, 192, 256, 384, ... up to ``bits``, with ``hamming_bits`` and ``bits``."""
    usual = {2**p * f for p in range(5, 20) for f in (2, 3)} | {32}
    return tuple(sorted({b for b in usual if b < bits} | {hamming_bits, bits}))


def principal_axes(sample: Floats, m: int) -> Subspace:
    """The m leading principal axes; beyond the sample's rank, any orthonormal completion."""
    mean = sample.mean(axis=0, dtype=np.float64)
    rows, d = sample.shape
    if rows >= d:
        covariance = (sample.T @ sample).astype(np.float64) / rows - np.outer(mean, mean)
        values, vectors = np.linalg.eigh(covariance)
        values, vectors = values[::-1][:m], vectors[:, ::-1][:, :m]
    else:
        _, singular, right = decomposed(sample - mean)
        keep = singular > singular.max(initial=0) * 1e-5
        filler = np.random.default_rng(0).normal(size=(d, max(0, m - int(keep.sum()))))
        vectors = np.linalg.qr(np.concatenate([right[keep].T, filler], axis=1))[0][:, :m]
        values = np.zeros(vectors.shape[1])
        leading = min(m, int(keep.sum()))
        values[:leading] = singular[keep][:leading] ** 2 / rows
    return Subspace(
        mean.astype(np.float32),
        np.ascontiguousarray(vectors.T, np.float32),
        np.maximum(values, 0).astype(np.float32),
    )


def decomposed(matrix: NDArray[np.floating]) -> tuple[Floats, Floats, Floats]:
    """Thin singular value decomposition (left, values, right).

    LAPACK gives up on some matrices without full rank; moved by a millionth they do as well, as
    any completion of their singular vectors does.
    """
    try:
        found = np.linalg.svd(matrix, full_matrices=False)
    except np.linalg.LinAlgError:
        nudge = np.random.default_rng(0).normal(size=matrix.shape) * np.abs(matrix).max() * 1e-6
        found = np.linalg.svd(matrix + nudge, full_matrices=False)
    left, values, right = (part.astype(np.float32, copy=False) for part in found)
    return left, values, right


def random_rotation(m: int, generator: np.random.Generator) -> Floats:
    """A rotation (m, m), uniform over all of them: QR of a Gaussian matrix, signs fixed."""
    q, r = np.linalg.qr(generator.normal(size=(m, m)))
    return (q * np.sign(np.diag(r))).astype(np.float32)


def itq_rotation(z: Floats, seed: int, iterations: int = ITQ_ITERATIONS) -> Floats:
    """Rotation R (m, m) that brings the rows ``z @ R`` nearest to their own signs.

    Iterative quantization: Gong and Lazebnik, "Iterative quantization: a Procrustean approach
    to learning binary codes", CVPR 2011.
    """
    rotation = random_rotation(z.shape[1], np.random.default_rng(seed))
    for _ in range(iterations):
        signs = np.where(z @ rotation > 0, np.float32(1), np.float32(-1))
        left, _, right = decomposed(z.T @ signs)
        rotation = (left @ right).astype(np.float32)
    return rotation


def allocate(variances: NDArray[np.floating], bits: int) -> Layout:
    """Reverse water-filling: each further bit goes where it removes most squared error.

    Every dimension first gets its sign; then bits are given one by one to the dimension whose
    error for a Gaussian of its variance falls most (Cover and Thomas, "Elements of Information
    Theory", section 10.3.3, with the distortions of real uniform quantizers).
    """
    m = len(variances)
    if bits > m * MAX_PLANES:
        raise BitsError(f"{m} dimensions can hold at most {m * MAX_PLANES} bits, found {bits}")
    gains = np.asarray(variances, np.float64)[:, None] * -np.diff(DISTORTION)[None, 1:]
    depth = np.ones(m, np.int64)
    dimension, plane = list(range(m)), [0] * m
    # gains fall along each dimension's planes, so one stable sort is the greedy order
    for flat in np.argsort(-gains, axis=None, kind="stable")[: bits - m].tolist():
        j, p = divmod(flat, gains.shape[1])
        dimension.append(j)
        plane.append(p + 1)
        depth[j] += 1
    return Layout(np.array(dimension, np.int32), np.array(plane, np.uint8), depth)


def tidy(layout: Layout, nested_bits: tuple[int, ...]) -> Layout:
    """The same bits between each two cuts, by plane and dimension, so that encoding is fast."""
    dimension, plane = layout.dimension, layout.plane
    segment = np.searchsorted(nested_bits, np.arange(len(dimension)), side="right")
    order = np.lexsort((dimension, plane, segment))
    return Layout(dimension[order], plane[order], layout.depth)


def uniform_levels(step: Floats, layout: Layout, nested_bits: tuple[int, ...]) -> Floats:
    """Decoding weights of plain binary: bit p of B weighs ``step * 2^(B - 2 - p)``."""
    weight = step[layout.dimension] * np.exp2(
        layout.depth[layout.dimension] - 2.0 - layout.plane
    ).astype(np.float32)
    lengths = np.array(nested_bits)[:, None]
    return np.where(np.arange(len(weight)) < lengths, weight, np.float32(0))


def _assemble(
    goal: Goal, projection: Floats, offset: Floats, variances: NDArray[np.floating]
) -> Binarizer:
    """A binarizer from a projection: bits allocated and steps set by the variances."""
    deviations = np.sqrt(np.asarray(variances, np.float64))
    floor = deviations.max(initial=0) * 1e-6 or 1.0
    nested = goal.nested_bits or default_nested_bits(goal.bits, len(projection))
    nested = tuple(sorted({*nested, len(projection), goal.bits}))
    layout = tidy(allocate(variances, goal.bits), nested)
    step = (np.maximum(deviations, floor) * STEP[layout.depth - 1]).astype(np.float32)
    return Binarizer(
        projection=projection,
        offset=offset,
        step=step,
        bit_dimension=layout.dimension,
        bit_plane=layout.plane,
        levels=uniform_levels(step, layout, nested),
        nested_bits=nested,
        metric=goal.metric,
    )


def _check_reach(bits: int, dimensions: int, kind: str) -> None:
    if bits > dimensions:
        raise BitsError(
            f"{kind} codes of {dimensions} dimensions have at most {dimensions // 8 * 8} bits, "
            f"found bits={bits}; progressive codes reach {dimensions // 8 * 8 * MAX_PLANES}"
        )


def sign_codes(sample: Floats, goal: Goal, centre: str) -> Binarizer:
    """Signs of the first dimensions at "zero", or at the sample's "mean" or "median"."""
    _check_reach(goal.bits, sample.shape[1], "sign")
    leading = sample[:, : goal.bits]
    if centre == "zero":
        offset = np.zeros(goal.bits, np.float32)
    else:
        offset = leading.mean(axis=0) if centre == "mean" else np.median(leading, axis=0)
    projection = np.eye(goal.bits, sample.shape[1], dtype=np.float32)
    return _assemble(goal, projection, offset, np.ones(goal.bits))


def rotation_codes(sample: Floats, goal: Goal) -> Binarizer:
    """Signs of the centred vectors after random rotations, as many as the bits need."""
    d = sample.shape[1]
    generator = np.random.default_rng(goal.seed)
    rotations = [random_rotation(d, generator) for _ in range(-(-goal.bits // d))]
    projection = np.concatenate(rotations)[: goal.bits]
    return _assemble(goal, projection, projection @ sample.mean(axis=0), np.ones(goal.bits))


def itq_codes(sample: Floats, goal: Goal) -> Binarizer:
    """ITQ: principal axes, one for each bit, and the rotation nearest to the signs."""
    _check_reach(goal.bits, sample.shape[1], "ITQ")
    return replace(progressive_codes(sample, goal, goal.bits), hamming_offset=None)


def progressive_codes(sample: Floats, goal: Goal, hamming_bits: int) -> Binarizer:
    """ITQ signs of principal axes, then precision bits by water-filling."""
    found = itq_projection(sample, hamming_bits, goal.seed)
    binarizer = _assemble(goal, found.weights, found.offset, found.variances)
    return replace(binarizer, hamming_offset=QUERY_CENTRING * found.offset)


class Projection(NamedTuple):
    """``weights`` (m, d), ``offset`` (m,) and ``variances`` (m,) of projected values, falling."""

    weights: Floats
    offset: Floats
    variances: Floats


def itq_projection(
    sample: Floats, m: int, seed: int, iterations: int = ITQ_ITERATIONS
) -> Projection:
    """The m leading principal axes in the rotation of ITQ.

    More than d come as one ITQ of all axes after another, each from a random rotation of its own:
    together they tell angles apart that the signs of d do not.
    """
    d = sample.shape[1]
    if m > d:
        stacked = [
            itq_projection(sample, min(d, m - done), seed + place, iterations)
            for place, done in enumerate(range(0, m, d))
        ]
        return Projection(*(np.concatenate(parts) for parts in zip(*stacked, strict=True)))
    space = principal_axes(sample, m)
    z = (sample - space.mean).astype(np.float32) @ space.axes.T
    few = np.ascontiguousarray(z[:: -(-len(z) // ITQ_ROWS)])
    rotation = itq_rotation(few, seed, iterations)
    spread = (z @ rotation).var(axis=0)
    order = np.argsort(-spread, kind="stable")
    weights = (rotation.T @ space.axes)[order]
    weights, offset, spread = (
        part.astype(np.float32) for part in (weights, weights @ space.mean, spread[order])
    )
    return Projection(weights, offset, spread)
