"""From columns of vectors to columns of codes: arrays, batches, tables and streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bitryoshka.arrow.code_arrays import code_array
from bitryoshka.arrow_lists import is_null, is_vectors, rows_of_lists, vector_column
from bitryoshka.binarizer import Binarizer
from bitryoshka.code_metadata import CodeColumn, metadata_of
from bitryoshka.errors import OptionError, VectorsError
from bitryoshka.kinds import check_kind
from bitryoshka.vectors import renumbered

Vectors = TypeVar("Vectors", pa.Array, pa.ChunkedArray)
Batch = TypeVar("Batch", pa.RecordBatch, pa.Table)

# of a Parquet file, at once: 48 MiB of 1,536 dimensions
BATCH_ROWS = 8192


def encode_array(vectors: Vectors, binarizer: Binarizer) -> Vectors:
    """Codes of an array of vectors, ``fixed_size_binary(bits/8)``, most significant bit first.

    ``vectors``: lists, large lists or fixed-size lists of numbers, or a tensor type over them;
    chunked arrays give chunked arrays. They are encoded where they lie, sliced or not; only where
    some are null are the others copied. The code of a null is null. For shorter codes give
    ``binarizer.truncate(bits)``.

    Raises VectorsError for other types, lists of another length, nulls within a vector, and values
    that cannot be encoded, and OptionError for what is no array of Arrow's.

    >>> import bitryoshka
    >>> rows = np.random.default_rng(0).normal(size=(500, 16)).astype("float32")
    >>> b = bitryoshka.fit(rows, bits=16, method="sign").binarizer
    >>> lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 16)
    >>> encode_array(lists, b).type
    FixedSizeBinaryType(fixed_size_binary[2])
    """
    check_kind(vectors, (pa.Array, pa.ChunkedArray), "a pyarrow Array or ChunkedArray of vectors")
    if not is_vectors(vectors.type):
        raise VectorsError(f"vectors must be lists of numbers, found {vectors.type}")
    if not isinstance(vectors, pa.ChunkedArray):
        return _encoded(vectors, binarizer, 0)
    chunks, start = [], 0
    for chunk in vectors.chunks:
        chunks.append(_encoded(chunk, binarizer, start))
        start += len(chunk)
    return pa.chunked_array(chunks, _code_type(binarizer))


def _code_type(binarizer: Binarizer) -> pa.FixedSizeBinaryType:
    return pa.binary(binarizer.bits // 8)


def _encoded(vectors: pa.Array, binarizer: Binarizer, start: int) -> pa.Array:
    matrix = rows_of_lists(vectors, binarizer.dimensions, start)
    if not len(matrix):
        return pa.nulls(len(vectors), _code_type(binarizer))
    missing = is_null(vectors) if vectors.null_count else np.zeros(len(vectors), np.bool_)
    with renumbered(start + np.flatnonzero(~missing)):
        codes = binarizer.encode(matrix)
    return _with_nulls(codes, missing) if vectors.null_count else code_array(codes)


def _with_nulls(codes: NDArray[np.uint8], missing: NDArray[np.bool_]) -> pa.FixedSizeBinaryArray:
    """Codes of the rows that are not missing, at their places between nulls."""
    spread = np.zeros((len(missing), codes.shape[1]), np.uint8)
    spread[~missing] = codes
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    values = pa.py_buffer(spread)
    return pa.Array.from_buffers(pa.binary(codes.shape[1]), len(missing), [valid, values])


def encode_batch(
    batch: Batch,
    binarizer: Binarizer,
    column: str | None = None,
    *,
    code_column: str = "code",
    keep_vectors: bool = True,
) -> Batch:
    """A RecordBatch or Table with a further column of codes, whose schema says whose they are.

    ``column``: that of the vectors; None: the only one of float lists or, where there is none, of
    integer lists. ``keep_vectors``: whether it stays. All other columns are passed on as they are.
    Raises as `encode_array` does, and OptionError where there is a column of the codes' name, and
    for what is neither of the two: `encode_stream` takes frames and other sources.
    """
    check_kind(batch, (pa.RecordBatch, pa.Table), "a pyarrow RecordBatch or Table")
    layout = _Layout(batch.schema, binarizer, column, code_column, keep_vectors)
    codes = encode_array(batch.column(layout.column), binarizer)
    return layout.filled(batch, codes)


def encode_stream(
    source: Any,
    binarizer: Binarizer,
    column: str | None = None,
    *,
    code_column: str = "code",
    keep_vectors: bool = True,
) -> pa.RecordBatchReader:
    """`encode_batch` for each batch of a stream, as it is read: one is held at a time.

    What the source itself holds comes on top: a ParquetFile a whole row group, unless it is opened
    with ``pre_buffer=False, buffer_size=2**20``; a Dataset what its scanner reads ahead.

    ``source``: a RecordBatchReader, or what gives one: a Table, a RecordBatch, a DuckDB relation, a
    Polars DataFrame, a `pyarrow.parquet.ParquetFile`, a `pyarrow.dataset.Dataset` or its Scanner;
    or an iterable of such, all with the same columns. Errors count rows from the beginning.
    OptionError for other sources.
    """
    reader = _reader(source)
    layout = _Layout(reader.schema, binarizer, column, code_column, keep_vectors)

    def batches() -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in reader:
            vectors = batch.column(layout.column)
            yield layout.filled(batch, _encoded(vectors, binarizer, start))
            start += len(batch)

    return pa.RecordBatchReader.from_batches(layout.schema, batches())


def _reader(source: Any) -> pa.RecordBatchReader:
    if hasattr(source, "iter_batches") and hasattr(source, "schema_arrow"):
        return pa.RecordBatchReader.from_batches(
            source.schema_arrow, source.iter_batches(BATCH_ROWS)
        )
    if hasattr(source, "scanner"):
        source = source.scanner()
    if hasattr(source, "to_reader"):
        return source.to_reader()
    if isinstance(source, Iterable) and not hasattr(source, "__arrow_c_stream__"):
        return _joined(map(_stream, source))
    return _stream(source)


def _stream(source: Any) -> pa.RecordBatchReader:
    if not hasattr(source, "__arrow_c_stream__"):
        raise OptionError(f"expected a reader or source of Arrow batches, found {type(source)}")
    return pa.RecordBatchReader.from_stream(source)


def _joined(readers: Iterator[pa.RecordBatchReader]) -> pa.RecordBatchReader:
    """All batches of the readers; the first says what columns there are."""
    first = next(readers, None)
    if first is None:
        raise OptionError("expected a source of Arrow batches, found an iterable of none")

    def batches() -> Iterator[pa.RecordBatch]:
        for number, reader in enumerate(chain([first], readers)):
            if reader.schema != first.schema:
                raise OptionError(
                    f"expected the columns of the first batch in all, {first.schema.names}, "
                    f"found others in item {number}: {reader.schema.names}"
                )
            yield from reader

    return pa.RecordBatchReader.from_batches(first.schema, batches())


class _Layout:
    """Columns in and out."""

    def __init__(
        self,
        schema: pa.Schema,
        binarizer: Binarizer,
        column: str | None,
        code_column: str,
        keep_vectors: bool,
    ) -> None:
        name = vector_column(schema, column)
        self.column = schema.get_field_index(name)
        if self.column < 0:
            raise VectorsError(f"there are several columns {name!r}, expected one")
        self.kept = [i for i in range(len(schema)) if keep_vectors or i != self.column]
        fields = [schema.field(i) for i in self.kept]
        if code_column in [field.name for field in fields]:
            raise OptionError(f"there is a column {code_column!r}: give another code_column")
        told = CodeColumn(binarizer.fingerprint, binarizer.bits)
        self.schema = pa.schema(
            [*fields, pa.field(code_column, _code_type(binarizer))],
            {**(schema.metadata or {}), **metadata_of(code_column, told)},
        )

    def filled(self, batch: Batch, codes: Any) -> Batch:
        """The batch's other columns and the codes."""
        columns = [*(batch.column(i) for i in self.kept), codes]
        return type(batch).from_arrays(columns, schema=self.schema)
