"""The benchmark of partitions, in the real server on a few made-up rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from benchmarks import partitions, readme
from benchmarks.partitions import FORMS, ONE, Table
from synthetic import clustered
from tests.conftest import fresh_database

from bitryoshka.evaluation import exact_topk
from bitryoshka.postgres import connect
from bitryoshka.postgres.server import Connection

TABLES = [ONE, Table("hash", 4), Table("list", 4)]
ROWS, QUERIES = 3000, 12
READ_ALL = {
    *("$2, another type", "the key cast", "array from $2"),
    *("array from a subquery", "containment"),
}


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return np.asarray(clustered(0, ROWS + QUERIES, partitions.BITS, 40), np.float32)


@pytest.fixture(scope="module")
def filled(dsn: str, template: str, vectors: np.ndarray) -> Iterator[Connection]:
    with fresh_database(dsn, template) as address, connect(address) as connection:
        partitions.prepare(connection, vectors[:ROWS], TABLES)
        yield connection


@pytest.fixture(scope="module")
def built(filled: Connection) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "LOW_MEMORY", "1MB")
        return partitions.builds(filled, TABLES)


def test_builds_say_when_memory_was_full(built: dict[str, Any]) -> None:
    low = built["1MB"]
    assert [len(low[t]["rows_before_memory_was_full"]) for t in ("one_1", "hash_4")] == [1, 0]
    assert 200 < built["graph_bytes_a_row"] < 1000
    assert built["512MB"]["hash_4"]["longest_processor_s"] < built["512MB"]["hash_4"]["processor_s"]
    assert not any(found["rows_before_memory_was_full"] for found in built["512MB"].values())


@pytest.mark.usefixtures("built")
def test_what_is_pruned(filled: Connection, vectors: np.ndarray) -> None:
    read = partitions.pruning(filled, TABLES[2], vectors[-1])
    assert {name for name, found in read.items() if found == {"custom": 4, "generic": 4}} == (
        READ_ALL
    )
    for name in {*FORMS} - READ_ALL:
        assert read[name]["custom"] == read[name]["generic"] in (1, 2)


def test_searches_of_every_table(
    filled: Connection, vectors: np.ndarray, built: dict[str, Any]
) -> None:
    rows, queries = vectors[:ROWS], vectors[ROWS:]
    truth = exact_topk(queries, rows, partitions.K).rows
    lists, recalls = partitions.choose(filled, TABLES, queries, truth)
    assert lists["one_1"] == partitions.CANDIDATES
    least = recalls["one_1"]["100"] - partitions.ENOUGH
    for name, ef in lists.items():
        assert ef == 100 or recalls[name][str(ef)] >= least
        assert all(r < least for other, r in recalls[name].items() if int(other) < ef)
    searches = partitions.measure(filled, TABLES, rows, queries, lists)
    for found in searches.values():
        assert found["exact"]["recall"] == found["search"]["recall"] > 0.9
        assert found["one tenant"]["recall"] > 0.9
    scanned = partitions.by_index(filled, TABLES, queries[0])
    assert {name: sum(found.values()) for name, found in scanned.items()} == {
        **{"one_1": 1, "hash_4": 4, "list_4": 4}
    }
    built = {"8MB": built["1MB"], "512MB": built["512MB"]}
    figures = {"searches": searches, "rows": ROWS, "lists": lists, "builds": built}
    table = readme.partitions_table(figures)
    assert table.startswith("| partitions | by |")
    assert "| 4 | list |" in table
    assert "| 4 | hash |" in readme.partition_builds_table(figures)
