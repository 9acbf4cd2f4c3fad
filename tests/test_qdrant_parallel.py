"""Slices, threads and the words for many nodes: in the real engine, and as they are sent."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_client import models
from qdrant_engines import ENGINES, Make, maker, settle
from test_qdrant_moving import BINARIZER, IDS, ROWS, foreign
from test_qdrant_requests import (
    URL,
    Answer,
    Recorder,
    answers,
    checked,
    info,
    ok,
    without_nulls,
)

from bitryoshka import CollectionError, OptionError, SearchError, ServerUnreachableError
from bitryoshka.qdrant import (
    Server,
    collection_config,
    create_collection,
    create_collection_async,
    move,
    open_collection,
    open_collection_async,
    search,
    search_async,
    upsert,
    upsert_async,
    verify_move,
)
from bitryoshka.qdrant.edge import read_shard
from bitryoshka.qdrant.engine import slices
from bitryoshka.qdrant.threads import in_threads

CONFIG = collection_config(BINARIZER)


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    with maker(request.param, tmp_path) as found:
        yield found


@pytest.mark.parametrize("total", [1, 2, 7])
def test_each_point_is_in_one_slice(make: Make, total: int) -> None:
    collection = make(BINARIZER)
    upsert(collection, IDS, ROWS)
    parts = [collection.engine.scroll(1000, where=where).ids for where in slices(total)]
    assert len(parts) == total
    assert sorted(str(i) for ids in parts for i in ids) == sorted(map(str, IDS))
    assert all(len(ids) > 400 / total / 2 for ids in parts)


@pytest.mark.parametrize("number", range(3))
def test_a_slice_that_fails_ends_the_move_and_any_number_goes_on(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    target = make(BINARIZER)
    kind = type(target.engine)
    write, lock, calls = kind.write_points, threading.Lock(), 0

    def failing(self: Any, points: Any) -> None:
        nonlocal calls
        with lock:
            calls += 1
            mine = calls
        if mine == 5 + number:
            raise CollectionError("the disk is full")
        write(self, points)

    with read_shard(foreign(tmp_path / "old", "text")) as source:
        monkeypatch.setattr(kind, "write_points", failing)
        with pytest.raises(CollectionError, match="the disk is full"):
            move(source, target, "text", batch_rows=10, parallel=3)
        there = target.engine.count()
        assert (calls - 3) * 10 <= there <= (calls - 1) * 10
        assert calls <= 5 + number + 2
        moved = move(source, target, "text", batch_rows=64, parallel=1 + 2 * number)
        assert moved == (400 - there, 0, there, 0, 0, 0)
        assert move(source, target, "text", parallel=4) == (0, 0, 400, 0, 0, 0)
        settle(target)
        found = verify_move(source, target, "text", parallel=2)
        assert (found.good, found.source_points, found.target_points) == (True, 400, 400)


def test_what_threads_give_comes_before_their_error() -> None:
    begun = threading.Barrier(2)

    def work(part: int) -> Iterator[int]:
        begun.wait()
        yield part
        if part == 1:
            raise KeyError("first")
        for n in range(10**9):
            time.sleep(0.001)
            yield n + 10

    given: list[int] = []
    with pytest.raises(KeyError, match="first"):
        given.extend(in_threads(work, [0, 1], 2))
    assert {0, 1} <= set(given)


def test_threads_end_when_nobody_takes_what_they_give() -> None:
    before = threading.active_count()

    def work(part: int) -> Iterator[int]:
        while True:
            time.sleep(0.001)
            yield part

    def take() -> None:
        with closing(in_threads(work, [*range(40)], 4)) as found:
            assert next(found) in range(4)
            assert threading.active_count() == before + 4
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take()
    assert threading.active_count() == before


def test_numbers_of_threads_are_checked(make: Make, tmp_path: Path) -> None:
    target = make(BINARIZER)
    with read_shard(foreign(tmp_path / "old", "text")) as source:
        for call in (move, verify_move):
            with pytest.raises(SearchError, match="parallel must be an integer from 1"):
                call(source, target, "text", parallel=0)


class Versioned(Recorder):
    """A server of some version, with a collection of two points."""

    def __init__(self, version: str = "1.19.0") -> None:
        answer: Answer = answers(CONFIG)

        def versioned(method: str, path: str) -> Any:
            if path == "/":
                return {"title": "qdrant", "version": version}
            if path.endswith("/points/count"):
                return ok({"count": 2})
            if path.endswith("/points/scroll"):
                return ok({"points": [], "next_page_offset": None})
            return answer(method, path)

        super().__init__(versioned)


def test_both_sides_are_asked_for_the_same_slice() -> None:
    given, target = Versioned(), Versioned("1.20.1")
    collection = open_collection(target.sync, "rows", BINARIZER)
    move(Server(given.sync, "given"), collection, "original", parallel=2)
    for recorder in (given, target):
        scrolls = [s for s in recorder.sent if s.path.endswith("/scroll")]
        requests = [checked(models.ScrollRequest, without_nulls(s.body)) for s in scrolls]
        asked = [r.filter.must for r in requests]
        wanted = [
            [models.SliceCondition(slice=models.Slice(total=2, index=index))] for index in (0, 1)
        ]
        assert asked in (wanted, wanted[::-1])
    whole = Versioned("1.16.0")
    move(Server(whole.sync, "given"), collection, "original")
    [scroll] = [s for s in whole.sent if s.path.endswith("/scroll")]
    assert "filter" not in without_nulls(scroll.body)
    assert "/" not in {s.path for s in whole.sent}


@pytest.mark.parametrize("old", ["given", "rows"])
def test_a_server_without_slices_is_told_before_anything_is_written(old: str) -> None:
    servers = {n: Versioned("1.18.3" if n == old else "1.19.0") for n in ("given", "rows")}
    target = open_collection(servers["rows"].sync, "rows", BINARIZER)
    source = Server(servers["given"].sync, "given")
    words = (
        f"collection '{old}' is on Qdrant 1.18.3, which cannot cut it into slices: expected 1.19 "
        "or newer; use parallel=1"
    )
    for call in (move, verify_move):
        with pytest.raises(CollectionError, match=words):
            call(source, target, "original", parallel=2)
    sent = [s for recorder in servers.values() for s in recorder.sent]
    assert {s.path.rpartition("/")[2] for s in sent if s.method != "GET"} <= {"count"}


def test_the_words_for_many_nodes_are_sent_by_both_clients() -> None:
    recorder = Recorder(answers(CONFIG))
    writing: Any = {"shard_key_selector": ["a", 7], "ordering": "strong", "wait": False}
    reading: Any = {"shard_key_selector": "a", "consistency": "majority"}
    collection = open_collection(recorder.sync, "rows", BINARIZER)
    upsert(collection, [0, 1], ROWS[:2], resume=True, **writing)
    search(collection, ROWS[:2], **reading)
    search(collection, ROWS[:2], consistency=2)
    first, recorder.sent = recorder.sent, []

    async def again() -> None:
        opened = await open_collection_async(recorder.asynchronous, "rows", BINARIZER)
        await upsert_async(opened, [0, 1], ROWS[:2], resume=True, **writing)
        await search_async(opened, ROWS[:2], **reading)
        await search_async(opened, ROWS[:2], consistency=2)

    asyncio.run(again())
    assert recorder.sent == first
    _, there, written, found, twice = first
    assert checked(models.ScrollRequest, without_nulls(there.body)).shard_key == ["a", 7]
    points = checked(models.PointsBatch, without_nulls(written.body))
    assert points.shard_key == ["a", 7]
    assert written.query == {"wait": "false", "ordering": "strong"}
    batch = checked(models.QueryRequestBatch, without_nulls(found.body))
    assert [request.shard_key for request in batch.searches] == ["a", "a"]
    assert (found.query, twice.query) == ({"consistency": "majority"}, {"consistency": "2"})
    plain = checked(models.QueryRequestBatch, without_nulls(twice.body))
    assert [request.shard_key for request in plain.searches] == [None, None]


def test_words_that_nobody_knows_are_refused_before_anything_is_sent() -> None:
    recorder = Recorder(answers(CONFIG))
    collection = open_collection(recorder.sync, "rows", BINARIZER)
    recorder.sent = []
    with pytest.raises(OptionError, match="ordering must be one of weak, medium, strong, found 'f"):
        upsert(collection, [0], ROWS[:1], ordering="fast")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"consistency must be one of .*quorum.*, found 'most'"):
        search(collection, ROWS[:1], consistency="most")  # type: ignore[arg-type]
    assert not recorder.sent


def test_a_shard_in_process_has_no_other_nodes(tmp_path: Path) -> None:
    with maker("edge", tmp_path) as make:
        collection = make(BINARIZER)
        refused = r"in process, which has no shard_key_selector, ordering, wait$"
        with pytest.raises(CollectionError, match=refused):
            upsert(collection, [0], ROWS[:1], shard_key_selector="a", ordering="weak", wait=False)
        with pytest.raises(CollectionError, match="in process, which has no consistency"):
            search(collection, ROWS[:1], consistency="all")
        assert collection.engine.count() == 0


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_batch_that_fails_is_told_with_the_rows_that_are_written(
    make: Make, monkeypatch: pytest.MonkeyPatch, parallel: int
) -> None:
    collection = make(BINARIZER)
    kind = type(collection.engine)
    write = kind.write

    def failing(self: Any, ids: Any, *rest: Any) -> None:
        if 120 in ids:
            raise ServerUnreachableError("no answer")
        write(self, ids, *rest)

    monkeypatch.setattr(kind, "write", failing)
    with pytest.raises(ServerUnreachableError) as failed:
        upsert(collection, range(400), ROWS, batch_rows=10, parallel=parallel)
    [note] = failed.value.__notes__
    there = collection.engine.scroll(1000).ids
    begun = note.removeprefix("of rows 0 to 399 these are written: ")
    spans = begun.removesuffix("; to repeat all is safe").split(" and ")
    told = [n for span in spans for n in range(*(int(part) for part in span.split(" to ")))]
    ends = [int(span.split(" to ")[1]) for span in spans]
    assert sorted(told + ends) == there
    assert {*range(90)} <= set(there)
    assert not {*range(120, 130)} & set(there)
    if parallel == 1:
        assert note == "of rows 0 to 399 these are written: 0 to 119; to repeat all is safe"
    monkeypatch.setattr(kind, "write", write)
    found = upsert(collection, range(400), ROWS, batch_rows=10, parallel=parallel, resume=True)
    assert found == (400 - len(there), len(there))
    settle(collection)
    stored = np.array(collection.engine.scroll(1000, vectors=("bits",)).vectors["bits"]) > 0
    whole = make(BINARIZER)
    upsert(whole, range(400), ROWS)
    expected = np.array(whole.engine.scroll(1000, vectors=("bits",)).vectors["bits"]) > 0
    assert np.array_equal(stored, expected)


def test_what_was_written_is_told_by_async_upserts_too() -> None:
    recorder = Recorder(answers(CONFIG))
    seen = 0

    def refuse(request: httpx.Request) -> httpx.Response:
        nonlocal seen
        seen += request.method == "PUT"
        if seen == 3:
            return httpx.Response(400, json={"status": {"error": "no space"}})
        return httpx.Response(200, json=ok({"operation_id": 0, "status": "completed"}))

    from qdrant_client import AsyncQdrantClient

    given: Any = {"transport": httpx.MockTransport(refuse), "check_compatibility": False}
    client = AsyncQdrantClient(url=URL, **given)

    async def run() -> None:
        opened = await open_collection_async(recorder.asynchronous, "rows", BINARIZER)
        opened.engine.client = client
        await upsert_async(opened, range(20), ROWS[:20], batch_rows=5)

    with pytest.raises(CollectionError, match="no space") as failed:
        asyncio.run(run())
    assert failed.value.__notes__ == [
        "of rows 0 to 19 these are written: 0 to 9; to repeat all is safe"
    ]


class Keyed(Recorder):
    """Servers' collections by name, and their shard keys; None: they cannot have any."""

    def __init__(self, **keys: list[Any] | None) -> None:
        self.keys = keys

        def answer(method: str, path: str) -> Any:
            name = path.split("/")[2]
            if path.endswith("/exists"):
                return ok({"exists": True})
            if path.endswith("/shards"):
                known = [{"key": key} for key in keys[name] or ()]
                return ok({"shard_keys": known} if method == "GET" else True)
            if path.endswith("/points/count"):
                return ok({"count": 3})
            if path.endswith("/points/scroll"):
                points = [{"id": n, "vector": {"original": ROWS[n].tolist()}} for n in (4, 5)]
                given = points if name == "given" else [{"id": 9, "vector": {}}]
                return ok({"points": given, "next_page_offset": None})
            if method != "GET":
                retrieved = method == "POST" and path.endswith("/points")
                return ok([] if retrieved else {"operation_id": 1, "status": "completed"})
            found = info(CONFIG)
            sharding = "auto" if keys[name] is None else "custom"
            found["config"]["params"]["sharding_method"] = sharding
            return ok(found)

        super().__init__(answer)

    def moved(self, **words: Any) -> Any:
        source = Server(self.sync, "given")
        target = open_collection(self.sync, "rows", BINARIZER)
        return move(source, target, "original", **words)

    def of(self, end: str) -> list[Any]:
        return [s for s in self.sent if s.path.endswith(end)]


def test_points_are_moved_within_their_shard_key() -> None:
    recorder = Keyed(given=["a", 7], rows=["a", 7])
    recorder.moved(delete_extra=True)
    scrolls = [(s.path.split("/")[2], s.body["shard_key"]) for s in recorder.of("/scroll")]
    assert scrolls == [("given", "a"), ("rows", "a"), ("given", 7), ("rows", 7)]
    written = [s for s in recorder.of("/points") if s.method == "PUT"]
    assert [checked(models.PointsList, without_nulls(s.body)).shard_key for s in written] == [
        "a",
        7,
    ]
    deleted = [checked(models.PointIdsList, without_nulls(s.body)) for s in recorder.of("/delete")]
    assert [(d.points, d.shard_key) for d in deleted] == [([9], "a"), ([9], 7)]
    retrieved = [s for s in recorder.of("/given/points") if s.method == "POST"]
    assert [s.body["shard_key"] for s in retrieved] == ["a", 7]
    assert not [s for s in recorder.of("/shards") if s.method != "GET"]


def test_shard_keys_that_the_target_lacks_are_created_and_others_refused() -> None:
    lacking = Keyed(given=["a", 7], rows=[7])
    # nobody keeps what is sent here
    with pytest.raises(CollectionError, match=r"just the shard keys .* expected \['a', 7\]"):
        lacking.moved()
    [made] = [s for s in lacking.of("/shards") if s.method == "PUT"]
    assert checked(models.CreateShardingKey, without_nulls(made.body)).shard_key == "a"
    for given, there in ((["a", 7], ["a", "b"]), (None, ["a"])):
        recorder = Keyed(given=given, rows=there)
        with pytest.raises(CollectionError, match="must have just the shard keys"):
            recorder.moved()
        assert not [s for s in recorder.sent if s.method in ("PUT", "DELETE")]
    plain = Keyed(given=["a"], rows=None)
    with pytest.raises(CollectionError, match="it would lose sharding_method custom"):
        plain.moved()
    plain.moved(drop=("sharding_method",))
    assert {s.body.get("shard_key") for s in plain.of("/scroll")} == {None}


def test_shard_keys_are_created_once_by_both_clients() -> None:
    config = collection_config(BINARIZER, sharding_method="custom", shards=2)
    recorder = Keyed(rows=["a"])
    create_collection(recorder.sync, "rows", config, shard_keys=("a", 7))
    first, recorder.sent = recorder.sent, []
    again = create_collection_async(recorder.asynchronous, "rows", config, shard_keys=("a", 7))
    asyncio.run(again)
    assert recorder.sent == first
    [made] = [s for s in first if s.method == "PUT"]
    assert made.path == "/collections/rows/shards"
    assert checked(models.CreateShardingKey, without_nulls(made.body)).shard_key == 7
    with pytest.raises(CollectionError, match="need sharding_method='custom'"):
        create_collection(recorder.sync, "rows", CONFIG, shard_keys=("a",))
    with pytest.raises(CollectionError, match="another sharding_method: expected auto, found cu"):
        create_collection(recorder.sync, "rows", CONFIG)
