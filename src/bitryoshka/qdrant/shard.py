"""A shard of the engine in process, as an engine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge
from numpy.typing import NDArray
from qdrant_client import models

from bitryoshka.errors import BitryoshkaError, CollectionError
from bitryoshka.qdrant.edge_types import (
    edge_filter,
    edge_index,
    edge_query,
    edge_vector,
    rest_config,
    rest_index,
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

__all__ = ["CONFIG_FILE", "ENGINES_FILE", "Shard", "edge_errors", "read_config"]

CONFIG_FILE = "bitryoshka.json"
ENGINES_FILE = "edge_config.json"

_SIGNS_OF_DAMAGE = ("deserialize", "parse version", "IO Error", "init WAL", "failed to load")
# what a Rust panic becomes; it is no Exception, and its class cannot be imported
_PANIC = "PanicException"


class Shard:
    """An open shard as an engine; `open_shard` makes it, and closes it."""

    def __init__(
        self, shard: qdrant_edge.EdgeShard, place: str, folder: Path | None = None
    ) -> None:
        self.shard = shard
        self.place = place
        self.folder = folder

    def write(
        self,
        ids: Sequence[PointId],
        vectors: Mapping[str, NDArray[np.float32]],
        payloads: Sequence[Payload | None] | None,
    ) -> None:
        """Insert or replace points; they are in the write-ahead log when this returns."""
        rows = _rows(vectors)
        given = payloads or [None] * len(ids)
        with edge_errors(self.place):
            points = [
                qdrant_edge.Point(i, row, None if p is None else dict(p))
                for i, row, p in zip(ids, rows, given, strict=True)
            ]
            self.shard.update(qdrant_edge.UpdateOperation.upsert_points(points))

    def write_points(self, points: Sequence[Point]) -> None:
        """Insert or replace points, not all of which have the same vectors."""
        with edge_errors(self.place):
            given = [
                qdrant_edge.Point(
                    p.id, {name: edge_vector(v) for name, v in p.vectors.items()}, p.payload
                )
                for p in points
            ]
            self.shard.update(qdrant_edge.UpdateOperation.upsert_points(given))

    def write_vectors(
        self, ids: Sequence[PointId], vectors: Mapping[str, NDArray[np.float32]]
    ) -> None:
        """Give points that exist further vectors."""
        with edge_errors(self.place):
            points = [
                qdrant_edge.PointVectors(i, row) for i, row in zip(ids, _rows(vectors), strict=True)
            ]
            self.shard.update(qdrant_edge.UpdateOperation.update_vectors(points))

    def query(self, requests: Sequence[models.QueryRequest]) -> list[list[Hit]]:
        """Run a batch of requests."""
        with edge_errors(self.place):
            batch = qdrant_edge.QueryBatchRequest([edge_query(r) for r in requests])
            found = self.shard.query_batch(batch)
        return [[Hit(plain_id(h.id), h.score, h.payload) for h in hits] for hits in found]

    def scroll(
        self,
        limit: int,
        offset: PointId | None = None,
        vectors: Sequence[str] = (),
        payloads: bool = False,
        where: models.Filter | None = None,
    ) -> Page:
        """A page of points."""
        request = qdrant_edge.ScrollRequest(
            offset=offset,
            limit=limit,
            filter=edge_filter(where),
            with_payload=payloads,
            with_vector=list(vectors) or False,
        )
        with edge_errors(self.place):
            records, following = self.shard.scroll(request)
        return page_of(records, following, vectors)

    def existing(self, ids: Sequence[PointId], vector: str | None = None) -> set[PointId]:
        """Those of the ids that have a point, and that vector where one is named."""
        if vector is not None:
            return set(self.scroll(len(ids), where=having(vector, ids)).ids)
        with edge_errors(self.place):
            return {plain_id(r.id) for r in self.shard.retrieve(list(ids), False, False)}

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points; what is not there is no error."""
        with edge_errors(self.place):
            self.shard.update(qdrant_edge.UpdateOperation.delete_points(list(ids)))

    def count(self, where: models.Filter | None = None) -> int:
        """The exact number of points."""
        with edge_errors(self.place):
            return self.shard.count(qdrant_edge.CountRequest(True, edge_filter(where)))

    def config(self) -> models.CreateCollection:
        """What it would have to be created with; an unnamed vector has the name ""."""
        if self.folder is None:
            raise CollectionError(f"{self.place} was not opened by its directory")
        ours = self.folder / CONFIG_FILE
        metadata = read_config(self.folder, self.place).metadata if ours.is_file() else None
        try:
            found = json.loads((self.folder / ENGINES_FILE).read_text("utf-8"))
            return rest_config(found, metadata)
        except (OSError, ValueError) as error:
            raise CollectionError(
                f"{self.place} has an {ENGINES_FILE} that cannot be read: {error}"
            ) from error

    def indexes(self) -> dict[str, IndexSchema]:
        """The payload indexes, by field."""
        with edge_errors(self.place):
            found = self.shard.info().payload_schema
            return {field: rest_index(info) for field, info in found.items()}

    def create_indexes(self, indexes: Mapping[str, IndexSchema]) -> None:
        """Create payload indexes; CollectionError, and none made, where the engine lacks one."""
        with edge_errors(self.place):
            changes = [
                qdrant_edge.UpdateOperation.create_field_index(field, edge_index(schema))
                for field, schema in indexes.items()
            ]
            for change in changes:
                self.shard.update(change)

    def optimize(self) -> None:
        """Quantize and index what was written; a server does it by itself, in the background."""
        with edge_errors(self.place):
            self.shard.optimize()
            self.shard.flush()


def _rows(vectors: Mapping[str, NDArray[np.float32]]) -> list[dict[str, Any]]:
    names = list(vectors)
    lists = [vectors[name].tolist() for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]


def read_config(folder: Path, place: str) -> models.CreateCollection:
    """The parameters that a shard of ours was created with."""
    try:
        found = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
        return models.CreateCollection(**found)
    except FileNotFoundError:
        raise CollectionError(f"{place} does not exist, or was not made by create_shard") from None
    except (ValueError, TypeError) as error:
        raise CollectionError(f"{place} is damaged: {CONFIG_FILE} cannot be read") from error


@contextmanager
def edge_errors(place: str, panicked: str = "the engine failed") -> Iterator[None]:
    """The engine's errors as those of this package, panics of its Rust code among them."""
    try:
        yield
    except BitryoshkaError:
        raise
    except Exception as error:
        raise _error(place, error) from error
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise _error(place, RuntimeError(f"{panicked}: {error}")) from error


def _error(place: str, error: Exception) -> Exception:
    """The engine raises plain Exception: tell what happened by its words."""
    text = " ".join(str(error).split())
    if "WouldBlock" in text:
        return CollectionError(f"{place} is locked: it is open already, here or in another process")
    if any(sign in text for sign in _SIGNS_OF_DAMAGE):
        return CollectionError(f"{place} is damaged, and was left as it is: {text}")
    return CollectionError(f"{place}: {text}")
