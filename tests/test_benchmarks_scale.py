"""What is reckoned for many rows: from the committed files, by rules that are checked by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import curves, scale, scale_parts, scale_tables
from benchmarks.results import FOLDER, read, write
from benchmarks.scale_growth import Line, ScaleError
from benchmarks.scale_parts import KEY, LONG, SHORT, VECTORS, WITH_CODES

USED = ("scale_parts", "memory", "postgres", "memory_qdrant", "qdrant_curves")


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return scale.reckon()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that are read, to be changed."""
    for name in USED:
        shutil.copy(FOLDER / f"{name}.json", tmp_path)
    return tmp_path


def change(folder: Path, name: str, how: Callable[[dict[str, Any]], object]) -> None:
    path = folder / f"{name}.json"
    content = json.loads(path.read_text("utf-8"))
    how(content["figures"])
    path.write_text(json.dumps(content), "utf-8")


def test_the_committed_figures_are_those_of_the_files(
    figures: dict[str, Any], tmp_path: Path
) -> None:
    write("scale", figures, scale.targets(figures), folder=tmp_path)
    committed, found = read(FOLDER / "scale.json"), read(tmp_path / "scale.json")
    for key in ("figures", "targets"):
        assert committed[key] == found[key], "run python -m benchmarks.scale"


def test_bytes_are_linear_in_rows(figures: dict[str, Any]) -> None:
    for found in figures["layouts"].values():
        at = found["at"]
        for what in ("table", "index", "memory", "build_memory"):
            name = f"{what}_bytes"
            assert at["1000000000"][name] == pytest.approx(1000 * at["1000000"][name])
            a_row = found["bytes_a_row"][str(figures["dimensions"])][what]
            assert at["1000000"][name] == pytest.approx(1e6 * a_row)


def test_what_is_kept_and_what_is_in_memory() -> None:
    tables = {VECTORS: 1000.0, WITH_CODES: 1100.0, SHORT: 80.0, LONG: 140.0, KEY: 20.0}
    indexes = {"vector": 1300.0, "halfvec": 800.0, "binary_quantize": 330.0}
    indexes |= {WITH_CODES: 230.0, SHORT: 240.0, LONG: 250.0}
    found = {
        "table_bytes_a_row": tables,
        "index_bytes_a_row": indexes,
        "graph_memory_bytes_a_row": {"vector": 1700.0, WITH_CODES: 480.0, LONG: 490.0},
    }
    taken = {
        name: scale.bytes_a_row(scale.LAYOUTS[name], found)
        for name in (scale.FLOAT, scale.ROW, scale.NARROW_LONG, scale.ALONE)
    }
    assert taken[scale.FLOAT] == {
        "table": 1020,
        "index": 1300,
        "memory": 1300,
        "build_memory": 1700,
    }
    assert taken[scale.ROW]["memory"] == 1100 + 230
    assert taken[scale.NARROW_LONG]["table"] == 140 + 20 + 1000 + 20
    assert taken[scale.NARROW_LONG]["memory"] == 140 + 250 + 20
    assert taken[scale.ALONE] == {"table": 160, "index": 250, "memory": 390, "build_memory": 490}


def test_a_line_goes_through_what_was_measured() -> None:
    line = Line.through({100: 10.0, 10_000: 30.0})
    assert line.growth(10_000, 100) == pytest.approx(3)
    assert line.growth(1_000_000, 10_000) == pytest.approx(5 / 3)
    # more rows take no fewer steps
    flat = Line.through({100: 3.0, 10_000: 1.0})
    assert flat.growth(10**9, 100) == 1


def test_builds_go_on_from_the_largest_that_was_measured() -> None:
    cost = {"8": {"vector": 100.0}, "16": {"vector": 150.0}}
    parts = {"dimensions": {d: {"build_microseconds_a_row": of} for d, of in cost.items()}}
    built = {"indexes": {"HNSW, vector": {"seconds": 30.0}}, "rows": 1000}
    postgres = {"dimensions": 16, "search": built}
    layout = scale.LAYOUTS[scale.FLOAT]
    assert scale.build_seconds(1000, layout, parts, "16", postgres) == pytest.approx(30)
    assert scale.build_seconds(1000, layout, parts, "8", postgres) == pytest.approx(20)
    many = scale.build_seconds(1_000_000, layout, parts, "8", postgres)
    assert many == pytest.approx(20 * 1000 * 2)


def test_rows_that_fit_are_those_of_the_memory(figures: dict[str, Any]) -> None:
    for gib, layouts in figures["fits"].items():
        for name, by_dimensions in layouts.items():
            for d, rows in by_dimensions.items():
                taken = rows * figures["layouts"][name]["bytes_a_row"][d]["memory"]
                assert taken == pytest.approx(0.75 * int(gib) * 2**30, rel=1e-4)


class TestWhatIsMissing:
    def test_a_layout_of_memory(self, folder: Path) -> None:
        def rename(found: dict[str, Any]) -> None:
            found["chosen"]["another name"] = found["chosen"].pop(scale.ALONE)

        change(folder, "memory", rename)
        message = f"memory.json, chosen: expected '{scale.ALONE}', found .*'another name'"
        with pytest.raises(ScaleError, match=message):
            scale.reckon(folder)

    def test_a_limit(self, folder: Path) -> None:
        change(folder, "memory", lambda found: found["layouts"].pop(scale.SHORT_OF_MEMORY))
        with pytest.raises(ScaleError, match=r"memory.json: expected 'half the index', found"):
            scale.reckon(folder)

    def test_a_series_of_postgres(self, folder: Path) -> None:
        def drop(found: dict[str, Any]) -> None:
            del found["search"]["at_recall"]["0.95"]["ours, 256 bits"]

        change(folder, "postgres", drop)
        with pytest.raises(ScaleError, match=r"postgres.json, 200,000 rows: expected 'ours, 256"):
            scale.reckon(folder)

    def test_further_layouts_are_named(self, folder: Path) -> None:
        change(
            folder,
            "memory",
            lambda found: found["chosen"].update(other=found["chosen"][scale.FLOAT]),
        )
        assert "other" in scale.reckon(folder)["not_reckoned"]

    def test_what_was_not_measured_stays_blank(self, folder: Path) -> None:
        change(folder, "memory", lambda found: found["layouts"]["none"].pop(scale.HALF))
        found = scale.reckon(folder)
        at = found["layouts"][scale.HALF]["at"]["1000000"]
        assert at["milliseconds_in_memory"] is None
        assert at["milliseconds_from_disk"] > 0
        assert f"| {scale.HALF} |" in scale_tables.scale_block(10**6, found)


def test_pages_and_picture(figures: dict[str, Any], tmp_path: Path) -> None:
    for _, show in scale_tables.BLOCKS.values():
        lines = [line for line in show(figures).splitlines() if line.startswith("|")]
        assert len(lines) > 5
        assert len({line.count("|") for line in lines}) == 1
    curves.draw_scale(figures, tmp_path / "scale.png")
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")


def test_units() -> None:
    assert scale_tables.shown_bytes(1.5 * 2**30) == "1.5 GiB"
    assert scale_tables.shown_bytes(300 * 2**40) == "300 TiB"
    assert scale_tables.shown_bytes(2**19) == "0.5 MiB"
    assert [scale_tables.shown_time(s) for s in (0, 90, 200, 7200, 10**6)] == [
        "",
        "90 s",
        "3.3 min",
        "2.0 h",
        "12 d",
    ]


def test_parts_are_measured_in_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_parts, "FITTED", 200)
    monkeypatch.setattr(scale_parts, "SMALL", "1MB")
    found = scale_parts.run(tmp_path, 2500, [32])
    assert scale_parts.targets(found)
    few = found["dimensions"]["32"]
    assert few["bits"] == {SHORT: 32, LONG: 96}
    tables, indexes = few["table_bytes_a_row"], few["index_bytes_a_row"]
    assert tables[SHORT] < tables[LONG] < tables[VECTORS] < tables[WITH_CODES]
    assert indexes[SHORT] < indexes["binary_quantize"] < indexes["halfvec"] < indexes["vector"]
    assert few["graph_memory_bytes_a_row"][WITH_CODES] < few["graph_memory_bytes_a_row"]["vector"]
    for kind in ("build_microseconds_a_row", "copy_microseconds_a_row"):
        assert min(few[kind].values()) > 0
    assert np.isfinite([*few["encoded_rows_per_processor_second"].values()]).all()
