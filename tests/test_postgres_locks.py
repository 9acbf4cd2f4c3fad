"""Beside sessions that use the table: they wait briefly, and lose nothing."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from attached_rows import LABEL, check_codes, make_table, registered
from pgvector import Vector
from synthetic import integer_rows

from bitryoshka import DatabaseError
from bitryoshka.postgres import attach, connect, detach, locking
from bitryoshka.postgres.server import Connection

Work = Callable[[Connection], object]


@contextmanager
def beside(dsn: str, *works: Work) -> Iterator[list[Exception]]:
    """Sessions that do their work over and over; gives what they failed with."""
    done, failures = threading.Event(), []

    def run(work: Work) -> None:
        with connect(dsn) as connection:
            while not done.is_set():
                try:
                    work(connection)
                except psycopg.Error as error:
                    failures.append(error)

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        done.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("use", ["attach", "detach"])
def test_readers_wait_briefly_while_another_session_holds_the_table(
    installed: Connection, installed_database: str, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    registered(installed)
    make_table(installed, rows=50)
    if use == "detach":
        attach(installed, "items", "embedding", LABEL)
    arguments = ["items", "embedding", LABEL] if use == "attach" else ["items"]
    call = partial(attach if use == "attach" else detach, installed, *arguments)
    waits: list[float] = []

    def read(connection: Connection) -> None:
        started = time.monotonic()
        connection.execute("SELECT count(*) FROM items")
        waits.append(time.monotonic() - started)
        time.sleep(0.01)

    monkeypatch.setattr(locking, "PATIENCE", 4)
    with connect(installed_database) as holder, beside(installed_database, read) as failures:
        holder.execute("BEGIN; SELECT count(*) FROM items")
        began = time.monotonic()
        with pytest.raises(DatabaseError, match="stays locked by another session") as refused:
            call()
        took = time.monotonic() - began
        assert f"server process {holder.info.backend_pid} (role " in str(refused.value)
        assert "idle in transaction for " in str(refused.value)
    assert took < 20
    assert not failures
    assert sum(wait > 1 for wait in waits) == 0
    assert sum(wait for wait in waits if wait > 0.05) < 0.6 * took
    if use == "attach":
        assert installed.execute("SELECT FROM bitryoshka.columns").rowcount == 0
        assert attach(installed, "items", "embedding", LABEL).filled == 45
    assert check_codes(installed) == 45


def test_who_is_waited_for_is_shown(
    installed: Connection, installed_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    registered(installed)
    make_table(installed, rows=50)
    with connect(installed_database) as holder:
        holder.execute("BEGIN; SELECT count(*) FROM items")
        timer = threading.Timer(1.5, lambda: holder.execute("COMMIT"))
        timer.start()
        assert attach(installed, "items", "embedding", LABEL, progress=True).filled == 45
        timer.join()
        assert f"waiting for server process {holder.info.backend_pid}" in capsys.readouterr().err
        holder.execute("BEGIN; SELECT count(*) FROM items")
        timer = threading.Timer(1.5, lambda: holder.execute("COMMIT"))
        timer.start()
        detach(installed, "items", progress=True)
        timer.join()
        assert f"waiting for server process {holder.info.backend_pid}" in capsys.readouterr().err


def test_an_autovacuum_in_the_way_is_ended(
    installed: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(installed)
    make_table(installed, rows=1000)
    installed.execute(
        "ALTER TABLE items SET (autovacuum_vacuum_cost_delay = 100, "
        "autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_threshold = 0, "
        "autovacuum_vacuum_scale_factor = 0)"
    )
    installed.execute("UPDATE items SET title = repeat('x', 1900)")
    running = (
        "SELECT FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' "
        "AND datname = current_database() AND query LIKE '%public.items%'"
    )
    installed.execute("ALTER SYSTEM SET autovacuum_naptime = 1")
    installed.execute("SELECT pg_reload_conf()")
    try:
        for _ in range(300):
            if installed.execute(running).rowcount:
                break
            time.sleep(0.1)
        else:
            pytest.skip("no autovacuum came")
        monkeypatch.setattr(locking, "PATIENCE", 5)
        assert attach(installed, "items", "embedding", LABEL).filled == 900
    finally:
        installed.execute("ALTER SYSTEM RESET autovacuum_naptime")
        installed.execute("SELECT pg_reload_conf()")


PARTITIONS = 4
OWN_ROWS = 60


def make_partitions(connection: Connection) -> None:
    connection.execute(
        "CREATE TABLE items (part int, id bigint, embedding vector(16), PRIMARY KEY (part, id)) "
        "PARTITION BY LIST (part)"
    )
    # named against the order in which they were made
    for part in range(PARTITIONS):
        connection.execute(
            f"CREATE TABLE part_{PARTITIONS - part} PARTITION OF items FOR VALUES IN ({part})"  # type: ignore[arg-type]
        )
    vectors = integer_rows(0, 4 * OWN_ROWS)
    with connection.cursor() as cursor, cursor.copy("COPY items FROM STDIN") as copy:
        for id_, vector in enumerate(vectors):
            copy.write_row((id_ % PARTITIONS, id_, Vector(vector).to_text()))


def partition_writer(number: int) -> Work:
    """Writes rows that no other writer touches: what it loses it does not lose to those."""
    chance, vectors = random.Random(number), integer_rows(number, 50)

    def write(connection: Connection) -> None:
        first = number * OWN_ROWS
        with connection.transaction():
            for _ in range(3):
                id_ = first + chance.randrange(OWN_ROWS)
                values: dict[str, Any] = {
                    "id": id_,
                    "new": first + 1000 * chance.randrange(1, 100) + chance.randrange(OWN_ROWS),
                    "part": chance.randrange(PARTITIONS),
                    "vector": Vector(chance.choice(vectors)).to_text(),
                }
                connection.execute(
                    chance.choice(
                        [
                            "INSERT INTO items (part, id, embedding) "
                            "VALUES (%(part)s, %(new)s, %(vector)s::vector) ON CONFLICT DO NOTHING",
                            "UPDATE items SET part = %(part)s WHERE id = %(id)s",
                            "UPDATE items SET part = %(part)s, embedding = %(vector)s::vector "
                            "WHERE id = %(id)s",
                            "UPDATE items SET embedding = %(vector)s::vector WHERE id = %(id)s",
                        ]
                    ),
                    values,
                )

    return write


def test_writers_of_partitions_lose_nothing(installed: Connection, installed_database: str) -> None:
    registered(installed)
    make_partitions(installed)
    writers = [partition_writer(number) for number in range(4)]
    with beside(installed_database, *writers) as failures:
        for cycle in range(6):
            attach(installed, "items", "embedding", LABEL, batch_rows=20, index=cycle == 3)
            time.sleep(0.2)
            detach(installed, "items")
            assert not failures
    attach(installed, "items", "embedding", LABEL)
    assert check_codes(installed) > 4 * OWN_ROWS
