"""Take a codec away from a table, or put another one in its place."""

from __future__ import annotations

from psycopg import sql

from bitryoshka.errors import DatabaseError, TableError
from bitryoshka.postgres.columns import alone, changed, require_entry, require_idle
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import statement
from bitryoshka.postgres.target import find_table


def detach(
    connection: Connection, table: str, *, schema: str = "public", code_column: str = "code"
) -> None:
    """Take a code column away: its trigger, its index, its codes and its catalogue entry.

    Of a column that was adopted, the entry alone.
    """
    require_idle(connection)
    oid, _, _ = find_table(connection, table, schema)
    with alone(connection, oid, f"{schema}.{table}"):
        require_entry(connection, oid, f"{schema}.{table}", code_column)
        dropping = statement(
            "drop_code_column", table=_literal(schema, table), code=sql.Literal(code_column)
        )
        changed(connection, lambda: connection.execute(dropping))


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
                if require_entry(connection, oid, title, before).vector_column is None:
                    raise TableError(f"{before!r} of {title} was adopted: rename it yourself")
                connection.execute(
                    statement(
                        "rename_code_column",
                        table=_literal(schema, table),
                        code=sql.Literal(before),
                        name=sql.Literal(after),
                    )
                )

        changed(connection, change)


def _literal(schema: str, table: str) -> sql.Literal:
    return sql.Literal(sql.Identifier(schema, table).as_string(None))
