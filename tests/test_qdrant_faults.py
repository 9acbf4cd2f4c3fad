"""Kills, damage, locks and mismatches of shards: a clear error each, and nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge
from synthetic import clustered

import bitryoshka
from bitryoshka import Binarizer, CollectionError, FingerprintError, VectorsError
from bitryoshka.bits import pack
from bitryoshka.qdrant import Collection, collection_config, search, upsert
from bitryoshka.qdrant.edge import CONFIG_FILE, Shard, create_shard, open_shard, read_shard
from bitryoshka.qdrant.moving import move
from bitryoshka.qdrant.verifying import verify_move

ROWS = clustered(0, 600, 48, 20)
WORKER = Path(__file__).with_name("qdrant_worker.py")
KILLS = 20
# many batches: a worker writes some more between its sign of life and its death
MANY = clustered(0, 6000, 48, 20)


@pytest.fixture(scope="module")
def binarizer() -> Binarizer:
    return bitryoshka.fit(ROWS, bits=64, hamming_bits=32, method="progressive").binarizer


@pytest.fixture
def files(binarizer: Binarizer, tmp_path: Path) -> tuple[Path, Path]:
    binarizer.save(tmp_path / "b.safetensors")
    np.save(tmp_path / "rows.npy", MANY)
    return tmp_path / "b.safetensors", tmp_path / "rows.npy"


def foreign_shard(path: Path, rows: Any = ROWS) -> Path:
    """A shard that knows nothing of codes."""
    params = qdrant_edge.EdgeVectorParams(rows.shape[1], qdrant_edge.Distance.Cosine)
    path.mkdir()
    shard = qdrant_edge.EdgeShard.create(str(path), qdrant_edge.EdgeConfig({"old": params}))
    points = [qdrant_edge.Point(i, {"old": row}, {"n": i}) for i, row in enumerate(rows.tolist())]
    shard.update(qdrant_edge.UpdateOperation.upsert_points(points))
    shard.close()
    return path


class Worker:
    """Processes that do the same work; each may be killed in the middle."""

    def __init__(self, *arguments: str | Path) -> None:
        command = [sys.executable, WORKER, *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _until(self, mark: bytes) -> bytes:
        assert self.process.stdout is not None
        found = b""
        while not found.endswith(mark):
            byte = self.process.stdout.read(1)
            assert byte, found
            found += byte
        return found

    def run(self, kill: bool) -> None:
        """Begin, and kill it after its first batch, or let it end."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        number = int(self._until(b" "))
        if kill:
            self._until(b".")
            os.kill(number, signal.SIGKILL)
        self._until(b"!")
        assert int(self._until(b"\n")) == (signal.SIGKILL if kill else 0)

    def close(self) -> None:
        self.process.communicate()


def assert_whole(collection: Collection[Shard], vectors: Any = ROWS) -> None:
    """Every point once, with its payload and its code; and the whole can be searched."""
    collection.engine.optimize()
    page = collection.engine.scroll(10_000, vectors=("bits", "original"), payloads=True)
    assert page.ids == list(range(len(vectors)))
    assert page.payloads == [{"n": i} for i in range(len(vectors))]
    stored = pack(np.array(page.vectors["bits"]) > 0)
    assert np.array_equal(stored, collection.binarizer.encode(vectors, 32))
    assert None not in page.vectors["original"]
    assert {len(hits) for hits in search(collection, vectors[::100])} == {10}


@pytest.mark.parametrize("parallel", ["1", "3"])
def test_killed_in_mid_upsert_twenty_times(
    binarizer: Binarizer, files: tuple[Path, Path], tmp_path: Path, parallel: str
) -> None:
    path = tmp_path / "shard"
    create_shard(path, collection_config(binarizer, indexing_threshold=1))
    worker, before = Worker("upsert", parallel, *files, path), 0
    for _ in range(KILLS):
        worker.run(kill=True)
        with open_shard(path, binarizer) as collection:
            count = collection.engine.count()
        assert before < count < len(MANY)
        before = count
    worker.run(kill=False)
    worker.close()
    with open_shard(path, binarizer) as collection:
        assert_whole(collection, MANY)


@pytest.mark.parametrize("parallel", ["1", "3"])
def test_killed_in_mid_move_twenty_times(
    binarizer: Binarizer, files: tuple[Path, Path], tmp_path: Path, parallel: str
) -> None:
    source, path = foreign_shard(tmp_path / "source", MANY), tmp_path / "shard"
    create_shard(path, collection_config(binarizer, indexing_threshold=1))
    worker, before = Worker("move", parallel, *files, path, source), 0
    for _ in range(KILLS):
        worker.run(kill=True)
        with open_shard(path, binarizer) as collection:
            count = collection.engine.count()
        assert before < count < len(MANY)
        before = count
    worker.run(kill=False)
    worker.close()
    with open_shard(path, binarizer) as collection, read_shard(source) as given:
        assert_whole(collection, MANY)
        assert given.count() == len(MANY)
        everything = {"candidates": 1000}
        found = verify_move(given, collection, "old", search_arguments=everything)
        assert found.good
        assert (found.source_points, found.target_points) == (6000, 6000)
        assert move(given, collection, "old") == (0, 0, 6000, 0, 0, 0)


@pytest.fixture
def shard(binarizer: Binarizer, tmp_path: Path) -> Path:
    path = tmp_path / "shard"
    create_shard(path, collection_config(binarizer, indexing_threshold=1))
    with open_shard(path, binarizer) as collection:
        payloads = [{"n": i} for i in range(len(ROWS))]
        upsert(collection, range(len(ROWS)), ROWS, payloads)
        collection.engine.optimize()
    return path


def opening(path: Path, binarizer: Binarizer) -> None:
    with open_shard(path, binarizer):
        pass


def contents(path: Path) -> dict[Path, bytes]:
    return {f: f.read_bytes() for f in path.rglob("*") if f.is_file()}


def test_a_shard_that_is_open_is_locked(shard: Path, binarizer: Binarizer) -> None:
    with open_shard(shard, binarizer) as collection:
        with pytest.raises(CollectionError, match="is locked: it is open already"):
            opening(shard, binarizer)
        with pytest.raises(CollectionError, match="is locked"), read_shard(shard):
            pass
        assert collection.engine.count() == len(ROWS)
    with open_shard(shard, binarizer) as collection:
        assert_whole(collection)


def cut(pattern: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        files = [f for f in sorted(path.rglob(pattern)) if f.is_file()]
        assert files
        for file in files:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    return damage


DAMAGED = (
    *(CONFIG_FILE, "edge_config.json", "first-index", "version.info", "segment.json"),
    *("status.dat", "id_tracker.mappings", "graph.bin", "quantized.config.json"),
)


@pytest.mark.parametrize("pattern", DAMAGED)
def test_a_damaged_shard_is_told_and_left_as_it_is(
    shard: Path, binarizer: Binarizer, pattern: str
) -> None:
    cut(pattern)(shard)
    before = contents(shard)
    with pytest.raises(CollectionError, match=r"shard .* is damaged"):
        opening(shard, binarizer)
    assert contents(shard) == before


@pytest.mark.parametrize(
    "pattern",
    [
        *("id_tracker.mappings", "version.info"),
        *("vector_storage-bits/matrix.dat", "vector_storage-original/matrix.dat"),
    ],
)
@pytest.mark.parametrize("kept", [0, None])
def test_a_shard_that_lost_points_or_vectors_is_told(
    shard: Path, binarizer: Binarizer, pattern: str, kept: int | None
) -> None:
    for file in sorted(shard.rglob(pattern)):
        if kept is None:
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CollectionError, match=r"shard .* is damaged"):
        opening(shard, binarizer)


def test_a_panic_of_the_engine_is_an_error_of_this_package(
    shard: Path, binarizer: Binarizer
) -> None:
    cut("quantized.data")(shard)
    failed = pytest.raises(CollectionError, match=r"^shard .*: the engine failed: vector not found")
    with failed, open_shard(shard, binarizer) as collection:
        search(collection, ROWS[:3])


def test_a_shard_that_lost_its_segments_is_not_made_anew(shard: Path, binarizer: Binarizer) -> None:
    (shard / "segments").rename(shard.with_name("elsewhere"))
    with pytest.raises(CollectionError, match="a part of it is missing"):
        create_shard(shard, collection_config(binarizer, indexing_threshold=1))
    with pytest.raises(CollectionError, match="a part of it is missing"):
        opening(shard, binarizer)
    assert not (shard / "segments").exists()


def test_a_shard_that_is_missing_or_of_somebody_else(tmp_path: Path, binarizer: Binarizer) -> None:
    with pytest.raises(CollectionError, match="does not exist, or was not made by create_shard"):
        opening(tmp_path / "none", binarizer)
    assert not (tmp_path / "none").exists()
    missing = pytest.raises(CollectionError, match=r"directory .*none does not exist")
    with missing, read_shard(tmp_path / "none"):
        pass
    foreign = foreign_shard(tmp_path / "foreign")
    before = contents(foreign)
    with pytest.raises(CollectionError, match="was not made by create_shard"):
        opening(foreign, binarizer)
    with pytest.raises(CollectionError, match="was not made by bitryoshka"):
        create_shard(foreign, collection_config(binarizer))
    assert contents(foreign) == before


def test_creating_again_is_harmless_and_another_config_is_refused(
    shard: Path, binarizer: Binarizer
) -> None:
    before = contents(shard)
    create_shard(shard, collection_config(binarizer, indexing_threshold=1))
    for other in (
        collection_config(binarizer, indexing_threshold=1, keep_vectors=False),
        collection_config(binarizer.truncate(32), indexing_threshold=1),
    ):
        with pytest.raises(CollectionError, match="exists with another configuration: metadata"):
            create_shard(shard, other)
    assert contents(shard) == before


def test_creating_goes_on_after_a_kill_in_between(tmp_path: Path, binarizer: Binarizer) -> None:
    path, config = tmp_path / "shard", collection_config(binarizer)
    create_shard(path, config)
    text = (path / CONFIG_FILE).read_text()
    again = tmp_path / "again"
    again.mkdir()
    (again / CONFIG_FILE).write_text(text)
    create_shard(again, config)
    opening(again, binarizer)


def test_another_version_and_another_binarizer(shard: Path, binarizer: Binarizer) -> None:
    with pytest.raises(FingerprintError, match=f"expected fingerprint {binarizer.fingerprint}"):
        opening(shard, binarizer.truncate(32))
    config = json.loads((shard / CONFIG_FILE).read_text())
    config["metadata"]["bitryoshka"]["format"] = 2
    (shard / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(CollectionError, match="settings of format 2, this version reads format 1"):
        opening(shard, binarizer)


def test_moving_what_does_not_fit(tmp_path: Path, shard: Path, binarizer: Binarizer) -> None:
    wide = foreign_shard(tmp_path / "wide", clustered(0, 30, 64, 20))
    with open_shard(shard, binarizer) as collection, read_shard(wide) as source:
        with pytest.raises(
            CollectionError, match="has no dense vector 'nothing', found \\['old'\\]"
        ):
            move(source, collection, "nothing")
        assert collection.engine.count() == len(ROWS)
    empty = tmp_path / "target"
    create_shard(empty, collection_config(binarizer))
    with open_shard(empty, binarizer) as collection, read_shard(wide) as source:
        with pytest.raises(VectorsError, match="must have 48 dimensions, found 64"):
            move(source, collection, "old")
        assert collection.engine.count() == 0
