"""Time, memory and the subsample curve of `fit`: the benchmark's own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import readme, training
from benchmarks.datasets import hold_out
from benchmarks.made_up import World
from benchmarks.results import read

from bitryoshka.training import fitting

COST = {
    "seconds": 41.0,
    "cpu_seconds": 40.1,
    "mib": 730.2,
    "own_mib": 700.0,
    "sample_rows": 20_000,
    "chosen": "itq",
}


class TestWorld:
    def test_a_file_holds_what_is_drawn(self, tmp_path: Path) -> None:
        world = World(24)
        world.write(tmp_path / "x.npy", 70, seed=3, block=30)
        generator = np.random.default_rng(3)
        expected = np.concatenate([world.draw(n, generator) for n in (30, 30, 10)])
        np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), expected)

    def test_off_centre_clusters_with_a_falling_spectrum(self) -> None:
        x = World(64, off_centre=2).draw(4000, np.random.default_rng(0))
        assert np.linalg.norm(x.mean(axis=0)) == pytest.approx(2, rel=0.1)
        variances = np.linalg.eigvalsh(np.cov(x.T))[::-1]
        assert variances.sum() == pytest.approx(1, rel=0.2)
        assert variances[0] > 4 * variances[9] > 8 * variances[-1]


class TestCosts:
    def test_a_case_is_measured_in_a_fresh_process(self, tmp_path: Path) -> None:
        found = training.measure_case(training.Case(400, 24, 16), "itq", tmp_path)
        assert set(found) == set(COST)
        assert found["seconds"] > 0
        assert found["cpu_seconds"] > 0
        assert (found["sample_rows"], found["chosen"]) == (400, "itq")
        assert not list(tmp_path.iterdir())

    def test_the_peak_is_seen_though_it_is_freed(self) -> None:
        before = training.Peak()
        before.look()
        with training.watching(0.001) as peak:
            held = np.ones(128 * training.MIB, np.uint8)
            peak.look()
            del held
        assert peak.held - before.held > 64

    def test_targets_need_the_promised_case(self) -> None:
        assert training.targets({}) == []
        met = training.targets({training.PROMISED.label: COST})
        assert [t.met for t in met] == [True, True]
        assert training.Case.parse("100000x384x384") == training.PROMISED in training.CASES


class TestCurve:
    def test_more_rows_and_the_same_queries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(training, "PREFIXES", (8, 16))
        monkeypatch.setattr(training, "CUTS", (24, 48))
        x = World(48).draw(420, np.random.default_rng(1))
        data = hold_out("made up", x / np.linalg.norm(x, axis=1, keepdims=True), 40, 0)
        limit = fitting.SAMPLE_ROWS
        found = training.curve(data, (60, 200, 9000), "progressive")
        assert list(found) == ["60", "200", "380"]
        assert set(found["60"]["recall"]) == {
            "Hamming 8",
            "Hamming 16",
            "asymmetric 24",
            "asymmetric 48",
            "funnel 48",
        }
        assert found["380"]["behind_all"] == {"mean": 0, "low": 0, "high": 0}
        assert limit == fitting.SAMPLE_ROWS


def test_from_command_to_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(name: str, figures: dict[str, Any], targets: Any, module: str) -> None:
        training_write(name, figures, targets, module=module, folder=tmp_path)

    training_write = training.write
    monkeypatch.setattr(training, "write", write)
    monkeypatch.setattr(training, "measure_case", lambda case, method, folder: COST)
    training.main(["--cases", "100000x384x384", "1000000x384x384"])
    figures = read(tmp_path / "training.json")["figures"]
    assert figures["curves"] == {}
    table = readme.training_table(figures)
    assert "| 1,000,000 | 384 | 384 | 40 | 730 | 700 |" in table
    monkeypatch.setattr(training, "FOLDER", tmp_path)
    more = {**COST, "seconds": 30.0}
    monkeypatch.setattr(training, "measure_case", lambda case, method, folder: more)
    training.main(["--keep", "--cases", "10000x1024x384", "10000x384x384"])
    kept = read(tmp_path / "training.json")["figures"]
    assert [line[2:9] for line in readme.training_table(kept).splitlines()[2:]] == [
        "10,000 ",
        "100,000",
        "1,000,0",
        "10,000 ",
    ]
    assert kept["costs"]["10000 x 384, 384 bits"]["seconds"] == 30
    assert kept["costs"]["100000 x 384, 384 bits"] == figures["costs"]["100000 x 384, 384 bits"]
    assert readme.subsample_table({"curves": {"s": {"rows": CURVE}}}).splitlines()[2:] == [
        "| s | 1,000 | 0.500 | 0.600 | 0.100 |",
        "| s | 2,000 | 0.600 | 0.700 | 0.000 |",
    ]


CURVE = {
    "1000": {"recall": {"a": 0.5, "b": 0.6}, "behind_all": {"mean": 0.1}},
    "2000": {"recall": {"a": 0.6, "b": 0.7}, "behind_all": {"mean": 0.0}},
}
