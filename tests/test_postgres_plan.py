"""How the server runs a search: its plan, its index, its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pytest
from psycopg import sql
from stored_rows import count, filled, ids_of
from synthetic import exact_binarizer, integer_rows

from bitryoshka.bits import hamming
from bitryoshka.postgres import CodeTable, SearchResult, create_index, search
from bitryoshka.postgres.server import Connection
from bitryoshka.search_parameters import Rescore

RESCORES: tuple[Rescore | None, ...] = (None, "asymmetric", "exact")
BINARIZER = exact_binarizer(3)
SAMPLE = {"bit": "0", "double precision": "1", "vector": str([1] * 16)}


@pytest.fixture
def table(connection: Connection) -> CodeTable:
    """1,000 rows, with sequential scans ruled out wherever an index can serve."""
    filled_table = filled(connection, BINARIZER, integer_rows(0, 1000), "vector")
    connection.execute("ANALYZE items")
    connection.execute("SET enable_seqscan = off")
    return filled_table


def plan(connection: Connection) -> str:
    """The plan of the statement that the last search ran, by the server's own record of it."""
    [(name, types)] = connection.execute(
        "SELECT name, parameter_types::text[] FROM pg_prepared_statements "
        "WHERE statement LIKE '%candidates AS MATERIALIZED%' AND statement NOT LIKE '%pg_prep%'"
    ).fetchall()
    query = sql.SQL("EXPLAIN (COSTS OFF) EXECUTE {}({})").format(
        sql.Identifier(name), sql.SQL(", ").join(SAMPLE[type_] for type_ in types)
    )
    return "\n".join(line for (line,) in connection.execute(query))


def index_scans(
    connection: Connection, names: Iterable[str], work: Callable[[], SearchResult]
) -> tuple[SearchResult, list[int]]:
    """What ``work`` finds, and how often it scans each index."""

    def scans() -> list[int]:
        query = "SELECT pg_stat_get_xact_numscans(%s::text::regclass)"
        return [row[0] for name in names for row in connection.execute(query, [name])]

    # within a transaction no count is handed on, and so none begins anew
    with connection.transaction():
        before = scans()
        found = work()
        return found, [after - was for was, after in zip(before, scans(), strict=True)]


@pytest.mark.parametrize("rescore", RESCORES)
@pytest.mark.parametrize("bits", [8, 16, 24])
def test_a_search_uses_the_index_on_its_prefix(
    connection: Connection, table: CodeTable, rescore: Rescore | None, bits: int
) -> None:
    names = {length: create_index(connection, table, length) for length in (8, 16, 24)}
    connection.prepare_threshold = 0

    def once() -> SearchResult:
        return search(
            connection, table, BINARIZER, integer_rows(1, 3), prefix_bits=bits, rescore=rescore
        )

    once()
    found = plan(connection)
    assert f"Index Scan using {names[bits]} on items" in found
    assert f"FROM 1 FOR {bits})" in found.partition("Order By: ")[2]
    assert "Seq Scan" not in found
    _, scans = index_scans(connection, names.values(), once)
    assert scans == [3 * (length == bits) for length in names]


@pytest.mark.parametrize("rescore", RESCORES)
def test_an_index_on_another_prefix_is_left_alone(
    connection: Connection, table: CodeTable, rescore: Rescore | None
) -> None:
    create_index(connection, table, 8)
    connection.prepare_threshold = 0
    search(connection, table, BINARIZER, integer_rows(1, 3), prefix_bits=16, rescore=rescore)
    assert "Seq Scan on items" in plan(connection)
    assert "Index Scan" not in plan(connection)


def test_the_index_of_a_code_of_signs_alone_is_used(connection: Connection) -> None:
    binarizer = BINARIZER.truncate(BINARIZER.hamming_bits)
    table = filled(connection, binarizer, integer_rows(0, 1000))
    connection.execute("SET enable_seqscan = off")
    connection.prepare_threshold = 0
    create_index(connection, table)
    search(connection, table, binarizer, integer_rows(1, 3))
    assert "Order By: (code <~>" in plan(connection)


@pytest.mark.parametrize("rescore", RESCORES)
def test_the_index_finds_what_the_scan_finds(
    connection: Connection, table: CodeTable, rescore: Rescore | None
) -> None:
    queries = integer_rows(1, 20)

    # all rows are candidates, so that no tie is left to chance
    def work() -> SearchResult:
        return search(connection, table, BINARIZER, queries, candidates=1000, rescore=rescore)

    by_scan = work()
    name = create_index(connection, table, BINARIZER.hamming_bits)
    by_index, scans = index_scans(connection, [name], work)
    assert scans == [len(queries)]
    np.testing.assert_array_equal(by_index.ids, by_scan.ids)
    np.testing.assert_array_equal(by_index.scores, by_scan.scores)


def test_a_shortlist_by_index_is_almost_exact(connection: Connection, table: CodeTable) -> None:
    vectors, queries = integer_rows(0, 1000), integer_rows(1, 20)
    create_index(connection, table, BINARIZER.hamming_bits)
    found = search(connection, table, BINARIZER, queries, 50, rescore=None)
    codes = BINARIZER.encode(vectors, BINARIZER.hamming_bits)
    nearest = np.sort(hamming(BINARIZER.encode_queries(queries), codes), axis=1)[:, :50]
    distances = (1 - np.array(found.scores)) * BINARIZER.hamming_bits / 2
    assert (np.round(distances) >= nearest).all()
    assert (np.round(distances) == nearest).mean() > 0.9


def test_an_index_scan_goes_on_beyond_what_pgvector_scans_by_default(
    connection: Connection,
) -> None:
    rows, candidates = 28_000, 25_000
    table = filled(connection, BINARIZER, integer_rows(0, rows))
    name = create_index(connection, table, BINARIZER.hamming_bits, m=4, ef_construction=8)
    connection.execute("SET enable_seqscan = off")
    query = integer_rows(1, 1)
    for wanted in (1500, candidates):
        work = partial(search, connection, table, BINARIZER, query, wanted, candidates=wanted)
        found, scans = index_scans(connection, [name], work)
        assert scans == [1]
        assert len(set(found.ids[0])) == len(found.ids[0]) == wanted


def test_deleted_rows_are_not_found(connection: Connection, table: CodeTable) -> None:
    create_index(connection, table, BINARIZER.hamming_bits)
    connection.execute("DELETE FROM items WHERE id > %s", [int(ids_of(29))])
    assert count(connection, table) == 30
    found = search(connection, table, BINARIZER, integer_rows(1, 3), k=40)
    assert np.sort(found.ids, axis=1).tolist() == [ids_of(range(30)).tolist()] * 3


SETTINGS = (
    "hnsw.ef_search",
    "hnsw.iterative_scan",
    "hnsw.max_scan_tuples",
    "hnsw.scan_mem_multiplier",
)


def settings(connection: Connection) -> list[str]:
    return [
        connection.execute("SELECT current_setting(%s)", [name]).fetchall()[0][0]
        for name in SETTINGS
    ]


def test_settings_end_with_the_search(
    connection: Connection, table: CodeTable, another_connection: Callable[[], Connection]
) -> None:
    fresh = another_connection()
    search(fresh, table, BINARIZER, integer_rows(1, 2), candidates=500)
    assert settings(fresh) == ["40", "off", "20000", "1"]
    connection.execute("SET hnsw.ef_search = 77")
    search(connection, table, BINARIZER, integer_rows(1, 2), candidates=500)
    assert settings(connection) == ["77", "off", "20000", "1"]


def test_settings_end_with_the_search_inside_the_callers_transaction(
    connection: Connection, table: CodeTable
) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL hnsw.ef_search = 77")
        connection.execute("DELETE FROM items WHERE id = %s", [int(ids_of(0))])
        search(connection, table, BINARIZER, integer_rows(1, 2), candidates=500)
        assert settings(connection) == ["77", "off", "20000", "1"]
    assert settings(connection) == ["40", "off", "20000", "1"]
    assert count(connection, table) == 999


def test_settings_end_with_a_search_that_fails(connection: Connection, table: CodeTable) -> None:
    with connection.transaction():
        connection.execute("ALTER TABLE items RENAME COLUMN code TO was_code")
        with pytest.raises(Exception, match='column "code" does not exist'):
            search(connection, table, BINARIZER, integer_rows(1, 2))
        assert settings(connection) == ["40", "off", "20000", "1"]


def test_a_search_leaves_no_transaction_open(
    table: CodeTable, another_connection: Callable[[], Connection]
) -> None:
    connection = another_connection()
    connection.autocommit = False
    search(connection, table, BINARIZER, integer_rows(1, 2))
    assert connection.info.transaction_status == 0
    assert settings(connection) == ["40", "off", "20000", "1"]
