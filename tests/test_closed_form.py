"""Closed forms: the parts against their definitions, and what each method promises."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from synthetic import clustered, quick

from bitryoshka import Binarizer, BitsError
from bitryoshka.binarizer import MAX_PLANES
from bitryoshka.bits import unpack
from bitryoshka.training.closed_form import (
    DISTORTION,
    STEP,
    Goal,
    allocate,
    decomposed,
    default_nested_bits,
    itq_codes,
    itq_rotation,
    principal_axes,
    progressive_codes,
    random_rotation,
    rotation_codes,
    sign_codes,
    tidy,
    uniform_levels,
)
from bitryoshka.vectors import normalized

variances = hnp.arrays(
    np.float64, st.sampled_from([8, 16]), elements=st.floats(0, 100, allow_subnormal=False)
)


@pytest.fixture(scope="module")
def sample() -> NDArray[np.float32]:
    return normalized(clustered(0, 500), "cosine")


def goal(bits: int, nested: tuple[int, ...] | None = None, seed: int = 0) -> Goal:
    return Goal(bits, nested, "cosine", seed)


def gaussian_error(step: float, bits: int) -> float:
    """Mean squared error of a uniform mid-rise quantizer for a standard normal, by quadrature."""
    z = np.linspace(-9, 9, 180_001)
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    k = np.clip(np.floor(z / step), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return float(np.sum((z - step * (k + 0.5)) ** 2 * density) * (z[1] - z[0]))


@pytest.mark.parametrize("bits", range(1, MAX_PLANES + 1))
def test_table_of_the_gaussian_quantizer(bits: int) -> None:
    step = float(STEP[bits - 1])
    assert gaussian_error(step, bits) == pytest.approx(DISTORTION[bits], rel=2e-3)
    for other in (step * 0.97, step * 1.03):
        assert gaussian_error(other, bits) > gaussian_error(step, bits)


def test_tables_reach_as_far_as_the_planes() -> None:
    assert len(STEP) == MAX_PLANES
    assert len(DISTORTION) == MAX_PLANES + 1


@pytest.mark.parametrize(
    ("bits", "hamming_bits", "expected"),
    [
        (8, 8, (8,)),
        (64, 64, (32, 64)),
        (96, 40, (32, 40, 64, 96)),
        (384, 160, (32, 64, 96, 128, 160, 192, 256, 384)),
        (400, 400, (32, 64, 96, 128, 192, 256, 384, 400)),
    ],
)
def test_default_nested_bits(bits: int, hamming_bits: int, expected: tuple[int, ...]) -> None:
    assert default_nested_bits(bits, hamming_bits) == expected


@pytest.mark.parametrize("m", [8, 20, 48])
def test_principal_axes_hold_the_most_variance(sample: NDArray[np.float32], m: int) -> None:
    mean, axes, spread = principal_axes(sample, m)
    wide = sample.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(axes @ axes.T, np.eye(m), atol=1e-5)
    expected = np.sort(np.linalg.eigvalsh(np.cov(wide.T, bias=True)))[::-1][:m]
    np.testing.assert_allclose(spread, expected, atol=1e-5)
    np.testing.assert_allclose(((wide - mean) @ axes.T).var(axis=0), expected, atol=1e-5)


@pytest.mark.parametrize("rows", [5, 30, 47])
def test_principal_axes_of_fewer_rows_than_dimensions(rows: int) -> None:
    few = clustered(1, rows)
    _, axes, spread = principal_axes(few, 48)
    np.testing.assert_allclose(axes @ axes.T, np.eye(48), atol=1e-5)
    total = few.astype(np.float64).var(axis=0).sum()
    assert spread[: rows - 1].sum() == pytest.approx(total, rel=1e-4)
    assert not spread[rows:].any()
    again = principal_axes(few, 48).axes
    np.testing.assert_array_equal(again, axes)


def test_a_matrix_that_lapack_gives_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, svd = np.random.default_rng(0), np.linalg.svd
    factors = generator.normal(size=(2, 40, 64)).astype(np.float32)
    matrix = factors[0].T @ factors[1]

    def stubborn(found: NDArray[np.floating], **settings: bool) -> object:
        if np.array_equal(found, matrix):  # which one does depends on the LAPACK
            raise np.linalg.LinAlgError("SVD did not converge")
        return svd(found, **settings)

    monkeypatch.setattr(np.linalg, "svd", stubborn)
    left, values, right = decomposed(matrix)
    np.testing.assert_allclose((left * values) @ right, matrix, atol=1e-3)
    for basis in (left.T, right):
        np.testing.assert_allclose(basis @ basis.T, np.eye(64), atol=1e-5)
    assert (values[40:] < 1e-2).all()
    assert values[39] > 1


def test_random_rotation_is_one() -> None:
    rotation = random_rotation(24, np.random.default_rng(0))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(24), atol=1e-5)
    assert not np.allclose(rotation, random_rotation(24, np.random.default_rng(1)))


def test_itq_brings_rows_nearer_to_their_signs(sample: NDArray[np.float32]) -> None:
    space = principal_axes(sample, 16)
    z = (sample - space.mean) @ space.axes.T

    def distance(rotation: NDArray[np.float32]) -> float:
        turned = z @ rotation
        return float(np.sum((np.where(turned > 0, 1, -1) - turned) ** 2))

    errors = [distance(itq_rotation(z, seed=0, iterations=n)) for n in (0, 1, 5, 50)]
    assert errors[0] > errors[1] > errors[2] >= errors[3]
    rotation = itq_rotation(z, seed=0)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(16), atol=1e-4)


@quick
@given(variances, st.data())
def test_bits_go_where_they_remove_most_error(
    spread: NDArray[np.float64], data: st.DataObject
) -> None:
    m = len(spread)
    bits = data.draw(st.integers(m, m * MAX_PLANES))
    found = allocate(spread, bits)
    np.testing.assert_array_equal(found.dimension[:m], np.arange(m))
    assert not found.plane[:m].any()
    depth = np.ones(m, int)
    for j, p in zip(found.dimension[m:].tolist(), found.plane[m:].tolist(), strict=True):
        gains = np.where(
            depth < MAX_PLANES,
            spread * (DISTORTION[depth] - DISTORTION[np.minimum(depth + 1, MAX_PLANES)]),
            -1,
        )
        assert p == depth[j]
        assert gains[j] == gains.max()
        depth[j] += 1
    np.testing.assert_array_equal(found.depth, depth)


def test_more_bits_than_the_dimensions_hold() -> None:
    with pytest.raises(BitsError, match="8 dimensions can hold at most 64 bits, found 72"):
        allocate(np.ones(8), 72)


@quick
@given(variances, st.data())
def test_tidying_keeps_every_cut(spread: NDArray[np.float64], data: st.DataObject) -> None:
    m = len(spread)
    bits = data.draw(st.integers(m // 8, m)) * 8
    cuts = data.draw(st.sets(st.integers(1, bits // 8).map(lambda n: n * 8)))
    nested = tuple(sorted({*cuts, m, bits}))
    before = allocate(spread, bits)
    after = tidy(before, nested)
    for cut in nested:
        pairs = [
            set(zip(x.dimension[:cut].tolist(), x.plane[:cut].tolist(), strict=True))
            for x in (before, after)
        ]
        assert pairs[0] == pairs[1]
        assert len(pairs[0]) == cut
    for start, stop in zip((m, *nested), nested, strict=False):
        inside = list(zip(after.plane[start:stop], after.dimension[start:stop], strict=True))
        assert inside == sorted(inside)


def test_levels_of_plain_binary() -> None:
    layout = allocate(np.array([100.0, *[1e-9] * 7]), 16)
    assert layout.depth.tolist() == [8, *layout.depth[1:].tolist()]
    step = np.arange(1, 9, dtype=np.float32)
    levels = uniform_levels(step, layout, (8, 16))
    assert levels.shape == (2, 16)
    assert not levels[0, 8:].any()
    np.testing.assert_array_equal(levels[0, :8], levels[1, :8])
    for weight, j, p in zip(levels[1], layout.dimension, layout.plane, strict=True):
        assert weight == step[j] * 2.0 ** (int(layout.depth[j]) - 2 - int(p))


def test_sign_codes_are_the_signs(sample: NDArray[np.float32]) -> None:
    b = sign_codes(sample, goal(40), "zero")
    np.testing.assert_array_equal(unpack(b.encode(sample)), sample[:, :40] > 0)
    assert (b.bits, b.hamming_bits) == (40, 40)


@pytest.mark.parametrize("centre", ["mean", "median"])
def test_centred_codes_are_signs_around_the_centre(
    sample: NDArray[np.float32], centre: str
) -> None:
    b = sign_codes(sample, goal(48), centre)
    middle = np.mean(sample, axis=0) if centre == "mean" else np.median(sample, axis=0)
    bits, away = unpack(b.encode(sample)), np.abs(sample - middle) > 1e-5
    np.testing.assert_array_equal(bits[away], (sample > middle)[away])
    if centre == "median":
        np.testing.assert_allclose(bits.mean(axis=0), 0.5, atol=0.01)


def test_rotation_codes_are_signs_of_rotations(sample: NDArray[np.float32]) -> None:
    b = rotation_codes(sample, goal(96))
    for part in (b.projection[:48], b.projection[48:]):
        np.testing.assert_allclose(part @ part.T, np.eye(48), atol=1e-5)
    np.testing.assert_allclose(b.project(sample).mean(axis=0), 0, atol=1e-4)
    assert (b.bits, b.hamming_bits) == (96, 96)


def test_itq_codes_have_no_precision_bits(sample: NDArray[np.float32]) -> None:
    b = itq_codes(sample, goal(32))
    assert (b.bits, b.hamming_bits) == (32, 32)
    assert not b.bit_plane.any()
    np.testing.assert_allclose(b.projection @ b.projection.T, np.eye(32), atol=1e-4)


def decoding_error(b: Binarizer, sample: NDArray[np.float32], cut: int) -> float:
    signs = np.where(unpack(b.encode(sample, cut)), 1, -1)
    rows = np.zeros((cut, b.hamming_bits))
    rows[np.arange(cut), b.bit_dimension[:cut]] = b.levels[b.nested_bits.index(cut), :cut]
    return float(np.mean((signs @ rows - b.project(sample)) ** 2))


def test_progressive_codes_decode_better_with_every_cut(sample: NDArray[np.float32]) -> None:
    b = progressive_codes(sample, goal(128, (16, 48, 64, 96, 128)), 32)
    assert b.hamming_bits == 32
    assert b.nested_bits == (16, 32, 48, 64, 96, 128)
    spread = b.project(sample).var(axis=0)
    assert (np.diff(spread) <= 1e-6).all()
    np.testing.assert_allclose(b.project(sample).mean(axis=0), 0, atol=1e-4)
    errors = [decoding_error(b, sample, cut) for cut in (32, 48, 64, 96, 128)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1 * float(spread.mean())


def test_dimensions_with_more_variance_get_more_bits(sample: NDArray[np.float32]) -> None:
    b = progressive_codes(sample, goal(80), 32)
    assert (np.diff(b.plane_counts.astype(int)) <= 0).all()
    assert b.plane_counts[0] > b.plane_counts[-1]


@pytest.mark.parametrize("kind", ["sign", "ITQ"])
def test_codes_that_cannot_reach_so_far(sample: NDArray[np.float32], kind: str) -> None:
    message = f"{kind} codes of 48 dimensions have at most 48 bits, found bits=56; .* reach 384"
    with pytest.raises(BitsError, match=message):
        {"sign": partial(sign_codes, centre="mean"), "ITQ": itq_codes}[kind](sample, goal(56))


@pytest.mark.parametrize(
    "rows",
    [
        np.ones((60, 16), np.float32),
        np.repeat(np.eye(2, 16, dtype=np.float32), 30, axis=0),
        np.zeros((60, 16), np.float32),
    ],
    ids=["one point", "two points", "zeros"],
)
def test_a_sample_without_spread(rows: NDArray[np.float32]) -> None:
    for b in (
        sign_codes(rows, Goal(16, None, "inner_product", 0), "median"),
        rotation_codes(rows, Goal(24, None, "inner_product", 0)),
        progressive_codes(rows, Goal(32, None, "inner_product", 0), 16),
    ):
        assert b.encode(rows).shape == (60, b.bits // 8)
        # elsewhere rows lie on the threshold, where rounding decides
        away = (np.abs(b.project(rows)) > 1e-5).all(axis=0)
        bits = unpack(b.encode(rows, b.hamming_bits))[:, away]
        for point in np.unique(rows, axis=0):
            copies = bits[(rows == point).all(axis=1)]
            assert (copies == copies[0]).all()


def test_the_seed_decides_everything(sample: NDArray[np.float32]) -> None:
    for build in (
        lambda seed: rotation_codes(sample, goal(64, seed=seed)),
        lambda seed: itq_codes(sample, goal(32, seed=seed)),
        lambda seed: progressive_codes(sample, goal(64, seed=seed), 24),
    ):
        assert build(3).fingerprint == build(3).fingerprint
        assert build(3).fingerprint != build(4).fingerprint
