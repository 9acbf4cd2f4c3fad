"""Search in Postgres against NumPy: every stage, and the whole funnel."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from stored_rows import (
    best_ids,
    filled,
    ids_of,
    integer_scores,
    on_server,
    shortlist,
)
from synthetic import clustered, exact_binarizer, integer_rows, signed_rows

from bitryoshka import (
    Binarizer,
    BitryoshkaError,
    FingerprintError,
    SearchError,
    TableError,
    VectorsError,
)
from bitryoshka.binarizer import Metric
from bitryoshka.bits import bit_text, hamming, largest_scores, pack, query_planes
from bitryoshka.evaluation import exact_topk, hamming_topk, recall_at_k, rescore
from bitryoshka.postgres import create_table, search, search_async
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.table import VectorType
from bitryoshka.search_parameters import Rescore
from bitryoshka.training.closed_form import Goal, progressive_codes
from bitryoshka.vectors import normalized

ROWS, QUERIES = 300, 6
RESCORES: tuple[Rescore | None, ...] = (None, "asymmetric", "exact")
WAYS: list[dict[str, Any]] = [
    *({"rescore": rescore} for rescore in RESCORES),
    {"rescore": "exact", "shortlist": 20, "prefix_bits": 16},
]
METRICS: tuple[Metric, ...] = ("inner_product", "cosine")


def rows_for(metric: Metric, seed: int, rows: int) -> NDArray[np.float32]:
    """Vectors for which float32 rounds nothing, see `exact_binarizer`."""
    return integer_rows(seed, rows) if metric == "inner_product" else signed_rows(seed, rows)


@on_server
@given(st.integers(1, 40).flatmap(lambda n: hnp.arrays(np.bool_, (2, 4, 8 * n))))
def test_the_servers_distance_is_ours(connection: Connection, bits: NDArray[np.bool_]) -> None:
    a, b = pack(bits[0]), pack(bits[1])
    found = connection.execute(
        "SELECT a::varbit <~> b::varbit FROM unnest(%s::text[]) WITH ORDINALITY AS x (a, i), "
        "unnest(%s::text[]) WITH ORDINALITY AS y (b, j) ORDER BY i, j",
        [list(map(bit_text, a)), list(map(bit_text, b))],
    ).fetchall()
    assert [distance for (distance,) in found] == hamming(a, b).ravel().tolist()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 10, 100])
def test_hamming_order_on_every_prefix(connection: Connection, metric: Metric, k: int) -> None:
    binarizer = exact_binarizer(3, metric)
    vectors, queries = rows_for(metric, 0, ROWS), rows_for(metric, 1, QUERIES)
    table = filled(connection, binarizer, vectors)
    prefixes = [bits for bits in binarizer.nested_bits if bits <= binarizer.hamming_bits]
    assert len(prefixes) > 1
    for bits in prefixes:
        codes = binarizer.encode(vectors)[:, : bits // 8]
        expected = hamming_topk(binarizer.encode_queries(queries, bits), codes, k)
        found = search(connection, table, binarizer, queries, k, prefix_bits=bits, rescore=None)
        np.testing.assert_allclose(found.scores, 1 + 2 * expected.scores / bits, atol=1e-6)
        # which of the rows that tie with the last candidate come along is open
        sure = expected.scores > expected.scores[:, -1:]
        np.testing.assert_array_equal(np.array(found.ids)[sure], ids_of(expected.rows)[sure])


def test_all_sign_bits_are_compared_unless_told_otherwise(connection: Connection) -> None:
    binarizer = exact_binarizer(3)
    table = filled(connection, binarizer, integer_rows(0, ROWS))
    queries = integer_rows(1, QUERIES)
    for found, expected in zip(
        search(connection, table, binarizer, queries),
        search(connection, table, binarizer, queries, prefix_bits=binarizer.hamming_bits),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(4))
def test_asymmetric_scores_are_those_of_the_rounded_weights(
    connection: Connection, metric: Metric, seed: int
) -> None:
    binarizer = exact_binarizer(seed, metric)
    vectors, queries = rows_for(metric, 0, ROWS), rows_for(metric, 1, QUERIES)
    table = filled(connection, binarizer, vectors)
    scores = integer_scores(binarizer, queries, binarizer.encode(vectors))
    found = search(connection, table, binarizer, queries, 50, candidates=ROWS)
    everything = np.arange(ROWS)
    assert found.ids == [best_ids(row, everything, 50) for row in scores]
    reach = largest_scores(query_planes(binarizer.query_weights(queries)).planes)
    shares = -np.sort(-scores, axis=1)[:, :50] / reach[:, None]
    np.testing.assert_allclose(found.scores, shares, rtol=1e-6)
    assert (np.abs(found.scores) <= 1).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("vector_type", ["vector", "halfvec"])
def test_exact_scores_are_those_of_the_float_search(
    connection: Connection, metric: Metric, vector_type: VectorType
) -> None:
    binarizer = exact_binarizer(3, metric)
    vectors, queries = rows_for(metric, 0, ROWS), rows_for(metric, 1, QUERIES)
    table = filled(connection, binarizer, vectors, vector_type)
    expected = exact_topk(queries, vectors, 50, metric)
    found = search(connection, table, binarizer, queries, 50, candidates=ROWS, rescore="exact")
    np.testing.assert_array_equal(found.ids, ids_of(expected.rows))
    np.testing.assert_array_equal(found.scores, expected.scores)
    listed = search(
        connection, table, binarizer, queries, 50, candidates=ROWS, rescore="exact", shortlist=ROWS
    )
    assert listed.ids == found.ids
    np.testing.assert_array_equal(listed.scores, found.scores)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("least", [10, 40])
def test_the_funnel_without_a_float_column_is_numpys(
    connection: Connection, metric: Metric, least: int
) -> None:
    binarizer = exact_binarizer(3, metric)
    vectors, queries = rows_for(metric, 0, ROWS), rows_for(metric, 1, QUERIES)
    table = filled(connection, binarizer, vectors)
    codes = binarizer.encode(vectors)
    scores = integer_scores(binarizer, queries, codes)
    for bits in (8, 16, binarizer.hamming_bits):
        signs = binarizer.encode_queries(queries, bits)
        for i in range(QUERIES):
            rows = shortlist(signs[i], codes[:, : bits // 8], least)
            query, candidates = queries[i : i + 1], len(rows)
            found = search(
                connection, table, binarizer, query, candidates=candidates, prefix_bits=bits
            )
            assert found.ids[0] == best_ids(scores[i], rows, 10)


def test_the_funnel_with_floats_is_numpys(connection: Connection) -> None:
    binarizer = exact_binarizer(3)
    vectors, queries = integer_rows(0, ROWS), integer_rows(1, QUERIES)
    table = filled(connection, binarizer, vectors, "vector")
    signs, codes = binarizer.encode_queries(queries, 16), binarizer.encode(vectors, 16)
    for i in range(QUERIES):
        rows = shortlist(signs[i], codes, 20)
        kept = {"candidates": len(rows), "prefix_bits": 16, "rescore": "exact"}
        one = queries[i : i + 1]
        found = search(connection, table, binarizer, one, **kept)
        assert found.ids[0] == best_ids(vectors @ queries[i], rows, 10)
        scores = integer_scores(binarizer, one, binarizer.encode(vectors))[0]
        best = rows[np.lexsort((rows, -scores[rows]))[:15]]
        found = search(connection, table, binarizer, one, shortlist=15, **kept)
        assert found.ids[0] == best_ids(vectors @ queries[i], best, 10)


def test_rounding_weights_to_8_bits_costs_almost_no_recall(connection: Connection) -> None:
    vectors, queries = clustered(1, 2000, 96, rank=40), clustered(2, 400, 96, rank=40)
    unit = normalized(vectors, "cosine")
    binarizer = progressive_codes(unit, Goal(192, None, "cosine", 0), 48)
    table = filled(connection, binarizer, vectors)
    codes, exact = binarizer.encode(vectors), exact_topk(queries, vectors).rows
    near = hamming_topk(binarizer.encode_queries(queries), codes[:, :6], 100).rows
    with_floats = rescore(binarizer.query_weights(queries), codes, near).rows
    found = search(connection, table, binarizer, queries)
    recall = recall_at_k(np.array(found.ids), ids_of(exact)).mean()
    assert recall > 0.6
    assert recall >= recall_at_k(with_floats, exact).mean() - 0.005


@pytest.mark.parametrize("rescore", RESCORES)
def test_fewer_rows_than_k_are_fewer_results(
    connection: Connection, rescore: Rescore | None
) -> None:
    binarizer = exact_binarizer(3)
    table = filled(connection, binarizer, integer_rows(0, 3), "vector")
    found = search(connection, table, binarizer, integer_rows(1, 2), k=5, rescore=rescore)
    assert np.sort(found.ids, axis=1).tolist() == [ids_of(range(3)).tolist()] * 2
    assert np.isfinite(found.scores).all()
    assert (np.diff(found.scores) <= 0).all()


def test_an_empty_table_has_no_neighbours(connection: Connection) -> None:
    binarizer = exact_binarizer(3)
    table = create_table(connection, "items", binarizer)
    found = search(connection, table, binarizer, integer_rows(1, 2), k=3)
    assert found.ids == [[], []]
    assert [scores.shape for scores in found.scores] == [(0,), (0,)]


def test_asynchronous_search_is_the_same(connection: Connection, database: str) -> None:
    binarizer, queries = exact_binarizer(3), integer_rows(1, QUERIES)
    table = filled(connection, binarizer, integer_rows(0, ROWS), "vector")

    async def searched() -> list[Any]:
        async with await psycopg.AsyncConnection.connect(database) as other:
            return [await search_async(other, table, binarizer, queries, **way) for way in WAYS]

    for found, way in zip(asyncio.run(searched()), WAYS, strict=True):
        expected = search(connection, table, binarizer, queries, **way)
        assert found.ids == expected.ids
        np.testing.assert_array_equal(found.scores, expected.scores)


def test_a_zero_vector_is_the_last_by_cosine(connection: Connection) -> None:
    binarizer = exact_binarizer(3, "cosine")
    table = filled(connection, binarizer, signed_rows(0, 5), "vector")
    [zero] = ids_of([2])
    connection.execute("UPDATE items SET vector = array_fill(0, '{16}') WHERE id = %s", [int(zero)])
    found = search(connection, table, binarizer, signed_rows(1, 1), k=5, rescore="exact")
    assert found.ids[0][-1] == zero


def test_numbers_may_be_numpys(connection: Connection) -> None:
    binarizer = exact_binarizer(3)
    table = filled(connection, binarizer, integer_rows(0, 30))
    numbers: Any = {"candidates": np.int32(20), "prefix_bits": np.int64(8)}
    found = search(connection, table, binarizer, integer_rows(1, 2), np.int64(4), **numbers)  # type: ignore[arg-type]
    plain = {"candidates": 20, "prefix_bits": 8}
    assert found.ids == search(connection, table, binarizer, integer_rows(1, 2), 4, **plain).ids


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"k": 0}, SearchError, "k must be an integer from 1 .* found 0$"),
        ({"k": 101}, SearchError, "at least k = 101 candidates, found 100"),
        ({"candidates": 0}, SearchError, "candidates must be an integer from 1 .* found 0$"),
        ({"prefix_bits": 12}, SearchError, r"must be one of \(8, 16, 24\), found 12"),
        ({"prefix_bits": 32}, SearchError, r"must be one of \(8, 16, 24\), found 32"),
        ({"rescore": "float"}, SearchError, "found 'float'"),
        ({"shortlist": 20}, SearchError, "expected rescore='exact', found shortlist=20"),
        ({"rescore": "exact", "shortlist": 9}, SearchError, "k = 10 <= shortlist <= candidates"),
        ({"rescore": "exact"}, TableError, "keeps no vectors, found rescore='exact'"),
        ({"queries": integer_rows(0, 2, 8)}, VectorsError, "16 dimensions, found 8"),
        ({"queries": integer_rows(0, 2)[0]}, VectorsError, "queries must have shape"),
        ({"queries": integer_rows(0, 2) * np.nan}, VectorsError, "queries must be finite"),
        ({"queries": np.empty((0, 16))}, VectorsError, "queries has no rows"),
        ({"binarizer": exact_binarizer(4)}, FingerprintError, "found a search with"),
    ],
)
def test_searches_that_cannot_be_run(
    connection: Connection, changed: dict[str, Any], kind: type[BitryoshkaError], message: str
) -> None:
    binarizer: Binarizer = exact_binarizer(3)
    table = filled(connection, binarizer, integer_rows(0, 5))
    call = {"table": table, "binarizer": binarizer, "queries": integer_rows(1, 2), **changed}
    with pytest.raises(kind, match=message):
        search(connection, **call)
