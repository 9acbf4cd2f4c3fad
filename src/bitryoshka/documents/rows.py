"""The rows of a table of documents: written, deleted and read."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Row, Select, Table, Text, any_, delete, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from bitryoshka.documents.engines import Work
from bitryoshka.documents.metadata import check_stored


class Entry(NamedTuple):
    """A document as a row has it, without code and vector."""

    id: str
    content: str
    metadata: dict[str, Any]


def upsert(
    table: Table,
    entries: Sequence[Entry],
    codes: NDArray[np.uint8],
    vectors: NDArray[np.float32],
) -> Work[None]:
    """Insert rows, or replace those of the same id; of an id that comes twice the last stays.

    OptionError for ids, texts and metadata that Postgres cannot hold.
    """
    check_stored(entries)
    rows: list[dict[str, Any]] = [
        {**entry._asdict(), "code": code} for entry, code in zip(entries, codes, strict=True)
    ]
    if "vector" in table.c:
        for row, vector in zip(rows, vectors, strict=True):
            row["vector"] = vector
    # in one order for all writers: those of the same ids then wait, and do not deadlock
    rows.sort(key=itemgetter("id"))
    new = insert(table)
    names = ["content", "metadata", "code", *(["vector"] if "vector" in table.c else [])]
    statement = new.on_conflict_do_update(
        index_elements=[table.c.id], set_={name: new.excluded[name] for name in names}
    )
    return lambda connection: connection.execute(statement, rows).close()


def deletion(table: Table, where: Sequence[ColumnElement[bool]]) -> Work[None]:
    """Delete the rows that pass all of these conditions."""
    return lambda connection: connection.execute(delete(table).where(*where)).close()


def reading(
    table: Table, where: Sequence[ColumnElement[bool]], *, vectors: bool = False
) -> Work[Sequence[Row[Any]]]:
    """Read the rows that pass all of these conditions, by id; with their vectors, if asked."""
    columns = table.c
    read: Select[Any] = select(columns.id, columns.content, columns.metadata)
    if vectors:
        read = read.add_columns(columns.vector)
    statement = read.where(*where).order_by(columns.id)
    return lambda connection: connection.execute(statement).all()


def has_id(table: Table, ids: Sequence[str]) -> ColumnElement[bool]:
    """Whether the id is one of these: one parameter, however many."""
    return table.c.id == any_(literal(list(ids), ARRAY(Text)))


def floats(vector: Any) -> list[float]:
    """A vector (d,) of a row: pgvector gives a list, an array or a class of its own, by version."""
    found: list[float] = (
        vector.to_list() if hasattr(vector, "to_list") else np.asarray(vector).tolist()
    )
    return found
