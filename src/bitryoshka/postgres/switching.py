"""Let another column of codes take the place of one, while searches go on."""

from __future__ import annotations

import psycopg
from psycopg import sql

from bitryoshka.errors import DatabaseError, TableError
from bitryoshka.postgres.columns import require_entry
from bitryoshka.postgres.installation import require_installed
from bitryoshka.postgres.narrow_table import narrow_of
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import statement
from bitryoshka.postgres.target import find_table
from bitryoshka.postgres_rules import check_name


def switch(
    connection: Connection,
    table: str,
    new: str,
    *,
    schema: str = "public",
    code_column: str = "code",
    kept: str = "code_old",
) -> None:
    """Let searches that ask for ``code_column`` go to column ``new``, from one moment to the next.

    The column that they went to is found under the name ``kept`` from then on. Nothing is renamed
    and no table is locked: both keep their codecs, triggers and indexes, a search that has begun
    ends on the codes it began with, and a second call with ``new=kept`` takes the switch back.
    Statements of your own that name a column go on with that column; `detach` the old one when
    none is left. Raises DatabaseError while ``new`` is not filled and verified, and TableError
    where ``kept`` is another column's name, or ``new`` lies in a table beside this one.
    """
    for name in (code_column, kept):
        check_name(name)
    require_installed(connection)
    found, _, _ = find_table(connection, table, schema)
    title = found.title
    if (beside := narrow_of(connection, found, new)) is not None:
        raise TableError(
            f"codes {new!r} of {title} lie in {beside.codes.title}, and switch is for columns of "
            "layout row: let searches ask for code_column (--code-column) "
            f"{new!r} one by one, then detach the other"
        )
    with connection.transaction():
        incoming = require_entry(connection, found.oid, title, new)
        if incoming.search_name == code_column:
            raise TableError(f"searches of {title} for {code_column!r} go to {new!r} already")
        if incoming.state != "ready":
            raise DatabaseError(f"column {new!r} of {title} is not filled yet: run attach again")
        try:
            connection.execute(
                statement(
                    "switch_code_column",
                    table=found.literal,
                    new=sql.Literal(new),
                    code=sql.Literal(code_column),
                    kept=sql.Literal(kept),
                )
            )
        except psycopg.errors.UndefinedObject as error:
            raise TableError(str(error.diag.message_primary)) from error
        except psycopg.errors.UniqueViolation as error:
            raise TableError(
                f"{kept!r} of {title} is in use, or another switch was made meanwhile: expected a "
                "name that is free, see bitryoshka.code_columns"
            ) from error
