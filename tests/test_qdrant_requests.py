"""What a server would be sent, checked by the client's own models; and what its failures become.

Nothing here answers as a database would: the requests are the subject.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from pydantic import BaseModel
from qdrant_client import AsyncQdrantClient, QdrantClient, models
from synthetic import clustered

import bitryoshka
from bitryoshka import (
    BitsError,
    CollectionError,
    FingerprintError,
    ServerUnreachableError,
)
from bitryoshka.qdrant import (
    AsyncCollection,
    Collection,
    Settings,
    collection_config,
    create_collection,
    create_collection_async,
    open_collection,
    open_collection_async,
    search,
    search_async,
    search_requests,
    upsert,
    upsert_async,
)
from bitryoshka.qdrant.config import body
from bitryoshka.qdrant.server import _POLICY, AsyncServer, Server

ROWS = clustered(0, 300, 48, 20)
BINARIZER = bitryoshka.fit(ROWS, bits=64, hamming_bits=32, method="progressive").binarizer
URL = "http://127.0.0.1:6333"


class Sent(NamedTuple):
    method: str
    path: str
    body: Any
    query: dict[str, str]


Answer = Callable[[str, str], Any]


def ok(result: Any) -> dict[str, Any]:
    return {"result": result, "status": "ok", "time": 0.0}


def info(config: models.CreateCollection) -> dict[str, Any]:
    """A description of the collection as a server gives it."""
    given = body(config)
    params = {"vectors": given["vectors"], "shard_number": 1}
    return {
        "status": "green",
        "optimizer_status": "ok",
        "segments_count": 1,
        "payload_schema": {},
        "config": {
            "params": params,
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
            "metadata": given["metadata"],
        },
    }


def answers(config: models.CreateCollection, exists: bool = False) -> Answer:
    def answer(method: str, path: str) -> Any:
        if path.endswith("/exists"):
            return ok({"exists": exists})
        if path.endswith("/points/scroll"):
            return ok({"points": [{"id": 0}], "next_page_offset": None})
        if path.endswith("/points/query/batch"):
            return ok([{"points": [{"id": 3, "version": 0, "score": 0.5}]}] * 2)
        if path.endswith("/points") and method == "PUT":
            return ok({"operation_id": 0, "status": "completed"})
        return ok(info(config) if method == "GET" else True)

    return answer


class Recorder:
    """Two clients that send to nobody, and what they sent."""

    def __init__(self, answer: Answer) -> None:
        self.sent: list[Sent] = []

        def handle(request: httpx.Request) -> httpx.Response:
            content = json.loads(request.content) if request.content else None
            query = dict(request.url.params)
            self.sent.append(Sent(request.method, request.url.path, content, query))
            return httpx.Response(200, json=answer(request.method, request.url.path))

        given: Any = {"transport": httpx.MockTransport(handle), "check_compatibility": False}
        self.sync = QdrantClient(url=URL, **given)
        self.asynchronous = AsyncQdrantClient(url=URL, **given)


def checked(model: type[BaseModel], sent: Any) -> Any:
    """The body as the model that the client has for it: nothing unknown, nothing lost."""
    found = model.model_validate_json(json.dumps(sent))
    assert found.model_config.get("extra") == "forbid"
    kept = json.loads(found.model_dump_json(exclude_unset=True, by_alias=True))
    assert kept == sent
    return found


LAYOUTS: list[dict[str, Any]] = [
    {},
    {"keep_vectors": False, "query_encoding": "binary", "datatype": "float32"},
    {"prefixes": (32,), "on_disk": False, "shards": 3, "replicas": 2, "write_consistency": 2},
    {"quantization": "code", "hnsw_m": 0, "indexing_threshold": 100},
    *({"quantization": f"turbo{bits}"} for bits in ("1", "1_5", "2", "4", "8")),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_creating_sends_the_body_that_dry_run_shows(layout: dict[str, Any]) -> None:
    config = collection_config(BINARIZER, **layout)
    recorder = Recorder(answers(config))
    create_collection(recorder.sync, "rows", config)
    asyncio.run(create_collection_async(recorder.asynchronous, "rows", config))
    puts = [sent for sent in recorder.sent if sent.method == "PUT"]
    assert [sent.path for sent in puts] == ["/collections/rows"] * 2
    for sent in puts:
        found = checked(models.CreateCollection, without_nulls(sent.body))
        assert body(found) == body(config)
    assert body(config)["metadata"]["bitryoshka"]["fingerprint"] == BINARIZER.fingerprint


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def test_the_scale_out_settings_are_qdrants_own() -> None:
    found = body(collection_config(BINARIZER, shards=6, replicas=2, write_consistency=2))
    assert (found["shard_number"], found["replication_factor"]) == (6, 2)
    assert found["write_consistency_factor"] == 2
    bits = found["vectors"]["bits"]
    assert bits["memory"] == "cold"
    assert bits["quantization_config"]["binary"]["memory"] == "pinned"
    assert found["vectors"]["original"]["hnsw_config"] == {"m": 0}
    assert found["vectors"]["original"]["distance"] == "Cosine"


def test_upsert_and_search_send_the_same_from_both_clients() -> None:
    config = collection_config(BINARIZER, prefixes=(32,))
    recorder = Recorder(answers(config))
    collection = open_collection(recorder.sync, "rows", BINARIZER)
    only = models.Filter(
        must=[models.FieldCondition(key="n", match=models.MatchExcept(**{"except": [4]}))]
    )
    words: dict[str, Any] = {"candidates": 80, "shortlist": 20, "prefix_bits": 32, "hnsw_ef": 64}
    words |= {"where": only, "with_payload": ["n"]}
    found = search(collection, ROWS[:2], 5, **words)
    assert [(hit.id, hit.score) for hits in found for hit in hits] == [(3, 0.5)] * 2
    upsert(collection, [0, 1], ROWS[:2], [{"n": 1}, None])
    assert upsert(collection, [0, 1], ROWS[:2], resume=True) == (1, 1)
    first, recorder.sent = recorder.sent, []

    async def again() -> None:
        opened = await open_collection_async(recorder.asynchronous, "rows", BINARIZER)
        await search_async(opened, ROWS[:2], 5, **words)
        await upsert_async(opened, [0, 1], ROWS[:2], [{"n": 1}, None])
        assert await upsert_async(opened, [0, 1], ROWS[:2], resume=True) == (1, 1)

    asyncio.run(again())
    assert recorder.sent == first
    by_path = {sent.path: sent.body for sent in first}
    batch = checked(
        models.QueryRequestBatch, without_nulls(by_path["/collections/rows/points/query/batch"])
    )
    request = batch.searches[0]
    assert (request.using, request.limit, request.with_payload) == ("original", 5, ["n"])
    assert request.params.quantization.ignore
    bits, prefix = request.prefetch, request.prefetch.prefetch
    assert (bits.using, bits.limit) == ("bits", 20)
    assert (prefix.using, prefix.limit, prefix.filter) == ("prefix_32", 80, only)
    assert not prefix.params.quantization.rescore
    assert set(prefix.query) == {-1.0, 1.0}
    points = checked(models.PointsBatch, without_nulls(by_path["/collections/rows/points"]))
    assert {k: len(v[0]) for k, v in points.batch.vectors.items()} == collection.settings.sizes


def stages_of(chosen: dict[str, Any], **words: Any) -> list[tuple[Any, ...]]:
    """Vector, limit, whether it is quantized, and the graph's list, from the innermost stage."""
    signs = BINARIZER.truncate(32)
    settings = Settings.of(signs, prefixes=(32,), quantization="code", **chosen)
    [stage] = search_requests(signs, settings, ROWS[:1], **words)
    found: list[tuple[Any, ...]] = []
    while stage is not None:
        params = stage.params
        found.insert(0, (stage.using, stage.limit, not params.quantization.ignore, params.hnsw_ef))
        stage = stage.prefetch
    return found


def test_every_stage_is_one_prefetch() -> None:
    floats: dict[str, Any] = {"keep_vectors": False}
    signs: dict[str, Any] = {"query_encoding": "binary", "keep_vectors": False}
    assert stages_of(floats) == [("bits", 10, True, 100)]
    assert stages_of(floats, candidates=300, rescore=None) == [("bits", 10, True, 300)]
    assert stages_of(floats, prefix_bits=32) == [
        ("prefix_32", 100, True, 100),
        ("bits", 10, True, None),
    ]
    assert stages_of(floats, prefix_bits=32, rescore=None) == [("prefix_32", 10, True, 100)]
    assert stages_of(signs) == [("bits", 100, True, 100), ("bits", 10, False, None)]
    assert stages_of(signs, prefix_bits=32) == stages_of(signs)
    assert stages_of({}, oversampling=3.5) == [
        ("bits", 35, True, 35),
        ("original", 10, False, None),
    ]
    assert stages_of({}, shortlist=20) == [
        ("bits", 20, True, 100),
        ("original", 10, False, None),
    ]
    assert stages_of({}, shortlist=20, prefix_bits=32) == [
        ("prefix_32", 100, True, 100),
        ("bits", 20, True, None),
        ("original", 10, False, None),
    ]


@pytest.mark.parametrize("location", [{"location": ":memory:"}, {"path": "folder"}])
def test_local_mode_is_refused(
    location: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = collection_config(BINARIZER)
    client = QdrantClient(**location)
    for call in (
        lambda: create_collection(client, "rows", config),
        lambda: open_collection(client, "rows", BINARIZER),
        lambda: Server(client, "rows"),
    ):
        with pytest.raises(CollectionError, match="local mode, which ignores quantization"):
            call()
    client.close()


def test_local_mode_is_refused_for_async_clients_too() -> None:
    with pytest.raises(CollectionError, match="local mode"):
        AsyncServer(AsyncQdrantClient(":memory:"), "rows")


def test_a_collection_with_another_config_is_refused() -> None:
    mine = collection_config(BINARIZER)
    for other, words in (
        (collection_config(BINARIZER, keep_vectors=False), "another configuration"),
        (collection_config(BINARIZER.truncate(32)), "another configuration"),
    ):
        recorder = Recorder(answers(other, exists=True))
        with pytest.raises(CollectionError, match=words):
            create_collection(recorder.sync, "rows", mine)
        assert "PUT" not in [sent.method for sent in recorder.sent]
    create_collection(Recorder(answers(mine, exists=True)).sync, "rows", mine)


def altered(change: Callable[[dict[str, Any]], Any]) -> QdrantClient:
    found = info(collection_config(BINARIZER))
    change(found["config"])
    return Recorder(lambda method, path: ok(found)).sync


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda c: c.pop("metadata"), CollectionError, "no settings of bitryoshka"),
        (lambda c: c["metadata"]["bitryoshka"].update(format=2), CollectionError, "format 2"),
        (lambda c: c["metadata"]["bitryoshka"].pop("keep_vectors"), None, ""),
        (lambda c: c["metadata"]["bitryoshka"].update(x=1), CollectionError, "cannot be read"),
        (
            lambda c: c["metadata"]["bitryoshka"].update(fingerprint="0" * 64),
            FingerprintError,
            BINARIZER.fingerprint,
        ),
        (
            lambda c: c["params"]["vectors"]["bits"].pop("quantization_config"),
            CollectionError,
            "another quantization",
        ),
        (
            lambda c: c["params"]["vectors"]["bits"].update(size=31),
            CollectionError,
            "another size: expected 32, found 31",
        ),
        (lambda c: c["params"]["vectors"].pop("original"), CollectionError, "no vector 'original'"),
        (
            lambda c: c["params"].update(vectors={"size": 3, "distance": "Dot"}),
            CollectionError,
            "single unnamed vector",
        ),
    ],
)
def test_what_differs_is_found_at_opening(
    change: Callable[[dict[str, Any]], Any], error: type[Exception] | None, words: str
) -> None:
    client = altered(change)
    if error is None:
        open_collection(client, "rows", BINARIZER)
        return
    with pytest.raises(error, match=words):
        open_collection(client, "rows", BINARIZER)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"prefixes": (40,)}, "prefixes must be among"),
        ({"quantization": "turbo3"}, "quantization must be one of"),
        (
            {"quantization": "code", "query_encoding": "binary"},
            "a code of Hamming bits alone, found 32 of 64",
        ),
        ({"datatype": "uint8"}, "datatype must be one of"),
    ],
)
def test_settings_that_are_not_offered(chosen: dict[str, Any], words: str) -> None:
    with pytest.raises(BitsError, match=words):
        Settings.of(BINARIZER, **chosen)


@contextmanager
def dropping(first: int, then: bytes) -> Iterator[tuple[str, list[int]]]:
    """A server that cuts the first connections in the middle, and then gives one answer."""
    served: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    served.append(1)
                    data = connection.recv(65536)
                    length = re.search(rb"content-length: (\d+)", data.lower())
                    wanted = int(length[1]) if length else 0
                    while len(data.partition(b"\r\n\r\n")[2]) < wanted and len(served) > first:
                        data += connection.recv(65536)
                    if len(served) > first:
                        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(then)}\r\n"
                        head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"
                        connection.sendall(head.encode() + then)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", served
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def opened(url: str) -> Collection[Server]:
    client = QdrantClient(url=url, check_compatibility=False, timeout=5)
    return Collection(BINARIZER, Settings.of(BINARIZER), Server(client, "rows"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between attempts."""
    from tenacity import wait_none

    monkeypatch.setitem(_POLICY, "wait", wait_none())


DONE = json.dumps(ok({"operation_id": 0, "status": "completed"})).encode()


def test_a_lost_connection_is_tried_again(quick: None) -> None:
    with dropping(3, DONE) as (url, served):
        assert upsert(opened(url), [1, 2], ROWS[:2]) == (2, 0)
        assert len(served) == 4


def test_a_lost_connection_is_tried_again_by_async_clients(quick: None) -> None:
    async def run(url: str) -> None:
        client = AsyncQdrantClient(url=url, check_compatibility=False, timeout=5)
        collection = AsyncCollection(BINARIZER, Settings.of(BINARIZER), AsyncServer(client, "rows"))
        assert await upsert_async(collection, [1, 2], ROWS[:2]) == (2, 0)

    with dropping(3, DONE) as (url, served):
        asyncio.run(run(url))
        assert len(served) == 4


def test_a_server_that_stays_away_is_an_error_after_all_attempts(quick: None) -> None:
    with dropping(10**6, b"") as (url, served):
        collection = opened(url)
        with pytest.raises(ServerUnreachableError, match="no answer from the server"):
            upsert(collection, [1, 2], ROWS[:2])
        assert len(served) == 5
    with pytest.raises(ServerUnreachableError, match="no answer"):
        search(collection, ROWS[:1])
    with pytest.raises(ServerUnreachableError):
        create_collection(collection.engine.client, "rows", collection_config(BINARIZER))


def test_what_a_server_refuses_is_not_repeated(quick: None) -> None:
    asked: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(400, json={"status": {"error": "Vector dimension error"}})

    given: Any = {"transport": httpx.MockTransport(refuse), "check_compatibility": False}
    server = Server(QdrantClient(url=URL, **given), "rows")
    with pytest.raises(CollectionError, match=r"collection 'rows': 400 .*Vector dimension error"):
        server.write([1], {"bits": np.zeros((1, 3), np.float32)}, None)
    assert len(asked) == 1


def test_settings_survive_the_metadata() -> None:
    found = Settings.of(BINARIZER, prefixes=(32,))
    assert Settings.from_metadata(json.loads(json.dumps(found.as_metadata())), "x") == found
