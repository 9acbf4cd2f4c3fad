"""The contract of `bitryoshka.qdrant`, on every engine there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import models
from qdrant_engines import ENGINES, Make, maker, settle
from synthetic import clustered, exact_binarizer, integer_rows

import bitryoshka
from bitryoshka import (
    Binarizer,
    BitsError,
    CollectionError,
    FingerprintError,
    SearchError,
    VectorsError,
)
from bitryoshka.bits import hamming, unpack
from bitryoshka.evaluation import recall_at_k
from bitryoshka.qdrant import (
    Collection,
    Hit,
    choose_for_budget,
    collection_config,
    compare,
    move,
    plan_search,
    search,
    upsert,
    verify_move,
)
from bitryoshka.qdrant.adding import fill_codes
from bitryoshka.qdrant.representation import query_vectors, stored_vectors

ROWS = clustered(0, 900, 96, 40)
QUERIES = clustered(1, 40, 96, 40)


@pytest.fixture(scope="module")
def binarizer() -> Binarizer:
    """256 bits, 64 of them signs."""
    return bitryoshka.fit(ROWS, bits=256, hamming_bits=64, method="progressive").binarizer


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    with maker(request.param, tmp_path) as found:
        yield found


def filled(make: Make, binarizer: Binarizer, rows: Any = ROWS, **chosen: Any) -> Collection[Any]:
    """Without a graph, so that every quantized vector is compared, where nothing else is said."""
    collection = make(binarizer, **{"hnsw_m": 0, **chosen})
    payloads = [{"group": i % 3, "title": f"row {i}"} for i in range(len(rows))]
    upsert(collection, range(len(rows)), rows, payloads)
    settle(collection)
    return collection


def asymmetric_scores(
    binarizer: Binarizer, queries: Any, rows: Any, bits: int
) -> NDArray[np.float32]:
    signs = unpack(binarizer.encode(rows, bits)) * np.float32(2) - 1
    return binarizer.query_weights(queries, bits) @ signs.T


def assert_in_order(
    found: list[list[Hit]], scores: NDArray[Any], slack: float = 0.0, k: int = 10
) -> None:
    """The hits have the best scores of all rows, best first, but for ties and ``slack``."""
    assert [len(hits) for hits in found] == [k] * len(scores)
    for hits, row in zip(found, scores, strict=True):
        had = row[[hit.id for hit in hits]]
        best = np.sort(row)[::-1][:k]
        assert np.abs(had - best).max() <= slack * np.ptp(row)


def assert_quantized(collection: Collection[Any], queries: Any = QUERIES, rows: Any = ROWS) -> None:
    """Without rescoring the scores are not the products of the floats that are stored."""
    binarizer, settings = collection.binarizer, collection.settings
    stored = stored_vectors(binarizer, settings, rows)["bits"]
    products = query_vectors(binarizer, settings, queries, "bits") @ stored.T
    for hits, row in zip(search(collection, queries, rescore=None), products, strict=True):
        given = np.array([hit.score for hit in hits])
        assert not np.isclose(given, row[[hit.id for hit in hits]], rtol=1e-5).all()


def test_the_engines_bits_are_the_codes(make: Make, binarizer: Binarizer) -> None:
    collection = filled(make, binarizer, query_encoding="binary")
    assert_quantized(collection)
    found = search(collection, QUERIES, rescore=None)
    distances = hamming(binarizer.encode_queries(QUERIES), binarizer.encode(ROWS, 64))
    assert_in_order(found, -distances)
    for hits, row in zip(found, distances, strict=True):
        assert [hit.score for hit in hits] == [64 - 2 * row[hit.id] for hit in hits]


@pytest.mark.parametrize("datatype", ["float16", "float32"])
def test_every_bit_is_that_of_the_code_at_zero_too(make: Make, datatype: str) -> None:
    exact = exact_binarizer(3)
    rows = integer_rows(0, 400)
    assert (exact.project(rows) == 0).any()
    collection = filled(make, exact, rows, query_encoding="binary", datatype=datatype)
    assert_quantized(collection, rows[:20], rows)
    found = search(collection, rows[:20], rescore=None)
    m = exact.hamming_bits
    distances = hamming(exact.encode_queries(rows[:20]), exact.encode(rows, m))
    for hits, row in zip(found, distances, strict=True):
        assert [hit.score for hit in hits] == (m - 2 * np.sort(row)[:10]).tolist()


def test_eight_bit_queries_give_the_asymmetric_order(make: Make, binarizer: Binarizer) -> None:
    collection = filled(make, binarizer, query_encoding="scalar8bits")
    assert_quantized(collection)
    found = search(collection, QUERIES, rescore=None)
    scores = asymmetric_scores(binarizer, QUERIES, ROWS, 64)
    assert_in_order(found, scores, slack=0.005)
    distances = hamming(binarizer.encode_queries(QUERIES), binarizer.encode(ROWS, 64))
    with pytest.raises(AssertionError):
        assert_in_order(found, -distances)


def test_the_whole_code_gives_its_own_asymmetric_order(make: Make, binarizer: Binarizer) -> None:
    collection = filled(make, binarizer, quantization="code")
    assert_quantized(collection)
    found = search(collection, QUERIES, rescore=None)
    assert_in_order(found, asymmetric_scores(binarizer, QUERIES, ROWS, 256), slack=0.005)


@pytest.mark.parametrize(("bits", "least"), [("turbo1", 0.5), ("turbo2", 0.7), ("turbo4", 0.85)])
def test_turbo_quant_of_the_projection(
    make: Make, binarizer: Binarizer, bits: Any, least: float
) -> None:
    collection = filled(make, binarizer, quantization=bits)
    assert_quantized(collection)
    found = [[hit.id for hit in hits] for hits in search(collection, QUERIES, rescore=None)]
    # of the projected floats, which is all that the quantizer sees
    unit = QUERIES / np.linalg.norm(QUERIES, axis=1, keepdims=True)
    scores = (unit @ binarizer.projection.T) @ binarizer.project(ROWS).T
    exact = np.argsort(-scores, axis=1)[:, :10]
    assert recall_at_k(found, exact).mean() > least


def test_rescoring_by_what_is_stored(make: Make, binarizer: Binarizer) -> None:
    collection = filled(make, binarizer)
    assert_quantized(collection)
    unit = QUERIES / np.linalg.norm(QUERIES, axis=1, keepdims=True)
    rows = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    found = search(collection, QUERIES, rescore="exact", candidates=len(ROWS))
    assert_in_order(found, unit @ rows.T, slack=0.002)
    found = search(collection, QUERIES, rescore="asymmetric", candidates=len(ROWS))
    assert_in_order(found, (unit @ binarizer.projection.T) @ binarizer.project(ROWS).T, slack=0.002)
    best = [hit.score for hit in search(collection, QUERIES)[0]]
    assert best == sorted(best, reverse=True)


def assert_best_of_the_nearest(
    found: list[list[Hit]], distances: NDArray[Any], scores: NDArray[Any], candidates: int
) -> None:
    """The hits are among the nearest by Hamming distance, and the best of these by ``scores``."""
    for hits, near, row in zip(found, distances, scores, strict=True):
        ids, farthest = [hit.id for hit in hits], np.sort(near)[candidates - 1]
        assert (near[ids] <= farthest).all()
        best = np.sort(row[near < farthest])[::-1][: len(ids)]
        assert row[ids].min() >= best[-1] - 0.005 * np.ptp(row)


def test_a_prefix_makes_the_first_stage(make: Make, binarizer: Binarizer) -> None:
    collection = filled(make, binarizer, prefixes=(32,), quantization="code")
    assert_quantized(collection)
    near = hamming(binarizer.encode_queries(QUERIES, 32), binarizer.encode(ROWS, 32))
    found = search(collection, QUERIES, prefix_bits=32, rescore=None)
    assert_in_order(found, -near)
    for hits, row in zip(found, near, strict=True):
        assert [hit.score for hit in hits] == [32 - 2 * row[hit.id] for hit in hits]
    stage: dict[str, Any] = {"prefix_bits": 32, "candidates": 60}
    codes = asymmetric_scores(binarizer, QUERIES, ROWS, 256)
    found = search(collection, QUERIES, rescore="asymmetric", **stage)
    assert_best_of_the_nearest(found, near, codes, 60)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (QUERIES, ROWS)]
    found = search(collection, QUERIES, **stage)
    assert_best_of_the_nearest(found, near, unit[0] @ unit[1].T, 60)
    assert search(collection, QUERIES, prefix_bits=32, oversampling=6) == found


def test_a_shortlist_is_the_best_by_codes(make: Make, binarizer: Binarizer) -> None:
    collection = filled(make, binarizer, prefixes=(32,), quantization="code")
    for first in ({}, {"prefix_bits": 32}):
        stages: dict[str, Any] = {"candidates": 200, **first}
        codes = search(collection, QUERIES, 20, rescore="asymmetric", **stages)
        found = search(collection, QUERIES, shortlist=20, **stages)
        everything = search(collection, QUERIES, len(ROWS), candidates=len(ROWS))
        for hits, among, exact in zip(found, codes, everything, strict=True):
            known = {hit.id for hit in among}
            assert hits == [hit for hit in exact if hit.id in known][:10]


def test_float_queries_rank_what_signs_found(make: Make, binarizer: Binarizer) -> None:
    """Not quantized, the stored signs of a whole code give the exact asymmetric scores."""
    signs = binarizer.truncate(64)
    collection = filled(
        make, signs, quantization="code", query_encoding="binary", keep_vectors=False
    )
    found = search(collection, QUERIES, candidates=100)
    scores = asymmetric_scores(signs, QUERIES, ROWS, 64)
    near = hamming(signs.encode_queries(QUERIES), signs.encode(ROWS))
    assert_best_of_the_nearest(found, near, scores, 100)
    for hits, row in zip(found, scores, strict=True):
        assert np.allclose([hit.score for hit in hits], row[[hit.id for hit in hits]], rtol=1e-3)
    first = search(collection, QUERIES, rescore=None)
    assert [h.id for hits in first for h in hits] != [h.id for hits in found for h in hits]


def test_the_graph_finds_what_the_scan_finds(make: Make, binarizer: Binarizer) -> None:
    collection = filled(make, binarizer, hnsw_m=16)
    assert_quantized(collection)
    found = search(collection, QUERIES, rescore=None, hnsw_ef=256)
    assert_in_order(found, asymmetric_scores(binarizer, QUERIES, ROWS, 64), slack=0.03)


def test_filters_and_payloads(make: Make, binarizer: Binarizer) -> None:
    collection = filled(make, binarizer, prefixes=(32,))
    assert_quantized(collection)
    groups = models.Filter(
        must=[models.FieldCondition(key="group", match=models.MatchValue(value=1))],
        must_not=[
            models.HasIdCondition(has_id=[1, 4]),
            models.FieldCondition(key="group", range=models.Range(gt=1)),
        ],
    )
    stages: list[dict[str, Any]] = [
        {"rescore": None},
        {"rescore": "exact"},
        {"rescore": "asymmetric", "prefix_bits": 32},
        {"shortlist": 20, "prefix_bits": 32},
    ]
    for chosen in stages:
        found = search(collection, QUERIES, where=groups, with_payload=["group", "title"], **chosen)
        assert [len(hits) for hits in found] == [10] * len(QUERIES)
        for hit in (hit for hits in found for hit in hits):
            assert hit.payload == {"group": 1, "title": f"row {hit.id}"}
            assert hit.id not in (1, 4)
    selector = models.PayloadSelectorExclude(exclude=["title"])
    [hits] = search(collection, QUERIES[:1], with_payload=selector)
    assert hits[0].payload == {"group": hits[0].id % 3}
    [hits] = search(collection, QUERIES[:1])
    assert hits[0].payload is None


@pytest.mark.parametrize(
    "condition",
    [
        models.FieldCondition(key="group", match=models.MatchAny(any=[1])),
        models.FieldCondition(key="group", match=models.MatchExcept(**{"except": [0, 2]})),
        models.Filter(must=[models.FieldCondition(key="group", match=models.MatchValue(value=1))]),
        models.Filter(
            min_should=models.MinShould(
                conditions=[models.FieldCondition(key="group", match=models.MatchValue(value=1))],
                min_count=1,
            )
        ),
    ],
)
def test_kinds_of_conditions(make: Make, binarizer: Binarizer, condition: Any) -> None:
    collection = filled(make, binarizer, ROWS[:120])
    given = models.Filter(
        must=condition,
        must_not=[
            models.IsEmptyCondition(is_empty=models.PayloadField(key="title")),
            models.IsNullCondition(is_null=models.PayloadField(key="title")),
        ],
        should=[models.HasVectorCondition(has_vector="bits")],
    )
    assert collection.engine.count(given) == 40


def test_ids_are_kept_and_writing_again_changes_nothing(make: Make, binarizer: Binarizer) -> None:
    collection = make(binarizer)
    ids: list[int | str | UUID] = [2**63, 7, uuid4(), str(uuid4()).upper(), *range(100, 400)]
    for _ in range(2):
        assert upsert(collection, ids, ROWS[: len(ids)], batch_rows=64) == (len(ids), 0)
        assert collection.engine.count() == len(ids)
    assert upsert(collection, ids, ROWS[: len(ids)], batch_rows=64, resume=True) == (0, len(ids))
    settle(collection)
    nearest = search(collection, ROWS[:4])
    expected = [str(i).lower() if isinstance(i, (str, UUID)) else i for i in ids[:4]]
    assert [hits[0].id for hits in nearest] == expected


def test_a_second_write_replaces_a_point(make: Make, binarizer: Binarizer) -> None:
    collection = filled(make, binarizer)
    assert_quantized(collection)
    upsert(collection, [5], ROWS[6:7], [{"title": "new"}])
    [hits] = search(collection, ROWS[6:7], with_payload=True)
    assert {hits[0].id, hits[1].id} == {5, 6}
    assert {"title": "new"} in [hit.payload for hit in hits[:2]]


def test_parallel_batches_write_all(make: Make, binarizer: Binarizer) -> None:
    collection = make(binarizer, hnsw_m=0)
    assert upsert(collection, range(900), ROWS, batch_rows=50, parallel=4) == (900, 0)
    settle(collection)
    assert_quantized(collection)
    assert collection.engine.count() == 900


def test_what_cannot_be_written_is_refused_and_nothing_is(make: Make, binarizer: Binarizer) -> None:
    collection = make(binarizer)
    for ids, rows, error, words in (
        ([1, 2], ROWS[:2, :50], VectorsError, "must have 96 dimensions, found 50"),
        ([1, 2, 1], ROWS[:3], CollectionError, "once each, found 1 twice"),
        ([-1], ROWS[:1], CollectionError, "found -1"),
        ([True], ROWS[:1], CollectionError, "found True"),
        (["abc"], ROWS[:1], CollectionError, "or a UUID, found 'abc'"),
        ([1], ROWS[:2], VectorsError, "expected 2 ids, one a vector, found 1"),
        ([1], np.full((1, 96), np.nan), VectorsError, "finite"),
        ([1], np.ones((1, 96), np.int8), VectorsError, "must be floats, found int8"),
        (range(3), np.eye(3, 96) * [[1], [1], [0]], VectorsError, "row 2 is zero"),
    ):
        with pytest.raises(error, match=words):
            upsert(collection, ids, rows, batch_rows=2)
    u = uuid4()
    with pytest.raises(CollectionError, match="twice"):
        upsert(collection, [u, str(u).upper()], ROWS[:2])
    with pytest.raises(VectorsError, match="expected 2 payloads"):
        upsert(collection, [1, 2], ROWS[:2], [{}])
    assert collection.engine.count() == 0


def test_what_cannot_be_asked_is_refused(make: Make, binarizer: Binarizer) -> None:
    collection = make(binarizer, keep_vectors=False, quantization="code", prefixes=(32,))
    refused: list[tuple[dict[str, Any], str]] = [
        ({"rescore": "exact"}, r"rescore must be None or one of \('asymmetric',\), found 'exact'"),
        ({"rescore": "projected"}, "found 'projected'"),
        ({"prefix_bits": 64}, r"prefixes \(32,\), found 64: .*=\(64,\)"),
        ({"k": 0}, "k must be an integer from 1 to 2147483647, found 0"),
        ({"k": None}, "k must be an integer .* found None"),
        ({"candidates": 9}, "at least k = 10 candidates, found 9"),
        ({"shortlist": 20}, "expected rescore='exact', found shortlist=20"),
        ({"oversampling": float("nan")}, "oversampling must be at least 1, found nan"),
        ({"oversampling": 0.5}, "oversampling must be at least 1, found 0.5"),
        ({"oversampling": 4, "candidates": 100}, "oversampling=4 and candidates=100"),
        ({"hnsw_ef": 0}, "hnsw_ef must be an integer from 1 .* found 0"),
        ({"where": {"must": []}}, "where must be a models.Filter"),
    ]
    for chosen, words in refused:
        with pytest.raises(SearchError, match=words):
            search(collection, QUERIES, **chosen)
    with pytest.raises(VectorsError, match="96 dimensions, found 5"):
        search(collection, QUERIES[:, :5])


@pytest.mark.parametrize("count", [-1, 0, 1.5, True, None, 2**31])
def test_counts_that_are_none_are_refused(make: Make, binarizer: Binarizer, count: Any) -> None:
    collection, ids = make(binarizer), range(len(ROWS))
    engine, settings = collection.engine, collection.settings
    calls = {
        "batch_rows": (
            lambda: upsert(collection, ids, ROWS, batch_rows=count),
            lambda: fill_codes(engine, binarizer, settings, batch_rows=count),
            lambda: move(engine, collection, batch_rows=count),
        ),
        "parallel": (lambda: upsert(collection, ids, ROWS, parallel=count),),
        "sample": (lambda: verify_move(engine, collection, sample=count),),
        "k": (
            lambda: verify_move(engine, collection, k=count),
            lambda: plan_search(collection, QUERIES, k=count),
            lambda: compare(ROWS, k=count),
        ),
        "held_out": (
            lambda: compare(ROWS, held_out=count),
            lambda: choose_for_budget(ROWS, 48, held_out=count),
        ),
    }
    for name, uses in calls.items():
        for use in uses:
            with pytest.raises(SearchError, match=f"^{name} must be an integer from 1 .* {count}$"):
                use()
    assert engine.count() == 0
    if count is not None:
        for name in ("shards", "replicas", "write_consistency"):
            with pytest.raises(BitsError, match=f"{name} must be an integer from 1 .* {count}$"):
                collection_config(binarizer, **{name: count})


def test_another_binarizer_is_refused(make: Make, binarizer: Binarizer) -> None:
    collection = make(binarizer)
    other = binarizer.truncate(64)
    with pytest.raises(FingerprintError, match=binarizer.fingerprint):
        collection.settings.check(other, "here")
