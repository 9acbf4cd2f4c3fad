"""What searches and scrolls give, whichever engine answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

__all__ = ["Engine", "Hit", "Page", "PointId"]

PointId = int | str
Payload = Mapping[str, Any]


class Hit(NamedTuple):
    """One result: ``id`` (int, or a UUID as text), ``score`` (higher is better), ``payload``."""

    id: PointId
    score: float
    payload: dict[str, Any] | None


class Page(NamedTuple):
    """Points in the order of their ids, and the id to go on from (None: there are no more).

    ``vectors``: by name, one list of floats or None for each point.
    """

    ids: list[PointId]
    payloads: list[dict[str, Any] | None]
    vectors: dict[str, list[list[float] | None]]
    next: PointId | None


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
        points_filter: models.Filter | None = None,
    ) -> Page:
        """A page of points."""

    def existing(self, ids: Sequence[PointId]) -> set[PointId]:
        """Those of the ids that have a point."""

    def count(self, points_filter: models.Filter | None = None) -> int:
        """The exact number of points."""


def plain_id(found: int | str | UUID) -> PointId:
    """An id as it is compared: ints as they are, UUIDs as lower-case text with hyphens."""
    return found if isinstance(found, int) else str(UUID(str(found)))


def page(records: Sequence[Any], following: Any, names: Sequence[str]) -> Page:
    """A page from the records of either engine."""
    rows = [r.vector if isinstance(r.vector, dict) else {"": r.vector} for r in records]
    return Page(
        [plain_id(r.id) for r in records],
        [r.payload for r in records],
        {name: [row.get(name) for row in rows] for name in names},
        None if following is None else plain_id(following),
    )
