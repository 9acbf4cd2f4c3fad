"""Bulk load by binary COPY, whose buffer NumPy builds a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import psycopg
from numpy.typing import ArrayLike, NDArray
from psycopg import sql

from bitryoshka.bits import check_codes
from bitryoshka.errors import BitsError, TableError, VectorsError
from bitryoshka.postgres.binary import (
    BIGINT,
    HEADER,
    NUMBERS,
    TRAILER,
    Column,
    bit_column,
    rows_of,
    vector_column,
)
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import statement
from bitryoshka.postgres.table import CodeTable
from bitryoshka.progress import progress_bar
from bitryoshka.vectors import blocks, check_vectors

_BLOCK_ROWS = 8192
_MAX_ID = np.iinfo(np.int64).max


def load(
    connection: Connection,
    table: CodeTable,
    ids: ArrayLike,
    codes: ArrayLike,
    vectors: ArrayLike | None = None,
    progress: bool = False,
) -> int:
    """Copy rows into a table and give their number; all of them arrive, or none.

    ``ids`` (N,) integers; ``codes`` (N, bits/8) uint8; ``vectors`` (N, d), exactly where the
    table keeps them. Memory is bounded by a block of rows, so memory-mapped input works.
    Raises BitsError, VectorsError or TableError for input that does not fit the table, ids that
    exist among it, and psycopg's errors for a connection that is lost.
    """
    keys, packed = np.asarray(ids), check_codes(codes)
    if keys.ndim != 1 or keys.dtype.kind not in "iu":
        raise TableError(f"ids must be integers (N,), found {keys.dtype} {keys.shape}")
    if keys.dtype.kind == "u" and keys.size and keys.max() > _MAX_ID:
        raise TableError(f"ids must be at most {_MAX_ID}, found {keys.max()}")
    if packed.shape[1] * 8 != table.bits:
        raise BitsError(
            f"table {table.name} holds {table.bits} bits, found codes of {packed.shape[1] * 8}"
        )
    if (vectors is None) != (table.vector_type is None):
        kept = table.vector_type or "no vectors"
        raise TableError(
            f"table {table.name} keeps {kept}, found {'none' if vectors is None else 'vectors'}"
        )
    floats = None if vectors is None else check_vectors(vectors, table.dimensions)
    if len(keys) != len(packed) or (floats is not None and len(floats) != len(packed)):
        counts = [len(keys), len(packed)] + ([] if floats is None else [len(floats)])
        raise VectorsError(f"ids, codes and vectors must have equal numbers of rows: {counts}")
    if not len(packed):
        raise VectorsError("codes have no rows, expected at least one")

    columns = sql.SQL(", ").join(sql.Identifier(name) for name, _ in table.columns())
    copy_rows = statement("copy_rows", table=table.identifier, columns=columns)
    layout = _copy_columns(table)
    try:
        with (
            progress_bar(len(packed), "load", progress, "rows") as advance,
            connection.transaction(),
            connection.cursor() as cursor,
            cursor.copy(copy_rows) as copy,
        ):
            copy.write(HEADER)
            for rows, part in _parts(table, len(packed), floats):
                copy.write(copy_buffer(layout, keys[rows], packed[rows], part))
                advance(by=rows.stop - rows.start)
            copy.write(TRAILER)
    except psycopg.errors.UniqueViolation as error:
        raise TableError(
            f"load adds rows, and table {table.name} would have one twice: "
            f"{error.diag.message_detail}; DELETE those that are there, or TRUNCATE it, first"
        ) from error
    return len(packed)


def _copy_columns(table: CodeTable) -> dict[str, Column]:
    """The table's columns as the COPY stream has them."""
    found = {"id": BIGINT, "code": bit_column(table.bits)}
    if table.vector_type is not None:
        found["vector"] = vector_column(table.dimensions, NUMBERS[table.vector_type])
    return found


def copy_buffer(
    columns: Mapping[str, Column],
    ids: NDArray[np.integer],
    codes: NDArray[np.uint8],
    vectors: NDArray[np.floating] | None,
) -> memoryview:
    """Rows in binary COPY format, made without a loop over rows."""
    values = {"id": ids, "code": codes, "vector": vectors}
    return rows_of(columns, len(codes), values).view(np.uint8).data


def _parts(
    table: CodeTable, count: int, vectors: NDArray[np.number] | None
) -> Iterator[tuple[slice, NDArray[np.floating] | None]]:
    """Blocks of rows with their vectors, checked and as the table keeps them."""
    if vectors is None:
        for start in range(0, count, _BLOCK_ROWS):
            yield slice(start, min(start + _BLOCK_ROWS, count)), None
        return
    for rows, block, _ in blocks(vectors, norms=False, block_rows=_BLOCK_ROWS):
        yield rows, block if table.vector_type == "vector" else _halves(block, rows.start)


def _halves(block: NDArray[np.float32], start: int) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        halves = block.astype(np.float16)
    if not np.isfinite(halves).all():
        row, column = np.argwhere(~np.isfinite(halves))[0]
        raise VectorsError(
            f"vectors must fit halfvec, whose largest number is {np.finfo(np.float16).max:.0f}, "
            f"found {block[row, column]} in row {start + row}, column {column}"
        )
    return halves
