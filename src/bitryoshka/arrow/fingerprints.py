"""Whose codes a table, stream, file or dataset holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bitryoshka.binarizer import Binarizer
from bitryoshka.code_metadata import CodeColumn, check_described, described, metadata_of
from bitryoshka.errors import BitsError, FingerprintError, OptionError
from bitryoshka.kinds import check_kind

Marked = TypeVar("Marked", pa.Schema, pa.RecordBatch, pa.Table)


def code_column(source: Any, column: str = "code") -> CodeColumn:
    """Whose codes a column holds, as the encoder wrote it into the schema.

    ``source``: a schema, a table, batch or reader, a Parquet file's path, an opened
    `pyarrow.parquet.ParquetFile`, or a `pyarrow.dataset.Dataset`, all of whose files must say the
    same. Raises FingerprintError where one does not say, or where two differ, and OptionError for
    other sources.
    """
    (place, first), *others = [
        (place, described(schema.metadata, column, place)) for place, schema in _schemas(source)
    ]
    for other, found in others:
        if found != first:
            raise FingerprintError(
                f"column {column!r} holds codes of two binarizers or lengths: {place} has {first}, "
                f"{other} has {found}"
            )
    return first


def check_fingerprint(source: Any, binarizer: Binarizer, column: str = "code") -> CodeColumn:
    """`code_column`, where the codes are this binarizer's; FingerprintError otherwise."""
    for place, schema in _schemas(source):
        check_described(schema.metadata, column, binarizer.fingerprint, place)
    return code_column(source, column)


def mark_codes(source: Marked, binarizer: Binarizer, column: str = "code") -> Marked:
    """The table, batch or schema with the entry that says: these are the binarizer's codes.

    For codes that you know to be the binarizer's, where Polars, DuckDB or a join lost the entry.
    No code can tell who made it: only the lengths are looked at, and those of binary of any length
    in a table or batch alone. Raises BitsError for a column that is not there or is none of codes,
    and for codes of another length.

    >>> import bitryoshka, numpy
    >>> schema = pa.schema({"id": pa.int64(), "code": pa.binary(2)})
    >>> rows = numpy.random.default_rng(0).normal(size=(500, 16)).astype("float32")
    >>> b = bitryoshka.fit(rows, bits=16, method="sign").binarizer
    >>> check_fingerprint(mark_codes(schema, b), b).bits
    16
    """
    check_kind(
        source, (pa.Schema, pa.RecordBatch, pa.Table), "a pyarrow Schema, RecordBatch or Table"
    )
    schema = source if isinstance(source, pa.Schema) else source.schema
    places = schema.get_all_field_indices(column)
    if len(places) != 1:
        raise BitsError(f"expected one column {column!r}, found: {', '.join(schema.names)}")
    values = None if isinstance(source, pa.Schema) else source.column(places[0])
    told = CodeColumn(binarizer.fingerprint, binarizer.bits)
    for width in _widths(schema.field(places[0]).type, values):
        if 8 * width != told.bits:
            raise BitsError(
                f"expected codes of {told.bits} bits, {told.bits // 8} bytes, in column "
                f"{column!r}, found one of {width} bytes"
            )
    metadata = {**(schema.metadata or {}), **metadata_of(column, told)}
    if isinstance(source, pa.Schema):
        return source.with_metadata(metadata)
    return source.replace_schema_metadata(metadata)


def _widths(kind: pa.DataType, values: pa.Array | pa.ChunkedArray | None) -> list[int]:
    """Bytes of the codes, as far as type or values tell; each length once."""
    if pa.types.is_fixed_size_binary(kind):
        return [kind.byte_width]
    if pa.types.is_fixed_size_list(kind) and pa.types.is_uint8(kind.value_type):
        return [kind.list_size]
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        lengths = [] if values is None else pc.unique(pc.binary_length(values)).drop_null()
        return [length.as_py() for length in lengths]
    raise BitsError(f"expected codes as binary or lists of uint8 of one length, found {kind}")


def _schemas(source: Any) -> Iterator[tuple[str, pa.Schema]]:
    """Every schema of a source with the name of its place; of a dataset, each file's own."""
    if isinstance(source, (str, os.PathLike)):
        yield os.fspath(source), pq.read_schema(source)
    elif isinstance(source, pa.Schema):
        yield "the schema", source
    elif hasattr(source, "get_fragments"):
        fragments = list(source.get_fragments())
        for fragment in fragments:
            yield getattr(fragment, "path", "a fragment"), fragment.physical_schema
        if not fragments:
            yield "the dataset, which has no files,", source.schema
    else:
        schema = getattr(source, "schema_arrow", None) or getattr(source, "schema", None)
        if not isinstance(schema, pa.Schema):
            raise OptionError(
                "expected a schema, table, reader, file or dataset of Arrow's, found "
                f"{type(source)}"
            )
        yield "the schema", schema
