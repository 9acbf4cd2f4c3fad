"""Learned query weights: what they train, what they leave alone, and that they help."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from synthetic import clustered

from bitryoshka import Binarizer, fit
from bitryoshka.errors import VectorsError
from bitryoshka.evaluation import asymmetric_topk, exact_topk, recall_at_k
from bitryoshka.training.additive import Settings, additive_codes
from bitryoshka.training.closed_form import Goal
from bitryoshka.training.distilling import Recipe, float_target
from bitryoshka.training.neighbourhood import MAX_ANCHORS, Neighbourhood
from bitryoshka.training.weights import learn_weights
from bitryoshka.vectors import normalized

GOAL = Goal(96, (16, 32, 64), "cosine", 0)
QUICK = Recipe(steps=150, anchors=64, rows=256)
LONGER = QUICK._replace(steps=400)
EMPTY = np.empty((0, 48), np.float32)


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    return normalized(clustered(0, 1000), "cosine")


@pytest.fixture(scope="module")
def queries() -> NDArray[np.float32]:
    return normalized(clustered(1, 200), "cosine")


@pytest.fixture(scope="module")
def around(rows: NDArray[np.float32]) -> Neighbourhood:
    return Neighbourhood.of(rows, EMPTY, 0, 50)


@pytest.fixture(scope="module")
def start(rows: NDArray[np.float32]) -> Binarizer:
    # without neighbours in its regression, which leave less to learn
    return additive_codes(rows, EMPTY, GOAL, 32, Settings(neighbour_weight=0.0))


@pytest.fixture(scope="module")
def learned(start: Binarizer, around: Neighbourhood) -> Binarizer:
    return learn_weights(start, around, 0, LONGER)


def asymmetric_recall(b: Binarizer, rows: Any, queries: Any, bits: int) -> float:
    found = asymmetric_topk(b.query_weights(queries, bits), b.encode(rows, bits)).rows
    return float(recall_at_k(found, exact_topk(queries, rows).rows).mean())


def test_weights_make_the_float_query_better(
    start: Binarizer, learned: Binarizer, rows: Any
) -> None:
    many = normalized(clustered(1, 1000), "cosine")
    gains = [
        asymmetric_recall(learned, rows, many, bits) - asymmetric_recall(start, rows, many, bits)
        for bits in (16, 32, 64)
    ]
    assert np.mean(gains) > 0.01


def test_weights_leave_the_codes_as_they_are(
    start: Binarizer, learned: Binarizer, rows: Any, queries: Any
) -> None:
    np.testing.assert_array_equal(learned.encode(rows), start.encode(rows))
    np.testing.assert_array_equal(learned.encode_queries(queries), start.encode_queries(queries))
    assert learned.weight_projection is not None
    assert learned.weight_projection.shape == (16 + 32 + 64 + 96, 48)


def test_one_seed_one_result(start: Binarizer, learned: Binarizer, around: Neighbourhood) -> None:
    again = learn_weights(start, around, 0, LONGER)
    assert again.fingerprint == learned.fingerprint
    assert learn_weights(start, around, 1, LONGER).fingerprint != learned.fingerprint


def test_the_best_check_is_kept_and_training_stops(start: Binarizer, around: Neighbourhood) -> None:
    seen: list[Binarizer] = []
    events: list[dict[str, Any]] = []

    def judge(found: Binarizer) -> float:
        seen.append(found)
        return [0.5, 0.7, 0.6, 0.6, 0.9][len(seen) - 1]

    recipe = QUICK._replace(steps=50, checks=10, patience=2)
    found = learn_weights(start, around, 0, recipe, events.append, judge)
    assert found.fingerprint == seen[1].fingerprint
    assert [e["step"] for e in events if "held_out_recall" in e] == [5, 10, 15, 20]
    assert events[-1]["step"] == 20


def test_batches_hold_neighbours_and_mask_the_anchor_itself(rows: Any, queries: Any) -> None:
    around = Neighbourhood.of(rows, queries, 0, 20)
    assert around.near.shape == (1200, 21)
    for batch in around.batches(3, 32, 128, 4, seed=0):
        assert batch.anchors.shape == (32, 48)
        assert (np.diff(batch.rows) > 0).all()
        for anchor, same in zip(batch.anchors, batch.same, strict=True):
            own = np.flatnonzero((rows == anchor).all(axis=1))
            np.testing.assert_array_equal(batch.rows[same], np.intersect1d(own, batch.rows))
        assert not batch.same[:16].any()


def test_labelled_answers_are_among_the_rows_and_take_their_share(rows: Any, queries: Any) -> None:
    answers = np.arange(len(queries)) * 3
    around = Neighbourhood.of(rows, queries, 0, 20, answers)
    [batch] = around.batches(1, 32, 64, 1, seed=0)
    labelled = np.flatnonzero(batch.answers >= 0)
    np.testing.assert_array_equal(labelled, np.arange(16))
    asked = [int(np.flatnonzero((queries == a).all(axis=1))[0]) for a in batch.anchors[:16]]
    np.testing.assert_array_equal(batch.rows[batch.answers[:16]], answers[asked])
    anchors, picked = torch.from_numpy(batch.anchors), torch.from_numpy(rows[batch.rows])
    plain, mixed = (float_target(anchors, picked, batch, 0.05, share).exp() for share in (0, 0.4))
    torch.testing.assert_close(mixed.sum(1), torch.ones(32))
    torch.testing.assert_close(mixed[16:], plain[16:])
    at = torch.from_numpy(batch.answers[:16])
    gained = mixed[torch.arange(16), at] - 0.6 * plain[torch.arange(16), at]
    torch.testing.assert_close(gained, torch.full((16,), 0.4))


def test_large_samples_give_some_of_their_rows_as_anchors() -> None:
    rows = normalized(clustered(0, MAX_ANCHORS + 100, 16), "cosine")
    around = Neighbourhood.of(rows, rows[:0], 0, 5)
    assert len(around.anchors) == MAX_ANCHORS
    np.testing.assert_array_equal(around.anchors, rows[around.own])


def test_fit_learns_and_tells_its_steps(rows: Any, queries: Any) -> None:
    events: list[dict[str, Any]] = []
    found = fit(rows, queries, bits=64, method="learned", hamming_bits=24, callback=events.append)
    assert found.binarizer.hamming_bits == 24
    assert found.binarizer.weight_projection is not None
    assert {o.candidate.method for o in found.comparison.outcomes} == {"learned"}
    assert {event["stage"] for event in events} == {"weights"}
    assert all(np.isfinite(event["loss"]) for event in events)
    # of the last fit; a batch is small and the start is good: the mean of many shows that it falls
    losses = [e["loss"] for e in events[max(i for i, e in enumerate(events) if e["step"] == 1) :]]
    assert np.mean(losses[-100:]) < 0.98 * np.mean(losses[:40])


def labelled_pairs(rows: Any, number: int, right: bool) -> tuple[Any, NDArray[np.int64]]:
    """Queries near a row, but for a shift that hides it; labels name the row, or a wrong one."""
    rng = np.random.default_rng(8)
    answers = rng.choice(len(rows), number)
    shift = rng.normal(size=rows.shape[1]) * 0.15
    queries = rows[answers] + shift + 0.1 * rng.normal(size=(number, rows.shape[1]))
    return queries, answers if right else rng.permutation(answers)


def test_few_labels_serve_as_queries_only(rows: Any) -> None:
    asked, answers = labelled_pairs(rows, 70, True)
    found = fit(rows, bits=64, method="learned", pairs=(asked, answers))
    unlabelled = fit(rows, asked, bits=64, method="learned")
    assert found.binarizer.fingerprint == unlabelled.binarizer.fingerprint
    assert "35 labelled pairs" in found.comparison.skipped["labels"]
    assert found.comparison.queries == 35
    assert not any("labels" in o.candidate.label for o in found.comparison.outcomes)


def test_wrong_labels_do_not_win(rows: Any) -> None:
    asked, answers = labelled_pairs(rows, 120, False)
    found = fit(rows, bits=64, method="learned", pairs=(asked, answers))
    unlabelled = fit(rows, asked, bits=64, method="learned")
    *others, with_labels = (o.candidate.binarizer.fingerprint for o in found.comparison.outcomes)
    blind = [o.candidate.binarizer.fingerprint for o in unlabelled.comparison.outcomes]
    assert others == blind
    assert with_labels not in blind
    labels = [o.candidate.label for o in found.comparison.outcomes]
    assert labels[-1] == f"{labels[-2]}, labels"
    assert found.comparison.chosen != len(labels) - 1
    assert found.comparison.outcomes[-1].answered.shape == (60,)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (5, r"pairs must be \(queries, rows\), found 5"),
        ((np.ones((3, 48)),), r"pairs must be \(queries, rows\), found 1 parts"),
        ((np.ones((3, 48)), [0, 1]), r"3 row numbers, one for each query, found shape \(2,\)"),
        ((np.ones((2, 48)), [0.0, 1.0]), r"2 row numbers.* found shape \(2,\) of float64"),
        ((np.ones((2, 48)), [0, 1000]), r"rows of the 1000 vectors, found 0 to 1000"),
        ((np.ones((2, 40)), [0, 1]), r"pairs\[0\] .*48 dimensions.*40"),
    ],
)
def test_pairs_that_cannot_be_used(rows: Any, pairs: Any, message: str) -> None:
    with pytest.raises(VectorsError, match=message):
        fit(rows, bits=64, pairs=pairs)


@pytest.mark.parametrize("kind", ["constant dimension", "duplicates", "integers"])
def test_odd_rows_train_to_finite_numbers(kind: str) -> None:
    rows = clustered(0, 200)
    if kind == "constant dimension":
        rows[:, 3:40] = 1
    elif kind == "duplicates":
        rows = np.repeat(rows[:20], 10, axis=0)
    else:
        rows = np.rint(rows * 4)
        rows[:, 0] = 1
    sample = normalized(rows, "cosine")
    start = additive_codes(sample, EMPTY, GOAL, 32, Settings())
    around = Neighbourhood.of(sample, sample[:0], 0, 50)
    found = learn_weights(start, around, 0, QUICK._replace(steps=10))
    assert np.isfinite(found.query_weights(sample)).all()
    assert found.encode(sample).shape == (200, 12)
