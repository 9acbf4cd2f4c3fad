"""Kills, restarts, rivals and full disks during an attach: every row is right in the end."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from attached_rows import (
    BINARIZER,
    LABEL,
    check_codes,
    make_table,
    registered,
    stopped_in_the_fourth_batch,
    writers_at_work,
)
from psycopg import sql

from bitryoshka import DatabaseError
from bitryoshka.postgres import attach, connect, detach, embedded_server, install, status
from bitryoshka.postgres.attachment import Attached
from bitryoshka.postgres.server import Connection

KILLS = 20
ATTACH = f"""
import sys
from bitryoshka.postgres import attach, connect
with connect(sys.argv[1]) as connection:
    print("begun", flush=True)
    attach(connection, "items", "embedding", "{LABEL}", batch_rows=int(sys.argv[2]),
           in_database=sys.argv[3] == "database")
"""


def go_on(connection: Connection, **options: Any) -> Attached:
    """Attach once the server has noticed that the killed client is gone."""
    for _ in range(100):
        try:
            return attach(connection, "items", "embedding", LABEL, **options)
        except DatabaseError as error:
            if "another attach" not in str(error):
                raise
            time.sleep(0.1)
    raise AssertionError("the lock of a killed attach was never released")


@pytest.mark.parametrize("mode", ["numpy", "database"])
def test_killed_at_random_points_every_row_is_right(
    installed: Connection, installed_database: str, mode: str
) -> None:
    registered(installed)
    make_table(installed, rows=4000)
    chance, kills, stages = random.Random(mode), 0, set()
    while kills < KILLS // 2 or "between" not in stages:
        child = subprocess.Popen(
            [sys.executable, "-c", ATTACH, installed_database, "40", mode],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        # until the batches have been struck once, later and later: a busy machine is slow to begin
        mean = 0.25 if "between" in stages else 0.25 * (1 + kills)
        time.sleep(chance.expovariate(1 / mean))
        child.kill()
        _, errors = child.communicate()
        if child.returncode == -signal.SIGKILL:
            kills += 1
        elif child.returncode == 0:
            detach(installed, "items")
        else:
            assert b"another attach" in errors
        stages.add(stage(installed))
    assert go_on(installed, in_database=mode == "database").verification.good
    assert check_codes(installed) == 3600


def stage(connection: Connection) -> str:
    """Where a kill has struck."""
    found = connection.execute("SELECT last_key FROM bitryoshka.backfill").fetchall()
    return "between" if found else "before or after"


def test_what_was_done_before_a_kill_is_not_done_again(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=100)
    with stopped_in_the_fourth_batch():
        attach(installed, "items", "embedding", LABEL, batch_rows=10)
    assert status(installed, "items").counts.missing == 90 - 27
    assert installed.execute("SELECT last_key, rows FROM bitryoshka.backfill").fetchall() == [
        (["29"], 27)
    ]
    assert attach(installed, "items", "embedding", LABEL, batch_rows=10).filled == 63
    assert check_codes(installed) == 90


def test_beside_writers_that_insert_update_and_delete(
    installed: Connection, installed_database: str
) -> None:
    registered(installed)
    make_table(installed, rows=6000)
    with writers_at_work(installed_database, 6000):
        assert attach(installed, "items", "embedding", LABEL, batch_rows=100).filled > 1000
        assert attach(installed, "items", "embedding", LABEL, batch_rows=100).filled == 0
    assert check_codes(installed) > 1000


def test_a_row_that_another_session_holds_is_filled_later(
    installed: Connection, installed_database: str
) -> None:
    registered(installed)
    make_table(installed, rows=50)
    attach(installed, "items", "embedding", LABEL)
    installed.execute("ALTER TABLE items DISABLE TRIGGER USER; UPDATE items SET code = NULL")
    installed.execute("ALTER TABLE items ENABLE TRIGGER USER")
    with connect(installed_database) as other:
        other.execute("BEGIN; UPDATE items SET title = 'held' WHERE id = 7")
        timer = threading.Timer(0.6, lambda: other.execute("COMMIT"))
        timer.start()
        assert attach(installed, "items", "embedding", LABEL, batch_rows=10).filled == 45
        timer.join()
    assert check_codes(installed) == 45


def test_a_row_that_is_held_for_ever_is_an_error_that_can_be_mended(
    installed: Connection, installed_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(installed)
    make_table(installed, rows=50)
    attach(installed, "items", "embedding", LABEL)
    installed.execute("ALTER TABLE items DISABLE TRIGGER USER; UPDATE items SET code = NULL")
    installed.execute("ALTER TABLE items ENABLE TRIGGER USER")
    monkeypatch.setattr("bitryoshka.postgres.backfilling._PASSES", 2)
    with connect(installed_database) as other:
        other.execute("BEGIN; UPDATE items SET title = 'held' WHERE id = 7")
        with pytest.raises(DatabaseError, match=r"rows of public\.items stay locked"):
            attach(installed, "items", "embedding", LABEL)
        other.execute("COMMIT")
    assert attach(installed, "items", "embedding", LABEL).filled == 1
    assert check_codes(installed) == 45


def test_an_index_build_that_was_cancelled_is_made_again(
    installed: Connection, installed_database: str
) -> None:
    registered(installed)
    make_table(installed, rows=50)
    attach(installed, "items", "embedding", LABEL, index=False)
    with connect(installed_database) as other:
        other.execute("BEGIN; UPDATE items SET title = 'x' WHERE id = 3")
        installed.execute("SET statement_timeout = '500ms'")
        with pytest.raises(DatabaseError, match=r"statement_timeout = 500ms .*: SET them to 0"):
            attach(installed, "items", "embedding", LABEL)
        installed.execute("RESET statement_timeout")
        other.execute("COMMIT")
    assert valid_indexes(installed) == [False]
    assert attach(installed, "items", "embedding", LABEL).verification.index_valid
    assert valid_indexes(installed) == [True]


def valid_indexes(connection: Connection) -> list[bool]:
    found = connection.execute(
        "SELECT indisvalid FROM pg_index WHERE indrelid = 'items'::regclass AND NOT indisprimary"
    )
    return [valid for (valid,) in found]


def test_a_lost_connection_is_an_error_and_the_rest_follows(
    installed: Connection, installed_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(installed)
    make_table(installed, rows=100)
    with connect(installed_database) as losing:
        pid = losing.info.backend_pid
        encode, calls = type(BINARIZER).encode, 0

        def encode_and_lose(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 3:
                installed.execute("SELECT pg_terminate_backend(%s)", [pid])
            return encode(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(type(BINARIZER), "encode", encode_and_lose)
            with pytest.raises(psycopg.OperationalError):
                attach(losing, "items", "embedding", LABEL, batch_rows=10)
    assert go_on(installed, batch_rows=10).filled == 90 - 18
    assert check_codes(installed) == 90


@pytest.fixture
def own_folder() -> Iterator[str]:
    """Where a server of the test's own keeps its data; sockets want a short path."""
    with tempfile.TemporaryDirectory(prefix="bitryoshka-") as folder:
        yield folder


def reconnected(address: str) -> Connection:
    for _ in range(100):
        try:
            connection = connect(address)
            connection.execute("SELECT 1")
        except (ConnectionError, psycopg.OperationalError):
            time.sleep(0.1)
        else:
            return connection
    raise AssertionError("the server did not come back")


def test_a_server_that_crashes_and_comes_back(
    own_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded_server(own_folder) as address:
        with connect(address) as connection:
            install(connection)
            registered(connection)
            make_table(connection, rows=300)
        encode, calls, losing = type(BINARIZER).encode, 0, connect(address)

        def encode_and_crash(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 5:
                # the server restarts and recovers when one of its processes is killed
                os.kill(losing.info.backend_pid, signal.SIGKILL)
            return encode(*arguments)

        with losing, monkeypatch.context() as patched:
            patched.setattr(type(BINARIZER), "encode", encode_and_crash)
            with pytest.raises(psycopg.OperationalError):
                attach(losing, "items", "embedding", LABEL, batch_rows=10)
        with reconnected(address) as connection:
            assert go_on(connection).filled == 270 - 36
            assert check_codes(connection) == 270


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """What is started within cannot make a file larger, as if the disk were full."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def test_a_full_disk_is_an_error_and_the_rest_follows_when_there_is_room(own_folder: str) -> None:
    with embedded_server(own_folder) as address, connect(address) as connection:
        install(connection)
        registered(connection)
        make_table(connection, rows=2400)
        connection.execute("ALTER TABLE items ADD filler text")
        connection.execute("ALTER TABLE items ALTER filler SET STORAGE PLAIN")
        connection.execute("UPDATE items SET filler = repeat('x', 7000)")
        connection.execute("VACUUM FULL items")
        [(size,)] = connection.execute("SELECT pg_relation_size('items')").fetchall()
        # more than a file of the write-ahead log, which no server can do without
        assert size > 17 * 2**20
    with (
        largest_file(size + 2**20),
        embedded_server(own_folder) as address,
        connect(address) as connection,
    ):
        with pytest.raises(psycopg.Error, match="could not extend file"):
            attach(connection, "items", "embedding", LABEL, batch_rows=50)
        missing = status(connection, "items").counts.missing
        assert 0 < missing < 2160
    with embedded_server(own_folder) as address, connect(address) as connection:
        assert go_on(connection).filled == missing
        assert check_codes(connection) == 2160


def test_a_role_that_does_not_own_the_table(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=20)
    role = sql.Identifier(f"bitryoshka_test_{os.getpid()}")
    installed.execute(sql.SQL("CREATE ROLE {}").format(role))
    try:
        installed.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE ON items TO {}").format(role))
        installed.execute(sql.SQL("SET ROLE {}").format(role))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            attach(installed, "items", "embedding", LABEL)
        installed.execute("RESET ROLE")
        assert installed.execute("SELECT count(*) FROM bitryoshka.columns").fetchall() == [(0,)]
        attach(installed, "items", "embedding", LABEL)
    finally:
        installed.execute("RESET ROLE")
        installed.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))
