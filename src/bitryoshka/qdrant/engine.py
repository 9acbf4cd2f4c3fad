"""What a server and the engine in process have in common, and what their searches give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

__all__ = ["Engine", "Hit", "IndexSchema", "Page", "Point", "PointId"]

PointId = int | str
Payload = Mapping[str, Any]
IndexSchema = Any  # models.PayloadSchemaType, or one of models.KeywordIndexParams and its like


class Hit(NamedTuple):
    """One result: ``id`` (int, or a UUID as text), ``score`` (higher is better), ``payload``."""

    id: PointId
    score: float
    payload: dict[str, Any] | None


class Page(NamedTuple):
    """Points in the order of their ids, and the id to go on from (None: there are no more).

    ``vectors``: by name, for each point None or what it has: a list of floats, a list of such
    lists, or a `models.SparseVector`.
    """

    ids: list[PointId]
    payloads: list[dict[str, Any] | None]
    vectors: dict[str, list[Any]]
    next: PointId | None


class Point(NamedTuple):
    """A point as it is copied; ``vectors``: those that it has, each as in a `Page`."""

    id: PointId
    payload: dict[str, Any]
    vectors: dict[str, Any]


class Engine(Protocol):
    """What a server's collection and a shard in process have in common."""

    @property
    def place(self) -> str:
        """Its name in messages."""

    def write(
        self,
        ids: Sequence[PointId],
        vectors: Mapping[str, NDArray[np.float32]],
        payloads: Sequence[Payload | None] | None,
    ) -> None:
        """Insert or replace points."""

    def write_points(self, points: Sequence[Point]) -> None:
        """Insert or replace points, not all of which have the same vectors."""

    def write_vectors(
        self, ids: Sequence[PointId], vectors: Mapping[str, NDArray[np.float32]]
    ) -> None:
        """Give points that exist further vectors."""

    def query(self, requests: Sequence[models.QueryRequest]) -> list[list[Hit]]:
        """Run a batch of requests."""

    def scroll(
        self,
        limit: int,
        offset: PointId | None = None,
        vectors: Sequence[str] = (),
        payloads: bool = False,
        where: models.Filter | None = None,
    ) -> Page:
        """A page of points."""

    def existing(self, ids: Sequence[PointId], vector: str | None = None) -> set[PointId]:
        """Those of the ids that have a point, and that vector where one is named."""

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points; what is not there is no error."""

    def count(self, where: models.Filter | None = None) -> int:
        """The exact number of points."""

    def config(self) -> models.CreateCollection:
        """What it would have to be created with; an unnamed vector has the name ""."""

    def indexes(self) -> dict[str, IndexSchema]:
        """The payload indexes, by field."""

    def create_indexes(self, indexes: Mapping[str, IndexSchema]) -> None:
        """Create payload indexes; CollectionError, and none made, where the engine lacks one."""


def plain_id(found: int | str | UUID) -> PointId:
    """An id as it is compared: ints as they are, UUIDs as lower-case text with hyphens."""
    return found if isinstance(found, int) else str(UUID(str(found)))


def having(vector: str, ids: Sequence[PointId] | None = None) -> models.Filter:
    """Points, or those of them with such ids, that have a vector of that name."""
    wanted: list[models.Condition] = [models.HasVectorCondition(has_vector=vector)]
    if ids is not None:
        wanted.append(models.HasIdCondition(has_id=list(ids)))
    return models.Filter(must=wanted)


def slices(total: int) -> list[models.Filter | None]:
    """Conditions of which each point meets just one, by a hash of its id; None: all meet it."""
    if total == 1:
        return [None]
    conditions = [
        models.SliceCondition(slice=models.Slice(total=total, index=i)) for i in range(total)
    ]
    return [models.Filter(must=[condition]) for condition in conditions]


def page_of(records: Sequence[Any], following: Any, names: Sequence[str]) -> Page:
    """A page from the records of either engine."""
    rows = [r.vector if isinstance(r.vector, dict) else {"": r.vector} for r in records]
    return Page(
        [plain_id(r.id) for r in records],
        [r.payload for r in records],
        {name: [_plain_vector(row.get(name)) for row in rows] for name in names},
        None if following is None else plain_id(following),
    )


def _plain_vector(found: Any) -> Any:
    if hasattr(found, "indices"):
        return models.SparseVector(indices=list(found.indices), values=list(found.values))
    return found
