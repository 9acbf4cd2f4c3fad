"""Packed codes: pack, unpack, prefix, Hamming distance and query planes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from synthetic import quick

from bitryoshka.bits import (
    check_bits,
    check_codes,
    hamming,
    pack,
    prefix,
    query_planes,
    unpack,
    words,
)
from bitryoshka.errors import BitryoshkaError, BitsError

booleans = st.tuples(st.integers(0, 9), st.integers(1, 24)).flatmap(
    lambda shape: hnp.arrays(np.bool_, (shape[0], shape[1] * 8))
)
codes = st.tuples(st.integers(1, 7), st.integers(1, 24)).flatmap(
    lambda shape: hnp.arrays(np.uint8, shape)
)


def popcount_distance(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> list[list[int]]:
    """The oracle: whole codes as Python integers."""
    left, right = ([int.from_bytes(row.tobytes(), "big") for row in x] for x in (a, b))
    return [[(x ^ y).bit_count() for y in right] for x in left]


@quick
@given(booleans)
def test_pack_and_unpack_are_inverse(values: NDArray[np.bool_]) -> None:
    packed = pack(values)
    assert packed.dtype == np.uint8
    assert packed.shape == (len(values), values.shape[1] // 8)
    assert unpack(packed).dtype == np.bool_
    np.testing.assert_array_equal(unpack(packed), values)
    np.testing.assert_array_equal(pack(unpack(packed)), packed)
    np.testing.assert_array_equal(pack(values.astype(np.int64)), packed)
    np.testing.assert_array_equal(pack(np.asfortranarray(values)), packed)


@quick
@given(booleans)
def test_the_first_bit_is_the_most_significant(values: NDArray[np.bool_]) -> None:
    for bits, code in zip(values, pack(values), strict=True):
        text = "".join("1" if bit else "0" for bit in bits)
        assert int.from_bytes(code.tobytes(), "big") == int(text, 2)


@quick
@given(codes, st.data())
def test_prefix_keeps_the_first_bits(code: NDArray[np.uint8], data: st.DataObject) -> None:
    bits = data.draw(st.integers(1, code.shape[1])) * 8
    np.testing.assert_array_equal(unpack(prefix(code, bits)), unpack(code)[:, :bits])
    assert np.shares_memory(prefix(code, bits), code)


@quick
@given(codes, st.data())
def test_hamming_is_the_popcount_of_the_difference(
    a: NDArray[np.uint8], data: st.DataObject
) -> None:
    b = data.draw(hnp.arrays(np.uint8, (data.draw(st.integers(1, 5)), a.shape[1])))
    found = hamming(a, b)
    assert found.dtype == np.int32
    assert found.tolist() == popcount_distance(a, b)
    np.testing.assert_array_equal(hamming(b, a), found.T)
    assert not np.diag(hamming(a, a)).any()


@quick
@given(codes)
def test_hamming_of_a_strided_view(code: NDArray[np.uint8]) -> None:
    wide = np.repeat(code, 2, axis=1)[:, ::2]
    assert hamming(wide, code[::-1]).tolist() == popcount_distance(code, code[::-1])


@pytest.mark.parametrize("width", range(1, 18))
def test_words_cover_every_byte_once(width: int) -> None:
    code = np.arange(1, width + 1, dtype=np.uint8)[None]
    assert b"".join(column.tobytes() for column in words(code)) == code.tobytes()


def test_hamming_of_opposite_codes_is_their_length() -> None:
    code = np.random.default_rng(0).integers(0, 256, (3, 129), np.uint8)
    np.testing.assert_array_equal(np.diag(hamming(code, ~code)), 129 * 8)


weights = st.tuples(st.integers(1, 4), st.integers(1, 5)).flatmap(
    lambda shape: hnp.arrays(
        np.float32,
        (shape[0], shape[1] * 8),
        elements=st.floats(-100, 100, width=32).map(lambda w: w if abs(w) > 1e-6 else 0.0),
    )
)


def reconstructed(planes: NDArray[np.uint8], scale: NDArray[np.float32]) -> NDArray[np.float64]:
    signs = np.unpackbits(planes, axis=2).astype(np.float64) * 2 - 1
    place = np.exp2(np.arange(planes.shape[1] - 1, -1, -1))
    return scale[:, None] * np.einsum("p,qpi->qi", place, signs)


@quick
@given(weights, st.integers(1, 16))
def test_query_planes_give_the_weights_back(w: NDArray[np.float32], planes: int) -> None:
    found = query_planes(w, planes)
    assert found.planes.shape == (len(w), planes, w.shape[1] // 8)
    assert found.planes.dtype == np.uint8
    assert found.scale.shape == (len(w),)
    largest = np.abs(w).max(axis=1)
    bound = largest / (2**planes - 1) + 1e-6 * largest
    error = np.abs(reconstructed(*found) - w)
    assert (error <= bound[:, None]).all()


@quick
@given(weights, st.data())
def test_hamming_to_the_planes_is_the_asymmetric_score(
    w: NDArray[np.float32], data: st.DataObject
) -> None:
    code = data.draw(hnp.arrays(np.uint8, (4, w.shape[1] // 8)))
    planes, scale = query_planes(w, 6)
    rounded = reconstructed(planes, scale)
    expected = rounded @ (unpack(code).astype(np.float64) * 2 - 1).T
    place = 2 ** np.arange(5, -1, -1)
    for i in range(len(w)):
        far = hamming(planes[i], code)
        score = scale[i] * (place @ (w.shape[1] - 2 * far))
        np.testing.assert_allclose(score, expected[i], rtol=1e-6, atol=1e-5)


def test_query_planes_of_zero_weights_weigh_nothing() -> None:
    planes, scale = query_planes(np.zeros((2, 16)), 4)
    np.testing.assert_array_equal(reconstructed(planes, scale), 0)


def test_one_plane_is_the_sign_of_the_weights() -> None:
    w = np.array([[3.0, -1.0, 0.5, -0.25, 2.0, -3.0, 1.0, -1.0]])
    planes, scale = query_planes(w, 1)
    np.testing.assert_array_equal(unpack(planes[:, 0]), w > 0)
    assert scale.tolist() == [3.0]


@pytest.mark.parametrize("bits", [8, 64, np.int64(384)])
def test_check_bits_returns_an_int(bits: int) -> None:
    assert type(check_bits(bits)) is int
    assert check_bits(bits) == bits


@pytest.mark.parametrize("bits", [0, -8, 7, 100])
def test_check_bits_wants_a_multiple_of_8(bits: int) -> None:
    with pytest.raises(BitsError, match=f"width must be a positive multiple of 8, found {bits}"):
        check_bits(bits, "width")


@pytest.mark.parametrize("bits", [8.0, True, "64", None])
def test_check_bits_wants_an_integer(bits: Any) -> None:
    with pytest.raises(BitsError, match=f"bits must be an integer, found {bits!r}"):
        check_bits(bits)


@pytest.mark.parametrize(
    "code",
    [
        np.zeros(8, np.uint8),
        np.zeros((2, 0), np.uint8),
        np.zeros((2, 3, 4), np.uint8),
        np.zeros((2, 8), np.bool_),
        np.zeros((2, 8), np.int8),
        np.zeros((2, 8), np.float32),
        [[1, 2]],
        b"12345678",
    ],
    ids=["1-d", "no width", "3-d", "bool", "int8", "float", "list", "bytes"],
)
def test_codes_are_packed_uint8(code: Any) -> None:
    found = np.asarray(code)
    text = rf"codes must be packed .* found shape \({', '.join(map(str, found.shape))}"
    with pytest.raises(BitsError, match=text):
        check_codes(code)
    for function in (unpack, lambda c: prefix(c, 8), lambda c: hamming(c, c)):
        with pytest.raises(BitsError, match="packed codes"):
            function(code)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(8, bool), "expected a two-dimensional array of booleans, found 1 axes"),
        (np.zeros((1, 1, 8), bool), "found 3 axes"),
        (np.zeros((1, 9), bool), "number of columns must be a positive multiple of 8, found 9"),
        (np.zeros((1, 0), bool), "multiple of 8, found 0"),
        (np.zeros((1, 8)), "expected booleans or the integers 0 and 1, found float64"),
        (np.full((1, 8), 2), "expected booleans or the integers 0 and 1, found int64"),
        (np.full((1, 8), -1), "integers 0 and 1"),
        (np.full((1, 8), "x"), "integers 0 and 1, found <U1"),
    ],
)
def test_pack_refuses_what_is_not_bits(values: NDArray[Any], message: str) -> None:
    with pytest.raises(BitsError, match=message):
        pack(values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: prefix(c, 12), "multiple of 8, found 12"),
        (lambda c: prefix(c, 32), "codes have 24 bits, found a request for 32"),
        (lambda c: hamming(c, c[:, :2]), "equal lengths, found 24 and 16 bits"),
        (lambda c: query_planes(np.ones((1, 12))), "number of weights .* found 12"),
        (lambda c: query_planes(np.ones(8)), r"shape \(Q, bits\), found shape \(8,\)"),
        (lambda c: query_planes(np.ones((1, 8)), 0), "between 1 and 16, found 0"),
        (lambda c: query_planes(np.ones((1, 8)), 17), "between 1 and 16, found 17"),
    ],
)
def test_lengths_that_do_not_fit(call: Callable[[NDArray[np.uint8]], Any], message: str) -> None:
    with pytest.raises(BitsError, match=message) as caught:
        call(np.zeros((2, 3), np.uint8))
    assert isinstance(caught.value, BitryoshkaError)
    assert isinstance(caught.value, ValueError)
