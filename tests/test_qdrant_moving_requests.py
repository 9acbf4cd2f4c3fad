"""What a server would be asked and sent by a move, checked by the client's own models.

Nothing here answers as a database would: the requests are the subject.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from qdrant_client import models
from test_qdrant_requests import Recorder, checked, info, ok, without_nulls
from test_qdrant_taking_over import (
    BINARIZER,
    IDS,
    INDEXES,
    OTHERS,
    everything,
    source_shard,
)

from bitryoshka import BitsError, CollectionError
from bitryoshka.qdrant import (
    Server,
    collection_config,
    create_collection,
    move,
    open_collection,
    verify_move,
)
from bitryoshka.qdrant.config import body
from bitryoshka.qdrant.edge import read_shard
from bitryoshka.qdrant.engine import plain_id

FOUND: dict[str, Any] = {
    "status": "green",
    "optimizer_status": "ok",
    "segments_count": 2,
    "payload_schema": {
        "tenant": {
            "data_type": "keyword",
            "params": {"type": "keyword", "is_tenant": True},
            "points": 9,
        },
        "n": {"data_type": "integer", "points": 9},
    },
    "config": {
        "params": {
            "vectors": {
                "text": {"size": 48, "distance": "Cosine", "hnsw_config": {"m": 40}},
                "image": {"size": 5, "distance": "Euclid", "on_disk": True},
                "colbert": {
                    "size": 4,
                    "distance": "Dot",
                    "multivector_config": {"comparator": "max_sim"},
                },
            },
            "sparse_vectors": {"terms": {"modifier": "idf", "index": {"on_disk": True}}},
            "shard_number": 6,
            "replication_factor": 2,
            "write_consistency_factor": 2,
            "read_fan_out_factor": 1,
            "on_disk_payload": False,
        },
        "hnsw_config": {"m": 20, "ef_construct": 90, "full_scan_threshold": 9000, "payload_m": 8},
        "optimizer_config": {
            "deleted_threshold": 0.3,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 3,
            "indexing_threshold": 777,
            "flush_interval_sec": 5,
        },
        "wal_config": {"wal_capacity_mb": 64, "wal_segments_ahead": 1},
        "quantization_config": {"scalar": {"type": "int8", "quantile": 0.9}},
        "strict_mode_config": {"enabled": True, "max_query_limit": 500},
        "metadata": {"owner": "search team", "note": None},
    },
}


def described(**params: Any) -> dict[str, Any]:
    config = FOUND["config"] | {"params": FOUND["config"]["params"] | params}
    return FOUND | {"config": config}


def server(found: dict[str, Any] = FOUND) -> Server:
    return Server(Recorder(lambda method, path: ok(found)).sync, "given")


def test_a_collection_is_created_like_another() -> None:
    given = server()
    assert given.indexes() == {
        "tenant": models.KeywordIndexParams(type="keyword", is_tenant=True),
        "n": models.PayloadSchemaType.INTEGER,
    }
    config = collection_config(BINARIZER, like=given.config(), vector="text", replicas=3)
    exists = False

    def answer(method: str, path: str) -> Any:
        if path.endswith("/exists"):
            return ok({"exists": exists})
        found = info(config)
        found["config"]["params"]["sparse_vectors"] = body(config)["sparse_vectors"]
        return ok(found if method == "GET" else True)

    recorder = Recorder(answer)
    create_collection(recorder.sync, "rows", config)
    exists = True
    create_collection(recorder.sync, "rows", config)
    [sent] = [s for s in recorder.sent if s.method == "PUT"]
    assert sent.body["metadata"]["note"] is None
    found = body(checked(models.CreateCollection, without_nulls(sent.body)))
    assert set(found["vectors"]) == {"bits", "original", "image", "colbert"}
    assert found["sparse_vectors"] == {"terms": {"modifier": "idf", "index": {"on_disk": True}}}
    scalar = {"scalar": {"type": "int8", "quantile": 0.9}}
    assert found["vectors"]["image"]["quantization_config"] == scalar
    assert "quantization_config" not in found["vectors"]["original"]
    assert "quantization_config" not in found
    assert found["vectors"]["bits"]["hnsw_config"] == {"m": 40}
    assert found["hnsw_config"]["m"] == 20
    assert (found["shard_number"], found["replication_factor"]) == (6, 3)
    assert (found["write_consistency_factor"], found["on_disk_payload"]) == (2, False)
    assert found["optimizers_config"]["indexing_threshold"] == 777
    assert found["wal_config"]["wal_capacity_mb"] == 64
    assert found["strict_mode_config"] == {"enabled": True, "max_query_limit": 500}
    assert found["metadata"]["owner"] == "search team"
    assert found["metadata"]["bitryoshka"]["fingerprint"] == BINARIZER.fingerprint


def test_one_that_exists_without_the_other_vectors_is_refused() -> None:
    plain = collection_config(BINARIZER)
    config = collection_config(BINARIZER, like=server().config(), vector="text")

    def answer(method: str, path: str) -> Any:
        return ok({"exists": True} if path.endswith("/exists") else info(plain))

    recorder = Recorder(answer)
    with pytest.raises(CollectionError, match=r"without the vectors \['colbert', 'image', 'terms"):
        create_collection(recorder.sync, "rows", config)
    assert {s.method for s in recorder.sent} == {"GET"}


def test_an_unnamed_vector_beside_a_sparse_one() -> None:
    given = server(described(vectors={"size": 48, "distance": "Dot"})).config()
    assert set(given.vectors) == {""}
    config = collection_config(BINARIZER, like=given)
    assert set(config.vectors) == {"bits", "original"}
    assert set(config.sparse_vectors) == {"terms"}


def test_the_sharding_method_is_taken_over_unless_dropped() -> None:
    given = server(described(sharding_method="custom")).config()
    found = body(collection_config(BINARIZER, like=given, vector="text"))
    assert (found["sharding_method"], found["shard_number"]) == ("custom", 6)
    drop = ("sharding_method", "owner")
    dropped = collection_config(BINARIZER, like=given, vector="text", drop=drop)
    assert dropped.sharding_method is None
    assert "owner" not in dropped.metadata
    auto = collection_config(BINARIZER, like=given, vector="text", sharding_method="auto")
    assert auto.sharding_method == "auto"
    with pytest.raises(BitsError, match="sharding_method must be one of"):
        collection_config(BINARIZER, sharding_method="hash")  # type: ignore[arg-type]


def test_shard_keys_and_metadata_that_a_move_would_lose_are_named() -> None:
    given = server(described(sharding_method="custom"))
    recorder = Recorder(lambda method, path: ok(info(collection_config(BINARIZER))))
    target = open_collection(recorder.sync, "rows", BINARIZER)
    with pytest.raises(CollectionError, match=r"metadata 'owner', .*sharding_method custom; crea"):
        move(given, target, "text")
    assert {s.method for s in recorder.sent} == {"GET"}


class Empty(Recorder):
    """A server's collection that is like a shard, and whose points nobody has written."""

    def __init__(self, config: models.CreateCollection) -> None:
        found = info(config)
        found["config"]["params"]["sparse_vectors"] = body(config)["sparse_vectors"]

        def answer(method: str, path: str) -> Any:
            if path.endswith("/points/scroll"):
                return ok({"points": [{"id": 2**64 - 2, "payload": {}}], "next_page_offset": None})
            if path.endswith("/points/count"):
                return ok({"count": 1})
            if method != "GET":
                return ok({"operation_id": 1, "status": "completed"})
            return ok(found)

        super().__init__(answer)


def test_a_move_sends_what_the_server_knows(tmp_path: Path) -> None:
    with read_shard(source_shard(tmp_path / "source")) as source:
        source.create_indexes(INDEXES)
        recorder = Empty(collection_config(BINARIZER, like=source.config(), vector="text"))
        target = open_collection(recorder.sync, "rows", BINARIZER)
        moved = move(source, target, "text", delete_extra=True, batch_rows=100)
        assert moved == (300, 0, 0, 1, 0, 30)
        expected = everything(source, OTHERS)
    by_path: dict[str, list[Any]] = {}
    for sent in recorder.sent:
        by_path.setdefault(sent.path.removeprefix("/collections/rows"), []).append(sent)
    made = [checked(models.CreateFieldIndex, without_nulls(s.body)) for s in by_path["/index"]]
    assert {m.field_name: m.field_schema for m in made} == INDEXES
    [deleted] = by_path["/points/delete"]
    assert checked(models.PointIdsList, without_nulls(deleted.body)).points == [2**64 - 2]
    scroll = by_path["/points/scroll"][0].body
    assert set(scroll["with_vector"]) == {"bits", "original", *OTHERS}
    assert scroll["with_payload"] is True
    points = [
        point
        for sent in by_path["/points"]
        for point in checked(models.PointsList, without_nulls(sent.body)).points
    ]
    assert sorted(str(p.id) for p in points) == sorted(map(str, IDS))
    for point in points:
        known = plain_id(point.id)
        number = IDS.index(known)
        payload, vectors = expected[known]
        assert without_nulls(point.payload) == without_nulls(payload)
        there = {name: vector for name, vector in vectors.items() if vector is not None}
        if number % 10 != 7:
            there["original"] = point.vector["original"]
            assert len(there["original"]) == 48
            there["bits"] = point.vector["bits"]
            assert len(there["bits"]) == 32
        assert point.vector == there
    # before the first point, so that the graph knows them
    first = recorder.sent.index(by_path["/points"][0])
    assert all(recorder.sent.index(s) < first for s in by_path["/index"])


def test_the_check_reads_both_and_writes_nothing(tmp_path: Path) -> None:
    with read_shard(source_shard(tmp_path / "source")) as source:
        recorder = Empty(collection_config(BINARIZER, like=source.config(), vector="text"))
        target = open_collection(recorder.sync, "rows", BINARIZER)

        def nothing(*_: Any) -> list[Any]:
            return [[]] * 50

        target.engine.query = nothing  # type: ignore[method-assign]
        found = verify_move(source, target, "text")
    assert (found.missing, found.extra, found.changed) == (300, 1, 0)
    assert (found.recall, found.good) == (0.0, False)
    written = [s.path for s in recorder.sent if s.method != "GET"]
    assert {path.rpartition("/")[2] for path in written} <= {"scroll", "count"}


def test_resuming_asks_for_points_with_codes() -> None:
    recorder = Empty(collection_config(BINARIZER, like=server().config(), vector="text"))
    engine = open_collection(recorder.sync, "rows", BINARIZER).engine
    assert engine.existing([1, IDS[-1]], "bits") == {2**64 - 2}
    [sent] = [s for s in recorder.sent if s.path.endswith("/scroll")]
    request = checked(models.ScrollRequest, without_nulls(sent.body))
    assert request.limit == 2
    assert request.filter.must == [
        models.HasVectorCondition(has_vector="bits"),
        models.HasIdCondition(has_id=[1, UUID(IDS[-1])]),
    ]
