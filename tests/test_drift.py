"""Drift: silent on fresh samples, loud on planted shifts, and thresholds that follow."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import clustered

from bitryoshka import Binarizer, VectorsError, check_drift, fit, recalibrate
from bitryoshka.drift import Reference

ROWS = clustered(0, 3000)
FRESH = clustered(1, 3000)
RNG = np.random.default_rng(0)
AWAY = 0.6 * RNG.normal(size=48) / 48**0.5
TURN = np.linalg.qr(RNG.normal(size=(48, 48)))[0]


@pytest.fixture(scope="module", params=["progressive", "additive"])
def binarizer(request: pytest.FixtureRequest) -> Binarizer:
    return fit(ROWS, bits=96, method=request.param).binarizer


def test_no_alarm_on_fresh_samples(binarizer: Binarizer) -> None:
    rng = np.random.default_rng(0)
    found = [
        check_drift(binarizer, FRESH[rng.choice(3000, size, replace=False)])
        for size in (100, 150, 250, 400)
        for _ in range(25)
    ]
    assert Counter(drift.advice for drift in found)["keep"] >= 95
    assert sum(drift.moved for drift in found) <= 5


def test_a_shift_that_does_not_matter_is_noticed() -> None:
    binarizer = fit(ROWS, bits=96, method="progressive").binarizer
    deviation = binarizer.project(ROWS).std(axis=0).mean()
    found = check_drift(binarizer, moved_rows(FRESH, binarizer, 0.12 * deviation))
    assert found.advice == "keep"
    assert found.moved
    assert found.shift < found.shift_limit
    assert found.text().endswith("moved beyond chance, but too little to matter")


@pytest.mark.parametrize("rows", [200, 3000])
@pytest.mark.parametrize(
    ("plant", "advice"),
    [
        (lambda x: x + AWAY, {"recalibrate", "refit"}),
        (lambda x: x @ TURN, {"refit"}),
        (lambda x: np.tanh(x @ RNG.normal(size=(48, 48))), {"refit"}),
    ],
    ids=["mean", "rotation", "other model"],
)
def test_planted_shifts_are_found(
    binarizer: Binarizer, plant: object, advice: set[str], rows: int
) -> None:
    found = check_drift(binarizer, plant(FRESH[:rows]))  # type: ignore[operator]
    assert found.advice in advice
    limits = (
        (found.shift, found.shift_limit),
        (found.spread, found.spread_limit),
        (found.balance, found.balance_limit),
    )
    assert any(measured > limit for measured, limit in limits)


def moved_rows(rows: np.ndarray, binarizer: Binarizer, by: float) -> np.ndarray:
    """Rows of which every projected value has moved, and nothing else."""
    shift = np.linalg.pinv(binarizer.projection) @ np.full(binarizer.hamming_bits, by)
    return (rows + shift).astype(np.float32)


def test_thresholds_follow() -> None:
    before = fit(ROWS, bits=48, method="centred", metric="inner_product").binarizer
    moved = moved_rows(FRESH, before, 0.1)
    assert check_drift(before, moved).advice == "recalibrate"
    after = recalibrate(before, moved)
    assert after.fingerprint != before.fingerprint
    assert after.info["recalibrated_from"] == before.fingerprint
    assert check_drift(after, moved_rows(clustered(2, 2000), before, 0.1)).advice == "keep"
    balance = Reference.of(after, moved).balance
    assert np.abs(balance - Reference.of(before, FRESH).balance).max() < 0.05


def test_queries_follow_as_far_as_they_did() -> None:
    b = fit(ROWS, bits=48, method="centred", metric="inner_product").binarizer
    half = replace(b, hamming_offset=b.offset / 2)
    after = recalibrate(half, moved_rows(FRESH, b, 0.1))
    assert after.hamming_offset is not None
    np.testing.assert_allclose(
        after.hamming_offset - half.hamming_offset, (after.offset - half.offset) / 2, atol=1e-5
    )


def test_the_fit_keeps_what_is_compared_with(binarizer: Binarizer, tmp_path: Path) -> None:
    binarizer.save(tmp_path / "b.safetensors")
    kept = Reference.kept_by(Binarizer.load(tmp_path / "b.safetensors"))
    measured = Reference.of(binarizer, ROWS)
    np.testing.assert_allclose(kept.mean, measured.mean, atol=1e-4)
    np.testing.assert_allclose(kept.balance, measured.balance, atol=1e-4)
    assert set(kept.recall) == {500, 200, 100}


def test_a_truncated_binarizer_is_checked_without_recall(binarizer: Binarizer) -> None:
    found = check_drift(binarizer.truncate(binarizer.hamming_bits), FRESH)
    assert (found.advice, found.recall) == ("keep", None)


def test_without_statistics_a_sample_is_asked_for(binarizer: Binarizer) -> None:
    bare = replace(binarizer, info={})
    with pytest.raises(VectorsError, match="give a sample of them as reference="):
        check_drift(bare, FRESH)
    assert check_drift(bare, FRESH, reference=ROWS).advice == "keep"
    assert check_drift(bare, FRESH @ TURN, reference=ROWS).advice == "refit"
    with pytest.raises(VectorsError, match="at least 100 vectors, found 99"):
        check_drift(binarizer, FRESH[:99])


@pytest.mark.parametrize("use", [check_drift, recalibrate])
def test_an_unusable_row_is_named_by_its_own_number(binarizer: Binarizer, use: Any) -> None:
    many = np.tile(FRESH, (2, 1))
    many[[2500, 5500]] = 0  # of 6,000 rows 4,000 are looked at, in an order of their own
    with pytest.raises(VectorsError, match=r"^vectors .* row (2500|5500) is zero$"):
        use(binarizer, many, seed=3)
    with pytest.raises(VectorsError, match=r"^reference .* row 2500 is zero$"):
        use(binarizer, FRESH, reference=many)
