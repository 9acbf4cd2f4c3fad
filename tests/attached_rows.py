"""Tables with vectors for a codec to be attached to, and checks of their codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import sql
from synthetic import exact_binarizer, integer_rows

from bitryoshka.binarizer import Binarizer
from bitryoshka.postgres import register
from bitryoshka.postgres.server import Connection

BINARIZER = exact_binarizer(3)
LABEL = "docs@1"


def make_table(
    connection: Connection,
    rows: int = 200,
    name: str = "items",
    column: str = "embedding",
    columns: str = "id bigint PRIMARY KEY, title text",
    vector_type: str = "vector(16)",
    schema: str = "public",
    suffix: str = "",
) -> NDArray[np.float32]:
    """A table of integer vectors with ids from 0; every tenth vector is NULL (zeros here)."""
    connection.execute(
        sql.SQL("CREATE TABLE {} (" + columns + ", {} " + vector_type + ") " + suffix).format(  # type: ignore[arg-type]
            sql.Identifier(schema, name), sql.Identifier(column)
        )
    )
    vectors = integer_rows(0, max(rows, 1))
    vectors[::10] = 0
    copy = sql.SQL("COPY {} (id, {}) FROM STDIN").format(
        sql.Identifier(schema, name), sql.Identifier(column)
    )
    with connection.cursor() as cursor, cursor.copy(copy) as rows_in:
        for i in range(rows):
            rows_in.write_row((i, Vector(vectors[i]).to_text() if vectors[i].any() else None))
    return vectors


def registered(connection: Connection, binarizer: Binarizer = BINARIZER) -> Binarizer:
    """Register as `LABEL`."""
    assert register(connection, "docs", binarizer).label == LABEL
    return binarizer


def rows_of(
    connection: Connection, name: str = "items", column: str = "embedding", code: str = "code"
) -> list[tuple[Any, str | None, str | None]]:
    """Every row's id, vector and code as text."""
    query = sql.SQL("SELECT id::text, {}::text, {}::text FROM {} ORDER BY id").format(
        sql.Identifier(column), sql.Identifier(code), sql.Identifier(name)
    )
    return connection.execute(query).fetchall()


def check_codes(connection: Connection, binarizer: Binarizer = BINARIZER, **names: str) -> int:
    """Assert that every vector has its code and NULL has none; give the number of codes."""
    found = rows_of(connection, **names)
    assert all((vector is None) == (code is None) for _, vector, code in found)
    kept = [(vector, code) for _, vector, code in found if vector is not None and code]
    if kept:
        vectors = np.array([v.strip("[]").split(",") for v, _ in kept], np.float32)
        codes = np.packbits([[int(d) for d in c] for _, c in kept], axis=1)
        np.testing.assert_array_equal(codes, binarizer.encode(vectors))
    return len(kept)
