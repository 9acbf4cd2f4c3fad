"""Work that sends statements and reads rows, written once for sync and async connections."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, TypeVar

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from psycopg.rows import tuple_row

from bitryoshka.postgres.statements import fetch, reading_text

T = TypeVar("T")
Rows = list[tuple[Any, ...]]
# what is sent: a statement and its parameters
Exchange = Generator[tuple[sql.Composed, dict[str, Any]], Rows, T]


class SearchResult(NamedTuple):
    """Keys and scores of each query's rows, best first; fewer than k where fewer were found.

    ``ids``: a list of keys for each query, of tuples where the key has several columns. ``scores``:
    float64 arrays of the same lengths, greater for a better row: the metric itself after exact
    rescoring (cosine similarity or inner product), else the share of what was compared that agrees,
    less the share that does not, from -1 to 1: of the bits without rescoring, and of the query's
    weights on them in an asymmetric search.
    """

    ids: list[list[Any]]
    scores: list[NDArray[np.float64]]


def run(connection: psycopg.Connection[Any], exchange: Exchange[T]) -> T:
    """What the work returns, after all its statements."""
    try:
        sent = next(exchange)
        while True:
            try:
                rows = fetch(connection, *sent)
            except psycopg.Error as error:
                sent = exchange.throw(error)
            else:
                sent = exchange.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result


async def run_async(connection: psycopg.AsyncConnection[Any], exchange: Exchange[T]) -> T:
    """`run`, on an asynchronous connection."""
    try:
        sent = next(exchange)
        while True:
            try:
                async with psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor:
                    await reading_text(cursor).execute(*sent)
                    rows = await cursor.fetchall()
            except psycopg.Error as error:
                sent = exchange.throw(error)
            else:
                sent = exchange.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result
