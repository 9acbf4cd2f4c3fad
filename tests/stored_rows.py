"""Tables with predictable rows, and what the server itself says that they hold."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray
from psycopg import sql
from synthetic import quick

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import hamming, query_planes, unpack
from bitryoshka.postgres import CodeTable, create_table, load
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.table import VectorType

# each example cleans up after itself, by a rollback
on_server = settings(
    quick, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Stored(NamedTuple):
    """A table's rows by id; ``vectors`` is None where the table keeps none."""

    ids: NDArray[np.int64]
    codes: NDArray[np.uint8]
    vectors: NDArray[np.float32] | None


def stored(connection: Connection, table: CodeTable) -> Stored:
    """Read as text, so that nothing of the binary load is trusted."""
    columns = sql.SQL(", ").join(
        sql.SQL("t.{}::text").format(sql.Identifier(name)) for name, _ in table.columns()
    )
    rows = connection.execute(
        sql.SQL("SELECT {} FROM {} AS t ORDER BY t.id").format(columns, table.identifier)
    ).fetchall()
    digits = np.array([[int(digit) for digit in row[1]] for row in rows], np.uint8)
    vectors = None
    if table.vector_type is not None:
        vectors = np.array([row[2].strip("[]").split(",") for row in rows], np.float32)
    return Stored(
        np.array([int(row[0]) for row in rows], np.int64),
        np.packbits(digits.reshape(len(rows), table.bits), axis=1),
        vectors,
    )


def count(connection: Connection, table: CodeTable) -> int:
    [(rows,)] = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table.identifier))
    return int(rows)


def ids_of(rows: Any) -> NDArray[np.int64]:
    """Ids in the order of the row numbers, some negative, none equal to its row."""
    return np.asarray(rows, np.int64) * 7 - 1000


def filled(
    connection: Connection,
    binarizer: Binarizer,
    vectors: NDArray[np.float32],
    vector_type: VectorType | None = None,
    name: str = "items",
) -> CodeTable:
    """A new table of the vectors' codes, under `ids_of` their rows."""
    table = create_table(connection, name, binarizer, vector_type)
    kept = None if vector_type is None else vectors
    load(connection, table, ids_of(range(len(vectors))), binarizer.encode(vectors), kept)
    return table


def integer_scores(
    binarizer: Binarizer, queries: NDArray[np.float32], codes: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Asymmetric scores (Q, N) under weights rounded to 8 bits, in units of the rounded ones."""
    planes, _ = query_planes(binarizer.query_weights(queries), 8)
    digits = np.stack([unpack(plane).astype(np.int64) * 2 - 1 for plane in planes])
    weights = np.einsum("p,qpb->qb", 2 ** np.arange(7, -1, -1), digits)
    signs = unpack(codes).astype(np.int64) * 2 - 1
    return (weights @ signs.T).astype(np.float64)


def best_ids(scores: NDArray[Any], rows: NDArray[np.int64], k: int) -> list[int]:
    """The ids of the k best of ``rows`` under one query's scores of all rows."""
    order = np.lexsort((rows, -scores[rows]))[:k]
    return ids_of(rows[order]).tolist()


def shortlist(code: NDArray[np.uint8], codes: NDArray[np.uint8], least: int) -> NDArray[np.int64]:
    """The rows nearest to one code, at least ``least``, with all that tie with the last."""
    distances = hamming(code[None], codes)[0]
    return np.flatnonzero(distances <= np.sort(distances)[least - 1])
