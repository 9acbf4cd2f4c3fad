"""Through pgbouncer in transaction mode: what needs no session of its own."""

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

from bitryoshka.postgres import attach, search_column
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
            assert found.keys == expected.keys
            np.testing.assert_array_equal(found.scores, expected.scores)
        row = [1000 + i, str(vectors[1 + i % 9].tolist())]
        one.execute("INSERT INTO items (id, embedding) VALUES (%s, %s)", row)
    assert len({pid for pair in seen for pid in pair}) == 2
    assert check_codes(installed) == 200
