"""Take a codec away from a table that is in use."""

from __future__ import annotations

from bitryoshka.postgres.columns import require_entry, require_idle, sole_worker
from bitryoshka.postgres.installation import require_installed
from bitryoshka.postgres.locking import changed
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import statement
from bitryoshka.postgres.target import find_table
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

    Of a column that was adopted, the entry alone. Raises TableError where no codec is attached to
    the column, and DatabaseError where other sessions hold the table for a minute.
    """
    require_idle(connection)
    require_installed(connection)
    found, _, _ = find_table(connection, table, schema)
    with (
        sole_worker(connection, found.oid, found.title),
        progress_bar(0, "lock", progress, "attempts") as advance,
    ):
        entry = require_entry(connection, found.oid, found.title, code_column)
        # by its number: names may be switched while the lock is waited for
        dropping = statement("drop_column", column_id=entry.id)
        changed(
            connection,
            lambda: connection.execute(dropping),
            None if entry.vector_column is None else found.lock("ACCESS EXCLUSIVE"),
            advance,
        )
