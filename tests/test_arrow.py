"""Vectors in Arrow become codes in Arrow: without copies, and files say whose the codes are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import clustered, exact_binarizer, exact_signs, integer_rows, quick

from bitryoshka.arrow import (
    CodeColumn,
    byte_lists,
    check_fingerprint,
    code_array,
    code_column,
    codes_of,
    encode_array,
    encode_batch,
    encode_stream,
    mark_codes,
)
from bitryoshka.arrow_lists import rows_of_lists
from bitryoshka.errors import BitsError, FingerprintError, OptionError, VectorsError

BINARIZER = exact_signs(16)
OTHER = exact_signs(24)
KINDS = ["fixed", "list", "large", "tensor"]


def lists(rows: np.ndarray, kind: str = "fixed", missing: np.ndarray | None = None) -> pa.Array:
    """Rows as an Arrow array; what lies under nulls is no number."""
    values, d = pa.array(rows.reshape(-1)), rows.shape[1]
    mask = None if missing is None else pa.array(missing)
    if kind in ("fixed", "tensor"):
        if missing is not None:
            rows = rows.copy()
            rows[missing] = np.nan
            values = pa.array(rows.reshape(-1))
        found = pa.FixedSizeListArray.from_arrays(values, d, mask=mask)
        tensor = pa.fixed_shape_tensor(values.type, (d,))
        return found if kind == "fixed" else pa.ExtensionArray.from_storage(tensor, found)
    array, offset = (
        (pa.ListArray, pa.int32()) if kind == "list" else (pa.LargeListArray, pa.int64())
    )
    places = pa.array(np.arange(len(rows) + 1) * d, offset)
    return array.from_arrays(places, values, mask=mask)


def inside(array: np.ndarray, buffer: pa.Buffer) -> bool:
    """Whether the array's memory is a part of the buffer's."""
    start = array.__array_interface__["data"][0]
    return buffer.address <= start and start + array.nbytes <= buffer.address + buffer.size


# lists to matrices


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_vectors_are_read_where_they_lie(kind: str, dtype: type) -> None:
    rows = integer_rows(0, 20).astype(dtype)
    array = lists(rows, kind)
    for part, expected in ((array, rows), (array.slice(3, 11), rows[3:14])):
        found = rows_of_lists(part)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)
        storage = part.storage if kind == "tensor" else part
        assert inside(found, storage.values.buffers()[1])


@quick
@given(
    kind=st.sampled_from(KINDS),
    rows=st.integers(0, 30),
    start=st.integers(0, 30),
    length=st.integers(0, 30),
    seed=st.integers(0, 99),
    some_missing=st.booleans(),
)
def test_slices_with_and_without_nulls(
    kind: str, rows: int, start: int, length: int, seed: int, some_missing: bool
) -> None:
    vectors = integer_rows(seed, rows)
    missing = np.random.default_rng(seed).random(rows) < 0.4 if some_missing else None
    part = lists(vectors, kind, missing).slice(min(start, rows), length)
    found = encode_array(part, BINARIZER)
    assert found.type == pa.binary(2)
    gone = np.zeros(rows, bool) if missing is None else missing
    expected = [
        None if gone[i] else np.packbits(vectors[i] > 0).tobytes()
        for i in range(start, min(start + length, rows))
    ]
    found.validate(full=True)
    assert found.to_pylist() == expected
    assert found.null_count == expected.count(None)


def test_null_lists_may_have_no_length() -> None:
    rows = integer_rows(0, 3)
    array = pa.array([rows[0].tolist(), None, rows[1].tolist()], pa.list_(pa.float32()))
    expected = [c.tobytes() for c in BINARIZER.encode(rows[:2])]
    assert encode_array(array, BINARIZER).to_pylist() == [expected[0], None, expected[1]]
    assert encode_array(array.slice(1, 1), BINARIZER).to_pylist() == [None]


@pytest.mark.parametrize("sizes", [[], [0], [5], [3, 0, 7], [1, 1, 1]])
def test_chunks_stay_chunks(sizes: list[int]) -> None:
    rows = integer_rows(0, sum(sizes))
    ends = np.cumsum([0, *sizes])
    kind = lists(integer_rows(0, 1)).type
    chunked = pa.chunked_array([lists(rows[a:b]) for a, b in pairwise(ends)], kind)
    found = encode_array(chunked, BINARIZER)
    assert isinstance(found, pa.ChunkedArray)
    assert [len(chunk) for chunk in found.chunks] == sizes
    expected = BINARIZER.encode(rows) if len(rows) else np.empty((0, 2), np.uint8)
    np.testing.assert_array_equal(codes_of(found), expected)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([1.0, 2.0]), "must be lists of numbers, found double"),
        (pa.array([["a"]]), "must be lists of numbers"),
        (pa.array([[1.0] * 16, None, [1.0] * 15]), "row 2 has 15 numbers, expected 16"),
        (pa.array([[1.0] * 15]), "row 0 has 15 numbers, expected 16"),
        (lists(integer_rows(0, 4, 12)), "row 0 has 12 numbers, expected 16"),
        (pa.array([None, [1.0] * 16, [1.0] * 15 + [None]]), "row 2 has a null in its vector"),
        (pa.array([None, [1.0] * 16, [0.0] * 16]), "row 2 is zero"),
        (pa.array([[1] * 16], pa.list_(pa.int8())), "must be floats, found int8"),
    ],
)
def test_what_cannot_be_encoded(array: pa.Array, message: str) -> None:
    with pytest.raises(VectorsError, match=message):
        encode_array(array, BINARIZER)


def test_errors_count_rows_over_chunks_and_batches() -> None:
    rows = integer_rows(0, 30)
    rows[25, 3] = np.nan
    chunked = pa.chunked_array([lists(rows[:20]), lists(rows[20:])])
    with pytest.raises(VectorsError, match="nan in row 25, column 3") as caught:
        encode_array(chunked, BINARIZER)
    assert caught.value.row == 25
    with pytest.raises(VectorsError, match="nan in row 25, column 3"):
        encode_stream(pa.table({"v": chunked}), BINARIZER).read_all()


# codes


@quick
@given(rows=st.integers(0, 20), width=st.integers(1, 9), start=st.integers(0, 20))
def test_codes_there_and_back(rows: int, width: int, start: int) -> None:
    codes = np.random.default_rng(rows).integers(0, 256, (rows, width), np.uint8)
    start = min(start, rows)
    array = code_array(codes)
    array.validate(full=True)
    assert array.to_pylist() == [c.tobytes() for c in codes]
    forms = [array, byte_lists(array)]
    if start < rows:
        forms += [array.cast(pa.binary()), array.cast(pa.binary()).cast(pa.large_binary())]
    for form in forms:
        part = form.slice(start)
        back = codes_of(part)
        assert back.dtype == np.uint8
        assert back.shape == (rows - start, width)
        np.testing.assert_array_equal(back, codes[start:])
        if back.size:
            assert inside(back, part.buffers()[-1])
    if codes.size:
        assert inside(codes, array.buffers()[1])


def test_codes_that_are_none() -> None:
    for column, message in [
        (pa.array([b"ab", None], pa.binary(2)), r"row 1 has no code \(null\)"),
        (pa.array([b"ab", b"a"]), "row 1 has 1 bytes, expected 2"),
        (pa.array([b"", b""]), "at least one byte"),
        (pa.array([], pa.binary()), "no rows"),
        (pa.array(["ab"]), "found string"),
        (pa.array([[1, None]], pa.list_(pa.uint8(), 2)), "row 0 has a null"),
    ]:
        with pytest.raises(BitsError, match=message):
            codes_of(column)
    with pytest.raises(BitsError, match="uint8"):
        code_array(np.ones((2, 2)))


def test_what_is_not_of_arrow(tmp_path: Path) -> None:
    import polars

    frame = polars.from_arrow(table())
    for wrong, found in [
        (lambda: encode_array(frame["vector"], BINARIZER), r"polars\.series\.series\.Series"),
        (lambda: codes_of(frame["id"]), r"Array or ChunkedArray of codes, found polars\.series"),
        (lambda: encode_batch(frame, BINARIZER), r"RecordBatch or Table, found polars\.dataframe"),
        (lambda: mark_codes(frame, BINARIZER), r"Schema, RecordBatch or Table, found polars\."),
        (lambda: check_fingerprint(frame, BINARIZER), "file or dataset of Arrow's, found .*polars"),
        (lambda: code_column(3), "file or dataset of Arrow's, found .*int"),
    ]:
        with pytest.raises(OptionError, match=found):
            wrong()


def test_chunked_codes() -> None:
    codes = np.arange(12, dtype=np.uint8).reshape(6, 2)
    one = pa.chunked_array([code_array(codes)])
    assert inside(codes_of(one), one.chunk(0).buffers()[1])
    two = pa.chunked_array([code_array(codes[:4]), code_array(codes[4:])])
    np.testing.assert_array_equal(codes_of(two), codes)
    assert codes_of(pa.chunked_array([], pa.binary(2))).shape == (0, 2)


# batches and tables


def table(rows: int = 12, **metadata: str) -> pa.Table:
    found = pa.table(
        {"id": np.arange(rows), "vector": lists(integer_rows(3, rows)), "text": ["x"] * rows}
    )
    return found.replace_schema_metadata(metadata)


@pytest.mark.parametrize("kind", ["table", "batch"])
def test_a_column_of_codes_is_added(kind: str) -> None:
    given = table(origin="here")
    batch = given if kind == "table" else given.to_batches()[0]
    found = encode_batch(batch, BINARIZER)
    assert type(found) is type(batch)
    assert found.schema.names == ["id", "vector", "text", "code"]
    assert found.schema.metadata[b"origin"] == b"here"
    np.testing.assert_array_equal(
        codes_of(found.column("code")), BINARIZER.encode(integer_rows(3, 12))
    )
    assert code_column(found) == CodeColumn(BINARIZER.fingerprint, 16)
    kept = found.column("vector")
    kept = kept.chunk(0) if kind == "table" else kept
    original = given.column("vector").chunk(0)
    assert kept.values.buffers()[1].address == original.values.buffers()[1].address
    lean = encode_batch(batch, BINARIZER, "vector", code_column="bits", keep_vectors=False)
    assert lean.schema.names == ["id", "text", "bits"]
    assert check_fingerprint(lean, BINARIZER, "bits").bits == 16


def test_two_columns_of_codes() -> None:
    both = encode_batch(table(), BINARIZER)
    other = exact_binarizer(1)
    again = encode_batch(both, other, code_column="second")
    assert code_column(again, "second").fingerprint == other.fingerprint
    assert check_fingerprint(again, BINARIZER).bits == 16
    with pytest.raises(OptionError, match="there is a column 'code'"):
        encode_batch(both, BINARIZER)


@pytest.mark.parametrize(
    ("column", "message"),
    [("text", "no column of number lists 'text'"), (None, "expected one column of number lists")],
)
def test_the_column_has_to_be_clear(column: str | None, message: str) -> None:
    wide = table().append_column("second", lists(integer_rows(3, 12)))
    with pytest.raises(VectorsError, match=message):
        encode_batch(wide, BINARIZER, column)
    tokens = table().append_column("tokens", pa.array([[1, 2]] * 12))
    assert encode_batch(tokens, BINARIZER)["code"] == encode_batch(table(), BINARIZER)["code"]
    with pytest.raises(VectorsError, match="row 0 has 2 numbers"):
        encode_batch(tokens, BINARIZER, "tokens")
    whole = pa.table({"ints": integer_rows(3, 12).astype(int).tolist()})
    assert encode_batch(whole, BINARIZER)["code"] == encode_batch(table(), BINARIZER)["code"]
    doubled = wide.rename_columns(["id", "vector", "text", "vector"])
    with pytest.raises(VectorsError, match="several columns 'vector'"):
        encode_batch(doubled, BINARIZER, "vector")


# streams and files


def test_a_stream_is_read_as_it_is_written(tmp_path: Path) -> None:
    seen, schema = [], table().schema

    def batches() -> Iterator[pa.RecordBatch]:
        for i in range(4):
            seen.append(i)
            yield table().to_batches()[0]

    reader = encode_stream(
        pa.RecordBatchReader.from_batches(schema, batches()), BINARIZER, keep_vectors=False
    )
    assert isinstance(reader, pa.RecordBatchReader)
    assert seen == []
    with pq.ParquetWriter(tmp_path / "codes.parquet", reader.schema) as writer:
        for number, batch in enumerate(reader):
            assert seen == list(range(number + 1))
            writer.write_batch(batch)
    with pq.ParquetFile(tmp_path / "codes.parquet") as file:
        assert check_fingerprint(file, BINARIZER) == CodeColumn(BINARIZER.fingerprint, 16)
        found = file.read()
    assert found.num_rows == 48
    expected = BINARIZER.encode(integer_rows(3, 12))
    np.testing.assert_array_equal(codes_of(found["code"]), np.tile(expected, (4, 1)))


@pytest.mark.parametrize(
    "source",
    ["table", "batch", "file", "duckdb", "polars", "dataset", "scanner", "list", "lazy polars"],
)
def test_sources_of_streams(source: str, tmp_path: Path) -> None:
    import duckdb
    import polars

    pq.write_table(table(), tmp_path / "v.parquet")
    given: Any = {
        "table": table,
        "file": lambda: pq.ParquetFile(tmp_path / "v.parquet"),
        "duckdb": lambda: duckdb.connect().from_arrow(table()),
        "polars": lambda: polars.from_arrow(table()),
        "batch": lambda: table().to_batches()[0],
        "dataset": lambda: ds.dataset(tmp_path / "v.parquet"),
        "scanner": lambda: ds.dataset(tmp_path / "v.parquet").scanner(),
        "list": lambda: table().to_batches(max_chunksize=5),
        "lazy polars": lambda: polars.scan_parquet(tmp_path / "v.parquet").collect_batches(),
    }[source]()
    found = encode_stream(given, BINARIZER).read_all()
    np.testing.assert_array_equal(codes_of(found["code"]), BINARIZER.encode(integer_rows(3, 12)))


def test_what_gives_no_batches() -> None:
    for nothing in ([1, 2], 3, "v.parquet"):
        with pytest.raises(OptionError, match="expected a reader or source"):
            encode_stream(nothing, BINARIZER)
    with pytest.raises(OptionError, match="found an iterable of none"):
        encode_stream([], BINARIZER)
    swapped = table().rename_columns(["text", "vector", "id"])
    with pytest.raises(OptionError, match=r"found others in item 1: \['text', 'vector', 'id'\]"):
        encode_stream([table(), swapped], BINARIZER).read_all()


def test_an_empty_stream_has_the_columns() -> None:
    found = encode_stream(table(0), BINARIZER).read_all()
    assert found.schema.field("code").type == pa.binary(2)
    assert found.num_rows == 0


def test_the_memory_of_a_stream_is_that_of_a_batch() -> None:
    rows, before = 2000, pa.total_allocated_bytes()
    block = lists(clustered(0, rows, 16))

    def batches() -> Iterator[pa.RecordBatch]:
        for _ in range(50):
            yield pa.record_batch({"v": pa.concat_arrays([block, block.slice(0, 0)])})

    reader = pa.RecordBatchReader.from_batches(pa.schema({"v": block.type}), batches())
    most = 0
    for _ in encode_stream(reader, BINARIZER, keep_vectors=False):
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 4 * rows * 16 * 4


# whose codes


def test_codes_of_two_binarizers_do_not_mix(tmp_path: Path) -> None:
    one = encode_batch(table(), BINARIZER, keep_vectors=False)
    wide = pa.table({"id": np.arange(4), "vector": lists(integer_rows(5, 4, 24))})
    two = encode_batch(wide, OTHER, keep_vectors=False)
    with pytest.raises(FingerprintError, match=f"expected fingerprint {OTHER.fingerprint}, found"):
        check_fingerprint(one, OTHER)
    for name, part in (("a", one), ("b", two)):
        pq.write_table(part.select(["id", "code"]), tmp_path / f"{name}.parquet")
    both = ds.dataset([str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")])
    with pytest.raises(FingerprintError, match=r"two binarizers or lengths: .*a\.parquet"):
        code_column(both)
    with pytest.raises(FingerprintError, match=r"'code' of .*b\.parquet holds codes of another"):
        check_fingerprint(both, BINARIZER)
    assert check_fingerprint(ds.dataset(tmp_path / "b.parquet"), OTHER).bits == 24
    assert check_fingerprint(tmp_path / "b.parquet", OTHER).bits == 24
    with pytest.raises(FingerprintError, match=r"b\.parquet holds codes of another"):
        check_fingerprint(str(tmp_path / "b.parquet"), BINARIZER)


@pytest.mark.parametrize("entry", [None, b"", b"no JSON", b"[]", b'{"fingerprint": "x"}'])
def test_codes_that_nobody_owns_up_to(entry: bytes | None, tmp_path: Path) -> None:
    metadata = {} if entry is None else {b"bitryoshka:code": entry}
    schema = pa.schema({"code": pa.binary(2)}, metadata)
    with pytest.raises(FingerprintError, match="does not say whose codes column 'code' holds"):
        check_fingerprint(schema, BINARIZER)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FingerprintError, match="has no files"):
        check_fingerprint(ds.dataset(tmp_path / "empty", schema=schema), BINARIZER)


@pytest.mark.parametrize("kind", ["fixed", "binary", "large", "lists"])
def test_codes_are_marked_again(kind: str) -> None:
    kept = encode_batch(table(), BINARIZER, keep_vectors=False)
    codes = kept["code"].chunk(0)
    column = {
        "fixed": lambda: codes,
        "binary": lambda: codes.cast(pa.binary()),
        "large": lambda: codes.cast(pa.binary()).cast(pa.large_binary()),
        "lists": lambda: byte_lists(codes),
    }[kind]()
    column = pa.concat_arrays([column, pa.nulls(2, column.type)])
    lost = pa.table({"n": np.arange(14), "code": column}).replace_schema_metadata({"origin": "x"})
    for part in (lost, lost.to_batches()[0], lost.schema):
        marked = mark_codes(part, BINARIZER)
        assert type(marked) is type(part)
        assert check_fingerprint(marked, BINARIZER) == CodeColumn(BINARIZER.fingerprint, 16)
        metadata = marked.metadata if isinstance(marked, pa.Schema) else marked.schema.metadata
        assert metadata[b"origin"] == b"x"
    with pytest.raises(
        BitsError, match="codes of 24 bits, 3 bytes, in column 'code', found one of 2"
    ):
        mark_codes(lost, OTHER)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([b"ab", b"abc"]), "found one of 3 bytes"),
        (pa.array(["ab"]), "found string"),
        (pa.array([[1, 2]], pa.list_(pa.uint8())), "found list"),
    ],
)
def test_what_is_no_code_is_not_marked(column: pa.Array, message: str) -> None:
    with pytest.raises(BitsError, match=message):
        mark_codes(pa.table({"code": column}), BINARIZER)
    with pytest.raises(BitsError, match="expected one column 'code', found: bits"):
        mark_codes(pa.table({"bits": column}), BINARIZER)
