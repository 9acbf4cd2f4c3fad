"""Pieces of files become points once, whoever loads them, and whoever is killed meanwhile.

The server is the engine in process behind its REST interface (qdrant_http.py), and that of
BITRYOSHKA_QDRANT_URL or a container where these are asked for.
"""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from piece_files import (
    GROUP,
    PER_FILE,
    ROWS,
    CollectionKilledOnce,
    check_upserted,
    write_files,
)
from qdrant_client import QdrantClient
from qdrant_engines import ENGINES, server_url
from synthetic import exact_binarizer
from tests.qdrant_http import served

from bitryoshka.errors import CollectionError, FingerprintError, VectorsError
from bitryoshka.loading import LOADED, pieces
from bitryoshka.loading.qdrant import CollectionLoader
from bitryoshka.qdrant import (
    Collection,
    Server,
    collection_config,
    create_collection,
    open_collection,
)
from bitryoshka.qdrant.nodes import asked

BINARIZER = exact_binarizer(1)
PREFIX = "bitryoshka_test_loading_"


@pytest.fixture(params=ENGINES)
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QdrantClient]:
    (tmp_path / "server").mkdir()
    found = served(tmp_path / "server") if request.param == "edge" else server_url(request.param)
    with found as url, closing(QdrantClient(url=url, check_compatibility=False)) as client:
        yield client
        if request.param != "edge":
            for collection in client.get_collections().collections:
                if collection.name.startswith(PREFIX):
                    client.delete_collection(collection.name)


class Given:
    """Files, a collection, and a loader from the ones into the other."""

    def __init__(self, client: QdrantClient, folder: Path, **config: Any) -> None:
        self.files, path, self.binarizer = write_files(folder)
        self.found = pieces(self.files)
        keys = config.pop("shard_keys", ())
        name = f"{PREFIX}{uuid4().hex}"
        made = collection_config(self.binarizer, quantization="code", **config)
        create_collection(client, name, made, shard_keys=keys)
        url = str(client.init_options["url"])
        self.loader = CollectionLoader(url=url, collection=name, binarizer=path)
        self.collection: Collection[Server] = open_collection(client, name, self.binarizer)

    def of(self, key: str | int) -> list[Any]:
        """The ids within a shard key."""
        return asked(self.collection.engine, shard_key_selector=key).scroll(2 * ROWS).ids


@pytest.fixture
def given(client: QdrantClient, tmp_path: Path) -> Given:
    return Given(client, tmp_path)


def run(loader: CollectionLoader, found: pa.Table) -> list[bool]:
    return [row["loaded"] for batch in loader(found.to_batches()) for row in batch.to_pylist()]


def test_all_of_it_arrives_once(given: Given) -> None:
    batches = list(pickle.loads(pickle.dumps(given.loader))(given.found.slice(0, 3).to_batches()))
    assert [batch.schema for batch in batches] == [LOADED] * 3
    assert pa.Table.from_batches(batches).drop(["loaded"]).equals(given.found.slice(0, 3))
    assert given.collection.engine.count() == 3 * GROUP
    assert run(given.loader, given.found) == [False] * 3 + [True] * 5
    assert run(given.loader, given.found) == [False] * 8
    check_upserted(given.collection)


def test_a_killed_worker_loses_nothing_and_doubles_nothing(given: Given, tmp_path: Path) -> None:
    victim = 2 * GROUP + 1
    killed = CollectionKilledOnce(
        **vars(given.loader), marker=str(tmp_path / "killed"), victim=victim
    )
    worker = multiprocessing.get_context("spawn").Process(target=run, args=(killed, given.found))
    worker.start()
    worker.join(120)
    assert worker.exitcode == -9
    assert given.collection.engine.scroll(2 * ROWS).ids == list(range(2 * GROUP + GROUP // 2))
    assert run(given.loader, given.found) == [False] * 2 + [True] * 6
    check_upserted(given.collection)


def test_vectors_of_pieces_that_have_arrived_are_not_read(given: Given) -> None:
    run(given.loader, given.found)
    for file in given.files:
        table = pq.read_table(file)
        useless = pa.array([[float("nan")] * 16] * len(table), pa.list_(pa.float32()))
        pq.write_table(table.set_column(1, "emb", useless), file, row_group_size=GROUP)
    with pytest.raises(VectorsError, match="finite"):
        run(replace(given.loader, resume=False), given.found)
    assert run(given.loader, given.found) == [False] * 8
    check_upserted(given.collection)


def test_what_changed_is_written_on_demand(given: Given) -> None:
    run(given.loader, given.found)
    table = pq.read_table(given.files[1])
    flipped = pa.array(
        [[-x for x in row] for row in table["emb"].to_pylist()], pa.list_(pa.float32())
    )
    pq.write_table(table.set_column(1, "emb", flipped), given.files[1], row_group_size=GROUP)
    changed = given.found.slice(4)
    before = given.collection.engine.scroll(2 * ROWS, vectors=("bits",)).vectors["bits"]
    assert run(given.loader, changed) == [False] * 4
    assert given.collection.engine.scroll(2 * ROWS, vectors=("bits",)).vectors["bits"] == before
    assert run(replace(given.loader, resume=False), changed) == [True] * 4
    found = given.collection.engine.scroll(2 * ROWS, vectors=("bits",))
    assert found.ids == list(range(ROWS))
    assert found.vectors["bits"][:PER_FILE] == before[:PER_FILE]
    wanted = np.unpackbits(BINARIZER.encode(np.array(flipped.to_pylist())), axis=1)
    np.testing.assert_array_equal(np.array(found.vectors["bits"][PER_FILE:]) > 0, wanted)


def test_rows_without_a_vector_ids_of_text_and_payload(given: Given, tmp_path: Path) -> None:
    ids = [str(uuid4()) for _ in range(4)]
    emb = pa.array([[1.0] * 16, None, [2.0] * 16, None], pa.list_(pa.float32()))
    path = str(tmp_path / "few.parquet")
    columns = {"key": ids, "emb": emb, "title": ["a", "b", None, "d"], "year": [1, 2, 3, 4]}
    pq.write_table(pa.table(columns), path)
    loader = replace(given.loader, id_column="key", payload=("title", "year"))
    assert run(loader, pieces([path])) == [True]
    assert run(loader, pieces([path])) == [False]
    found = given.collection.engine.scroll(10, payloads=True)
    payloads = {"a": {"title": "a", "year": 1}, "c": {"title": None, "year": 3}}
    expected = {ids[0]: payloads["a"], ids[2]: payloads["c"]}
    assert dict(zip(found.ids, found.payloads, strict=True)) == expected
    assert all(UUID(str(i)) for i in found.ids)


def test_points_go_to_the_shard_key_of_their_row(client: QdrantClient, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"sharding_method": "custom", "shard_keys": ("even", "odd")}
    given = Given(client, tmp_path, **keys)
    for file in given.files:
        table = pq.read_table(file)
        kind = ["odd" if i % 2 else "even" for i in table["id"].to_pylist()]
        pq.write_table(table.append_column("kind", pa.array(kind)), file, row_group_size=GROUP)
    loader = replace(given.loader, shard_key="kind")
    assert run(loader, given.found.slice(1, 2)) == [True] * 2
    assert run(loader, given.found) == [True, False, False] + [True] * 5
    assert run(loader, given.found) == [False] * 8
    assert given.of("even") == list(range(0, ROWS, 2))
    assert given.of("odd") == list(range(1, ROWS, 2))


def test_points_go_to_the_shard_key_of_their_piece(client: QdrantClient, tmp_path: Path) -> None:
    given = Given(client, tmp_path, sharding_method="custom", shard_keys=(2025, 2026))
    loader = replace(given.loader, shard_key="year")
    found = given.found.append_column("year", pa.array([2025] * 4 + [2026] * 4))
    assert run(loader, found) == [True] * 8
    assert run(loader, found) == [False] * 8
    assert given.of(2025) == list(range(PER_FILE))
    assert given.of(2026) == list(range(PER_FILE, ROWS))
    lost = given.found.slice(0, 1).append_column("year", pa.array([None], pa.int64()))
    with pytest.raises(CollectionError, match=r"0\.parquet#0 has None in column 'year', expected"):
        run(loader, lost)
    with pytest.raises(VectorsError, match="no column 'year', found: id, emb"):
        run(loader, given.found)
    other = given.found.slice(0, 1).append_column("year", pa.array([1999]))
    with pytest.raises(CollectionError, match="1999") as failed:
        run(loader, other)
    assert failed.value.__notes__[-1] == f"while piece {given.files[0]}#0 was loaded"


def test_what_fails_names_the_piece(given: Given, tmp_path: Path) -> None:
    rows = pq.read_table(given.files[0]).to_pylist()
    rows[GROUP + 7]["emb"] = [float("nan")] * 16
    rows[GROUP + 3]["emb"] = None
    rows[2 * GROUP]["id"] = 2 * GROUP + 1
    bad = str(tmp_path / "bad.parquet")
    pq.write_table(pa.Table.from_pylist(rows), bad, row_group_size=GROUP)
    found = pieces([bad])
    with pytest.raises(VectorsError, match=r"bad\.parquet#1: .*nan in row 7, column 0") as failed:
        run(given.loader, found)
    assert failed.value.row == 7
    assert given.collection.engine.count() == GROUP
    with pytest.raises(CollectionError, match="found 301 twice") as repeated:
        run(given.loader, found.slice(2))
    assert repeated.value.__notes__ == [f"while piece {bad}#2 was loaded"]
    named = pq.read_table(bad).set_column(0, "id", pa.array(map(str, range(len(rows)))))
    pq.write_table(named, str(tmp_path / "named.parquet"))
    with pytest.raises(CollectionError, match="or a UUID, found '0'"):
        run(given.loader, pieces([tmp_path / "named.parquet"]))
    with pytest.raises(VectorsError, match="no column 'nr', found: id, emb"):
        run(replace(given.loader, id_column="nr"), found)
    pq.write_table(pq.read_table(given.files[0]), given.files[0], row_group_size=100)
    with pytest.raises(VectorsError, match=r"part-0\.parquet#0 has 100 rows, expected 150"):
        run(given.loader, given.found)


def test_another_binarizer(given: Given, tmp_path: Path) -> None:
    exact_binarizer(2).save(tmp_path / "other.safetensors")
    other = replace(given.loader, binarizer=str(tmp_path / "other.safetensors"))
    with pytest.raises(FingerprintError):
        run(other, given.found)
    assert given.collection.engine.count() == 0


def test_the_key_of_the_server_is_not_shown() -> None:
    loader = CollectionLoader(url="u", collection="c", binarizer="b", api_key="secret")
    assert "secret" not in repr(loader)
