"""Tables that are published: subscribers must have the column before the publisher."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator

import pytest
from attached_rows import LABEL, check_codes, make_table, registered
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from synthetic import integer_rows

from bitryoshka import TableError
from bitryoshka.postgres import attach, connect, embedded_server, install
from bitryoshka.postgres.server import Connection

REFUSED = (
    r"public.items is published by (changes|all_tables|schemas|rows|more), whose subscribers stop "
    r"at a column that they lack: On each subscriber first: ALTER TABLE public.items ADD COLUMN "
    r"code bit\(88\); then say published"
)


def publish(connection: Connection, statement: str) -> None:
    """Create a publication; without logical decoding the server only warns."""
    connection.execute("SET client_min_messages = error")
    connection.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE PUBLICATION changes FOR TABLE items",
        "CREATE PUBLICATION all_tables FOR ALL TABLES",
        "CREATE PUBLICATION schemas FOR TABLES IN SCHEMA public",
        "CREATE PUBLICATION rows FOR TABLE items WHERE (id > 3)",
        "CREATE PUBLICATION few FOR TABLE items (id); CREATE PUBLICATION more FOR TABLE items",
    ],
)
def test_a_published_table_is_refused(installed: Connection, statement: str) -> None:
    if "SCHEMA" in statement or "(" in statement:
        assert installed.info.server_version >= 15_00_00
    registered(installed)
    make_table(installed)
    publish(installed, statement)
    with pytest.raises(TableError, match=REFUSED):
        attach(installed, "items", "embedding", LABEL)
    assert "code" not in columns(installed)
    found = attach(installed, "items", "embedding", LABEL, published=True)
    assert found.filled == 180


def test_a_column_that_is_not_published_is_no_matter(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    publish(installed, "CREATE PUBLICATION few FOR TABLE items (id, title, embedding)")
    assert attach(installed, "items", "embedding", LABEL).filled == 180


@pytest.mark.parametrize("root", [False, True])
def test_partitions_are_looked_at(installed: Connection, root: bool) -> None:
    registered(installed)
    make_table(installed, rows=0, columns="id bigint PRIMARY KEY", suffix="PARTITION BY RANGE (id)")
    installed.execute("CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (10)")
    publish(
        installed,
        f"CREATE PUBLICATION changes FOR TABLE {'items' if root else 'low'} "
        f"WITH (publish_via_partition_root = {root})",
    )
    with pytest.raises(TableError, match=REFUSED):
        attach(installed, "items", "embedding", LABEL)


def columns(connection: Connection) -> list[str]:
    return [
        name
        for (name,) in connection.execute(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = 'items'::regclass "
            "AND attnum > 0 AND NOT attisdropped"
        ).fetchall()
    ]


@pytest.fixture(scope="module")
def logical() -> Iterator[str]:
    """A server that decodes its log, which takes a restart; its DSN."""
    with tempfile.TemporaryDirectory(prefix="bitryoshka-") as directory:
        with embedded_server(directory) as address, connect(address) as connection:
            connection.execute("ALTER SYSTEM SET wal_level = logical")
            connection.execute("ALTER SYSTEM SET fsync = off")
        with embedded_server(directory) as address:
            yield address


def test_codes_reach_a_subscriber(logical: str) -> None:
    """The column is added there first; its codes come from here, and no trigger is needed there."""
    with connect(logical) as connection:
        for name in ("here", "there"):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with (
        connect(make_conninfo(logical, dbname="here")) as here,
        connect(make_conninfo(logical, dbname="there")) as there,
    ):
        install(here)
        registered(here)
        make_table(here, rows=50)
        there.execute("CREATE EXTENSION vector")
        make_table(there, rows=0)
        here.execute("CREATE PUBLICATION changes FOR TABLE items")
        here.execute("SELECT pg_create_logical_replication_slot('slot', 'pgoutput')")
        parts = conninfo_to_dict(logical)
        there.execute(
            sql.SQL(
                "CREATE SUBSCRIPTION changes CONNECTION {} PUBLICATION changes "
                "WITH (create_slot = false, slot_name = 'slot')"
            ).format(sql.Literal(make_conninfo(**{**parts, "dbname": "here"})))
        )
        try:
            wait_for(there, "SELECT count(*) FROM items", 50)
            with pytest.raises(TableError, match=REFUSED):
                attach(here, "items", "embedding", LABEL)
            there.execute("ALTER TABLE items ADD COLUMN code bit(88)")
            attach(here, "items", "embedding", LABEL, published=True)
            here.execute(
                "INSERT INTO items (id, embedding) VALUES (900, %s)",
                [str(integer_rows(5, 1)[0].tolist())],
            )
            wait_for(there, "SELECT count(code) FROM items", 46)
            assert check_codes(there) == 46
        finally:
            there.execute("DROP SUBSCRIPTION changes")


def wait_for(connection: Connection, query: str, expected: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if connection.execute(query.encode()).fetchall() == [(expected,)]:
            return
        time.sleep(0.1)
    raise AssertionError(f"{query}: {connection.execute(query.encode()).fetchall()}")
