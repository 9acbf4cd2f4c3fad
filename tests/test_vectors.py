"""Vectors as they come in: accepted kinds, blocks, norms, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from synthetic import additive_binarizer, exact_binarizer, integer_rows, quick

from bitryoshka import vectors as module
from bitryoshka.errors import BitryoshkaError, VectorsError
from bitryoshka.evaluation import exact_topk
from bitryoshka.vectors import blocks, check_values, check_vectors, normalized, renumbered


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int16, np.int64, ">f4"])
def test_real_kinds_are_taken_as_they_are(kind: Any) -> None:
    array = integer_rows(0, 5).astype(kind)
    assert check_vectors(array) is array
    (_, block, norms), *rest = blocks(array, norms=False)
    assert norms is None
    assert not rest
    assert block.dtype == np.float32
    assert block.dtype.isnative
    np.testing.assert_array_equal(block, integer_rows(0, 5))


def test_lists_are_vectors_too_of_integers_as_well() -> None:
    np.testing.assert_array_equal(normalized([[3, 4]], "cosine"), np.float32([[0.6, 0.8]]))


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_what_sentence_transformers_quantizes_is_no_vector(precision: Any) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    floats = np.random.default_rng(0).normal(size=(200, 64)).astype(np.float32)
    quantized = sentence_transformers.quantize_embeddings(floats, precision)
    for form in (quantized, list(quantized)):
        with pytest.raises(VectorsError, match=f"^docs must be floats.*precision=.*'{precision}'"):
            check_vectors(form, name="docs")
    assert check_vectors(quantized.astype("float32")).dtype == np.float32


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.ones((2, 4), np.int8), "int8, .*Cohere's int8 or binary"),
        (np.ones((2, 4), np.uint8), "uint8, .*Cohere's uint8 or ubinary"),
        (np.ones((2, 4), np.bool_), "bool, .*the bits of a binary code"),
        ([[True, False]], "bool, .*the bits of a binary code"),
    ],
)
def test_what_quantizers_give_is_refused(array: Any, found: str) -> None:
    message = rf'^docs must be floats, found {found}: .* convert them with .astype\("float32"\)'
    with pytest.raises(VectorsError, match=message):
        check_vectors(array, name="docs")


@quick
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
def test_normalized_rows_have_length_one(array: NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(normalized(array, "inner_product"), array)
    zero = ~array.any(axis=1)
    if zero.any():
        with pytest.raises(VectorsError, match=f"row {int(np.argmax(zero))} is zero"):
            normalized(array, "cosine")
    else:
        wide = array.astype(np.float64)
        expected = wide / np.linalg.norm(wide, axis=1, keepdims=True)
        np.testing.assert_allclose(normalized(array, "cosine"), expected, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("size", [1e-38, 1e-25, 1.0, 1e18, 1e25, 1e37])
def test_very_short_and_very_long_vectors_are_normalized(size: float) -> None:
    unit = normalized(np.full((3, 4), size, np.float32), "cosine")
    np.testing.assert_allclose(unit, 0.5, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 1000])
def test_blocks_cover_all_rows_once(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 1)
    array = np.random.default_rng(0).normal(size=(rows, 5))
    parts = list(blocks(array, norms=True))
    assert [len(block) for _, block, _ in parts] == [
        min(256, rows - start) for start in range(0, rows, 256)
    ]
    for part, block, norms in parts:
        np.testing.assert_array_equal(block, array[part].astype(np.float32))
        np.testing.assert_allclose(norms, np.linalg.norm(array[part], axis=1), rtol=1e-6)
    assert np.concatenate([np.arange(rows)[part] for part, _, _ in parts]).tolist() == list(
        range(rows)
    )


def test_blocks_of_a_memory_mapped_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", integer_rows(3, 50).astype(np.float16))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    parts = list(blocks(mapped, norms=False, block_rows=7))
    assert len(parts) == 8
    np.testing.assert_array_equal(np.concatenate([p[1] for p in parts]), integer_rows(3, 50))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("norms", [True, False])
def test_values_that_are_not_finite(value: float, kind: type[np.floating], norms: bool) -> None:
    array = integer_rows(0, 700).astype(kind)
    array[613, 3] = value
    with pytest.raises(VectorsError, match=f"docs must be finite.* {value} in row 613, column 3"):
        list(blocks(array, norms=norms, name="docs", block_rows=256))


def test_a_number_beyond_float32_is_not_finite() -> None:
    with pytest.raises(VectorsError, match=r"must be finite.* found inf in row 1, column 0"):
        normalized(np.array([[1.0, 2.0], [1e300, 1.0]]), "cosine")


def test_the_row_of_a_zero_vector_is_named_across_blocks() -> None:
    array = integer_rows(0, 700)
    array[613] = 0
    with pytest.raises(VectorsError, match=r"queries must be non-zero .* row 613 is zero"):
        list(blocks(array, norms=True, name="queries", block_rows=256))
    assert sum(len(block) for _, block, _ in blocks(array, norms=False)) == 700


def test_errors_name_rows_by_their_numbers_among_all() -> None:
    array = integer_rows(0, 40)
    array[1] = 0
    with pytest.raises(VectorsError) as caught:
        check_values(array, "cosine", "row 1 of docs")
    assert caught.value.row == 1
    with (
        pytest.raises(VectorsError, match=r"^row 1 of docs must .* row 105 is zero$") as caught,
        renumbered(np.arange(100, 200)),
        renumbered(range(4, 80)),
    ):
        check_values(array, "cosine", "row 1 of docs")
    assert caught.value.row == 105
    array[1, 1] = np.nan
    with (
        pytest.raises(VectorsError, match=r"found nan in point a-b, column 1$") as caught,
        renumbered(["", "a-b"], "point"),
    ):
        check_values(array, "inner_product")
    assert caught.value.row is None
    with pytest.raises(VectorsError, match=r"shape \(16,\)"), renumbered([7]):
        check_values(array[0], "cosine")
    array[1, 1] = 1e30
    with pytest.raises(VectorsError, match=r"found 1e\+30 in row 8$"), renumbered([7, 8]):
        check_values(array, "inner_product")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones(4), r"must have shape \(N, d\), found shape \(4,\) .*pass vector\[None\]"),
        (np.float32(1), r"must have shape \(N, d\), found shape \(\)"),
        (np.ones((2, 3, 4)), r"must have shape \(N, d\), found shape \(2, 3, 4\)$"),
        (np.ones((0, 4)), "no rows, expected at least one"),
        (np.ones((4, 0)), "no columns, expected at least one dimension"),
        (np.ones((2, 5)), "must have 4 dimensions, found 5"),
        (np.ones((2, 4), complex), "real numbers, found dtype complex128"),
        (np.full((2, 4), "1.0"), "real numbers, found dtype <U3"),
        (np.full((2, 4), None), "real numbers, found dtype object"),
        (np.full((2, 4), np.datetime64("2020-01-01")), "real numbers, found dtype datetime64"),
        ([["a", "b"]], "real numbers, found dtype <U1"),
        ([[1.0, 2.0], [3.0]], "rectangular array of numbers"),
        ("text", "real numbers, found dtype <U4"),
        (None, "real numbers, found dtype object"),
    ],
)
def test_arrays_that_are_no_vectors(array: Any, message: str) -> None:
    with pytest.raises(VectorsError, match=f"^docs .*{message}") as caught:
        check_vectors(array, 4, "docs")
    assert isinstance(caught.value, BitryoshkaError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("size", [1e-310, 1e-300, 1e-45, 1e-39, 1e-30, 1e30, 3e38])
def test_the_length_of_a_cosine_vector_changes_no_bit(size: float) -> None:
    rows = integer_rows(0, 40)
    unit = rows / np.abs(rows).max(axis=1, keepdims=True)
    expected = additive_binarizer(0, dimensions=16).encode(unit)
    progressive = exact_binarizer(0, "cosine").encode(unit)
    mixed = unit.astype(np.float64)
    mixed[::2] *= 2.0 ** np.floor(np.log2(size))
    np.testing.assert_array_equal(additive_binarizer(0, dimensions=16).encode(mixed), expected)
    np.testing.assert_array_equal(exact_binarizer(0, "cosine").encode(mixed), progressive)
    np.testing.assert_array_equal(normalized(mixed, "cosine")[::2], normalized(unit, "cosine")[::2])


def test_products_beyond_float32_are_refused() -> None:
    array = integer_rows(0, 700)
    array[613] = 1e30
    message = r"vectors must have a length of at most 1e\+15 .*, found 4e\+30 in row 613"
    for use in (
        exact_binarizer(0).encode,
        exact_binarizer(0).project,
        additive_binarizer(0, dimensions=16, metric="inner_product").encode,
        lambda x: normalized(x, "inner_product"),
        lambda x: exact_topk(integer_rows(1, 2), x, metric="inner_product"),
    ):
        with pytest.raises(VectorsError, match=message):
            use(array)
    assert sum(len(block) for _, block, _ in blocks(array, norms=False)) == 700


class Sparse:
    """What SciPy's sparse kinds have."""

    def toarray(self) -> None: ...


def test_masked_and_sparse_arrays_are_refused() -> None:
    array = np.ma.masked_array(integer_rows(0, 5))
    np.testing.assert_array_equal(normalized(array, "inner_product"), integer_rows(0, 5))
    array[2, 3] = np.ma.masked
    with pytest.raises(VectorsError, match="docs must have a value everywhere, found a masked arr"):
        check_vectors(array, name="docs")
    with pytest.raises(VectorsError, match="docs must be dense, found Sparse"):
        check_vectors(Sparse(), name="docs")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["meta", "sparse", "bfloat16", "gradient"])
def test_tensors_that_numpy_cannot_read(kind: str) -> None:
    torch = pytest.importorskip("torch")
    made = {
        "meta": lambda: torch.ones((4, 8), device="meta"),
        "sparse": lambda: torch.eye(8).to_sparse(),
        "bfloat16": lambda: torch.ones((4, 8), dtype=torch.bfloat16),
        "gradient": lambda: torch.ones((4, 8), requires_grad=True),
    }
    with pytest.raises(VectorsError, match="docs must be a rectangular array of numbers: "):
        check_vectors(made[kind](), name="docs")
    np.testing.assert_array_equal(normalized(torch.ones((2, 4)), "cosine"), np.full((2, 4), 0.5))
