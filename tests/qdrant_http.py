"""Qdrant's client over HTTP, its requests answered by the engine in process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from qdrant_client import QdrantClient, models
from tests.test_qdrant_requests import info, ok

from bitryoshka import Binarizer
from bitryoshka.qdrant.edge import Shard, create_shard, open_shard
from bitryoshka.qdrant.engine import Hit, Point


class InProcess:
    """The part of a server's REST interface that stores use, over shards in a folder."""

    def __init__(self, folder: Path, binarizer: Binarizer, closing: ExitStack) -> None:
        self.folder, self.binarizer, self.closing = folder, binarizer, closing
        self.configs: dict[str, models.CreateCollection] = {}
        self.shards: dict[str, Shard] = {}

    def answer(self, request: httpx.Request) -> httpx.Response:
        _, _, name, *rest = request.url.path.split("/")
        body = json.loads(request.content) if request.content else {}
        write, kind = request.method == "PUT", "/".join(rest)
        result = self._write(name, kind, body) if write else self._read(name, kind, body)
        return httpx.Response(200, json=ok(result))

    def _write(self, name: str, kind: str, body: Any) -> Any:
        if not kind:
            self.configs[name] = models.CreateCollection.model_validate(body)
            create_shard(self.folder / name, self.configs[name])
            opened = self.closing.enter_context(open_shard(self.folder / name, self.binarizer))
            self.shards[name] = opened.engine
            return True
        assert kind == "points"
        if columns := body.get("batch"):
            ids = columns["ids"]
            rows = [{n: rows[i] for n, rows in columns["vectors"].items()} for i in range(len(ids))]
            payloads = columns.get("payloads") or [{}] * len(ids)
            points = [Point(*each) for each in zip(ids, payloads, rows, strict=True)]
        else:
            points = [Point(p["id"], p["payload"], p["vector"]) for p in body["points"]]
        self.shards[name].write_points(points)
        return {"operation_id": 0, "status": "completed"}

    def _read(self, name: str, kind: str, body: Any) -> Any:
        if kind == "exists":
            return {"exists": name in self.configs}
        if kind == "points/query":
            asked = models.QueryRequest.model_validate(body)
            return found(self.shards[name].query([plain(asked)])[0])
        if kind == "points/query/batch":
            batch = models.QueryRequestBatch.model_validate(body)
            each = [plain(asked) for asked in batch.searches]
            return [found(hits) for hits in self.shards[name].query(each)]
        assert not kind
        return info(self.configs[name])


def plain(asked: Any) -> Any:
    """A request, or a stage of it, with its vector as `search_requests` has it."""
    if isinstance(asked.query, models.NearestQuery):
        asked.query = asked.query.nearest
    if asked.prefetch is not None:
        asked.prefetch = plain(asked.prefetch)
    return asked


def found(hits: list[Hit]) -> dict[str, Any]:
    return {"points": [{**hit._asdict(), "version": 0} for hit in hits]}


@contextmanager
def client_of(folder: Path, binarizer: Binarizer) -> Iterator[tuple[QdrantClient, InProcess]]:
    """A client whose server is the engine, in a folder, for collections of one binarizer."""
    with ExitStack() as closing:
        server = InProcess(folder, binarizer, closing)
        given: Any = {"transport": httpx.MockTransport(server.answer)}
        client = QdrantClient(url="http://127.0.0.1:6333", check_compatibility=False, **given)
        closing.callback(client.close)
        yield client, server
