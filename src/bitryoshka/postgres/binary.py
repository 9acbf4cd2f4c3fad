"""Rows of fixed size in Postgres' binary COPY format, as NumPy arrays.

PostgreSQL documentation, COPY, "Binary Format"; the values of ``vector``, ``halfvec`` and ``bit``
are what the types' send functions write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from bitryoshka.errors import DatabaseError
from bitryoshka.postgres.server import Connection

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
# the numbers in pgvector's types
NUMBERS = {"vector": ">f4", "halfvec": ">f2"}


class Column(NamedTuple):
    """A column whose every value has one size: an optional head, then its numbers."""

    number: str
    numbers: int = 1
    head: tuple[tuple[str, int], ...] = ()

    @property
    def size(self) -> int:
        """Bytes of a value."""
        head = sum(np.dtype(kind).itemsize for kind, _ in self.head)
        return head + np.dtype(self.number).itemsize * self.numbers


INTEGER = Column(">i4")
BIGINT = Column(">i8")
REAL = Column(">f4")
DOUBLE = Column(">f8")
TID = Column("u1", 6)
XID = Column(">u4")


def text_column(value: str) -> Column:
    """Text that has the length of ``value``."""
    return Column("u1", len(value.encode()))


def vector_column(dimensions: int, number: str = ">f4") -> Column:
    """A ``vector``; with number ">f2" a ``halfvec``."""
    return Column(number, dimensions, ((">i2", dimensions), (">i2", 0)))


def bit_column(bits: int) -> Column:
    """A ``bit(bits)``, as packed bytes."""
    return Column("u1", bits // 8, ((">i4", bits),))


def rows_of(
    columns: Mapping[str, Column], count: int, values: Mapping[str, Any]
) -> NDArray[np.void]:
    """Rows ready to be written; ``values``: arrays (count, ...), or one value for all rows."""
    layout = _row_layout(columns)
    rows = np.zeros(count, layout)
    rows["fields"] = len(columns)
    for name, column in columns.items():
        rows[f"{name} size"] = column.size
        for place, (_, value) in enumerate(column.head):
            rows[f"{name} head {place}"] = value
        rows[name] = values[name]
    return rows


def _row_layout(columns: Mapping[str, Column]) -> np.dtype[np.void]:
    """One row: the number of fields, then each value after its length in bytes."""
    fields: list[tuple[str, str, tuple[int, ...]]] = [("fields", ">i2", ())]
    for name, column in columns.items():
        fields.append((f"{name} size", ">i4", ()))
        fields += [(f"{name} head {i}", kind, ()) for i, (kind, _) in enumerate(column.head)]
        single = column.numbers == 1 and not column.head  # vectors and codes may have one number
        fields.append((name, column.number, () if single else (column.numbers,)))
    return np.dtype(fields)


def write_rows(
    connection: Connection, copy_in: sql.Composed, blocks: Iterator[NDArray[np.void]]
) -> None:
    """Send blocks of `rows_of` by a COPY ... FROM STDIN statement."""
    with connection.cursor() as cursor, cursor.copy(copy_in) as copy:
        copy.write(HEADER)
        for rows in blocks:
            copy.write(rows.view(np.uint8).data)
        copy.write(TRAILER)


def read_rows(
    connection: Connection, copy_out: sql.Composed, columns: Mapping[str, Column]
) -> NDArray[np.void]:
    """What a COPY ... TO STDOUT statement gives, as one array with a field for each column.

    Raises DatabaseError where a value has not the size that its column says.
    """
    with connection.cursor() as cursor, cursor.copy(copy_out) as copy:
        data = b"".join(bytes(part) for part in copy)
    layout = _row_layout(columns)
    body = data[len(HEADER) : len(data) - len(TRAILER)]
    if len(body) % layout.itemsize:
        raise DatabaseError(f"expected rows of {layout.itemsize} bytes, found {len(body)} in all")
    rows = np.frombuffer(body, layout)
    for name, column in columns.items():
        if (rows[f"{name} size"] != column.size).any():
            raise DatabaseError(f"expected {column.size} bytes in every {name}")
    return rows
