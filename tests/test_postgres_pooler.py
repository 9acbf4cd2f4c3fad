"""Through pgbouncer in transaction mode: what needs no session of its own, and what does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import psycopg
import pytest
from attached_rows import LABEL, check_codes, make_table, registered
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from synthetic import integer_rows

from bitryoshka import DatabaseError
from bitryoshka.postgres import attach, detach, repair, search_column, verify
from bitryoshka.postgres.server import Connection


@pytest.fixture
def client(pooler: str, installed_database: str) -> Iterator[Callable[[], Connection]]:
    """Connect to `installed_database` through the pooler, as psycopg's documentation has it."""
    name = conninfo_to_dict(installed_database)["dbname"]
    with ExitStack() as stack:
        yield lambda: stack.enter_context(
            psycopg.connect(
                make_conninfo(pooler, dbname=name), autocommit=True, prepare_threshold=None
            )
        )


def backend(connection: Connection) -> int:
    [(pid,)] = connection.execute("SELECT pg_backend_pid()").fetchall()
    return int(pid)


def test_searches_and_writes_of_two_clients_take_turns(
    installed: Connection, client: Callable[[], Connection]
) -> None:
    registered(installed)
    vectors = make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    query = integer_rows(7, 1)
    expected = search_column(installed, "items", query, where=sql.SQL("id < 150"))
    one, other = client(), client()
    seen = set()
    for i in range(20):
        with other.transaction():  # holds the session that `one` had last
            other.execute("SET LOCAL hnsw.ef_search = 1")
            seen.add((backend(other), backend(one)))
            found = search_column(one, "items", query, where=sql.SQL("id < 150"))
            assert found.ids == expected.ids
            np.testing.assert_array_equal(found.scores, expected.scores)
        row = [1000 + i, str(vectors[1 + i % 9].tolist())]
        one.execute("INSERT INTO items (id, embedding) VALUES (%s, %s)", row)
    assert len({pid for pair in seen for pid in pair}) == 2
    assert check_codes(installed) == 200


def test_what_needs_a_session_of_its_own_is_refused(
    installed: Connection, client: Callable[[], Connection]
) -> None:
    registered(installed)
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    pooled = client()
    for call in (
        lambda: attach(pooled, "items", "embedding", LABEL, code_column="other"),
        lambda: repair(pooled, "items"),
        lambda: detach(pooled, "items"),
    ):
        with pytest.raises(DatabaseError, match=r"through a pooler .* Nothing was changed"):
            call()
    # neither in this session nor in another of the pool is anything left
    assert installed.execute("SELECT FROM pg_locks WHERE locktype = 'advisory'").rowcount == 0
    assert pooled.execute("SHOW client_connection_check_interval").fetchall() == [("0",)]
    assert installed.execute("SELECT count(*) FROM bitryoshka.columns").fetchall() == [(1,)]
    assert verify(pooled, "items", full=True).good
    assert attach(installed, "items", "embedding", LABEL, code_column="other").filled == 180
