"""The ablation of additive codes: the benchmark's own code."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from benchmarks import ablation, readme
from benchmarks.datasets import hold_out
from benchmarks.judge import Coded, Judge
from benchmarks.results import read, write
from synthetic import clustered

from bitryoshka.bits import unpack
from bitryoshka.training.additive import additive_codes, hamming_start, usual_settings
from bitryoshka.training.closed_form import Goal
from bitryoshka.training.distilling import Recipe
from bitryoshka.training.weights import learn_weights

QUICK = Recipe(steps=4, anchors=16, rows=64)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of 16 bits, and hardly any training."""
    monkeypatch.setattr(ablation, "BITS", 16)
    monkeypatch.setattr(ablation, "GOAL", Goal(16, (16,), "cosine", 0))
    monkeypatch.setattr(ablation, "PROGRESSIVE_HAMMING", 8)
    monkeypatch.setattr(ablation, "SHORT_HAMMING", 8)
    monkeypatch.setattr(ablation, "HIDDEN", 64)
    monkeypatch.setattr(ablation, "STEPS", 60)
    monkeypatch.setattr(ablation, "learn_weights", partial(learn_weights, recipe=QUICK))


@pytest.fixture
def judge() -> Judge:
    x = clustered(1, 340)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    held = hold_out("made up", x, 40, 0)
    return Judge.of(held._replace(judgements=[{i: 1.0} for i in range(40)]))


@pytest.mark.usefixtures("short")
class TestCodes:
    def test_each_part_has_a_code(self, judge: Judge) -> None:
        found = dict(ablation.codes(judge))
        assert {name for pair in ablation.GAINS.values() for name in pair} < set(found)
        assert len(found) == 21
        assert {coded.encoded.codes.shape for coded in found.values()} == {(300, 2)}
        assert found["usual, 8 Hamming bits"].encoded.query_codes.shape == (40, 1)
        usual = found[ablation.USUAL]
        for name, coded in found.items():
            if name.startswith("network"):
                assert coded.binarizer is usual.binarizer
                np.testing.assert_array_equal(coded.encoded.query_codes, usual.encoded.query_codes)

    def test_the_start_alone_is_what_a_descent_begins_with(self, judge: Judge) -> None:
        rows = judge.data.documents
        settings = usual_settings(16, rows.shape[1])
        start = hamming_start(rows, ablation.GOAL, 16)
        plain = ablation.start_only(rows, start, settings)
        above = rows @ start.weights.T > start.offset
        np.testing.assert_array_equal(unpack(plain.encode(rows)), above)
        code = additive_codes(
            rows, rows[:0], ablation.GOAL, 16, settings._replace(rounds=(1,)), start
        )
        assert code.additive is not None
        before, after = (code.additive.loss(rows, b.encode(rows)).sum() for b in (plain, code))
        assert after < before

    def test_a_descent_repairs_an_imitation(self, judge: Judge) -> None:
        rows = judge.data.documents
        code = additive_codes(rows, rows[:0], ablation.GOAL, 16, usual_settings(16, rows.shape[1]))
        assert code.additive is not None
        found = dict(ablation.imitations(rows, code))
        losses = {name: code.additive.loss(rows, bits).sum() for name, bits in found.items()}
        for kind in ("seen", "unseen"):
            alone, after = (
                losses[f"network, {kind} documents: {part}"]
                for part in ("bits alone", "descent from there")
            )
            assert after < alone
        again = dict(ablation.imitations(rows, code))
        assert all(np.array_equal(found[name], again[name]) for name in found)

    def test_shares_of_bits_only_within_one_code(self, judge: Judge) -> None:
        rows = judge.data.documents
        code = additive_codes(rows, rows[:0], ablation.GOAL, 16, usual_settings(16, rows.shape[1]))
        usual = Coded.of(judge, code)
        assert ablation.measure(usual, usual)["same_bits"] == 1
        turned = usual._replace(encoded=replace(usual.encoded, codes=~usual.encoded.codes))
        assert ablation.measure(turned, usual)["same_bits"] == 0
        assert "same_bits" not in ablation.measure(usual, None)

    def test_from_command_to_table(
        self, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ablation, "read_dataset", lambda folder: judge.data)
        monkeypatch.setattr(ablation, "write", partial(write, folder=tmp_path))
        ablation.main(["--data", "made-up"])
        content = read(tmp_path / "ablation.json")
        figures = content["figures"]
        recall = {
            name: found["asymmetric"]["16"]["recall"] for name, found in figures["mean"].items()
        }
        gained = recall[ablation.DESCENT] - recall[ablation.START]
        assert figures["gains"]["descent"] == pytest.approx(gained, abs=2e-4)
        assert [t["name"] for t in content["targets"]] == [
            "recall gained by descent",
            "recall gained by neighbours",
        ]
        assert str(tmp_path) not in json.dumps(content)
        lines = readme.ablation_table(figures).splitlines()
        assert lines[0] == "| code | float query | funnel | Hamming |"
        assert len(lines) == 2 + len(recall) + 2
