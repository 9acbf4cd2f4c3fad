"""Take a codec away from a table that is in use."""

from __future__ import annotations

import psycopg

from bitryoshka.errors import TableError
from bitryoshka.postgres.columns import find_entry, require_entry, require_idle, sole_worker
from bitryoshka.postgres.installation import require_installed
from bitryoshka.postgres.locking import changed
from bitryoshka.postgres.narrow_table import NarrowTable, drop_narrow, narrow_of
from bitryoshka.postgres.narrow_trigger import drop_lost, has_lost_triggers
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import refused_as, statement
from bitryoshka.postgres.target import Relation, find_table
from bitryoshka.progress import progress_bar


def detach(
    connection: Connection,
    table: str,
    *,
    schema: str = "public",
    code_column: str = "code",
    progress: bool = False,
) -> None:
    """Take a code column away: its trigger, its index, its codes and its catalogue entry.

    Where the codes lie in a table of their own (layout narrow) that table is dropped; where their
    vectors are gone it stays. Of a column that was adopted, the entry alone goes. Raises TableError
    where no codec is attached to the column, and DatabaseError where other sessions hold the table
    for a minute.
    """
    require_idle(connection)
    require_installed(connection)
    found, _, _ = find_table(connection, table, schema)
    narrow = narrow_of(connection, found, code_column)
    holder = narrow.table if narrow else found
    with (
        sole_worker(connection, holder.oid, holder.title),
        progress_bar(0, "lock", progress, "attempts") as advance,
    ):
        if narrow is not None or _is_lost(connection, found, code_column):
            changed(
                connection,
                lambda: _drop_beside(connection, holder, narrow),
                holder.lock("ACCESS EXCLUSIVE"),
                advance,
            )
            return
        entry = require_entry(connection, found.oid, found.title, code_column)
        # by its number: names may be switched while the lock is waited for
        dropping = statement("drop_column", column_id=entry.id)
        changed(
            connection,
            lambda: connection.execute(dropping),
            None if entry.vector_column is None else found.lock("ACCESS EXCLUSIVE"),
            advance,
        )


def _is_lost(connection: Connection, table: Relation, code_column: str) -> bool:
    """Whether a table has no such column, and a trigger for a table of codes that was dropped."""
    entry = find_entry(connection, table.oid, code_column)
    return entry is None and has_lost_triggers(connection, table)


def _drop_beside(connection: Connection, table: Relation, narrow: NarrowTable | None) -> None:
    with refused_as(TableError, psycopg.errors.DependentObjectsStillExist):
        if narrow is not None:
            drop_narrow(connection, narrow)
        drop_lost(connection, table)
