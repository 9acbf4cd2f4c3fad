"""Search a table that a codec is attached to: all queries in one statement, sync and async."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import psycopg
from numpy.typing import ArrayLike, NDArray
from pgvector import Vector
from psycopg import sql
from psycopg.rows import tuple_row

from bitryoshka.bits import check_bits
from bitryoshka.errors import TableError
from bitryoshka.limits import check_count, check_counts
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import Statement, fetch, reading_text, statement
from bitryoshka.postgres_rules import check_name
from bitryoshka.vectors import blocks, check_vectors

_Statement = tuple[sql.Composed, dict[str, Any]]


class Found(NamedTuple):
    """One list for each query, best first: primary keys as tuples, and scores (float64)."""

    keys: list[list[tuple[Any, ...]]]
    scores: list[NDArray[np.float64]]


def search_column(
    connection: Connection,
    table: str,
    queries: ArrayLike,
    k: int = 10,
    candidates: int = 100,
    *,
    schema: str = "public",
    code_column: str = "code",
    prefix_bits: int | None = None,
    rescore: bool = True,
    exact: int = 0,
    where: sql.Composable | None = None,
) -> Found:
    """The k best rows of a table for each of ``queries`` (Q, d), in the caller's transaction.

    The ``candidates`` nearest by Hamming distance on the first ``prefix_bits`` (None: those that
    are indexed) are ranked by the float query against their whole codes if ``rescore``, and the
    ``exact`` best of them by their stored vectors, if that is not 0. Queries are encoded by the
    server, so that no binarizer is needed here. ``where`` is a condition on the table's columns,
    such as ``sql.SQL("tenant = {}").format(tenant)``; the scan goes on until it has found
    ``candidates`` rows that meet it.

    Raises TableError where no codec is attached to the column, VectorsError for queries that are
    not finite, SearchError and BitsError for numbers that are none, and psycopg's errors for
    those that do not fit together.
    """
    options = _options(k, candidates, code_column, prefix_bits, rescore, exact)
    key = fetch(connection, _key_of(schema, table))
    query, values = _statement(connection, schema, table, key, queries, options, where)
    return _found(fetch(connection, query, values), len(values["queries"]))


async def search_column_async(
    connection: psycopg.AsyncConnection[Any],
    table: str,
    queries: ArrayLike,
    k: int = 10,
    candidates: int = 100,
    *,
    schema: str = "public",
    code_column: str = "code",
    prefix_bits: int | None = None,
    rescore: bool = True,
    exact: int = 0,
    where: sql.Composable | None = None,
) -> Found:
    """As `search_column`, on an asynchronous connection."""
    options = _options(k, candidates, code_column, prefix_bits, rescore, exact)
    async with psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor:
        await reading_text(cursor).execute(_key_of(schema, table))
        key = await cursor.fetchall()
        query, values = _statement(connection, schema, table, key, queries, options, where)
        await cursor.execute(query, values)
        return _found(await cursor.fetchall(), len(values["queries"]))


def _options(
    k: int, candidates: int, code_column: str, prefix_bits: int | None, rescore: bool, exact: int
) -> tuple[int, int, str, int | None, bool, int]:
    check_counts(k=k, candidates=candidates)
    check_count(exact, "exact", least=0)
    if prefix_bits is not None:
        check_bits(prefix_bits, "prefix_bits")
    return k, candidates, code_column, prefix_bits, rescore, exact


def _key_of(schema: str, table: str) -> sql.Composed:
    for name in (schema, table):
        check_name(name)
    return statement("key_of", schema=sql.Literal(schema), table=sql.Literal(table))


def _statement(
    connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any],
    schema: str,
    table: str,
    key: list[tuple[Any, ...]],
    queries: ArrayLike,
    options: tuple[int, int, str, int | None, bool, int],
    where: sql.Composable | None,
) -> _Statement:
    if not key:
        raise TableError(f"there is no table {schema}.{table} with a primary key")
    array = check_vectors(queries, name="queries")
    texts = [
        Vector(row).to_text()
        for _, block, _ in blocks(array, norms=False, name="queries")
        for row in block
    ]
    names = ("k", "candidates", "code_column", "prefix_bits", "rescore", "exact")
    values: dict[str, Any] = dict(zip(names, options, strict=True))
    values["queries"] = texts
    values["filter"] = None if where is None else Statement([where]).as_string(connection)
    columns = [sql.SQL("(s.item).{}").format(sql.Identifier(name)) for name, _ in key]
    query = statement(
        "search_column",
        keys=_doubled(sql.SQL(", ").join(columns)),
        table=_doubled(sql.Identifier(schema, table)),
        pgvector=_doubled(sql.Identifier(key[0][1])),
        **{name: sql.Placeholder(name) for name in values},
    )
    return query, values


def _doubled(part: sql.Composable) -> sql.SQL:
    """A part of a statement with parameters, where a single % would begin one."""
    return sql.SQL(part.as_string(None).replace("%", "%%"))


def _found(rows: list[tuple[Any, ...]], queries: int) -> Found:
    keys: list[list[tuple[Any, ...]]] = [[] for _ in range(queries)]
    scores: list[list[float]] = [[] for _ in range(queries)]
    for number, score, *key in rows:
        keys[number - 1].append(tuple(key))
        scores[number - 1].append(score)
    return Found(keys, [np.array(found, np.float64) for found in scores])
