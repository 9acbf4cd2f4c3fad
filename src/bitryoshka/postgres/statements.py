"""SQL files as psycopg statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.abc import AdaptContext
from psycopg.rows import tuple_row

from bitryoshka.errors import DatabaseError
from bitryoshka.postgres.ascii_sessions import UTF8, is_ascii, load_as_utf8
from bitryoshka.sql_files import read_sql

C = TypeVar("C", psycopg.Cursor[Any], psycopg.AsyncCursor[Any])


class Statement(sql.Composed):
    """SQL that a session whose encoding is SQL_ASCII takes as well, as UTF-8."""

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        """The statement as it is sent."""
        return super().as_bytes(UTF8 if is_ascii(context) else context)

    def as_string(self, context: AdaptContext | None = None) -> str:
        """The statement as text."""
        return self.as_bytes(context).decode() if is_ascii(context) else super().as_string(context)


def statement(name: str, /, **parts: sql.Composable | int) -> sql.Composed:
    """The statement of that name with its braces filled in; plain integers become literals."""
    filled = sql.SQL(read_sql(name)).format(
        **{k: v if isinstance(v, sql.Composable) else sql.Literal(int(v)) for k, v in parts.items()}
    )
    return Statement(list(filled))


def reading_text(cursor: C) -> C:
    """The cursor, which reads text as str in a session whose encoding is SQL_ASCII as well."""
    if is_ascii(cursor):
        load_as_utf8(cursor.adapters)
    return cursor


def fetch(
    connection: psycopg.Connection[Any],
    query: sql.Composed,
    parameters: dict[str, Any] | None = None,
) -> list[tuple[Any, ...]]:
    """All rows as plain tuples, whichever row and cursor factories the connection has."""
    with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
        return reading_text(cursor).execute(query, parameters).fetchall()


@contextmanager
def refused_as(kind: type[DatabaseError], *errors: type[psycopg.Error]) -> Iterator[None]:
    """What a script or function of the schema refuses, as an error of ours, with its hint."""
    try:
        yield
    except errors as error:
        hint = f": {error.diag.message_hint}" if error.diag.message_hint else ""
        if isinstance(error, psycopg.errors.DependentObjectsStillExist):
            hint = f": {error.diag.message_detail}"  # the hint would drop what others made
        raise kind(f"{error.diag.message_primary or error}{hint}") from error


def pgvector_schema(connection: psycopg.Connection[Any]) -> sql.Identifier:
    """The schema of pgvector's types and operators, which no search_path need have."""
    [(schema,)] = fetch(connection, statement("pgvector_schema"))
    return sql.Identifier(schema)


def percent_doubled(identifier: sql.Composable) -> sql.SQL:
    """An identifier for a statement with parameters, where a single % would begin one."""
    return sql.SQL(identifier.as_string(None).replace("%", "%%"))


def prefix_expression(prefix_bits: int, bits: int, column: str = "code") -> sql.Composable:
    """The first bits of a column: one text for the index and for the query."""
    code = sql.Identifier(column)
    if prefix_bits == bits:
        return code
    return statement("prefix", code=code, prefix_bits=prefix_bits)
