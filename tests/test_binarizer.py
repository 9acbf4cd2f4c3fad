"""The binarizer: codes bit by bit against the formula, cuts, query weights, and bad input."""

from __future__ import annotations

import tracemalloc
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from synthetic import (
    clustered,
    exact_binarizer,
    integer_rows,
    naive_codes,
    quick,
    signed_rows,
)

from bitryoshka import Binarizer, BitryoshkaError, BitsError, VectorsError
from bitryoshka import vectors as vectors_module
from bitryoshka.bits import hamming, unpack
from bitryoshka.evaluation import asymmetric_topk
from bitryoshka.training.closed_form import Goal, progressive_codes
from bitryoshka.vectors import normalized

seeds = st.integers(0, 10_000)


@pytest.fixture(scope="module")
def fitted() -> Binarizer:
    sample = normalized(clustered(1, 400), "cosine")
    return progressive_codes(sample, Goal(96, (16, 32, 64), "cosine", 0), 48)


def clear_cut(binarizer: Binarizer, vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Bits (N, bits) that no rounding of a product can change: z / step is far from an integer."""
    wide = vectors.astype(np.float64)
    if binarizer.metric == "cosine":
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    u = (wide @ binarizer.projection.T.astype(np.float64) - binarizer.offset) / binarizer.step
    return (np.abs(u - np.rint(u)) > 1e-4)[:, binarizer.bit_dimension]


@quick
@given(seeds)
def test_codes_follow_the_formula_under_inner_product(seed: int) -> None:
    b, x = exact_binarizer(seed), integer_rows(seed + 1, 20)
    codes = b.encode(x)
    assert codes.dtype == np.uint8
    assert codes.shape == (20, b.bits // 8)
    np.testing.assert_array_equal(codes, naive_codes(b, x))


@quick
@given(seeds)
def test_codes_follow_the_formula_under_cosine(seed: int) -> None:
    b, x = exact_binarizer(seed, "cosine"), signed_rows(seed + 1, 20)
    np.testing.assert_array_equal(b.encode(x), naive_codes(b, x))


def test_codes_of_real_valued_vectors_follow_the_formula(fitted: Binarizer) -> None:
    x = clustered(2, 60)
    sure = clear_cut(fitted, x)
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(
        unpack(fitted.encode(x))[sure], unpack(naive_codes(fitted, x))[sure]
    )


@quick
@given(seeds)
def test_every_cut_is_the_beginning_of_the_code(seed: int) -> None:
    b, x = exact_binarizer(seed), integer_rows(seed + 1, 15)
    codes = b.encode(x)
    for cut in b.nested_bits:
        short = b.truncate(cut)
        assert short.bits == cut
        assert short.hamming_bits == min(cut, b.hamming_bits)
        assert short.nested_bits == tuple(n for n in b.nested_bits if n <= cut)
        np.testing.assert_array_equal(b.encode(x, cut), codes[:, : cut // 8])
        np.testing.assert_array_equal(short.encode(x), codes[:, : cut // 8])
        np.testing.assert_array_equal(naive_codes(short, x), codes[:, : cut // 8])
        np.testing.assert_array_equal(short.query_weights(x), b.query_weights(x, cut))
        assert short.fingerprint != b.fingerprint or cut == b.bits


def test_every_cut_of_a_fitted_code(fitted: Binarizer) -> None:
    x = clustered(3, 200)
    codes, sure = unpack(fitted.encode(x)), clear_cut(fitted, x)
    assert fitted.nested_bits == (16, 32, 48, 64, 96)
    for cut in fitted.nested_bits:
        kept = sure[:, :cut]
        expected = codes[:, :cut][kept]
        np.testing.assert_array_equal(unpack(fitted.encode(x, cut))[kept], expected)
        np.testing.assert_array_equal(unpack(fitted.truncate(cut).encode(x))[kept], expected)


def test_truncating_twice_is_truncating_once(fitted: Binarizer) -> None:
    assert fitted.truncate(64).truncate(32).fingerprint == fitted.truncate(32).fingerprint
    assert fitted.truncate(96).fingerprint == fitted.fingerprint


@quick
@given(seeds, st.lists(st.integers(0, 30), max_size=4))
def test_batches_and_order_do_not_matter(seed: int, ends: list[int]) -> None:
    b, x = exact_binarizer(seed), integer_rows(seed + 1, 30)
    codes = b.encode(x)
    parts = [part for part in np.split(x, sorted(ends)) if len(part)]
    np.testing.assert_array_equal(np.concatenate([b.encode(p) for p in parts]), codes)
    order = np.random.default_rng(seed).permutation(30)
    np.testing.assert_array_equal(b.encode(x[order]), codes[order])


def test_batches_do_not_matter_to_a_fitted_code(fitted: Binarizer) -> None:
    x = clustered(4, 101)
    whole, sure = unpack(fitted.encode(x)), clear_cut(fitted, x)
    for size in (1, 7, 64):
        parts = [fitted.encode(x[i : i + size]) for i in range(0, len(x), size)]
        np.testing.assert_array_equal(unpack(np.concatenate(parts))[sure], whole[sure])


@quick
@given(seeds)
def test_projection_is_positive_where_sign_bits_are_set(seed: int) -> None:
    b, x = exact_binarizer(seed), integer_rows(seed + 1, 20)
    z = b.project(x)
    assert z.dtype == np.float32
    np.testing.assert_array_equal(z, x @ b.projection.T - b.offset)
    np.testing.assert_array_equal(z > 0, unpack(b.encode(x))[:, : b.hamming_bits])
    np.testing.assert_array_equal(z > 0, unpack(b.encode_queries(x)))


def test_projection_of_a_fitted_code(fitted: Binarizer) -> None:
    x = clustered(5, 300)
    z = fitted.project(x)
    unit = normalized(x, "cosine").astype(np.float64)
    np.testing.assert_allclose(z, unit @ fitted.projection.T - fitted.offset, atol=1e-5)
    np.testing.assert_array_equal(z > 0, unpack(fitted.encode(x))[:, :48])


def test_a_projection_of_zero_is_a_clear_bit() -> None:
    b = exact_binarizer(0)
    b = replace(b, offset=np.zeros(b.hamming_bits))
    x = np.zeros((1, 16))
    assert not b.project(x).any()
    assert not unpack(b.encode(x))[:, : b.hamming_bits].any()


def decoded(binarizer: Binarizer, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """``step * (k + 0.5 - 2^(B - 1))`` of each dimension, k read from the bits one by one."""
    values = np.zeros((len(codes), binarizer.hamming_bits))
    for j in range(binarizer.hamming_bits):
        mine = np.flatnonzero(binarizer.bit_dimension == j)
        mine = mine[np.argsort(binarizer.bit_plane[mine])]
        k = unpack(codes)[:, mine] @ 2 ** np.arange(len(mine) - 1, -1, -1)
        values[:, j] = binarizer.step[j] * (k + 0.5 - 2.0 ** (len(mine) - 1))
    return values


@quick
@given(seeds, st.booleans())
def test_asymmetric_score_is_the_inner_product_with_the_decoded_row(seed: int, own: bool) -> None:
    b, x, q = exact_binarizer(seed), integer_rows(seed + 1, 12), integer_rows(seed + 2, 5)
    if own:
        b = replace(b, weight_projection=integer_rows(seed + 3, sum(b.nested_bits)))
    for cut in b.nested_bits:
        weights, codes = b.query_weights(q, cut), b.encode(x, cut)
        assert weights.dtype == np.float32
        assert weights.shape == (5, cut)
        score = weights.astype(np.float64) @ (unpack(codes) * 2.0 - 1).T
        short = b.truncate(cut)
        if short.weight_projection is None:
            rows = decoded(short, codes) @ short.projection
        else:
            decoder = short.weight_projection[-cut:].astype(np.float64)
            rows = (unpack(codes) * 2.0 - 1) @ decoder
        expected = q @ rows.T
        np.testing.assert_allclose(score, expected, rtol=1e-6, atol=1e-3)


def test_query_weights_normalise_under_cosine(fitted: Binarizer) -> None:
    q = clustered(6, 9)
    weights = fitted.query_weights(q)
    np.testing.assert_allclose(fitted.query_weights(q * 7), weights, rtol=1e-4, atol=1e-7)
    unit = normalized(q, "cosine")
    expected = (unit @ fitted.projection.T)[:, fitted.bit_dimension] * fitted.levels[-1]
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-7)


def test_the_query_is_not_centred(fitted: Binarizer) -> None:
    q = clustered(6, 9)
    shifted = replace(fitted, offset=fitted.offset + 3)
    np.testing.assert_array_equal(shifted.query_weights(q), fitted.query_weights(q))


def test_decoding_comes_nearer_with_every_cut(fitted: Binarizer) -> None:
    x = clustered(7, 300)
    z, errors = fitted.project(x), []
    for cut in (48, 64, 96):
        errors.append(np.mean((decoded(fitted.truncate(cut), fitted.encode(x, cut)) - z) ** 2))
    # at a shorter cut the step is doubled, not fitted anew, so only the direction is promised
    assert errors[2] < errors[1] < errors[0]


def test_a_row_is_its_own_best_match(fitted: Binarizer) -> None:
    x = clustered(8, 200)
    codes = fitted.encode(x)
    alike = replace(fitted, hamming_offset=None)
    assert not np.diag(hamming(alike.encode_queries(x), codes[:, :6])).any()
    found = asymmetric_topk(fitted.query_weights(x), codes, 3).rows
    assert (found == np.arange(200)[:, None]).any(axis=1).mean() > 0.5


@quick
@given(seeds)
def test_queries_get_the_sign_bits(seed: int) -> None:
    b, x = exact_binarizer(seed), integer_rows(seed + 1, 10)
    codes = b.encode(x)
    for cut in (n for n in b.nested_bits if n <= b.hamming_bits):
        np.testing.assert_array_equal(b.encode_queries(x, cut), codes[:, : cut // 8])
    assert b.encode_queries(x).shape == (10, b.hamming_bits // 8)


@quick
@given(seeds)
def test_queries_may_have_signs_of_their_own(seed: int) -> None:
    b, q = exact_binarizer(seed), integer_rows(seed + 1, 10)
    m = b.hamming_bits
    own = {
        "hamming_projection": integer_rows(seed + 2, m),
        "hamming_offset": integer_rows(seed + 3, m)[:, 0],
    }
    for names in (["hamming_projection"], ["hamming_offset"], list(own)):
        changed = replace(b, **{name: own[name] for name in names})
        w = own["hamming_projection"] if "hamming_projection" in names else b.projection
        offset = own["hamming_offset"] if "hamming_offset" in names else b.offset
        for cut in (n for n in b.nested_bits if n <= m):
            expected = np.packbits(q @ w[:cut].T > offset[:cut], axis=1)
            np.testing.assert_array_equal(changed.encode_queries(q, cut), expected)
            short = changed.truncate(cut)
            np.testing.assert_array_equal(short.encode_queries(q), expected)
        np.testing.assert_array_equal(changed.encode(q), b.encode(q))
        np.testing.assert_array_equal(changed.query_weights(q), b.query_weights(q))


def test_any_kind_of_array_gives_the_same_codes(tmp_path: Path) -> None:
    x = integer_rows(1, 40)
    np.save(tmp_path / "x.npy", x.astype(np.float16))
    kinds: dict[str, Any] = {
        "float16": x.astype(np.float16),
        "float64": x.astype(np.float64),
        "int16": x.astype(np.int16),
        "int64": x.astype(np.int64),
        "big endian": x.astype(">f4"),
        "Fortran order": np.asfortranarray(x),
        "strided rows": np.repeat(x, 3, axis=0)[::3],
        "strided columns": np.repeat(x, 2, axis=1)[:, ::2],
        "reversed": x[::-1].copy()[::-1],
        "read-only": np.frombuffer(x.tobytes(), np.float32).reshape(x.shape),
        "memory-mapped": np.load(tmp_path / "x.npy", mmap_mode="r"),
        "list": x.tolist(),
    }
    for metric in ("inner_product", "cosine"):
        for seed in range(5):
            b = exact_binarizer(seed, metric)
            # what cosine rounds is the same for all, as all are the same float32 block
            codes, signs, weights = b.encode(x), b.encode_queries(x), b.query_weights(x)
            for kind, array in kinds.items():
                np.testing.assert_array_equal(b.encode(array), codes, err_msg=kind)
                np.testing.assert_array_equal(b.encode_queries(array), signs, err_msg=kind)
                np.testing.assert_array_equal(b.query_weights(array), weights, err_msg=kind)
                np.testing.assert_array_equal(b.project(array), b.project(x), err_msg=kind)


@pytest.mark.parametrize("metric", ["inner_product", "cosine"])
def test_blocks_do_not_show(metric: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    b, x = exact_binarizer(4, metric), signed_rows(0, 700)
    codes, z, short = b.encode(x), b.project(x), b.encode(x, b.nested_bits[0])
    monkeypatch.setattr(vectors_module, "BLOCK_BYTES", 1)
    np.testing.assert_array_equal(b.encode(x), codes)
    np.testing.assert_array_equal(b.encode(x, b.nested_bits[0]), short)
    np.testing.assert_array_equal(b.project(x), z)


@pytest.mark.parametrize("bits", [None, 64])
def test_memory_is_bounded_by_the_block(bits: int | None) -> None:
    sample = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32)
    b = progressive_codes(sample, Goal(128, (64,), "cosine", 0), 64)
    stored = np.tile(sample.astype(np.float16), (500, 1))
    b.encode(stored[:10], bits)
    tracemalloc.start()
    codes = b.encode(stored, bits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # as float32 the input would take 38 MB
    assert peak - codes.nbytes < 20e6


def test_the_input_is_left_alone() -> None:
    b, x = exact_binarizer(2, "cosine"), integer_rows(0, 20)
    before = x.copy()
    b.encode(x), b.project(x), b.query_weights(x)
    np.testing.assert_array_equal(x, before)


BAD = [
    (np.full((3, 16), np.nan), "finite.* found nan in row 0, column 0"),
    (np.where(np.eye(20, 16) == 1, np.inf, 1), "finite.* found inf in row 0, column 0"),
    (np.where(np.eye(20, 16, 5) == 1, -np.inf, 1), "finite.* found -inf in row 0, column 5"),
    (np.ones((3, 15)), "must have 16 dimensions, found 15"),
    (np.ones((3, 17)), "must have 16 dimensions, found 17"),
    (np.ones((0, 16)), "no rows, expected at least one"),
    (np.ones((3, 0)), "no columns, expected at least one dimension"),
    (np.ones(16), r"shape \(N, d\), found shape \(16,\)"),
    (np.ones((2, 3, 16)), r"shape \(N, d\), found shape \(2, 3, 16\)"),
    (np.full((3, 16), "a"), "real numbers, found dtype <U1"),
    (np.ones((3, 16), complex), "real numbers, found dtype complex128"),
    (np.full((3, 16), 1e300), "finite.* found inf in row 0"),
    (np.ones((3, 16), np.int8), "must be floats, found int8"),
    (np.ones((3, 16), np.bool_), "must be floats, found bool"),
]


@pytest.mark.parametrize(("array", "message"), BAD, ids=[message for _, message in BAD])
@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
def test_bad_vectors_are_refused_everywhere(metric: Any, array: Any, message: str) -> None:
    b = exact_binarizer(3, metric)
    for call, name in (
        (b.encode, "vectors"),
        (b.project, "vectors"),
        (lambda v: b.encode(v, b.hamming_bits), "vectors"),
        (b.encode_queries, "queries"),
        (b.query_weights, "queries"),
    ):
        with pytest.raises(VectorsError, match=f"^{name} .*{message}") as caught:
            call(array)
        assert isinstance(caught.value, BitryoshkaError)
        assert isinstance(caught.value, ValueError)


def test_a_zero_vector_has_no_direction() -> None:
    x = integer_rows(0, 9)
    x[6] = 0
    b = exact_binarizer(3, "cosine")
    for call in (b.encode, b.project, b.encode_queries, b.query_weights):
        with pytest.raises(VectorsError, match=r"must be non-zero .* by cosine, row 6 is zero"):
            call(x)
    assert len(exact_binarizer(3, "inner_product").encode(x)) == 9


def test_lengths_that_are_not_offered(fitted: Binarizer) -> None:
    x = clustered(0, 3)
    offered = r"one of nested_bits \(16, 32, 48, 64, 96\), found"
    for call in (
        lambda bits: fitted.encode(x, bits),
        lambda bits: fitted.query_weights(x, bits),
        fitted.truncate,
    ):
        for bits in (8, 24, 128):
            with pytest.raises(BitsError, match=f"{offered} {bits}"):
                call(bits)
        with pytest.raises(BitsError, match=r"positive multiple of 8, found 20"):
            call(20)
        with pytest.raises(BitsError, match=r"must be an integer, found 32\.0"):
            call(32.0)
    with pytest.raises(BitsError, match=r"one of nested_bits \(16, 32, 48\), found 64"):
        fitted.encode_queries(x, 64)


def change(fitted: Binarizer, name: str, index: Any, value: Any) -> dict[str, Any]:
    array = np.array(getattr(fitted, name))
    array[index] = value
    return {name: array}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda b: {"projection": np.ones(4)}, r"projection must be \(m, d\), found shape \(4,\)"),
        (lambda b: {"projection": b.projection[:44]}, "projected dimensions .* found 44"),
        (lambda b: {"projection": b.projection[:40]}, "must include the 40 Hamming bits, found"),
        (lambda b: {"offset": b.offset[1:]}, r"offset must have shape \(48,\), found \(47,\)"),
        (lambda b: {"step": b.step[:, None]}, r"step must have shape \(48,\), found \(48, 1\)"),
        (lambda b: {"levels": b.levels[1:]}, r"levels must have shape \(5, 96\), found \(4, 96\)"),
        (
            lambda b: {"weight_projection": b.projection},
            r"weight_projection must have shape \(256, 48\), found \(48, 48\)",
        ),
        (
            lambda b: {"hamming_projection": np.ones(48)},
            r"must have shape \(48, 48\), found \(48,\)",
        ),
        (lambda b: {"hamming_offset": np.full(48, np.nan)}, "hamming_offset holds NaN or infinity"),
        (lambda b: change(b, "projection", (3, 4), np.nan), "projection holds NaN or infinity"),
        (lambda b: change(b, "levels", (0, 0), np.inf), "levels holds NaN or infinity"),
        (lambda b: change(b, "step", 7, 0), "step must be positive"),
        (lambda b: change(b, "step", 7, -1), "step must be positive"),
        (lambda b: {"nested_bits": (16, 32, 48, 64)}, "rise to the code's 96 bits, found"),
        (lambda b: {"nested_bits": (16, 48, 32, 64, 96)}, "nested_bits must rise, found"),
        (lambda b: {"nested_bits": (16, 16, 48, 64, 96)}, "nested_bits must rise, found"),
        (lambda b: {"nested_bits": ()}, r"nested_bits must rise, found \(\)"),
        (lambda b: {"nested_bits": (12, 48, 96)}, "each of nested_bits .* found 12"),
        (lambda b: {"nested_bits": (16, 32, 40, 64, 96)}, "include the 48 Hamming bits, found"),
        (lambda b: {"metric": "l2"}, "must be 'cosine' or 'inner_product', found 'l2'"),
        (lambda b: change(b, "bit_dimension", 3, 4), "signs of dimensions 0 to 47"),
        (lambda b: change(b, "bit_plane", 3, 1), "signs of dimensions 0 to 47"),
        (lambda b: change(b, "bit_dimension", 60, 48), "48 dimensions and 8 planes"),
        (lambda b: change(b, "bit_dimension", 60, -1), "48 dimensions and 8 planes"),
        (lambda b: change(b, "bit_plane", 60, 8), "48 dimensions and 8 planes"),
        (lambda b: change(b, "bit_plane", 60, 5), "has plane 5 where plane 1 comes next"),
        (lambda b: {"bit_dimension": b.bit_dimension[:0]}, "rise to the code's 0 bits"),
    ],
)
def test_a_binarizer_that_cannot_be(fitted: Binarizer, make: Any, message: str) -> None:
    with pytest.raises(BitsError, match=message):
        replace(fitted, **make(fitted))


def test_a_binarizer_does_not_change(fitted: Binarizer) -> None:
    with pytest.raises(FrozenInstanceError):
        fitted.metric = "inner_product"  # type: ignore[misc]
    for name in ("projection", "offset", "step", "bit_dimension", "bit_plane", "levels"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(fitted, name)[...] = 0
    with pytest.raises(TypeError):
        fitted.info["method"] = "other"  # type: ignore[index]
    mine = np.array(fitted.offset)
    other = replace(fitted, offset=mine)
    mine[0] += 1
    np.testing.assert_array_equal(other.offset, fitted.offset)


def test_sizes_are_properties(fitted: Binarizer) -> None:
    assert (fitted.dimensions, fitted.bits, fitted.hamming_bits) == (48, 96, 48)
    assert fitted.plane_counts.dtype == np.uint8
    assert fitted.plane_counts.shape == (48,)
    assert fitted.plane_counts.sum() == 96
    assert fitted.fingerprint[:12] in repr(fitted)
    assert "48 dimensions -> 96 bits, 48 of them Hamming" in repr(fitted)


def test_the_fingerprint_covers_all_that_decides_codes(fitted: Binarizer) -> None:
    assert len(bytes.fromhex(fitted.fingerprint)) == 32
    assert replace(fitted, info={"method": "x"}).fingerprint == fitted.fingerprint
    assert replace(fitted).fingerprint == fitted.fingerprint
    swapped = np.array(fitted.bit_dimension)
    further = np.arange(48, 96)[np.argsort(fitted.bit_plane[48:], kind="stable")]
    a, b = further[:2]
    assert fitted.bit_plane[a] == fitted.bit_plane[b] == 1
    swapped[[a, b]] = swapped[[b, a]]
    others = [
        change(fitted, "projection", (0, 0), fitted.projection[0, 0] + 1e-6),
        change(fitted, "offset", 0, 1),
        change(fitted, "step", 0, 1),
        change(fitted, "levels", (0, 0), 1),
        {"bit_dimension": swapped},
        {"nested_bits": (8, 32, 48, 64, 96)},
        {"metric": "inner_product"},
        {"weight_projection": np.ones((sum(fitted.nested_bits), fitted.dimensions))},
        {"hamming_projection": fitted.projection},
        {"hamming_offset": fitted.offset},
        {"hamming_offset": fitted.offset / 3},
    ]
    found = {replace(fitted, **other).fingerprint for other in others}
    assert len(found | {fitted.fingerprint}) == len(others) + 1
