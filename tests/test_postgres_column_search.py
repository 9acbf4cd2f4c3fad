"""The search over attached columns, in SQL and from Python, against NumPy."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import psycopg
import pytest
from attached_rows import LABEL, make_table, registered
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import sql
from synthetic import clustered

import bitryoshka
from bitryoshka import FingerprintError, SearchError, TableError, VectorsError
from bitryoshka.bits import hamming, prefix
from bitryoshka.postgres import (
    adopt,
    attach,
    connect,
    create_index,
    create_table,
    detach,
    load,
    search_column,
    search_column_async,
    verify,
)
from bitryoshka.postgres.server import Connection

ROWS, DIMENSIONS, PREFIX = 1500, 48, 32


class World:
    """Rows, queries, and what a binarizer says about them."""

    def __init__(self) -> None:
        self.rows, self.queries = clustered(0, ROWS), clustered(1, 12)
        self.binarizer = bitryoshka.fit(
            self.rows, bits=96, nested_bits=(32, 48, 96), hamming_bits=48, method="progressive"
        ).binarizer
        self.codes = self.binarizer.encode(self.rows)

    def near(self, among: NDArray[np.int64], candidates: int) -> list[set[int]]:
        """Rows that a shortlist of this size may hold: with all that tie with the last."""
        signs = self.binarizer.encode_queries(self.queries, PREFIX)
        distances = hamming(signs, prefix(self.codes[among], PREFIX))
        last = np.sort(distances, axis=1)[:, min(candidates, len(among)) - 1]
        return [set(among[row <= most].tolist()) for row, most in zip(distances, last, strict=True)]

    def exact(self) -> NDArray[np.float64]:
        """Cosine of each query with each row."""
        unit = self.rows / np.linalg.norm(self.rows, axis=1, keepdims=True)
        return self.queries @ unit.T / np.linalg.norm(self.queries, axis=1)[:, None]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture
def filled(installed: Connection, world: World) -> Connection:
    registered(installed, world.binarizer)
    make_table(installed, 0, columns="id bigint PRIMARY KEY, tenant int", vector_type="vector(48)")
    with installed.cursor() as cursor, cursor.copy("COPY items FROM STDIN") as copy:
        for i, row in enumerate(world.rows):
            copy.write_row((i, i % 50, Vector(row).to_text()))
    attach(installed, "items", "embedding", LABEL, prefix_bits=PREFIX, queries=0)
    installed.execute("ANALYZE items")
    return installed


def ids(found: Any) -> list[list[int]]:
    return found.ids  # type: ignore[no-any-return]


def test_exact_rescoring_of_all_rows_is_exact_search(filled: Connection, world: World) -> None:
    found = search_column(filled, "items", world.queries, candidates=ROWS, rescore="exact")
    scores = world.exact()
    assert ids(found) == np.argsort(-scores, axis=1)[:, :10].tolist()
    expected = -np.sort(-scores, axis=1)[:, :10]
    np.testing.assert_allclose(np.array(found.scores), expected, atol=1e-5)


def test_the_shortlist_is_the_nearest_by_hamming(filled: Connection, world: World) -> None:
    found = search_column(filled, "items", world.queries, k=40, candidates=40, rescore=None)
    near = world.near(np.arange(ROWS), 40)
    for row, allowed in zip(ids(found), near, strict=True):
        assert len(row) == 40
        assert len(set(row) & allowed) >= 38
    for scores in found.scores:
        assert (np.diff(scores) <= 0).all()


def test_the_funnel_finds_what_numpy_finds(filled: Connection, world: World) -> None:
    found = search_column(filled, "items", world.queries, k=10, candidates=ROWS)
    weights = world.binarizer.query_weights(world.queries)
    signs = np.unpackbits(world.codes, axis=1).astype(np.float32) * 2 - 1
    expected = np.argsort(-(weights @ signs.T), axis=1)[:, :10]
    shared = [len(set(a) & set(b)) for a, b in zip(ids(found), expected.tolist(), strict=True)]
    assert np.mean(shared) > 9.5


def test_a_shortlist_is_ranked_by_its_vectors(filled: Connection, world: World) -> None:
    near = ids(search_column(filled, "items", world.queries, 40, candidates=40, rescore=None))
    found = search_column(filled, "items", world.queries, 5, candidates=40, rescore="exact")
    for shortlist, exact, row in zip(near, world.exact(), ids(found), strict=True):
        assert row == sorted(shortlist, key=lambda id_: -exact[id_])[:5]


def test_three_stages_in_one(filled: Connection, world: World) -> None:
    found = search_column(
        filled, "items", world.queries, 5, candidates=400, rescore="exact", shortlist=60
    )
    best = np.argsort(-world.exact(), axis=1)[:, :5].tolist()
    shared = [len(set(a) & set(b)) for a, b in zip(ids(found), best, strict=True)]
    assert np.mean(shared) > 4.5


@pytest.mark.parametrize("index", [True, False])
def test_a_filtered_search_returns_k_rows_where_k_exist(
    filled: Connection, world: World, index: bool
) -> None:
    if index:
        filled.execute("SET enable_seqscan = off")
        filled.execute("SET enable_bitmapscan = off")
        filled.execute("SET enable_sort = off")
    where = sql.SQL("tenant = {} AND id > {}").format(7, 100)
    found = search_column(filled, "items", world.queries, k=25, candidates=28, where=where)
    for row in ids(found):
        assert len(row) == len(set(row)) == 25
        assert all(id_ % 50 == 7 and id_ > 100 for id_ in row)
    few = search_column(filled, "items", world.queries, where=sql.SQL("id IN (3, 1400)"))
    assert all(sorted(row) == [3, 1400] for row in ids(few))
    none = search_column(filled, "items", world.queries, where=sql.SQL("false"))
    assert ids(none) == [[]] * len(world.queries)


def test_a_value_in_the_filter_stays_a_value(filled: Connection, world: World) -> None:
    evil = "x'; DROP TABLE items; --"
    found = search_column(
        filled, "items", world.queries, where=sql.SQL("tenant::text <> {}").format(evil)
    )
    assert all(len(row) == 10 for row in ids(found))
    [(count,)] = filled.execute(
        "SELECT count(*) FROM bitryoshka.search(NULL::items, %s::vector, "
        "filter => 'tenant::text <> $2->>''evil''', filter_values => %s)",
        [Vector(world.queries[0]).to_text(), psycopg.types.json.Jsonb({"evil": evil})],
    ).fetchall()
    assert count == 10


def test_a_dollar_within_quotes_is_no_parameter(filled: Connection, world: World) -> None:
    where = sql.SQL("{} <> {} AND tenant::text <> {}").format("it's $2", "$2", "\\$2")
    assert ids(search_column(filled, "items", world.queries, where=where)) == ids(
        search_column(filled, "items", world.queries)
    )


def test_asynchronous_search_is_the_same(
    filled: Connection, installed_database: str, world: World
) -> None:
    async def search() -> Any:
        async with await psycopg.AsyncConnection.connect(installed_database) as connection:
            return await search_column_async(
                connection, "items", world.queries, k=7, where=sql.SQL("tenant < 40")
            )

    found = asyncio.run(search())
    expected = search_column(filled, "items", world.queries, k=7, where=sql.SQL("tenant < 40"))
    assert found.ids == expected.ids
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_settings_end_with_the_search_in_the_callers_transaction(
    filled: Connection, world: World
) -> None:
    names = ("hnsw.ef_search", "hnsw.iterative_scan", "hnsw.max_scan_tuples", "search_path")
    query = "SELECT array_agg(current_setting(n) ORDER BY n) FROM unnest(%s::text[]) AS n"
    with filled.transaction():
        filled.execute("SET LOCAL hnsw.ef_search = 77")
        filled.execute("DELETE FROM items WHERE id = 3")
        before = filled.execute(query, [list(names)]).fetchall()
        found = search_column(filled, "items", world.rows[3:4], k=10)
        assert filled.execute(query, [list(names)]).fetchall() == before
        assert 3 not in ids(found)[0]
    with filled.transaction(force_rollback=True), pytest.raises(psycopg.errors.UndefinedColumn):
        search_column(filled, "items", world.rows[3:4], where=sql.SQL("nothing = 3"))


def test_the_index_on_the_prefix_serves_the_statement(filled: Connection, world: World) -> None:
    [(text,)] = filled.execute(
        "SELECT bitryoshka.search_statement('items', "
        "candidates => 60, rescore => 'exact', shortlist => 30)"
    ).fetchall()
    filled.execute("SET enable_seqscan = off")
    filled.execute(f"PREPARE own (vector, jsonb) AS {text}".encode())
    plan = filled.execute(b"EXPLAIN EXECUTE own (NULL, NULL)").fetchall()
    assert "Index Scan using items_codes_1_32_hnsw" in str(plan)
    assert "Tid Scan" in str(plan)


def test_the_statement_can_be_owned(filled: Connection, world: World) -> None:
    """As it stands: with no setting of pgvector, and parameters whose types nobody names."""
    filled.execute("SET enable_seqscan = off")  # which would find more than the index
    query = sql.Literal(Vector(world.queries[0]).to_text())
    conditions = ("NULL", "'tenant = ($2->>''tenant'')::int'")
    for condition, values in zip(conditions, ("NULL", "'{\"tenant\": 7}'"), strict=True):
        for rescore in ("'asymmetric'", "'exact'", "NULL"):
            [(text,)] = filled.execute(
                "SELECT bitryoshka.search_statement('items', k => 25, candidates => 300, "
                f"rescore => {rescore}, filter => {condition})".encode()
            ).fetchall()
            filled.execute(f"PREPARE own AS {text}".encode())
            rows = filled.execute(
                sql.SQL("EXECUTE own ({}, {})").format(query, sql.SQL(values))
            ).fetchall()
            filled.execute("DEALLOCATE own")
            found = search_column(
                filled,
                "items",
                world.queries[:1],
                25,
                candidates=300,
                rescore=None if rescore == "NULL" else rescore.strip("'"),  # type: ignore[arg-type]
                where=None if condition == "NULL" else sql.SQL("tenant = 7"),
            )
            assert len(rows) == 25
            assert [score for _, score in rows] == found.scores[0].tolist()


def test_a_statement_of_ones_own_finds_all_that_it_asks_for(
    filled: Connection, world: World
) -> None:
    """Beyond the 40 rows of pgvector's list, and where the filter passes one row in 50."""
    filled.execute("SET enable_seqscan = off")
    filled.execute("SET enable_bitmapscan = off")
    for call, wanted in (
        ("k => 100", 100),
        ("k => 30, candidates => 30, filter => 'tenant = 7'", 30),
    ):
        [(text,)] = filled.execute(
            f"SELECT bitryoshka.search_statement('items', {call})".encode()
        ).fetchall()
        filled.execute(f"PREPARE own AS {text}".encode())
        query = sql.Literal(Vector(world.queries[0]).to_text())
        rows = filled.execute(sql.SQL("EXECUTE own ({}, NULL)").format(query)).fetchall()
        filled.execute("DEALLOCATE own")
        assert len(rows) == wanted


REFUSED = (
    (
        "SELECT bitryoshka.search(NULL::items, '[1]'::vector, filter_values => '{}')",
        "no filter that takes them",
    ),
    ("SELECT bitryoshka.search(NULL::items, '[1]'::vector, filter => ' ')", "the filter is empty"),
    (
        "SELECT bitryoshka.search(NULL::items, '[1]'::vector, filter => 'tenant = ($2->>0)::int')",
        "the filter takes values from .2, and filter_values is NULL",
    ),
    ("SELECT bitryoshka.search(NULL::text, '[1]'::vector)", "a table's rows, such as NULL::"),
    ("SELECT bitryoshka.search(NULL::other, '[1]'::vector)", "no codec is attached to column code"),
    ("SELECT bitryoshka.search(NULL::items, '[1]'::vector)", "expects 48 dimensions, found 1"),
    ("SELECT bitryoshka.search_statement('items', k => 0)", "expected 1 <= k"),
    ("SELECT bitryoshka.search_statement('items', k => 20, candidates => 10)", "expected 1 <= k"),
    ("SELECT bitryoshka.search_statement('items', rescore => 'no')", "rescore must be .* 'no'"),
    ("SELECT bitryoshka.search_statement('items', shortlist => 20)", "rescore => 'exact', found"),
    (
        "SELECT bitryoshka.search_statement('items', rescore => 'exact', shortlist => 5)",
        "expected 1 <= k",
    ),
    ("SELECT bitryoshka.search_statement('items', prefix_bits => 96)", "prefix_bits must be one"),
    ("SELECT bitryoshka.search_statement('items', prefix_bits => 40)", "prefix_bits must be one"),
)


@pytest.mark.parametrize(("statement", "message"), REFUSED)
def test_what_cannot_be_searched_is_named(filled: Connection, statement: str, message: str) -> None:
    filled.execute("CREATE TABLE other (id int)")
    with pytest.raises(psycopg.Error, match=message):
        filled.execute(statement.encode())


def test_what_python_refuses(filled: Connection, world: World) -> None:
    with pytest.raises(TableError, match=r"no table public\.nothing"):
        search_column(filled, "nothing", world.queries)
    with pytest.raises(VectorsError, match="queries must be finite"):
        search_column(filled, "items", np.full((1, 48), np.nan))
    with pytest.raises(SearchError, match=r"made with psycopg\.sql.* found 'id = 1'"):
        search_column(filled, "items", world.queries, where="id = 1")  # type: ignore[arg-type]
    assert filled.execute(
        "SELECT count(*) FROM bitryoshka.search(NULL::items, NULL)"
    ).fetchall() == [(0,)]


def test_another_schema_of_pgvector_and_no_path_to_it(bare_database: str, world: World) -> None:
    from bitryoshka.postgres import install

    with connect(bare_database) as connection:
        connection.execute("CREATE SCHEMA ext")
        connection.execute("CREATE EXTENSION vector SCHEMA ext")
        install(connection)
        registered(connection, world.binarizer)
        make_table(connection, 0, columns="id bigint PRIMARY KEY", vector_type="ext.vector(48)")
        with connection.cursor() as cursor, cursor.copy("COPY items FROM STDIN") as copy:
            for i, row in enumerate(world.rows[:100]):
                copy.write_row((i, Vector(row).to_text()))
        attach(connection, "items", "embedding", LABEL)
        connection.execute("SET search_path = pg_catalog")
        found = search_column(connection, "items", world.queries, k=100, rescore="exact")
    assert all(sorted(row) == list(range(100)) for row in ids(found))


def test_codes_alone_are_searched_without_any_float_column(
    installed: Connection, world: World
) -> None:
    registered(installed, world.binarizer)
    table = create_table(installed, "items", world.binarizer)
    load(installed, table, range(ROWS), world.codes)
    create_index(installed, table, PREFIX)
    adopt(installed, "items", LABEL, prefix_bits=PREFIX)
    found = search_column(installed, "items", world.queries, candidates=ROWS)
    weights = world.binarizer.query_weights(world.queries)
    signs = np.unpackbits(world.codes, axis=1).astype(np.float32) * 2 - 1
    expected = np.argsort(-(weights @ signs.T), axis=1)[:, :10].tolist()
    shared = [len(set(a) & set(b)) for a, b in zip(ids(found), expected, strict=True)]
    assert np.mean(shared) > 9.5
    with pytest.raises(SearchError, match="codes alone, found rescore"):
        search_column(installed, "items", world.queries, rescore="exact")
    with pytest.raises(TableError, match="is attached already"):
        adopt(installed, "items", LABEL)
    with pytest.raises(TableError, match="no vectors to check them by"):
        verify(installed, "items")
    detach(installed, "items")
    assert installed.execute("SELECT FROM items WHERE code IS NOT NULL").rowcount == ROWS


def test_codes_of_another_binarizer_are_not_adopted(installed: Connection, world: World) -> None:
    registered(installed, world.binarizer)
    other = bitryoshka.fit(
        world.rows, bits=96, nested_bits=(48, 96), hamming_bits=48, method="progressive", seed=5
    )
    create_table(installed, "items", other.binarizer)
    with pytest.raises(FingerprintError, match=other.binarizer.fingerprint):
        adopt(installed, "items", LABEL)
    installed.execute("CREATE TABLE wide (id bigint PRIMARY KEY, code bit(8))")
    with pytest.raises(TableError, match=r"must be bit\(96\) for docs@1, found bit\(8\)"):
        adopt(installed, "wide", LABEL)
    assert installed.execute("SELECT FROM bitryoshka.columns").rowcount == 0


@pytest.mark.parametrize("name", ["k", "candidates", "shortlist", "prefix_bits"])
@pytest.mark.parametrize("count", [None, 1.5, -1, 2**31, True])
def test_counts_that_are_none(installed: Connection, name: str, count: Any) -> None:
    if count is None and name in ("prefix_bits", "shortlist"):
        return
    with pytest.raises(SearchError, match=f"{name} must be .* found {count}"):
        search_column(installed, "items", np.ones((1, 4)), rescore="exact", **{name: count})
