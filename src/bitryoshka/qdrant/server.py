"""A collection of a server as an engine; transient failures are retried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

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

from bitryoshka.errors import BitryoshkaError, CollectionError, ServerUnreachableError
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


class Server:
    """A collection of a server."""

    def __init__(self, client: QdrantClient, name: str) -> None:
        refuse_local(client)
        self.client = client
        self.name = name
        self.place = f"collection {name!r}"

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
        """Insert or replace points; the server has applied them when this returns."""
        self._ask("upsert", batch(ids, vectors, payloads), wait=True)

    def write_points(self, points: Sequence[Point]) -> None:
        """Insert or replace points, not all of which have the same vectors."""
        structs = [models.PointStruct(id=p.id, vector=p.vectors, payload=p.payload) for p in points]
        self._ask("upsert", structs, wait=True)

    def write_vectors(
        self, ids: Sequence[PointId], vectors: Mapping[str, NDArray[np.float32]]
    ) -> None:
        """Give points that exist further vectors."""
        columns = {name: rows.tolist() for name, rows in vectors.items()}
        points = [
            models.PointVectors(id=i, vector={name: rows[n] for name, rows in columns.items()})
            for n, i in enumerate(ids)
        ]
        self._ask("update_vectors", points, wait=True)

    def query(self, requests: Sequence[models.QueryRequest]) -> list[list[Hit]]:
        """Run a batch of requests."""
        return _hits_of(self._ask("query_batch_points", list(requests)))

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
        )
        return page_of(records, following, vectors)

    def existing(self, ids: Sequence[PointId], vector: str | None = None) -> set[PointId]:
        """Those of the ids that have a point, and that vector where one is named."""
        if vector is not None:
            return set(self.scroll(len(ids), where=having(vector, ids)).ids)
        found = self._ask("retrieve", list(ids), with_payload=False, with_vectors=False)
        return {plain_id(record.id) for record in found}

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points; what is not there is no error."""
        self._ask("delete", list(ids), wait=True)

    def count(self, where: models.Filter | None = None) -> int:
        """The exact number of points."""
        return int(self._ask("count", count_filter=where, exact=True).count)

    def config(self) -> models.CreateCollection:
        """What it would have to be created with; an unnamed vector has the name ""."""
        info = self._ask("get_collection")
        with server_errors(self.place):
            return _config(info.config)

    def indexes(self) -> dict[str, IndexSchema]:
        """The payload indexes, by field."""
        schema = self._ask("get_collection").payload_schema
        return {field: info.params or info.data_type for field, info in schema.items()}

    def create_indexes(self, indexes: Mapping[str, IndexSchema]) -> None:
        """Create payload indexes."""
        for field, schema in indexes.items():
            self._ask("create_payload_index", field, schema, wait=True)


class AsyncServer:
    """A collection of a server over an AsyncQdrantClient: what upsert and search need of it."""

    def __init__(self, client: AsyncQdrantClient, name: str) -> None:
        refuse_local(client)
        self.client = client
        self.name = name
        self.place = f"collection {name!r}"

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
        """Insert or replace points; the server has applied them when this returns."""
        await self._ask("upsert", batch(ids, vectors, payloads), wait=True)

    async def existing(self, ids: Sequence[PointId], vector: str) -> set[PointId]:
        """Those of the ids that have a point with that vector."""
        found, _ = await self._ask(
            "scroll",
            scroll_filter=having(vector, ids),
            limit=len(ids),
            offset=None,
            with_payload=False,
            with_vectors=False,
        )
        return {plain_id(record.id) for record in found}

    async def query(self, requests: Sequence[models.QueryRequest]) -> list[list[Hit]]:
        """Run a batch of requests."""
        return _hits_of(await self._ask("query_batch_points", list(requests)))
