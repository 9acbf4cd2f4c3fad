"""Qdrant's REST interface, answered by the engine in process: for clients here and elsewhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from qdrant_client import QdrantClient, models
from tests.test_qdrant_requests import info, ok

from bitryoshka import CollectionError
from bitryoshka.qdrant.edge import Shard, create_shard, read_shard
from bitryoshka.qdrant.engine import Hit, Point

Key = models.ShardKey | None


class InProcess:
    """The part of a server's REST interface that stores and loads use, over shards in a folder.

    A collection is one shard, or one for each shard key.
    """

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        self.folder, self.closing = folder, closing
        self.configs: dict[str, models.CreateCollection] = {}
        self.shards: dict[str, dict[Key, Shard]] = {}

    def answer(self, request: httpx.Request) -> httpx.Response:
        _, _, name, *rest = [*request.url.path.split("/"), ""]
        body = json.loads(request.content) if request.content else {}
        write, kind = request.method == "PUT", "/".join(rest).strip("/")
        try:
            result = self._write(name, kind, body) if write else self._read(name, kind, body)
        except (CollectionError, KeyError) as error:
            return httpx.Response(400, json={"status": {"error": str(error)}})
        return httpx.Response(200, json=ok(result) if name else result)

    def _write(self, name: str, kind: str, body: Any) -> Any:
        if not kind:
            self.configs[name] = models.CreateCollection.model_validate(body)
            self.shards[name] = {}
            if not self._is_keyed(name):
                self._create(name, None)
            return True
        if kind == "shards":
            self._create(name, body["shard_key"])
            return True
        assert kind == "points"
        [shard] = self._asked(name, body)
        if columns := body.get("batch"):
            ids = columns["ids"]
            rows = [{n: rows[i] for n, rows in columns["vectors"].items()} for i in range(len(ids))]
            payloads = columns.get("payloads") or [{}] * len(ids)
            points = [Point(*each) for each in zip(ids, payloads, rows, strict=True)]
        else:
            points = [Point(p["id"], p["payload"], p["vector"]) for p in body["points"]]
        shard.write_points(points)
        return {"operation_id": 0, "status": "completed"}

    def _read(self, name: str, kind: str, body: Any) -> Any:
        if not name:
            return {"title": "qdrant", "version": "1.20.0"}
        if kind == "exists":
            return {"exists": name in self.configs}
        if kind == "shards":
            return {"shard_keys": [{"key": key} for key in self.shards[name]]}
        if kind == "points/scroll":
            assert body.get("offset") is None
            wanted = models.ScrollRequest.model_validate(body)
            names = wanted.with_vector or []
            pages = [
                shard.scroll(wanted.limit, None, names, bool(wanted.with_payload), wanted.filter)
                for shard in self._asked(name, body)
            ]
            points = [
                {"id": i, "payload": payload, "vector": dict(zip(names, row, strict=True))}
                for page in pages
                for i, payload, *row in zip(
                    page.ids, page.payloads, *(page.vectors[n] for n in names), strict=True
                )
            ]
            return {"points": points, "next_page_offset": None}
        if kind == "points/count":
            where = models.CountRequest.model_validate(body).filter
            return {"count": sum(s.count(where) for s in self._asked(name, body))}
        if kind == "points/query":
            return self._query(name, [models.QueryRequest.model_validate(body)])[0]
        if kind == "points/query/batch":
            return self._query(name, models.QueryRequestBatch.model_validate(body).searches)
        if kind:
            raise KeyError(kind)
        found = info(self.configs[name])
        sharding = self.configs[name].sharding_method
        found["config"]["params"]["sharding_method"] = sharding and sharding.value
        return found

    def _query(self, name: str, requests: list[Any]) -> list[Any]:
        [shard] = self.shards[name].values()
        return [found(hits) for hits in shard.query([plain(request) for request in requests])]

    def _is_keyed(self, name: str) -> bool:
        return self.configs[name].sharding_method == models.ShardingMethod.CUSTOM

    def _create(self, name: str, key: Key) -> None:
        path = self.folder / f"{name}-{key}"
        create_shard(path, self.configs[name].model_copy(update={"sharding_method": None}))
        self.shards[name][key] = self.closing.enter_context(read_shard(path))

    def _asked(self, name: str, body: Any) -> list[Shard]:
        """The shards that a request names; one that names none reads all."""
        key, shards = body.get("shard_key"), self.shards[name]
        if key is None:
            return [*shards.values()]
        if key not in shards:
            raise CollectionError(f"Shard key {key} not found")
        return [shards[key]]


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
def client_of(folder: Path) -> Iterator[tuple[QdrantClient, InProcess]]:
    """A client whose server is the engine, in a folder."""
    with ExitStack() as closing:
        server = InProcess(folder, closing)
        given: Any = {"transport": httpx.MockTransport(server.answer)}
        client = QdrantClient(url="http://127.0.0.1:6333", check_compatibility=False, **given)
        closing.callback(client.close)
        yield client, server


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of such a server, for clients in other processes."""
    with ExitStack() as closing:
        server = InProcess(folder, closing)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = httpx.Request(self.command, f"http://server{self.path}", content=content)
                answer = server.answer(asked)
                self.send_response(answer.status_code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_PUT = do_POST = _handle  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
            thread = threading.Thread(target=http.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{http.server_port}"
            finally:
                http.shutdown()
                thread.join()
