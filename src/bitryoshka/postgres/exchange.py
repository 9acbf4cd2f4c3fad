"""Work that sends statements and reads rows, written once for sync and async connections."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from bitryoshka.postgres.statements import fetch, reading_text

T = TypeVar("T")
Rows = list[tuple[Any, ...]]
# what is sent: a statement and its parameters
Exchange = Generator[tuple[sql.Composed, dict[str, Any]], Rows, T]


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
