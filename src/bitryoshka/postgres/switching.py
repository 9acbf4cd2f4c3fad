"""Take a codec away from a table, or put another one in its place."""

from __future__ import annotations

from psycopg import sql

from bitryoshka.errors import DatabaseError, TableError
from bitryoshka.postgres.codecs import find_codec
from bitryoshka.postgres.columns import alone, changed, require_entry, require_idle
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import statement
from bitryoshka.postgres.target import find_table, find_target
from bitryoshka.postgres.triggers import rename, trigger_names


def detach(
    connection: Connection, table: str, *, schema: str = "public", code_column: str = "code"
) -> None:
    """Take a code column away: its trigger, its index, its codes and its catalogue entry.

    Of a column that was adopted, the entry alone.
    """
    require_idle(connection)
    oid, _, _ = find_table(connection, table, schema)
    with alone(connection, oid, f"{schema}.{table}"):
        entry = require_entry(connection, oid, f"{schema}.{table}", code_column)
        identifier = sql.Identifier(schema, table)

        def change() -> None:
            connection.execute(statement("delete_column", column_id=entry.id))
            if entry.vector_column is None:
                return
            connection.execute(
                statement("drop_trigger_function", table=identifier, **trigger_names(entry.id))
            )
            connection.execute(
                statement("drop_code_column", table=identifier, code=sql.Identifier(code_column))
            )

        changed(connection, change)


def switch(
    connection: Connection,
    table: str,
    new: str,
    *,
    schema: str = "public",
    code_column: str = "code",
    kept: str = "code_old",
) -> None:
    """Let column ``new`` take the name ``code_column``, and that one the name ``kept``, at once.

    Both keep their codecs, triggers and indexes, so that `bitryoshka.search` goes on without a
    gap, and a second call with ``new=kept`` takes the switch back. Raises DatabaseError while
    ``new`` is not filled and verified.
    """
    require_idle(connection)
    title = f"{schema}.{table}"
    oid, _, _ = find_table(connection, table, schema)
    with alone(connection, oid, title):
        if require_entry(connection, oid, title, new).state != "ready":
            raise DatabaseError(f"column {new!r} of {title} is not filled yet: run attach again")
        steps = [(code_column, kept), (new, code_column)]
        if kept == new:
            spare = f"{code_column[:50]} switching"
            steps = [(code_column, spare), (new, code_column), (spare, kept)]

        def change() -> None:
            for before, after in steps:
                entry = require_entry(connection, oid, title, before)
                if entry.vector_column is None:
                    raise TableError(f"{before!r} of {title} was adopted: rename it yourself")
                codec = find_codec(connection, entry.codec)
                target = find_target(connection, table, entry.vector_column, codec, before, schema)
                for part in rename(target, entry, after):
                    connection.execute(part)

        changed(connection, change)
