"""Whether a connection has a server process of its own, and a second connection beside it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import tuple_row

from bitryoshka.errors import DatabaseError
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import statement

_TURNS = 10


def connect_beside(connection: Connection) -> Connection:
    """One more connection to the same database, in autocommit mode."""
    parameters: dict[str, Any] = dict(connection.info.get_parameters())
    password = connection.info.password or None
    return psycopg.connect(autocommit=True, password=password, **parameters)


def require_own_session(connection: Connection) -> None:
    """Raise DatabaseError where a pooler hands the server process on between transactions.

    Locks, settings and temporary tables would stay with a process that others get next. A process
    of another number than the connection's says that something is in between; two connections
    that are used in turns say what: each keeps its own, or they share.
    """
    if _process(connection) == connection.info.backend_pid:
        return
    own: set[int] = set()
    others: set[int] = set()
    with connect_beside(connection) as other:
        for _ in range(_TURNS):
            own.add(_process(connection))
            others.add(_process(other))
    if len(own) > 1 or own & others:
        raise DatabaseError(
            "this connection goes through a pooler that gives its server process to others between "
            "transactions, and attach, repair and detach need one of their own: connect to the "
            "server itself, or to the pooler's port for sessions. Nothing was changed"
        )


def _process(connection: Connection) -> int:
    # a prepared statement would stay behind in a process of the pooler's
    with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
        [(found,)] = cursor.execute(statement("process_id"), prepare=False).fetchall()
    return int(found)
