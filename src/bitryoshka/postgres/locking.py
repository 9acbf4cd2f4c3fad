"""Locks of tables that are in use: waited for so briefly that nobody else waits long."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeVar

import psycopg
from psycopg import sql

from bitryoshka.errors import DatabaseError
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement

T = TypeVar("T")
Mode = Literal["ACCESS EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE"]
Advance = Callable[..., None]

PATIENCE = 60.0
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_MAINTENANCE = "SHARE UPDATE EXCLUSIVE"
# the modes that each conflicts with, as pg_locks names them
_CONFLICTS = {
    "ACCESS EXCLUSIVE": "Lock$",
    "SHARE": "^(RowExclusive|ShareUpdate|ShareRow|Exclusive|AccessExclusive)",
    "SHARE ROW EXCLUSIVE": "^(RowExclusive|Share|Exclusive|AccessExclusive)",
}
_LOST = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


class TableLock(NamedTuple):
    """A lock of a table and of all its partitions."""

    oid: int
    table: sql.Identifier
    mode: Mode


def changed(
    connection: Connection,
    change: Callable[[], object],
    lock: TableLock | None,
    advance: Advance | None = None,
) -> None:
    """Run changes in one short transaction, which takes ``lock`` before anything else.

    Whoever comes while a lock is waited for waits as well: an attempt waits 100 ms for each, and
    pauses that grow lie between attempts. ``advance`` is told who is waited for. Raises
    DatabaseError, which names them, where they are still there after a minute.
    """
    found = ""
    for _ in _attempts(_FIRST_PAUSE):
        try:
            with connection.transaction():
                if lock is not None:
                    _take(connection, lock)
                fetch(connection, statement("lock_timeout"))
                change()
            return
        except (psycopg.errors.LockNotAvailable, *_LOST) as error:
            found = str(error).splitlines()[0] if lock is None else _holders(connection, lock)
        if advance is not None:
            advance(f"waiting for {found}")
    raise DatabaseError(
        f"the table stays locked by another session: {found}; end its transaction, or try again "
        "when the table is less busy"
    )


def retried(work: Callable[[], T]) -> T:
    """Do ``work``, a transaction, anew where it has lost against those of others.

    Raises DatabaseError where it goes on losing for a minute.
    """
    for _ in _attempts(_FIRST_PAUSE / 10):
        try:
            return work()
        except _LOST as error:
            found = str(error).splitlines()[0]
    raise DatabaseError(
        f"other sessions' changes are in the way: {found}; run the same call again when the table "
        "is less busy, it goes on from here"
    )


def _attempts(pause: float) -> Iterator[None]:
    """Attempts with pauses between them, in seconds, that grow; ends when patience does."""
    end = time.monotonic() + PATIENCE
    yield
    while time.monotonic() < end:
        # those who came at the same moment do not come back at the same moment
        time.sleep(pause * random.SystemRandom().uniform(0.5, 1.5))
        pause = min(1.5 * pause, _LONGEST_PAUSE)
        yield


def _take(connection: Connection, lock: TableLock) -> None:
    """Parent before partitions, as all who read and write lock them: no deadlock with those."""
    for timeout, mode in (("maintenance_timeout", _MAINTENANCE), ("lock_timeout", lock.mode)):
        fetch(connection, statement(timeout))
        connection.execute(statement("lock_table", table=lock.table, mode=sql.SQL(mode)))


def row_holders(connection: Connection, oid: int) -> str:
    """Who may hold rows of a table, for messages."""
    return _sessions(connection, oid, "^Row(Share|Exclusive)")


def _holders(connection: Connection, lock: TableLock) -> str:
    return _sessions(connection, lock.oid, _CONFLICTS[lock.mode])


def _sessions(connection: Connection, oid: int, modes: str) -> str:
    found = fetch(connection, statement("lock_holders", oid=oid, modes=sql.Literal(modes)))
    named = [
        "a prepared transaction" if pid is None else f"server process {pid} ({about})"
        for pid, about in found
    ]
    return ", ".join(named) or "sessions that are gone by now"
