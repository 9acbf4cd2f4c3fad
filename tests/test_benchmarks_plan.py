"""The benchmarks of plans, drift and reports, on made-up sets."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import drift, plan, readme, reports
from benchmarks.datasets import hold_out
from synthetic import clustered

from bitryoshka import fit


def unit_rows(rows: int) -> np.ndarray:
    x = clustered(0, rows)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def test_trials_of_plans() -> None:
    data = hold_out("made up", unit_rows(1600), 400, 0)
    binarizer = fit(data.documents, bits=48, method="itq").binarizer
    found = plan.trials(binarizer, data.documents, data.queries)
    assert set(found) == {"0.9", "0.95", "0.98"}
    assert found["0.9"]["planned"] == plan.TRIALS
    targets = plan.targets({"made up": {"queries": {"targets": found}}})
    assert targets[0].measured == found["0.9"]["kept"] >= 0.95


def test_trials_of_drift() -> None:
    rows = unit_rows(1600)
    binarizer = fit(rows[:800], bits=48, method="itq").binarizer
    found = drift.trials(binarizer, rows[800:], {"texts of none": -rows[:200]})
    assert sum(found["advice"]["fresh sample"].values()) == drift.TRIALS
    by_name = {target.name: target for target in drift.targets({"made up": found})}
    assert by_name["false alarms on fresh samples, worst set"].met
    assert by_name["rotated: found, worst set"].met
    assert by_name["other texts: found, worst set"].met


def test_reports_on_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "BITS", 48)
    found = reports.report(reports.Source("made up", unit_rows(800)), "sign")
    assert [sizes["rows"] for sizes in found.values()] == [800, reports.MANY]
    assert not found["own size"]["switch"]
    made, left_alone = reports.targets({"a": found, "b": found})
    assert (made.measured, left_alone.measured) == (4, 1)
    other = found["own size"] | {"switch": True}
    made, left_alone = reports.targets({"a": found, "b": {"own size": other}})
    assert (made.met, left_alone.measured) == (False, 0.5)
    table = readme.reports_table({"sets": {"a": found}, "target_recall": 0.95, "bits": 48})
    assert "| a | own size | sign" in table
