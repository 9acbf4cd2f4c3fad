"""docs/partitions.md on Citus: ``BITRYOSHKA_CITUS_DSN=... python -m pytest tests/citus_by_dsn.py``.

Not part of the suite, since no wheel brings Citus: it needs the nodes of docker-compose.citus.yml.
What can run on one server, test_partitions_page.py runs there. The page's table is dropped first,
and stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from test_partitions_page import check_searches, run_citus

from bitryoshka.postgres import connect
from bitryoshka.postgres.server import Connection


@pytest.fixture(scope="module")
def citus() -> Iterator[tuple[Connection, dict[str, Any]]]:
    """The coordinator, with the page's table on its shards, and the names of the page's Python."""
    with connect(os.environ["BITRYOSHKA_CITUS_DSN"]) as opened:
        opened.execute("DROP TABLE IF EXISTS notes")
        yield opened, run_citus(opened, distributed=True)


def test_searches_find_what_is_nearest(citus: tuple[Connection, dict[str, Any]]) -> None:
    check_searches(citus[1])


def test_both_workers_hold_shards(citus: tuple[Connection, dict[str, Any]]) -> None:
    found = citus[0].execute(
        "SELECT DISTINCT nodename FROM citus_shards WHERE table_name = 'notes'::regclass"
    )
    assert {name for (name,) in found} >= {"worker1", "worker2"}


def test_settings_reach_the_shards_and_their_indexes_are_used(
    citus: tuple[Connection, dict[str, Any]],
) -> None:
    connection = citus[0]
    with connection.transaction():
        connection.execute("SET LOCAL citus.propagate_set_commands = 'local'")
        connection.execute("SET LOCAL hnsw.ef_search = 77")
        connection.execute("SET LOCAL enable_seqscan = off")
        # of a row, so that the shards have to say it
        found = connection.execute(
            "SELECT DISTINCT current_setting(CASE WHEN id >= 0 THEN 'hnsw.ef_search' END) "
            "FROM notes"
        ).fetchall()
        plan = connection.execute(
            "EXPLAIN SELECT id FROM notes ORDER BY code <~> repeat('1', 192)::bit(192) LIMIT 100"
        ).fetchall()
    assert found == [("77",)]
    assert "Index Scan using notes_code" in str(plan)
