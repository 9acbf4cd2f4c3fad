"""The learned method: what it trains, what it leaves alone, and that it helps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from synthetic import clustered

from bitryoshka import Binarizer, fit
from bitryoshka.evaluation import asymmetric_topk, exact_topk, hamming_topk, recall_at_k
from bitryoshka.training.closed_form import Goal, progressive_codes
from bitryoshka.training.learned import (
    Recipe,
    _cuts,
    _decoded,
    learn_signs,
    learn_weights,
)
from bitryoshka.training.neighbourhood import MAX_ANCHORS, Neighbourhood
from bitryoshka.vectors import normalized

GOAL = Goal(96, (16, 32, 64), "cosine", 0)
QUICK = Recipe(sign_steps=200, weight_steps=150, anchors=64, rows=256)
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
    return progressive_codes(rows, GOAL, 32)


@pytest.fixture(scope="module")
def signs(start: Binarizer, around: Neighbourhood) -> Binarizer:
    return learn_signs(start, around, 0, QUICK)


@pytest.fixture(scope="module")
def learned(signs: Binarizer, around: Neighbourhood) -> Binarizer:
    return learn_weights(signs, around, 0, QUICK)


def hamming_recall(b: Binarizer, rows: Any, queries: Any, bits: int) -> float:
    found = hamming_topk(b.encode_queries(queries, bits), b.encode(rows, bits)).rows
    return float(recall_at_k(found, exact_topk(queries, rows).rows).mean())


def asymmetric_recall(b: Binarizer, rows: Any, queries: Any, bits: int) -> float:
    found = asymmetric_topk(b.query_weights(queries, bits), b.encode(rows, bits)).rows
    return float(recall_at_k(found, exact_topk(queries, rows).rows).mean())


def test_signs_make_short_prefixes_better(
    start: Binarizer, signs: Binarizer, rows: Any, queries: Any
) -> None:
    before, after = (hamming_recall(b, rows, queries, 16) for b in (start, signs))
    assert after > before + 0.015


def test_weights_make_the_float_query_better(
    signs: Binarizer, learned: Binarizer, rows: Any, queries: Any
) -> None:
    for bits in (16, 32):
        before, after = (asymmetric_recall(b, rows, queries, bits) for b in (signs, learned))
        assert after > before + 0.015


def test_weights_leave_the_codes_as_they_are(
    signs: Binarizer, learned: Binarizer, rows: Any, queries: Any
) -> None:
    np.testing.assert_array_equal(learned.encode(rows), signs.encode(rows))
    np.testing.assert_array_equal(learned.encode_queries(queries), signs.encode_queries(queries))
    assert learned.query_projection is not None
    assert learned.query_projection.shape == (4, 32, 48)
    assert not learned.query_projection[0, 16:].any()


def test_every_cut_is_the_truncated_code(learned: Binarizer, rows: Any, queries: Any) -> None:
    for bits in learned.nested_bits:
        short = learned.truncate(bits)
        np.testing.assert_array_equal(short.encode(rows), learned.encode(rows, bits))
        np.testing.assert_allclose(
            short.query_weights(queries), learned.query_weights(queries, bits), rtol=1e-5
        )


def test_one_seed_one_result(start: Binarizer, learned: Binarizer, around: Neighbourhood) -> None:
    again = learn_weights(learn_signs(start, around, 0, QUICK), around, 0, QUICK)
    assert again.fingerprint == learned.fingerprint
    other = learn_signs(start, around, 1, QUICK)
    assert not np.array_equal(other.projection, learned.projection)


def test_training_decodes_as_the_codes_do(start: Binarizer, rows: Any) -> None:
    z, codes = torch.from_numpy(start.project(rows)), start.encode(rows)
    found = _cuts(start, rows, Recipe(), torch.device("cpu"))
    lengths = [n for n in start.nested_bits if n >= start.hamming_bits]
    for cut, bits in zip(found, lengths, strict=True):
        np.testing.assert_allclose(cut.decode(z), _decoded(start, codes, bits), atol=1e-5)


def test_the_quantizer_passes_gradients_where_it_does_not_clip(start: Binarizer, rows: Any) -> None:
    [cut, *_] = _cuts(start, rows, Recipe(), torch.device("cpu"))
    z = torch.stack([cut.step * cut.half * share for share in (0.3, -0.9, 1.5, -2.0)])
    z.requires_grad_()
    cut.decode(z).sum().backward()
    expected = torch.tensor([[1.0], [1.0], [0.0], [0.0]]).expand_as(z)
    torch.testing.assert_close(z.grad, expected)


@pytest.mark.parametrize("off", ["cuts", "orthogonality", "short", "sign_steps"])
def test_every_part_has_a_switch(start: Binarizer, around: Neighbourhood, off: str) -> None:
    recipe = QUICK._replace(sign_steps=5)._replace(**{off: 0})
    found = learn_signs(start, around, 0, recipe)
    changed = not np.array_equal(found.projection, start.projection)
    assert changed == (off != "sign_steps")


def test_queries_may_share_the_projection(start: Binarizer, around: Neighbourhood) -> None:
    recipe = QUICK._replace(sign_steps=5, query_signs=False)
    found = learn_signs(start, around, 0, recipe)
    assert found.hamming_projection is None
    assert found.hamming_offset is not None


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


def test_large_samples_give_some_of_their_rows_as_anchors() -> None:
    rows = normalized(clustered(0, MAX_ANCHORS + 100, 16), "cosine")
    around = Neighbourhood.of(rows, rows[:0], 0, 5)
    assert len(around.anchors) == MAX_ANCHORS
    np.testing.assert_array_equal(around.anchors, rows[around.own])


def test_fit_learns_and_tells_its_steps(rows: Any, queries: Any) -> None:
    events: list[dict[str, Any]] = []
    found = fit(rows, queries, 64, method="learned", hamming_bits=24, callback=events.append)
    assert found.binarizer.hamming_bits == 24
    assert found.binarizer.query_projection is not None
    assert {o.candidate.method for o in found.comparison.outcomes} == {"learned"}
    assert {event["stage"] for event in events} == {"signs", "weights"}
    assert all(np.isfinite(event["loss"]) for event in events)
    last = [e["loss"] for e in events if e["stage"] == "weights" and e["step"] == e["steps"]]
    first = [e["loss"] for e in events if e["stage"] == "weights" and e["step"] == 1]
    assert np.mean(last) < np.mean(first)


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
    start = progressive_codes(sample, GOAL, 32)
    around = Neighbourhood.of(sample, sample[:0], 0, 50)
    recipe = QUICK._replace(sign_steps=10, weight_steps=10)
    found = learn_weights(learn_signs(start, around, 0, recipe), around, 0, recipe)
    assert np.isfinite(found.query_weights(sample)).all()
    assert found.encode(sample).shape == (200, 12)
