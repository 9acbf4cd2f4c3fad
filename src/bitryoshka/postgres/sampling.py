"""Random vectors of a table, for a look at them."""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from bitryoshka.errors import TableError
from bitryoshka.limits import check_counts
from bitryoshka.postgres.binary import NUMBERS, read_rows, vector_column
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.table import VectorType
from bitryoshka.postgres.target import find_table

_SPARE = 1.2


def sample_vectors(
    connection: Connection,
    table: str,
    column: str,
    limit: int,
    *,
    schema: str = "public",
    seed: int = 0,
) -> tuple[NDArray[np.float32], int]:
    """About ``limit`` random vectors of a column, ``(N, d)``, and how many the table holds.

    All of them where there are no more than that. Raises TableError where there is no such table
    or column, or no vector in it, and DatabaseError for vectors of several dimensions.
    """
    check_counts(limit=limit)
    searched, _, _ = find_table(connection, table, schema)
    types = dict(row[:2] for row in fetch(connection, statement("column_types", oid=searched.oid)))
    if types.get(column) not in get_args(VectorType):
        raise TableError(
            f"{searched.title} needs a column {column!r} of type vector or halfvec, "
            f"found {types.get(column, f'one of {sorted(types)}')}"
        )
    [(pgvector,)] = fetch(connection, statement("pgvector_schema"))
    parts = {"vector": sql.Identifier(column), "table": searched.identifier}
    [(rows, dimensions)] = fetch(
        connection, statement("vector_counts", pgvector=sql.Identifier(pgvector), **parts)
    )
    if not rows:
        raise TableError(f"column {column!r} of {searched.title} holds no vector")
    percent = min(100.0, 100.0 * _SPARE * limit / rows)
    query = statement(
        "sample_vectors", percent=sql.Literal(percent), seed=seed, limit=limit, **parts
    )
    layout = {"vector": vector_column(dimensions, NUMBERS[types[column]])}
    found: NDArray[np.float32] = read_rows(connection, query, layout)["vector"].astype(np.float32)
    return found, rows
