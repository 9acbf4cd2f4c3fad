"""Codes for what exists: moved beside it, added in place, switched by alias, rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import qdrant_edge
from qdrant_client import models
from qdrant_engines import ENGINES, Make, maker, settle
from synthetic import clustered
from test_qdrant_requests import Recorder, checked, info, ok, without_nulls

import bitryoshka
from bitryoshka import CollectionError, FingerprintError, VectorsError
from bitryoshka.bits import pack
from bitryoshka.qdrant import (
    Settings,
    add_codes,
    collection_config,
    move,
    point_alias,
    remove_codes,
    search,
    upsert,
    verify_move,
)
from bitryoshka.qdrant.adding import fill_codes
from bitryoshka.qdrant.config import body
from bitryoshka.qdrant.edge import Shard, read_shard
from bitryoshka.qdrant.engine import having

ROWS = clustered(0, 400, 48, 20)
BINARIZER = bitryoshka.fit(ROWS, bits=64, hamming_bits=32, method="progressive").binarizer
IDS: list[Any] = [*range(350), *(str(UUID(int=i)) for i in range(50))]


ADDED = Settings.of(BINARIZER, original="text")


def foreign(path: Path, name: str, rows: Any = ROWS) -> Path:
    params = qdrant_edge.EdgeVectorParams(48, qdrant_edge.Distance.Cosine)
    path.mkdir()
    vectors: Any = {name: params} if name else params
    shard = qdrant_edge.EdgeShard.create(str(path), qdrant_edge.EdgeConfig(vectors))
    points = [
        qdrant_edge.Point(i, {name: row} if name else row, {"n": [n, "x"]})
        for n, (i, row) in enumerate(zip(IDS, rows.tolist(), strict=True))
    ]
    shard.update(qdrant_edge.UpdateOperation.upsert_points(points))
    shard.close()
    return path


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    with maker(request.param, tmp_path) as found:
        yield found


@pytest.mark.parametrize("name", ["", "text"])
def test_a_shard_is_moved_with_ids_and_payloads(make: Make, tmp_path: Path, name: str) -> None:
    target = make(BINARIZER)
    with read_shard(foreign(tmp_path / "old", name)) as source:
        assert move(source, target, name, batch_rows=64) == (400, 0, 0, 0, 0, 0)
        assert move(source, target, name, batch_rows=64) == (0, 0, 400, 0, 0, 0)
        settle(target)
        page = target.engine.scroll(1000, vectors=("bits",), payloads=True)
        assert sorted(map(str, page.ids)) == sorted(map(str, IDS))
        order = [IDS.index(i) for i in page.ids]
        assert page.payloads == [{"n": [n, "x"]} for n in order]
        stored = pack(np.array(page.vectors["bits"]) > 0)
        assert np.array_equal(stored, BINARIZER.encode(ROWS[order], 32))
        found = verify_move(source, target, name)
        assert found.good
        assert (found.source_points, found.target_points, found.sampled) == (400, 400, 50)
        loose = {"rescore": None}
        checked = verify_move(source, target, name, search_arguments=loose, least_recall=1.0)
        assert not checked.good


def test_a_point_that_cannot_be_encoded_is_named(make: Make, tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[380] = 0
    message = f"point {IDS[380]} is zero$"
    with read_shard(foreign(tmp_path / "old", "text", rows)) as source:
        with pytest.raises(VectorsError, match=message):
            move(source, make(BINARIZER), "text", batch_rows=64)
        with pytest.raises(VectorsError, match=message):
            fill_codes(source, BINARIZER, Settings.of(BINARIZER, original="text"), batch_rows=500)


def test_collections_with_codes_can_be_moved_too(make: Make) -> None:
    first = make(BINARIZER)
    upsert(first, IDS, ROWS)
    second = make(BINARIZER, quantization="code")
    assert move(first.engine, second, "original") == (400, 0, 0, 0, 0, 0)
    settle(second)
    assert verify_move(first.engine, second, "original").good


def test_what_came_late_is_brought_over_and_loss_is_seen(make: Make) -> None:
    first, second = make(BINARIZER), make(BINARIZER)
    upsert(first, IDS[:300], ROWS[:300])
    assert move(first.engine, second, "original") == (300, 0, 0, 0, 0, 0)
    upsert(first, IDS[300:], ROWS[300:])
    settle(second)
    assert not verify_move(first.engine, second, "original").good
    assert move(first.engine, second, "original") == (100, 0, 300, 0, 0, 0)
    settle(second)
    assert verify_move(first.engine, second, "original").good


def test_codes_are_added_in_place_in_the_real_engine(tmp_path: Path) -> None:
    """The part of `add_codes` that both engines can do: points that lack codes get them."""
    with read_shard(foreign(tmp_path / "old", "text")) as shard:
        shard.shard.update(
            qdrant_edge.UpdateOperation.create_dense_vector(
                "bits",
                32,
                qdrant_edge.Distance.Dot,
                datatype=qdrant_edge.VectorStorageDatatype.Float16,
            )
        )
        half = Shard(shard.shard, "half")
        real, calls = half.write_vectors, 0

        def failing(ids: Any, vectors: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise KeyboardInterrupt
            real(ids, vectors)

        half.write_vectors = failing  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            fill_codes(half, BINARIZER, ADDED, batch_rows=100)
        assert fill_codes(shard, BINARIZER, ADDED, batch_rows=100) == 200
        assert fill_codes(shard, BINARIZER, ADDED) == 0
        page = shard.scroll(1000, vectors=("bits", "text"), payloads=True)
        order = [IDS.index(i) for i in page.ids]
        assert page.payloads == [{"n": [n, "x"]} for n in order]
        stored = pack(np.array(page.vectors["bits"]) > 0)
        # the engine keeps unit vectors, whose last digits differ
        assert (stored != BINARIZER.encode(ROWS[order], 32)).mean() < 0.01


@pytest.fixture
def coded(tmp_path: Path) -> Iterator[Shard]:
    """A shard of somebody else, to which codes were added."""
    with read_shard(foreign(tmp_path / "old", "text")) as shard:
        shard.shard.update(
            qdrant_edge.UpdateOperation.create_dense_vector(
                "bits",
                32,
                qdrant_edge.Distance.Dot,
                datatype=qdrant_edge.VectorStorageDatatype.Float16,
            )
        )
        assert fill_codes(shard, BINARIZER, ADDED) == 400
        yield shard


def test_codes_of_vectors_that_changed_are_renewed(coded: Shard) -> None:
    fresh = clustered(5, 2, 48, 20)
    changes = [
        qdrant_edge.PointVectors(i, {"text": row})
        for i, row in zip((7, IDS[360]), fresh.tolist(), strict=True)
    ]
    coded.shard.update(qdrant_edge.UpdateOperation.update_vectors(changes))
    coded.shard.update(qdrant_edge.UpdateOperation.delete_vectors([9], ["bits"]))
    assert fill_codes(coded, BINARIZER, ADDED) == 1
    assert fill_codes(coded, BINARIZER, ADDED, renew=True, batch_rows=64) == 2
    assert fill_codes(coded, BINARIZER, ADDED, renew=True) == 0
    page = coded.scroll(1000, vectors=("bits",), payloads=True)
    assert page.payloads == [{"n": [IDS.index(i), "x"]} for i in page.ids]
    stored = dict(zip(page.ids, pack(np.array(page.vectors["bits"]) > 0), strict=True))
    codes = BINARIZER.encode(fresh, 32)
    assert np.array_equal(stored[7], codes[0])
    assert np.array_equal(stored[IDS[360]], codes[1])


def test_points_that_are_deleted_while_codes_are_added_stop_nothing(coded: Shard) -> None:
    coded.shard.update(qdrant_edge.UpdateOperation.delete_vectors(IDS[:100], ["bits"]))
    real = coded.write_vectors

    def late(ids: Any, vectors: Any) -> None:
        coded.delete([3, 60])
        real(ids, vectors)

    coded.write_vectors = late  # type: ignore[method-assign]
    assert fill_codes(coded, BINARIZER, ADDED, batch_rows=50) == 98
    assert coded.count(having("bits")) == coded.count() == 398


OLD = {"text": {"size": 48, "distance": "Cosine"}}


class InPlace(Recorder):
    """A server's collection with vectors of its own."""

    def __init__(self, version: str = "1.18.0", vectors: Any = OLD, metadata: Any = None) -> None:
        found = info(collection_config(BINARIZER))
        found["config"]["params"]["vectors"] = vectors
        found["config"]["metadata"] = metadata

        def answer(method: str, path: str) -> Any:
            if path == "/":
                return {"title": "qdrant", "version": version}
            if path.endswith("/points/count"):
                return ok({"count": 2})
            if path.endswith("/points/scroll"):
                points = [{"id": i, "vector": {"text": ROWS[i].tolist()}} for i in range(2)]
                return ok({"points": points, "next_page_offset": None})
            if "/points/vectors" in path or "/vectors/" in path:
                return ok({"operation_id": 1, "status": "completed"})
            return ok(found if method == "GET" else True)

        super().__init__(answer)


def test_adding_codes_sends_what_the_server_knows() -> None:
    recorder = InPlace()
    added = add_codes(recorder.sync, "rows", BINARIZER, "text", prefixes=(32,))
    assert added.settings.original == "text"
    changes = [s for s in recorder.sent if s.method != "GET" and "/points/" not in s.path]
    bits, prefix, quantize, finish = changes
    assert (bits.method, bits.path) == ("PUT", "/collections/rows/vectors/bits")
    assert prefix.path == "/collections/rows/vectors/prefix_32"
    dense = checked(models.DenseVectorNameConfig, without_nulls(bits.body)).dense
    assert (dense.size, dense.distance, dense.datatype) == (32, "Dot", "float16")
    assert (quantize.method, quantize.path) == ("PATCH", "/collections/rows")
    update = checked(models.UpdateCollection, without_nulls(quantize.body))
    expected = body(collection_config(BINARIZER))["vectors"]["bits"]["quantization_config"]
    assert without_nulls(quantize.body)["vectors"]["bits"]["quantization_config"] == expected
    assert set(update.vectors) == {"bits", "prefix_32"}
    assert finish.body["metadata"]["bitryoshka"]["original"] == "text"
    [written] = [s for s in recorder.sent if s.path.endswith("/points/vectors")]
    points = checked(models.UpdateVectors, without_nulls(written.body)).points
    assert [p.id for p in points] == [0, 1]
    codes = pack(np.array([p.vector["bits"] for p in points]) > 0)
    assert np.array_equal(codes, BINARIZER.encode(ROWS[:2], 32))
    assert recorder.sent.index(written) < recorder.sent.index(finish)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (
            {"version": "1.17.3"},
            CollectionError,
            "on Qdrant 1.17.3, which cannot add",
        ),
        ({"vectors": OLD["text"]}, CollectionError, "a single unnamed one"),
        ({"vectors": {"image": OLD["text"]}}, CollectionError, r"found \['image'\]"),
        (
            {"vectors": {"text": {"size": 50, "distance": "Dot"}}},
            VectorsError,
            "must have 48 dimensions, found 50",
        ),
        (
            {"metadata": Settings.of(BINARIZER.truncate(32), original="text").as_metadata()},
            FingerprintError,
            "another binarizer's codes",
        ),
        (
            {"metadata": Settings.of(BINARIZER, original="image").as_metadata()},
            CollectionError,
            "codes of other settings",
        ),
    ],
)
def test_where_codes_cannot_be_added(given: Any, error: type[Exception], words: str) -> None:
    recorder = InPlace(**given)
    with pytest.raises(error, match=words):
        add_codes(recorder.sync, "rows", BINARIZER, "text")
    assert {sent.method for sent in recorder.sent} == {"GET"}


def test_removing_codes_leaves_what_was_there() -> None:
    settings = Settings.of(BINARIZER, original="text", prefixes=(32,))
    recorder = InPlace(metadata=settings.as_metadata())
    remove_codes(recorder.sync, "rows")
    changes = [s for s in recorder.sent if s.method != "GET"]
    assert [s.path for s in changes[1:]] == [
        "/collections/rows/vectors/bits",
        "/collections/rows/vectors/prefix_32",
    ]
    assert changes[0].body["metadata"] == {"bitryoshka": None}
    whole = InPlace(metadata=Settings.of(BINARIZER).as_metadata())
    with pytest.raises(CollectionError, match="was made for codes"):
        remove_codes(whole.sync, "rows")


def test_renewing_takes_codes_away_whose_vector_is_gone() -> None:
    recorder = InPlace()
    add_codes(recorder.sync, "rows", BINARIZER, "text", prefixes=(32,), renew=True)
    [gone] = [s for s in recorder.sent if s.path.endswith("/points/vectors/delete")]
    request = checked(models.DeleteVectors, without_nulls(gone.body))
    assert request.vector == ["bits", "prefix_32"]
    assert request.filter == models.Filter(
        must=[models.HasVectorCondition(has_vector="bits")],
        must_not=[models.HasVectorCondition(has_vector="text")],
    )
    scroll = next(s for s in recorder.sent if s.path.endswith("/points/scroll"))
    assert scroll.body["filter"] == {"must": [{"has_vector": "text"}]}
    assert scroll.body["with_vector"] == ["text", "bits", "prefix_32"]
    plain = InPlace()
    add_codes(plain.sync, "rows", BINARIZER, "text")
    assert not [s for s in plain.sent if s.path.endswith("/points/vectors/delete")]


def test_an_alias_is_switched_at_once_and_rolled_back() -> None:
    means = {"live": "old"}

    def answer(method: str, path: str) -> Any:
        if path == "/aliases":
            known = [{"alias_name": a, "collection_name": c} for a, c in means.items()]
            return ok({"aliases": known})
        return ok({"exists": "missing" not in path} if path.endswith("/exists") else True)

    recorder = Recorder(answer)
    assert point_alias(recorder.sync, "live", "new") == "old"
    [sent] = [s for s in recorder.sent if s.method == "POST"]
    actions = checked(models.ChangeAliasesOperation, without_nulls(sent.body)).actions
    assert [type(a) for a in actions] == [models.DeleteAliasOperation, models.CreateAliasOperation]
    means["live"] = "new"
    assert point_alias(recorder.sync, "live", "old") == "new"
    means.clear()
    assert point_alias(recorder.sync, "live", "old") is None
    with pytest.raises(CollectionError, match="no such collection"):
        point_alias(recorder.sync, "live", "missing")


def test_ids_of_both_kinds_are_found_after_a_move(make: Make, tmp_path: Path) -> None:
    target = make(BINARIZER)
    with read_shard(foreign(tmp_path / "old", "text")) as source:
        move(source, target, "text")
    settle(target)
    found = search(target, ROWS[[3, 360]], 1, candidates=99)
    assert [hits[0].id for hits in found] == [3, IDS[360]]
