"""Hostile inputs: what they are, and how codes fitted to them are judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from benchmarks import hostile
from benchmarks.hostile import Input, inputs
from benchmarks.judge import score_search
from benchmarks.made_up import World

SMALL = Input(lambda generator, n: World(24).draw(n, generator), 300, (8, 16, 24))


def draw(beginning: str) -> tuple[str, Any, Any]:
    [(name, made)] = [(n, m) for n, m in inputs(400).items() if n.startswith(beginning)]
    return (name, *hostile.drawn(name, made, 20))


class TestInputs:
    def test_all_positive(self) -> None:
        _, rows, judge = draw("all-positive")
        assert rows.shape == (400, 960)
        assert (rows > 0).all()
        assert np.linalg.norm(judge.data.documents.mean(axis=0)) > 0.8

    def test_off_centre(self) -> None:
        _, _, judge = draw("strongly")
        assert np.linalg.norm(judge.data.documents.mean(axis=0)) > 0.98

    def test_isotropic(self) -> None:
        _, rows, _ = draw("isotropic")
        assert abs(rows.mean()) < 0.01
        assert rows.std() == pytest.approx(1, rel=0.02)

    def test_integers(self) -> None:
        _, rows, _ = draw("integers")
        np.testing.assert_array_equal(rows, np.rint(rows))
        assert 0.1 < (rows == 0).mean() < 0.5
        assert rows.max() > 100

    def test_duplicates(self) -> None:
        _, rows, _ = draw("duplicates")
        assert len(np.unique(rows, axis=0)) <= 40 < len(rows) == 400

    def test_sizes(self) -> None:
        shapes = {draw(name)[1].shape for name in ("few", "d = 8", "d = 4096")}
        assert shapes == {(100, 384), (400, 8), (400, 4096)}

    def test_queries_are_new_rows(self) -> None:
        rows, judge = hostile.drawn("x", SMALL, 30)
        again, _ = hostile.drawn("x", SMALL, 30)
        np.testing.assert_array_equal(rows, again)
        known = {row.tobytes() for row in judge.data.documents}
        assert not any(query.tobytes() in known for query in judge.data.queries)


class TestJudging:
    def test_equal_rows_stand_for_one_another(self) -> None:
        rows, judge = hostile.drawn("duplicates", SMALL, 20)
        assert len(np.unique(rows, axis=0)) < len(rows)
        data = judge.data
        exact = score_search(data.queries, data.documents)
        backwards = score_search(data.queries, data.documents[::-1])
        assert hostile.recalls(judge, exact).tolist() == [1] * 20
        last_first = len(rows) - 1 - backwards(10)
        assert hostile.recalls(judge, lambda n: last_first[:, :n]).tolist() == [1] * 20

    def test_overall_weighs_the_kinds_alike(self) -> None:
        one, zero = np.ones(3), np.zeros(3)
        found = {"hamming": {"8": one, "16": zero}, "asymmetric": {"8": zero}}
        expected = pytest.approx([0.5] * 3)
        assert hostile.overall(found | {"funnel": {"16": one}}).tolist() == expected

    def test_an_input_from_end_to_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hostile, "CHOICES", ("progressive",))
        found = hostile.measure("small", SMALL, 20)
        assert set(found["recall"]) == {*hostile.CLOSED}
        kind = "progressive"
        assert found["chosen"][kind].startswith(kind)
        assert set(found["recall"][kind]["hamming"]) == {"8", "16", "24"}
        best = max(hostile.CLOSED, key=lambda kind: found["recall"][kind]["overall"])
        assert found["best_closed_form"] == best
        behind = found["recall"][kind]["overall"] - found["recall"][best]["overall"]
        assert found["difference"][kind]["overall"]["mean"] == pytest.approx(behind, abs=0.05)

    def test_methods_that_do_not_reach_are_left_out(self) -> None:
        rows, _ = hostile.drawn("x", SMALL, 20)
        longer = SMALL._replace(lengths=(16, 48))
        found = [kind for kind, _ in hostile.closed_forms(rows, longer)]
        assert found == ["rotation", "progressive"]

    def test_targets_look_at_upper_ends(self) -> None:
        def difference(high: float) -> dict[str, Any]:
            return {"overall": {"mean": high - 0.01, "low": high - 0.02, "high": high}}

        ends = {"auto": difference(0.001), "itq": difference(-0.001)}
        found = hostile.targets({"inputs": {"x": {"difference": ends}}})
        assert [target.met for target in found] == [True, False]
