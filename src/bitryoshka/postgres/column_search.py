"""Search a table that a codec is attached to: all queries in one statement, sync and async."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
from numpy.typing import ArrayLike
from pgvector import Vector
from psycopg import sql

from bitryoshka.errors import SearchError, VectorsError
from bitryoshka.postgres.exchange import Exchange, run, run_async
from bitryoshka.postgres.searched_table import find_searched
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import Statement
from bitryoshka.search_parameters import CANDIDATES, K, Rescore, SearchParameters
from bitryoshka.search_result import SearchResult
from bitryoshka.vectors import blocks, check_vectors


def search_column(
    connection: Connection,
    table: str,
    queries: ArrayLike,
    k: int = K,
    *,
    candidates: int = CANDIDATES,
    prefix_bits: int | None = None,
    rescore: Rescore | None = "asymmetric",
    shortlist: int | None = None,
    where: sql.Composable | None = None,
    schema: str = "public",
    code_column: str = "code",
) -> SearchResult:
    """The k best rows of a table for each of ``queries`` (Q, d), in the caller's transaction.

    The stages are those of `SearchParameters`; ``prefix_bits`` None means those that the column
    was attached with. Queries are encoded by the server, so that no binarizer is needed here.
    ``where`` is a condition on the table's columns with its values, such as
    ``sql.SQL("tenant = {}").format(tenant)``; the first stage goes on until it has found
    ``candidates`` rows that meet it.

    Of a table whose codes lie in one of their own (layout narrow) the list comes from there, and
    ``"exact"`` looks the vectors up by the key; ``where`` is then a look at the table's row for
    each candidate.

    Raises TableError where no codec is attached to the column, VectorsError for queries that are
    not finite or have no code, SearchError for numbers that are none or do not fit together and
    for another ``where``, and psycopg's errors for what the server refuses.
    """
    asked = SearchParameters(
        k=k, candidates=candidates, prefix_bits=prefix_bits, rescore=rescore, shortlist=shortlist
    )
    return run(
        connection, _searching(connection, schema, table, code_column, queries, asked, where)
    )


async def search_column_async(
    connection: psycopg.AsyncConnection[Any],
    table: str,
    queries: ArrayLike,
    k: int = K,
    *,
    candidates: int = CANDIDATES,
    prefix_bits: int | None = None,
    rescore: Rescore | None = "asymmetric",
    shortlist: int | None = None,
    where: sql.Composable | None = None,
    schema: str = "public",
    code_column: str = "code",
) -> SearchResult:
    """As `search_column`, on an asynchronous connection."""
    asked = SearchParameters(
        k=k, candidates=candidates, prefix_bits=prefix_bits, rescore=rescore, shortlist=shortlist
    )
    work = _searching(connection, schema, table, code_column, queries, asked, where)
    return await run_async(connection, work)


def _searching(
    connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any],
    schema: str,
    table: str,
    code_column: str,
    queries: ArrayLike,
    asked: SearchParameters,
    where: sql.Composable | None,
) -> Exchange[SearchResult]:
    if where is not None and not isinstance(where, sql.Composable):
        raise SearchError(
            "where must be made with psycopg.sql, so that values are quoted, such as "
            f"sql.SQL('tenant = {{}}').format(7); found {where!r}"
        )
    searched = yield from find_searched(schema, table, code_column)
    values: dict[str, Any] = {
        "k": asked.k,
        "candidates": asked.candidates,
        "prefix_bits": asked.prefix_bits,
        "rescore": asked.rescore,
        "shortlist": asked.shortlist,
        "code_column": code_column,
        "filter": where and Statement([searched.filter(where)]).as_string(connection),
        "queries": [
            Vector(row).to_text()
            for _, block, _ in blocks(
                check_vectors(queries, name="queries"), norms=False, name="queries"
            )
            for row in block
        ],
    }
    if searched.narrow is None or asked.rescore != "exact":
        query = searched.statement({name: sql.Placeholder(name) for name in values})
    else:
        values |= {"rescore": asked.code_rescore, "shortlist": asked.compared}
        query = searched.exact_statement({name: sql.Placeholder(name) for name in values})
    found: list[list[tuple[Any, float]]] = [[] for _ in values["queries"]]
    try:
        rows = yield query, values
    except psycopg.errors.InvalidParameterValue as error:
        raise SearchError(str(error.diag.message_primary)) from error
    except psycopg.errors.DataException as error:
        if type(error) is not psycopg.errors.DataException:  # of the caller's condition
            raise
        raise VectorsError(str(error.diag.message_primary)) from error
    for number, score, *of_row in rows:
        found[number - 1].append((of_row[0] if len(of_row) == 1 else tuple(of_row), score))
    return SearchResult(
        [[row for row, _ in rows] for rows in found],
        [np.array([score for _, score in rows], np.float64) for rows in found],
    )
