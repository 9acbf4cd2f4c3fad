"""The benchmark of lists, over few made-up rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import lists, lists_tables
from benchmarks.made_up import World
from benchmarks.memory import USES
from benchmarks.results import read, write


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("lists")
    written: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.memory.USES", {**dict.fromkeys(USES, 1), "choosing": 30})
        patch.setattr(lists, "CODES", ((64, 64), (128, 64), (128, 128)))
        patch.setattr(lists, "IN_INDEX", ((64, 64), (128, 128)))
        patch.setattr(lists, "GRAPHS", ((8, 32), (16, 32)))
        patch.setattr(lists, "WAYS", (16, 32))
        patch.setattr(lists, "write", lambda name, found, promised: written.update(found))
        vectors = World(64).draw(33 + 1500, np.random.default_rng(0))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        np.save(folder / "vectors.npy", vectors)
        given = ["--folder", str(folder), "--rows", "1500", "--shared-buffers", str(2**24)]
        lists.main(given)
        before = dict(written)
        written.clear()
        lists.main(given)
    assert written == before, "a second call measured again"
    return written


def test_more_hamming_bits_make_lists_shorter(figures: dict[str, Any]) -> None:
    few, _, many = figures["codes"]
    assert (few["hamming_bits"], many["hamming_bits"]) == (64, 128)
    assert many["hamming_recall"] > few["hamming_recall"]
    assert many["lists"]["0.98"] < few["lists"]["0.98"]


def test_every_index_is_searched_at_the_recall_that_is_wanted(figures: dict[str, Any]) -> None:
    assert len(figures["searches"]) == 2 + 1 + 2 + 3
    for found in figures["searches"].values():
        assert found["bytes"] > 0
        assert list(found["at"]) == ["0.95", "0.98"]
        assert found["at"]["0.95"]["list"] in lists.LISTS
        assert found["at"]["0.95"]["pages"] > 0
    ways = [at["at"]["0.95"] for name, at in figures["searches"].items() if "m 16" in name]
    assert max(way["recall"] for way in ways) - min(way["recall"] for way in ways) < 0.11
    for orders in figures["pages_of_lists"].values():
        assert 0 < orders["by code"] <= orders["as they came"]


def test_tables_and_targets(figures: dict[str, Any], tmp_path: Path) -> None:
    write("lists", figures, lists.targets(figures), folder=tmp_path)
    found = read(tmp_path / "lists.json")
    assert len(found["targets"]) >= 4
    assert "| 128, 128 of them Hamming bits |" in lists_tables.codes_block(found["figures"])
    assert "| 128 Hamming bits, m 16, ef 32 |" in lists_tables.graphs_block(found["figures"])
    assert "| 400 |" in lists_tables.pages_block(found["figures"])


def test_a_list_that_never_holds_enough() -> None:
    assert lists.shortest(lambda n: [[1]], [[1, 2]], 0.95) is None
