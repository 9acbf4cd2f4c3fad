"""Query weights by regression, shrunk as far as retrieval asks for."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import clustered

from bitryoshka import Binarizer
from bitryoshka.evaluation import asymmetric_topk, exact_topk, recall_at_k
from bitryoshka.training.closed_form import Goal, progressive_codes
from bitryoshka.training.decoding import RIDGES, regressed_weights, retrieval_weights

Floats = np.typing.NDArray[np.float32]


def unit(rows: Floats) -> Floats:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


ROWS, QUERIES = unit(clustered(0, 1500)), unit(clustered(1, 100))
NONE = ROWS[:0]


@pytest.fixture(scope="module")
def plain() -> Binarizer:
    return progressive_codes(ROWS, Goal(96, (32, 64), "cosine", 0), 32)


def recalls(b: Binarizer) -> list[float]:
    exact, codes = exact_topk(QUERIES, ROWS, 10).rows, b.encode(ROWS)
    return [
        float(
            recall_at_k(
                asymmetric_topk(b.query_weights(QUERIES, n), codes[:, : n // 8]).rows, exact
            ).mean()
        )
        for n in b.nested_bits
    ]


def test_no_ridge_is_better_for_the_queries_that_judge(plain: Binarizer) -> None:
    found = recalls(retrieval_weights(plain, ROWS, QUERIES, 0))
    others = np.array([recalls(regressed_weights(plain, ROWS, ridge)) for ridge in RIDGES])
    assert found == pytest.approx(others.max(axis=0).tolist())
    assert found[-1] > recalls(plain)[-1]


def test_lengths_have_ridges_of_their_own(plain: Binarizer) -> None:
    mixed = regressed_weights(plain, ROWS, (1e9, 0.03, 1e9))
    light = regressed_weights(plain, ROWS, 0.03)
    for length, like in ((32, plain), (64, light), (96, plain)):
        expected = like.query_weights(QUERIES, length)
        np.testing.assert_allclose(mixed.query_weights(QUERIES, length), expected, atol=1e-4)


def test_rows_judge_where_there_are_few_queries(plain: Binarizer) -> None:
    for queries in (NONE, QUERIES[:39]):
        found = retrieval_weights(plain, ROWS, queries, 0)
        assert np.array_equal(found.encode(ROWS), plain.encode(ROWS))
        assert found.fingerprint == retrieval_weights(plain, ROWS, NONE, 0).fingerprint
        assert recalls(found)[-1] > recalls(plain)[-1]
    assert found.fingerprint != plain.fingerprint


def test_fifty_rows_are_enough() -> None:
    few = ROWS[:50]
    code = progressive_codes(few, Goal(32, None, "cosine", 0), 16)
    found = retrieval_weights(code, few, NONE, 0)
    assert np.isfinite(found.query_weights(QUERIES)).all()
