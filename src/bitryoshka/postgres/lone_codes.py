"""Codes whose vectors are gone, of which there is no other copy: counted, and not taken away."""

from __future__ import annotations

from psycopg import sql

from bitryoshka.errors import DatabaseError
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.target import Relation, same_key
from bitryoshka.postgres_rules import name_within


def aside_of(vector_column: str) -> str:
    """The name that a column of vectors has while they are set aside."""
    return name_within(vector_column, "_dropped")


def count_lone(
    connection: Connection, table: Relation, holder: Relation, code_column: str, vector_column: str
) -> int:
    """How many rows of a table have a code in ``holder`` and no vector."""
    key = fetch(connection, statement("primary_key", oid=table.oid))
    query = statement(
        "lone_codes",
        table=table.identifier,
        codes=holder.identifier,
        code=sql.Identifier(code_column),
        same=same_key([(name, operators) for name, _, operators in key], "t", "n"),
        vector=sql.Identifier(vector_column),
    )
    [(found,)] = fetch(connection, query)
    return int(found)


def refuse_lone(count: int, table: Relation, vector_column: str) -> None:
    """Raise DatabaseError where there are such rows."""
    if count:
        raise DatabaseError(
            f"{count} rows of {table.title} have codes and no vectors, and attach or repair would "
            f"take their codes away: write their vectors to column {vector_column!r}, or set their "
            "codes NULL, then run it again"
        )
