"""A real Postgres for the tests that ask for one, and a fresh database for each of them.

BITRYOSHKA_TEST_DSN names a server to use (the role needs superuser rights: tests make databases
and roles); BITRYOSHKA_TEST_CONTAINERS=1 starts one in a container; otherwise the embedded one
runs, in the version that PGSERVER_POSTGRES_VERSION names (18 or 16). A server that cannot be had
is an error of every test that needs it.

Temporary files lie in memory where there is room, unless TMPDIR is set: a database is copied for
each test, in hundreds of files.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from bitryoshka.postgres.server import Connection

IN_MEMORY = "/dev/shm"

if (
    "TMPDIR" not in os.environ
    and os.access(IN_MEMORY, os.W_OK)
    and shutil.disk_usage(IN_MEMORY).free > 4 * 2**30
):
    os.environ["TMPDIR"] = IN_MEMORY
    tempfile.tempdir = None


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    """The server: DSN of a database that tests leave alone."""
    if address := os.environ.get("BITRYOSHKA_TEST_DSN"):
        yield address
    elif os.environ.get("BITRYOSHKA_TEST_CONTAINERS"):
        from testcontainers.community.postgres import PostgresContainer

        with PostgresContainer("pgvector/pgvector:pg18", driver=None) as container:
            yield container.get_connection_url()
    else:
        from bitryoshka.postgres import connect, embedded_server

        # not in pytest's own folder: the name of a Unix socket has at most 107 bytes
        with (
            tempfile.TemporaryDirectory(prefix="bitryoshka-") as directory,
            embedded_server(directory) as address,
        ):
            with connect(address) as connection:
                # which of its servers the wheel runs
                major = connection.info.server_version // 1_00_00
                assert os.environ.get("PGSERVER_POSTGRES_VERSION", "18") == str(major)
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
            yield address


@contextmanager
def fresh_database(dsn: str, template: str) -> Iterator[str]:
    from psycopg import sql
    from psycopg.conninfo import make_conninfo

    from bitryoshka.postgres import connect

    name = f"bitryoshka_test_{uuid4().hex[:12]}"
    parts = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    with connect(dsn) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**parts))
        try:
            yield make_conninfo(dsn, dbname=name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**parts))


@pytest.fixture(scope="session")
def template(dsn: str) -> Iterator[str]:
    """Name of a database with pgvector that nobody is connected to."""
    from bitryoshka.postgres import connect, prepare_database

    with fresh_database(dsn, "template0") as address:
        with connect(address) as connection:
            prepare_database(connection)
            name = connection.info.dbname
        yield name


@pytest.fixture
def database(dsn: str, template: str) -> Iterator[str]:
    """DSN of a database with pgvector, for this test alone."""
    with fresh_database(dsn, template) as address:
        yield address


@pytest.fixture
def bare_database(dsn: str) -> Iterator[str]:
    """DSN of a database without pgvector, for this test alone."""
    with fresh_database(dsn, "template0") as address:
        yield address


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """An autocommit connection to `database`."""
    from bitryoshka.postgres import connect

    with connect(database) as opened:
        yield opened


@pytest.fixture
def another_connection(database: str) -> Iterator[Callable[[], Connection]]:
    """Open further connections to `database`; they are closed with the test."""
    from bitryoshka.postgres import connect

    with ExitStack() as stack:
        yield lambda: stack.enter_context(connect(database))


@pytest.fixture(scope="session")
def installed_template(dsn: str, template: str) -> Iterator[str]:
    """Name of a database with schema bitryoshka that nobody is connected to."""
    from bitryoshka.postgres import connect, install

    with fresh_database(dsn, template) as address:
        with connect(address) as connection:
            install(connection)
            name = connection.info.dbname
        yield name


@pytest.fixture
def installed_database(dsn: str, installed_template: str) -> Iterator[str]:
    """DSN of a database with schema bitryoshka, for this test alone."""
    with fresh_database(dsn, installed_template) as address:
        yield address


@pytest.fixture
def installed(installed_database: str) -> Iterator[Connection]:
    """An autocommit connection to `installed_database`."""
    from bitryoshka.postgres import connect

    with connect(installed_database) as opened:
        yield opened


@pytest.fixture(scope="session")
def contrib_dsn() -> Iterator[str]:
    """A second server, with the contrib modules: DSN of a database that tests leave alone."""
    from servers import contrib_server

    with contrib_server() as address:
        yield address


@pytest.fixture
def contrib(contrib_dsn: str) -> Iterator[Connection]:
    """An autocommit connection to a database of the second server, without extensions."""
    from bitryoshka.postgres import connect

    with fresh_database(contrib_dsn, "template0") as address, connect(address) as opened:
        yield opened


@pytest.fixture(scope="session")
def pooler(dsn: str) -> Iterator[str]:
    """The server through pgbouncer in transaction mode: name a database in this DSN."""
    from servers import transaction_pooler

    with transaction_pooler(dsn) as address:
        yield address
