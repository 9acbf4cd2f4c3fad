"""The benchmarks of DuckDB and of loads by engines: they find, load and count what is there."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest
from benchmarks import duckdb_search, engine_load, readme
from benchmarks.made_up import World

import bitryoshka
from bitryoshka.evaluation import exact_topk
from bitryoshka.vectors import normalized


def test_every_side_searches_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duckdb_search, "WARM", 1)
    world, generator = World(384), np.random.default_rng(0)
    vectors = normalized(world.draw(600, generator), "cosine")
    queries = normalized(world.draw(4, generator), "cosine")
    binarizer = bitryoshka.fit(vectors, bits=384, hamming_bits=384, method="progressive").binarizer
    with duckdb.connect(tmp_path / "database.duckdb") as connection:
        duckdb_search.fill(connection, tmp_path, binarizer.encode(vectors), vectors)
        connection.execute("CHECKPOINT")
        measured = duckdb_search.measure(
            duckdb_search.sides(connection, tmp_path, binarizer), queries
        )
        bytes_of = {
            name: duckdb_search.table_bytes(connection, name)
            for name in ("codes", "bits", "vectors")
        }
    assert 0 < bytes_of["codes"] < bytes_of["vectors"]
    found, truth = measured.pop("found"), exact_topk(queries, vectors, 10).rows
    for name in ("float", "float, inner product", "float, Parquet"):
        assert found[name] == truth.tolist()
    assert found["two stages"] == found["two stages, Parquet"]
    assert found["hamming"] == found["hamming, BIT"] == found["hamming, Parquet"]
    recall = {name: duckdb_search.recall(rows, truth) for name, rows in found.items()}
    assert recall["float"] == 1
    assert recall["two stages"] <= recall["hamming"] == recall["then exact"]
    figures = {
        **measured,
        "rows": 600,
        "dimensions": 384,
        "bits": 384,
        "candidates": 100,
        "threads": 1,
        "recall": recall,
        "parquet_bytes": bytes_of,
        "table_bytes": bytes_of,
        "bytes_share": 0.03,
    }
    assert len(duckdb_search.targets(figures)) == 5
    assert "600 made-up rows" in readme.duckdb_table(figures)


def test_loads_are_counted_and_reckoned(database: str, tmp_path: Path) -> None:
    files = engine_load.write_files(tmp_path, 640)
    sample = World(384).draw(300, np.random.default_rng(1))
    binarizer = bitryoshka.fit(sample, bits=384, method="progressive").binarizer
    binarizer.save(tmp_path / "b.safetensors")
    assert set(engine_load.costs(database, binarizer, files, 640)) == {
        "reading and encoding",
        "COPY, client",
        "COPY, server",
    }
    ways = {"one process": engine_load.one_process, "Ray": engine_load.one_process}
    path = str(tmp_path / "b.safetensors")
    found = engine_load.measure(ways, database, path, files, 640, 2)
    assert found["times_one_process"]["one process"] == 1
    wrong = {**ways, "Ray": lambda loader, files: 0}
    with pytest.raises(RuntimeError, match="Ray loaded 0 of 640 rows"):
        engine_load.measure(wrong, database, path, files, 640, 1)
    per_second = {"reading and encoding": 20_000, "COPY, client": 20_000, "COPY, server": 50_000}
    plan = engine_load.planned(per_second)
    assert plan["rows_per_second_of_a_worker"] == pytest.approx(10_000)
    assert plan["minutes_of_workers"] == pytest.approx(100e6 / 10_000 / 50 / 60)
    assert plan["minutes_of_one_server_processor"] == pytest.approx(100e6 / 50_000 / 60)
