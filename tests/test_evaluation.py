"""Search and retrieval measures against naive oracles."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from synthetic import integer_rows, quick, signed_rows

from bitryoshka import BitryoshkaError, BitsError, OptionError, SearchError, VectorsError
from bitryoshka import vectors as vectors_module
from bitryoshka.bits import hamming, unpack
from bitryoshka.evaluation import (
    Ranking,
    asymmetric_topk,
    bootstrap_interval,
    exact_topk,
    hamming_topk,
    ndcg_at_k,
    order_at_k,
    recall_at_k,
    rescore,
)

seeds = st.integers(0, 10_000)
wanted = st.integers(1, 30)


def naive_topk(scores: NDArray[Any], k: int) -> Ranking:
    """The oracle: sort everything by score, then by row number."""
    scores = np.asarray(scores, np.float32)
    rows = np.array([np.lexsort((np.arange(len(s)), -s))[:k] for s in scores])
    return Ranking(rows, np.take_along_axis(scores, rows, axis=1))


def assert_same(found: Ranking, expected: Ranking) -> None:
    assert found.rows.dtype == np.int64
    assert found.scores.dtype == np.float32
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)


@quick
@given(seeds, wanted)
def test_exact_search_by_inner_product_with_many_ties(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, queries = rng.integers(-1, 2, (30, 3)), rng.integers(-1, 2, (4, 3))
    found = exact_topk(queries, vectors, k, metric="inner_product")
    assert_same(found, naive_topk(queries @ vectors.T, k))


@quick
@given(seeds, wanted)
def test_exact_search_by_cosine_with_many_ties(seed: int, k: int) -> None:
    vectors, queries = signed_rows(seed, 30), signed_rows(seed + 1, 4)
    signs = np.sign(queries) @ np.sign(vectors).T / 16
    assert_same(exact_topk(queries, vectors, k), naive_topk(signs, k))


def test_exact_search_of_real_values() -> None:
    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(200, 20)), rng.normal(size=(7, 20))
    cosine = queries @ vectors.T
    cosine /= np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(vectors, axis=1)
    found, expected = exact_topk(queries, vectors, 10), naive_topk(cosine, 10)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)


@quick
@given(seeds, wanted)
def test_hamming_search_with_many_ties(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 13))
    codes, queries = (
        rng.integers(0, 4, (30, width), np.uint8),
        rng.integers(0, 4, (4, width), np.uint8),
    )
    assert_same(hamming_topk(queries, codes, k), naive_topk(-hamming(queries, codes), k))


@quick
@given(seeds, wanted)
def test_asymmetric_search_with_many_ties(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    codes, weights = rng.integers(0, 4, (30, 2), np.uint8), rng.integers(-2, 3, (4, 16))
    scores = weights @ np.where(unpack(codes), 1, -1).T
    assert_same(asymmetric_topk(weights, codes, k), naive_topk(scores, k))


@quick
@given(seeds, st.integers(1, 12))
def test_rescoring_orders_the_candidates(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    codes, weights = rng.integers(0, 4, (30, 2), np.uint8), rng.integers(-2, 3, (4, 16))
    candidates = np.array([rng.permutation(30)[:12] for _ in range(4)])
    scores = (weights @ np.where(unpack(codes), 1, -1).T).astype(np.float32)
    outside = np.ones(scores.shape, bool)
    np.put_along_axis(outside, candidates, False, axis=1)
    scores[outside] = -np.inf
    assert_same(rescore(weights, codes, candidates, k), naive_topk(scores, k))


def test_rescoring_all_rows_is_asymmetric_search() -> None:
    rng = np.random.default_rng(3)
    codes, weights = rng.integers(0, 256, (50, 4), np.uint8), rng.integers(-9, 9, (6, 32))
    everything = np.tile(np.arange(50)[::-1], (6, 1))
    assert_same(rescore(weights, codes, everything, 7), asymmetric_topk(weights, codes, 7))


def test_searches_merge_their_blocks_and_batches() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (70_000, 1), np.uint8)
    queries = rng.integers(0, 256, (70, 1), np.uint8)
    by_distance = hamming_topk(queries, codes, 300)
    expected = naive_topk(-hamming(queries[[0, 69]], codes), 300)
    assert_same(Ranking(by_distance.rows[[0, 69]], by_distance.scores[[0, 69]]), expected)
    assert len(by_distance.rows) == 70
    assert expected.rows.max() > 65_536

    weights = rng.integers(-2, 3, (3, 8))
    by_weight = asymmetric_topk(weights, codes, 1200)
    expected = naive_topk(weights @ np.where(unpack(codes), 1, -1).T, 1200)
    assert_same(by_weight, expected)
    assert expected.rows.max() > 16_384

    vectors = rng.integers(-20, 21, (70_000, 2))
    exact = exact_topk(vectors[:2], vectors, 400, metric="inner_product")
    expected = naive_topk(vectors[:2] @ vectors.T, 400)
    assert_same(exact, expected)
    assert expected.rows.max() > 65_536


def test_exact_search_streams_a_memory_mapped_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", integer_rows(0, 300).astype(np.float16))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    q = integer_rows(1, 5)
    assert_same(
        exact_topk(q, mapped, 9, "inner_product"),
        naive_topk(q @ integer_rows(0, 300).T, 9),
    )


def test_normalising_in_blocks_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = signed_rows(0, 600), signed_rows(1, 300)
    expected = exact_topk(queries, vectors, 5)
    monkeypatch.setattr(vectors_module, "BLOCK_BYTES", 1)
    assert_same(exact_topk(queries, vectors, 5), expected)


def test_signed_zeros_tie_and_order_by_row() -> None:
    found = exact_topk([[1.0, 0.0]], [[-0.0, 1.0], [0.0, 1.0], [-1e-30, 0]], 3, "inner_product")
    assert found.rows.tolist() == [[0, 1, 2]]


def test_negative_and_positive_scores_sort_as_floats() -> None:
    values = np.float32([[-1e14], [1e-45], [-1e-45], [3e14], [-2.5], [2.5], [0]])
    found = exact_topk([[1.0]], values, 7, "inner_product")
    assert found.scores[0].tolist() == sorted(values[:, 0].tolist(), reverse=True)


def test_no_queries_find_nothing() -> None:
    codes = np.zeros((9, 2), np.uint8)
    for found in (
        hamming_topk(codes[:0], codes, 3),
        asymmetric_topk(np.zeros((0, 16)), codes, 3),
        rescore(np.zeros((0, 16)), codes, np.zeros((0, 5), int), 3),
    ):
        assert found.rows.shape == found.scores.shape == (0, 3)


def codes_of(rows: int, width: int = 2) -> NDArray[np.uint8]:
    return np.zeros((rows, width), np.uint8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: exact_topk(np.ones((1, 3)), np.ones((4, 2))), VectorsError, "2 .*found 3"),
        (
            lambda: exact_topk(np.ones((1, 2)), np.ones((4, 2))),
            SearchError,
            "the 4 rows .*found 10",
        ),
        (lambda: exact_topk(np.ones((1, 2)), np.ones((4, 2)), 0), SearchError, "found 0"),
        (lambda: exact_topk(np.ones((0, 2)), np.ones((4, 2)), 1), VectorsError, "queries has no"),
        (lambda: exact_topk(np.ones((1, 2)), np.ones((0, 2)), 1), VectorsError, "vectors has no"),
        (lambda: exact_topk([[np.nan]], [[1.0]], 1), VectorsError, "queries must be finite"),
        (lambda: exact_topk([[1.0]], [[np.inf]], 1), VectorsError, "vectors must be finite"),
        (lambda: exact_topk([[1.0]], [[0.0]], 1), VectorsError, "row 0 is zero"),
        (lambda: exact_topk([[0.0]], [[1.0]], 1), VectorsError, "queries .* row 0 is zero"),
        (
            lambda: exact_topk([[1.0]], [[1.0]], 1, metric="l2"),
            OptionError,
            "must be 'cosine' or 'inner_product', found 'l2'",
        ),
        (lambda: hamming_topk(codes_of(1), codes_of(4)), SearchError, "the 4 rows .* found 10"),
        (lambda: hamming_topk(codes_of(1, 3), codes_of(4)), BitsError, "found 24 and 16 bits"),
        (lambda: hamming_topk(codes_of(1), codes_of(0), 1), SearchError, "the 0 rows"),
        (lambda: hamming_topk(np.ones((1, 2)), codes_of(4)), BitsError, "queries must be packed"),
        (
            lambda: asymmetric_topk(np.ones((1, 8)), codes_of(4), 1),
            BitsError,
            r"weights must have shape \(Q, 16\).* found \(1, 8\)",
        ),
        (lambda: asymmetric_topk(np.ones(16), codes_of(4), 1), BitsError, r"found \(16,\)"),
        (lambda: asymmetric_topk(np.ones((1, 16)), codes_of(4), 5), SearchError, "found 5"),
        (lambda: rescore(np.ones((1, 8)), codes_of(4), [[1]], 1), BitsError, "weights must have"),
        (lambda: rescore(np.ones((1, 16)), codes_of(4), [1], 1), BitsError, r"\(1, C\), found"),
        (lambda: rescore(np.ones((2, 16)), codes_of(4), [[1]], 1), BitsError, r"\(2, C\), found"),
        (
            lambda: rescore(np.ones((1, 16)), codes_of(4), [[1, 2]], 3),
            SearchError,
            "2 cand.*found 3",
        ),
        (
            lambda: rescore(np.ones((1, 16)), codes_of(4), [[1, 4]], 1),
            BitsError,
            "row numbers from 0 to 3, found 1 to 4",
        ),
        (
            lambda: rescore(np.ones((1, 16)), codes_of(4), [[-1, 2]], 1),
            BitsError,
            "row numbers from 0 to 3, found -1 to 2",
        ),
        (lambda: recall_at_k([[1, 2]], [[1, 2]], 3), BitsError, r"at least 3\), found .*\(1, 2\)"),
        (lambda: recall_at_k([1, 2], [1, 2], 1), BitsError, r"found shape \(2,\)"),
        (lambda: recall_at_k([[1]], [[1], [2]], 1), BitsError, "found 1 and 2"),
        (lambda: order_at_k([[1]], [[1]], 0), SearchError, "k must be an integer from 1 .* 0$"),
        (lambda: ndcg_at_k([[1], [2]], [{1: 1}], 1), BitsError, "expected 2 .* found 1"),
        (lambda: bootstrap_interval([]), VectorsError, r"Q > 0, found shape \(0,\)"),
        (lambda: bootstrap_interval([[1.0]]), VectorsError, r"found shape \(1, 1\)"),
        (lambda: bootstrap_interval([1.0, np.nan]), VectorsError, "finite values"),
        (lambda: bootstrap_interval([1.0], level=1.0), OptionError, "0 and 1, found 1.0"),
        (lambda: bootstrap_interval([1.0], level=0.0), OptionError, "0 and 1, found 0.0"),
    ],
)
def test_input_that_does_not_fit(
    call: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert isinstance(caught.value, BitryoshkaError)
    assert isinstance(caught.value, ValueError)


def discount(rank: int) -> float:
    return 1 / math.log2(rank + 2)


def naive_dcg(gains: list[float]) -> float:
    return sum(gain * discount(rank) for rank, gain in enumerate(gains))


@quick
@given(seeds, st.integers(1, 10))
def test_recall_and_order_against_sets_and_sums(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    found = np.array([rng.permutation(15)[:10] for _ in range(6)])
    exact = np.array([rng.permutation(15)[:10] for _ in range(6)])
    recall, order = recall_at_k(found, exact, k), order_at_k(found, exact, k)
    for i, (a, b) in enumerate(zip(found[:, :k].tolist(), exact[:, :k].tolist(), strict=True)):
        assert recall[i] == pytest.approx(len(set(a) & set(b)) / k)
        gains = {row: float(k - rank) for rank, row in enumerate(b)}
        ideal = naive_dcg(list(gains.values()))
        assert order[i] == pytest.approx(naive_dcg([gains.get(row, 0) for row in a]) / ideal)


def test_recall_and_order_at_their_ends() -> None:
    exact = [[4, 5, 6]]
    assert recall_at_k(exact, exact, 3).tolist() == [1.0]
    assert order_at_k(exact, exact, 3).tolist() == [1.0]
    assert recall_at_k([[6, 5, 4]], exact, 3).tolist() == [1.0]
    assert 0 < order_at_k([[6, 5, 4]], exact, 3)[0] < 1
    assert recall_at_k([[1, 2, 3]], exact, 3).tolist() == [0.0]
    assert order_at_k([[1, 2, 3]], exact, 3).tolist() == [0.0]


@quick
@given(seeds, st.integers(1, 10))
def test_ndcg_against_the_sum(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    found = np.array([rng.permutation(20)[:10] for _ in range(5)])
    judgements: list[Mapping[int, float]] = [
        {int(r): int(rng.integers(-1, 4)) for r in rng.permutation(20)[: rng.integers(0, 8)]}
        for _ in range(5)
    ]
    expected = []
    for rows, grades in zip(found.tolist(), judgements, strict=True):
        useful = {row: grade for row, grade in grades.items() if grade > 0}
        if useful:
            ideal = naive_dcg(sorted(useful.values(), reverse=True)[:k])
            expected.append(naive_dcg([useful.get(row, 0) for row in rows[:k]]) / ideal)
    np.testing.assert_allclose(ndcg_at_k(found, judgements, k), expected)


def test_ndcg_by_hand() -> None:
    # trec_eval: gains 3 and 1 at ranks 2 and 3 against 3 and 1 at ranks 1 and 2
    found = ndcg_at_k([[9, 1, 2]], [{1: 3, 2: 1}], 3)
    assert found.tolist() == pytest.approx([(3 / math.log2(3) + 1 / 2) / (3 + 1 / math.log2(3))])
    assert ndcg_at_k([[1, 2, 9]], [{1: 3, 2: 1}], 3).tolist() == [1.0]
    assert ndcg_at_k([[7, 8, 9]], [{1: 3, 2: 1}], 3).tolist() == [0.0]
    assert ndcg_at_k([[1]], [{}], 1).shape == (0,)


def test_bootstrap_interval_of_a_proportion() -> None:
    values = np.arange(400) % 4 == 0
    mean, low, high = bootstrap_interval(values)
    half = 1.96 * math.sqrt(0.25 * 0.75 / 400)
    assert mean == 0.25
    assert low == pytest.approx(0.25 - half, abs=0.006)
    assert high == pytest.approx(0.25 + half, abs=0.006)
    narrow = bootstrap_interval(values, level=0.5)
    assert low < narrow.low < mean < narrow.high < high


def test_bootstrap_interval_depends_on_the_seed_alone() -> None:
    values = np.random.default_rng(0).random(50)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values) != bootstrap_interval(values, seed=1)


def test_bootstrap_interval_of_equal_values_is_a_point() -> None:
    assert bootstrap_interval([0.5] * 9) == (0.5, 0.5, 0.5)
