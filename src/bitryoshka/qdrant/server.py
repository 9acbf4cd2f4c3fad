"""A collection of a server as an engine; transient failures are retried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from tenacity import (
    AsyncRetrying,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from bitryoshka.errors import (
    BitryoshkaError,
    CollectionError,
    ServerUnreachableError,
)
from bitryoshka.qdrant.engine import (
    Hit,
    IndexSchema,
    Page,
    Payload,
    Point,
    PointId,
    having,
    page_of,
    plain_id,
)

__all__ = ["AsyncServer", "Server"]

ATTEMPTS = 5
LONGEST_WAIT = 10.0
TRANSIENT = (429, 500, 502, 503, 504)


def _is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code in TRANSIENT
    return isinstance(error, (ResponseHandlingException, ResourceExhaustedResponse))


_POLICY: dict[str, Any] = {
    "retry": retry_if_exception(_is_transient),
    "stop": stop_after_attempt(ATTEMPTS),
    "wait": wait_random_exponential(multiplier=0.1, max=LONGEST_WAIT),
    "reraise": True,
}


def refuse_local(client: QdrantClient | AsyncQdrantClient) -> None:
    """CollectionError for a client in local mode: it takes quantization, and ignores it."""
    if client.init_options["location"] == ":memory:" or client.init_options["path"] is not None:
        raise CollectionError(
            "this QdrantClient is in local mode, which ignores quantization without a word: "
            "expected one of a server; in process use create_shard and open_shard"
        )


def check_version(
    found: str, oldest: tuple[int, int], place: str, cannot: str, instead: str
) -> None:
    """CollectionError, with what it ``cannot`` do, where a server's version is below the oldest."""
    if tuple(int(part) for part in found.split("-")[0].split(".")[:2]) < oldest:
        wanted = ".".join(map(str, oldest))
        raise CollectionError(
            f"{place} is on Qdrant {found}, which cannot {cannot}: expected {wanted} or newer; "
            f"{instead}"
        )


@contextmanager
def server_errors(place: str) -> Iterator[None]:
    """The client's errors as errors of this package, which keep what the server said."""
    try:
        yield
    except BitryoshkaError:
        raise
    except (ResponseHandlingException, ResourceExhaustedResponse) as error:
        raise ServerUnreachableError(f"no answer from the server of {place}: {error}") from error
    except UnexpectedResponse as error:
        said = " ".join(error.content.decode("utf-8", "replace").split())
        if error.status_code in TRANSIENT:
            raise ServerUnreachableError(
                f"the server of {place} answers {error.status_code}: {said}"
            ) from error
        raise CollectionError(f"{place}: {error.status_code} {said}") from error
    except ValueError as error:
        raise CollectionError(f"{place}: {error}") from error


def batch(
    ids: Sequence[PointId],
    vectors: Mapping[str, NDArray[np.float32]],
    payloads: Sequence[Payload | None] | None,
) -> models.Batch:
    """Points as columns: the smaller of the two bodies that a server takes."""
    return models.Batch(
        ids=list(ids),
        vectors={name: rows.tolist() for name, rows in vectors.items()},
        payloads=None if payloads is None else [dict(p or {}) for p in payloads],
    )


def _hits_of(found: Sequence[models.QueryResponse]) -> list[list[Hit]]:
    """The results of a batch of requests."""
    return [[Hit(plain_id(p.id), p.score, p.payload) for p in answer.points] for answer in found]


def _config(found: models.CollectionConfig) -> models.CreateCollection:
    """The description of a collection as the parameters that would make such a one."""
    told = found.model_dump(exclude_none=True)
    given = told | told["params"] | {"optimizers_config": told["optimizer_config"]}
    if found.params.vectors is not None and not isinstance(found.params.vectors, dict):
        given["vectors"] = {"": given["vectors"]}
    known = models.CreateCollection.model_fields
    return models.CreateCollection(**{k: v for k, v in given.items() if k in known})


class _Asking:
    """What both kinds have; ``words`` (see `asked`) go with every request that takes them."""

    def __init__(self, client: Any, name: str, words: Mapping[str, Any] | None = None) -> None:
        refuse_local(client)
        self.client = client
        self.name = name
        self.place = f"collection {name!r}"
        self.words = words or {}

    def using(self, **words: Any) -> Self:
        """The same collection, asked with these words."""
        return type(self)(self.client, self.name, {**self.words, **words})

    def _of(self, *names: str) -> dict[str, Any]:
        return {name: self.words[name] for name in names if name in self.words}

    def _reading(self) -> dict[str, Any]:
        return self._of("consistency", "shard_key_selector")

    def _writing(self) -> dict[str, Any]:
        return {"wait": True} | self._of("wait", "ordering", "shard_key_selector")

    def _routed(self, requests: Sequence[models.QueryRequest]) -> list[models.QueryRequest]:
        """The requests, to those shards that the words name."""
        key = {"shard_key": self.words.get("shard_key_selector")}
        return [request.model_copy(update=key) for request in requests]


class Server(_Asking):
    """A collection of a server."""

    client: QdrantClient

    def _ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        with server_errors(self.place):
            call = getattr(self.client, method)
            return Retrying(**_POLICY)(call, self.name, *arguments, **named)

    def write(
        self,
        ids: Sequence[PointId],
        vectors: Mapping[str, NDArray[np.float32]],
        payloads: Sequence[Payload | None] | None,
    ) -> None:
        """Insert or replace points; the server has applied them when this returns, if it waits."""
        self._ask("upsert", batch(ids, vectors, payloads), **self._writing())

    def write_points(self, points: Sequence[Point]) -> None:
        """Insert or replace points, not all of which have the same vectors."""
        structs = [models.PointStruct(id=p.id, vector=p.vectors, payload=p.payload) for p in points]
        self._ask("upsert", structs, **self._writing())

    def write_vectors(
        self, ids: Sequence[PointId], vectors: Mapping[str, NDArray[np.float32]]
    ) -> None:
        """Give points that exist further vectors."""
        columns = {name: rows.tolist() for name, rows in vectors.items()}
        points = [
            models.PointVectors(id=i, vector={name: rows[n] for name, rows in columns.items()})
            for n, i in enumerate(ids)
        ]
        self._ask("update_vectors", points, **self._writing())

    def query(self, requests: Sequence[models.QueryRequest]) -> list[list[Hit]]:
        """Run a batch of requests."""
        words = self._of("consistency")
        return _hits_of(self._ask("query_batch_points", self._routed(requests), **words))

    def scroll(
        self,
        limit: int,
        offset: PointId | None = None,
        vectors: Sequence[str] = (),
        payloads: bool = False,
        where: models.Filter | None = None,
    ) -> Page:
        """A page of points."""
        records, following = self._ask(
            "scroll",
            scroll_filter=where,
            limit=limit,
            offset=offset,
            with_payload=payloads,
            with_vectors=list(vectors) or False,
            **self._reading(),
        )
        return page_of(records, following, vectors)

    def existing(self, ids: Sequence[PointId], vector: str | None = None) -> set[PointId]:
        """Those of the ids that have a point, and that vector where one is named."""
        if vector is not None:
            return set(self.scroll(len(ids), where=having(vector, ids)).ids)
        words = {"with_payload": False, "with_vectors": False} | self._reading()
        found = self._ask("retrieve", list(ids), **words)
        return {plain_id(record.id) for record in found}

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points; what is not there is no error."""
        self._ask("delete", list(ids), **self._writing())

    def count(self, where: models.Filter | None = None) -> int:
        """The exact number of points."""
        words = {"count_filter": where, "exact": True} | self._of("shard_key_selector")
        return int(self._ask("count", **words).count)

    def config(self) -> models.CreateCollection:
        """What it would have to be created with; an unnamed vector has the name ""."""
        info = self._ask("get_collection")
        with server_errors(self.place):
            return _config(info.config)

    def shard_keys(self) -> list[models.ShardKey] | None:
        """The keys that its points are spread by; None where Qdrant spreads them itself."""
        if self.config().sharding_method != models.ShardingMethod.CUSTOM:
            return None
        return [found.key for found in self._ask("list_shard_keys").shard_keys or ()]

    def create_shard_key(self, key: models.ShardKey) -> None:
        """Create shards for a key, as many as the collection's settings say."""
        self._ask("create_shard_key", key)

    def indexes(self) -> dict[str, IndexSchema]:
        """The payload indexes, by field."""
        schema = self._ask("get_collection").payload_schema
        return {field: info.params or info.data_type for field, info in schema.items()}

    def create_indexes(self, indexes: Mapping[str, IndexSchema]) -> None:
        """Create payload indexes."""
        for field, schema in indexes.items():
            self._ask("create_payload_index", field, schema, wait=True)


class AsyncServer(_Asking):
    """A collection of a server over an AsyncQdrantClient: what upsert and search need of it."""

    client: AsyncQdrantClient

    async def _ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        with server_errors(self.place):
            call = getattr(self.client, method)
            return await AsyncRetrying(**_POLICY)(call, self.name, *arguments, **named)

    async def write(
        self,
        ids: Sequence[PointId],
        vectors: Mapping[str, NDArray[np.float32]],
        payloads: Sequence[Payload | None] | None,
    ) -> None:
        """Insert or replace points; the server has applied them when this returns, if it waits."""
        await self._ask("upsert", batch(ids, vectors, payloads), **self._writing())

    async def existing(self, ids: Sequence[PointId], vector: str) -> set[PointId]:
        """Those of the ids that have a point with that vector."""
        found, _ = await self._ask(
            "scroll",
            scroll_filter=having(vector, ids),
            limit=len(ids),
            offset=None,
            with_payload=False,
            with_vectors=False,
            **self._reading(),
        )
        return {plain_id(record.id) for record in found}

    async def query(self, requests: Sequence[models.QueryRequest]) -> list[list[Hit]]:
        """Run a batch of requests."""
        words = self._of("consistency")
        return _hits_of(await self._ask("query_batch_points", self._routed(requests), **words))
