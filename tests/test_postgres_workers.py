"""Sessions that begin at the same moment, and locks that strangers hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from attached_rows import BINARIZER, LABEL, make_table, registered
from conftest import fresh_database
from langchain_stores import Known, caller, open_store
from psycopg import sql
from psycopg.conninfo import make_conninfo
from synthetic import exact_binarizer, integer_rows

from bitryoshka import DatabaseError
from bitryoshka.postgres import (
    attach,
    connect,
    create_table,
    detach,
    install,
    list_codecs,
    prepare_database,
    register,
)
from bitryoshka.postgres.server import Connection

WORKERS = 4
ROUNDS = 4


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """What the workers give who all begin at the same moment; the first error is raised."""
    barrier = threading.Barrier(WORKERS)

    def run(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(run, range(WORKERS)))


@pytest.mark.parametrize("use", ["install", "prepare_database", "create_table", "register"])
def test_workers_that_start_at_once_all_succeed(dsn: str, use: str) -> None:
    calls: dict[str, Callable[[Connection], Any]] = {
        "install": install,
        "prepare_database": prepare_database,
        "create_table": lambda c: create_table(c, "items", BINARIZER, "vector"),
        "register": lambda c: (install(c), register(c, "docs", BINARIZER)),
    }
    for _ in range(ROUNDS):
        with fresh_database(dsn, "template0") as address:
            connections = [connect(address) for _ in range(WORKERS)]
            try:
                found = at_once(lambda number: calls[use](connections[number]))  # noqa: B023
            finally:
                for connection in connections:
                    connection.close()
        assert found == found[:1] * WORKERS


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_stores_that_are_made_at_once_all_succeed(dsn: str, driver: str) -> None:
    for _ in range(ROUNDS):
        with fresh_database(dsn, "template0") as address:
            stores = [
                open_store(address, Known(integer_rows(0, 8)), BINARIZER, driver)
                for _ in range(WORKERS)
            ]
            at_once(lambda number: caller(driver)(stores[number].create_table))  # noqa: B023


@pytest.fixture
def stranger(installed: Connection, installed_database: str) -> Iterator[Connection]:
    """A session of a role that may do nothing but connect."""
    name = f"bitryoshka_test_{uuid4().hex[:12]}"
    role = sql.Identifier(name)
    installed.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'stranger'").format(role))
    with connect(make_conninfo(installed_database, user=name, password="stranger")) as connection:
        yield connection
    installed.execute(sql.SQL("DROP ROLE {}").format(role))


def test_a_stranger_cannot_keep_codecs_from_being_registered(
    installed: Connection, stranger: Connection
) -> None:
    stranger.execute("SELECT pg_advisory_lock(hashtext('bitryoshka'), 1)")
    installed.execute("SET statement_timeout = '5s'")
    assert register(installed, "docs", BINARIZER).label == LABEL
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stranger.execute("BEGIN; LOCK TABLE bitryoshka.codecs IN ROW EXCLUSIVE MODE")


def test_codecs_that_are_registered_at_once_get_versions_of_their_own(
    installed: Connection, installed_database: str
) -> None:
    def work(number: int) -> int:
        with connect(installed_database) as connection:
            return register(connection, "docs", exact_binarizer(number)).version

    assert sorted(at_once(work)) == [1, 2, 3, 4]
    assert len(list_codecs(installed)) == WORKERS


def test_the_lock_of_an_attach_names_who_holds_it_and_no_stranger_can(
    installed: Connection, installed_database: str, stranger: Connection
) -> None:
    registered(installed)
    make_table(installed)
    lock = "SELECT pg_advisory_lock(hashtextextended('bitryoshka ' || 'items'::regclass::oid, %s))"
    for number in (0, 1, 2):
        stranger.execute(lock, [number])
    assert attach(installed, "items", "embedding", LABEL).filled == 180
    with connect(installed_database) as owner:
        owner.execute(lock, [3])
        holder = f"server process {owner.info.backend_pid}, role {owner.info.user}"
        with pytest.raises(DatabaseError, match=rf"another attach.* \({holder}\): wait"):
            detach(installed, "items")
    detach(installed, "items")
    [(held,)] = installed.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    ).fetchall()
    assert held == 0
