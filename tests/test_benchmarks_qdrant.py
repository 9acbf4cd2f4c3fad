"""The benchmark of Qdrant's searches, in the real engine on a few made-up rows."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from benchmarks import qdrant_curves, qdrant_parallel, readme
from benchmarks.recall_curves import at_recall, drawn
from qdrant_client import models
from synthetic import clustered

from bitryoshka.training.additive import Settings, additive_codes
from bitryoshka.training.closed_form import Goal

ROWS, QUERIES = 600, 12


@pytest.fixture(scope="module")
def unit() -> np.ndarray:
    x = clustered(0, ROWS + QUERIES)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


@pytest.fixture(scope="module")
def kept(unit: np.ndarray) -> dict[str, qdrant_curves.Kept]:
    recipe = Settings(rounds=(1,))
    codes = [
        additive_codes(unit, unit[:0], Goal(bits, (bits,), "cosine", 0), 48, recipe)
        for bits in (48, 96)
    ]
    return qdrant_curves.ways(*codes)


def test_every_way_is_built_and_searched(
    unit: np.ndarray, kept: dict[str, qdrant_curves.Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qdrant_curves, "LISTS", (10, 40, 600))
    monkeypatch.setattr(qdrant_curves, "ALONE", (10, 600))
    found = qdrant_curves.measure_curves(kept, unit[QUERIES:], unit[:QUERIES])
    assert list(found["costs"]) == list(kept)
    assert list(found["curves"]) == [name for name in kept if name != qdrant_curves.SCAN]
    assert found["scan"]["recall"] == 1
    for points in found["curves"].values():
        recalls = [point["recall"] for point in points]
        assert recalls == sorted(recalls)
        assert recalls[-1] > 0.95  # floats on disk are rounded to float16
        assert all(point["milliseconds"] > 0 for point in points)
    assert list(found["alone"]) == list(found["curves"])
    for name, points in found["alone"].items():
        assert [point["list"] for point in points] == [10, 600]
        short, long = (point["recall"] for point in points)
        assert short <= long + 0.1  # each build of a graph misses other rows
        if name.startswith("ours"):  # the codes' own order, not that of the floats
            assert long < 0.99
    for name, cost in found["costs"].items():
        assert cost["disk_bytes"] > cost["vector_bytes"] > 0
        assert cost["graph_bytes"] > 0 or name == qdrant_curves.SCAN
    a_vector = {name: cost["vector_bytes"] // ROWS for name, cost in found["costs"].items()}
    assert a_vector[qdrant_curves.FLOAT] == 4 * unit.shape[1]
    assert unit.shape[1] <= a_vector["scalar int8"] < 2 * unit.shape[1]
    assert a_vector["1-bit BQ"] == a_vector["ours, 96 bits"] == 16
    for text, rows in (
        (readme.qdrant_curves({"search": found}), len(kept)),
        (readme.qdrant_alone({"search": found}), len(kept) - 1),
    ):
        assert len(text.splitlines()) == rows + 4
        assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def test_what_never_finds_enough_stays_blank() -> None:
    cost = dict.fromkeys(("vector_bytes", "graph_bytes", "disk_bytes"), 2**21)
    figures = {
        "rows": 5,
        "costs": {"a": cost | {"upsert_seconds": 1.2, "index_seconds": 3.4}},
        "curves": {"a": [{"list": 10, "recall": 0.5}]},
        "at_recall": {"0.98": {}},
        "scan": {},
    }
    assert "| a |  |  |  | 2 | 2 | 2 | 1 | 3 |" in readme.qdrant_curves({"search": figures})


def test_all_of_the_list_is_rescored(kept: dict[str, qdrant_curves.Kept], unit: np.ndarray) -> None:
    own = kept["1-bit BQ"].request(unit[0], 40, True).params
    assert own is not None
    assert own.quantization == models.QuantizationSearchParams(rescore=True, oversampling=4)
    stage = kept["ours, 48 bits"].request(unit[0], 40, True).prefetch
    assert isinstance(stage, models.Prefetch)
    assert (stage.limit, stage.params.hnsw_ef) == (40, own.hnsw_ef)
    assert kept[qdrant_curves.SCAN].request(unit[0], 40, True).params.exact
    for name in ("1-bit BQ", "ours, 48 bits"):
        request = kept[name].request(unit[0], 40, False)
        assert (request.using, request.prefetch, request.params.hnsw_ef) == ("bits", None, 40)
        assert request.params.quantization == models.QuantizationSearchParams(rescore=False)


def test_recall_counts_the_wanted_rows() -> None:
    truth = np.arange(20).reshape(2, 10)
    found = [truth[0][::-1], np.array([10, 11, 3])]
    assert qdrant_curves.recall_of(found, truth) == pytest.approx(0.6)


def test_sizes_are_those_of_the_files(tmp_path: Path) -> None:
    for name, size in (("links.bin", 7), ("graph.bin", 5), ("matrix.dat", 100)):
        (tmp_path / name).write_bytes(bytes(size))
    assert qdrant_curves.sizes(tmp_path)["vector_bytes"] == 100
    (tmp_path / "quantized.data").write_bytes(bytes(9))
    found = qdrant_curves.sizes(tmp_path)
    assert (found["vector_bytes"], found["graph_bytes"]) == (9, 12)


def test_turns(unit: np.ndarray) -> None:
    asked: list[str] = []

    def search(name: str) -> None:
        asked.append(name)
        time.sleep(0.02 if name == "a" else 0)

    searches = {(name, 1, True): lambda _, name=name: search(name) for name in "ab"}
    found = qdrant_curves.in_turns(searches, unit[:2])
    assert asked == [*"aabb"] * 2
    assert found.keys() == searches.keys()
    assert found["b", 1, True] < 0.01 < found["a", 1, True]


def test_the_shortest_list_that_finds_enough() -> None:
    points = [{"list": n, "recall": r} for n, r in ((10, 0.8), (20, 0.96), (30, 0.95), (40, 1.0))]
    curves = {"a": points, "b": points[:1]}
    found = {wanted: at_recall(curves, wanted) for wanted in (0.8, 0.95, 0.99)}
    assert {w: {n: p["list"] for n, p in f.items()} for w, f in found.items()} == {
        0.8: {"a": 10, "b": 10},
        0.95: {"a": 20},
        0.99: {"a": 40},
    }
    run = {"rows": 9, "curves": curves, "at_recall": {"0.95": found[0.95], "1": {}}}
    run["at_recall"]["0.95"]["a"]["milliseconds"] = 1.25
    text = readme.growth_table(
        {"growth": [run | {"at_recall": {"0.95": {}, "1": {}}}], "search": run}
    )
    assert text.splitlines()[2:4] == ["| 0.95 | a |  | 1.25 (20) |", ""]


def test_rows_are_drawn_from_all_sets_once(tmp_path: Path, unit: np.ndarray) -> None:
    for name, rows in (("a", unit[:300]), ("b", unit[200:])):
        folder = tmp_path / name
        folder.mkdir()
        np.save(folder / "corpus.npy", rows)
        np.save(folder / "queries.npy", rows[:1])
        ids = {"corpus": [str(i) for i in range(len(rows))], "queries": ["q"]}
        (folder / "ids.json").write_text(json.dumps(ids))
    folders = [tmp_path / "a", tmp_path / "b"]
    queries, rows = drawn(folders, 12, 500)
    assert (len(queries), len(rows)) == (12, 500)
    assert len(np.unique(np.concatenate([queries, rows]), axis=0)) == 512
    np.testing.assert_array_equal(drawn(folders, 12, 100)[1], rows[:100])
    with pytest.raises(ValueError, match="expected 700 different documents, found 612"):
        drawn(folders, 700)


def test_threads_are_measured_for_each_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant_parallel, "THREADS", (1, 2))
    found = qdrant_parallel.measure(400, 1)
    works = ("upsert", "move", "verify")
    names = {"plain", "encode", *(f"{work} {n}" for work in works for n in (1, 2))}
    for seconds in (found["seconds"], found["processor_seconds"]):
        assert set(seconds) == names
        assert min(seconds.values()) > 0
    assert found["processor_seconds"]["upsert 1"] > found["processor_seconds"]["encode"]
    table = readme.qdrant_parallel(found)
    assert table.startswith("|  | s, 1 thread | s, 2 threads | processor s |\n")
    assert all(f"\n| {work} | " in table for work in works)
