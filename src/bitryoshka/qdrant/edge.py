"""The same engine in process: a shard in a directory, its settings in a file beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from bitryoshka.atomic_file import replacing
from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import BitryoshkaError, CollectionError, MissingExtraError
from bitryoshka.qdrant.collection import Collection
from bitryoshka.qdrant.config import body, check_config
from bitryoshka.qdrant.hits import Hit, Page, Payload, PointId, page, plain_id
from bitryoshka.qdrant.settings import Settings

try:
    import qdrant_edge
except ImportError as error:
    raise MissingExtraError("bitryoshka.qdrant.edge", "edge") from error

from bitryoshka.qdrant.edge_types import edge_config, edge_filter, edge_query

__all__ = ["Shard", "create_shard", "open_shard", "read_shard", "shard_config"]

CONFIG_FILE = "bitryoshka.json"

_SIGNS_OF_DAMAGE = ("deserialize", "parse version", "IO Error", "init WAL", "failed to load")
# what a Rust panic becomes; it is no Exception, and its class cannot be imported
_PANIC = "PanicException"


class Shard:
    """An open shard as an engine; `open_shard` makes it, and closes it."""

    def __init__(self, shard: qdrant_edge.EdgeShard, place: str) -> None:
        self.shard = shard
        self.place = place

    def _errors(self) -> AbstractContextManager[None]:
        return _edge_errors(self.place)

    def write(
        self,
        ids: Sequence[PointId],
        vectors: Mapping[str, NDArray[np.float32]],
        payloads: Sequence[Payload | None] | None,
    ) -> None:
        """Insert or replace points; they are in the write-ahead log when this returns."""
        rows = _rows(vectors)
        given = payloads or [None] * len(ids)
        with self._errors():
            points = [
                qdrant_edge.Point(i, row, None if p is None else dict(p))
                for i, row, p in zip(ids, rows, given, strict=True)
            ]
            self.shard.update(qdrant_edge.UpdateOperation.upsert_points(points))

    def write_vectors(
        self, ids: Sequence[PointId], vectors: Mapping[str, NDArray[np.float32]]
    ) -> None:
        """Give points that exist further vectors."""
        with self._errors():
            points = [
                qdrant_edge.PointVectors(i, row) for i, row in zip(ids, _rows(vectors), strict=True)
            ]
            self.shard.update(qdrant_edge.UpdateOperation.update_vectors(points))

    def query(self, requests: Sequence[models.QueryRequest]) -> list[list[Hit]]:
        """Run a batch of requests."""
        with self._errors():
            batch = qdrant_edge.QueryBatchRequest([edge_query(r) for r in requests])
            found = self.shard.query_batch(batch)
        return [[Hit(plain_id(h.id), h.score, h.payload) for h in hits] for hits in found]

    def scroll(
        self,
        limit: int,
        offset: PointId | None = None,
        vectors: Sequence[str] = (),
        payloads: bool = False,
        points_filter: models.Filter | None = None,
    ) -> Page:
        """A page of points."""
        request = qdrant_edge.ScrollRequest(
            offset=offset,
            limit=limit,
            filter=edge_filter(points_filter),
            with_payload=payloads,
            with_vector=list(vectors) if any(vectors) else bool(vectors),
        )
        with self._errors():
            records, following = self.shard.scroll(request)
        return page(records, following, vectors)

    def existing(self, ids: Sequence[PointId]) -> set[PointId]:
        """Those of the ids that have a point."""
        with self._errors():
            return {plain_id(r.id) for r in self.shard.retrieve(list(ids), False, False)}

    def count(self, points_filter: models.Filter | None = None) -> int:
        """The exact number of points."""
        with self._errors():
            return self.shard.count(qdrant_edge.CountRequest(True, edge_filter(points_filter)))

    def optimize(self) -> None:
        """Quantize and index what was written; a server does it by itself, in the background."""
        with self._errors():
            self.shard.optimize()
            self.shard.flush()


def _rows(vectors: Mapping[str, NDArray[np.float32]]) -> list[dict[str, Any]]:
    names = list(vectors)
    lists = [vectors[name].tolist() for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]


def create_shard(path: str | os.PathLike[str], config: models.CreateCollection) -> None:
    """Create a shard in a directory, with `collection_config`'s parameters.

    A directory that holds a shard of just this configuration is left as it is. Raises
    CollectionError where it holds one of another, and whatever the file system refuses.
    """
    folder = Path(path)
    place = f"shard {os.fspath(path)}"
    wanted = body(config)
    if (folder / CONFIG_FILE).is_file():
        found = _read(folder, place)
        if found != wanted:
            differing = sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k))
            raise CollectionError(
                f"{place} exists with another configuration: {', '.join(differing)} differ; "
                f"expected {_excerpt(wanted, differing)}, found {_excerpt(found, differing)}"
            )
    else:
        if (folder / "segments").exists():
            raise CollectionError(f"{place} was not made by bitryoshka: it has no {CONFIG_FILE}")
        folder.mkdir(parents=True, exist_ok=True)
        # first: a call that was killed in between goes on from here
        with replacing(folder / CONFIG_FILE) as file:
            file.write(json.dumps(wanted, indent=1).encode())
    if not _is_whole(folder, place):
        with _edge_errors(place):
            qdrant_edge.EdgeShard.create(os.fspath(path), edge_config(config)).close()


def _is_whole(folder: Path, place: str) -> bool:
    """Whether the engine made its parts; CollectionError where only some are there.

    The engine itself would begin anew with what is missing.
    """
    parts = [(folder / name).exists() for name in ("edge_config.json", "segments")]
    if any(parts) and not all(parts):
        raise CollectionError(f"{place} is damaged, and was left as it is: a part of it is missing")
    return all(parts)


def _excerpt(body_: Mapping[str, Any], keys: Sequence[str]) -> str:
    return json.dumps({k: body_.get(k) for k in keys})


def shard_config(path: str | os.PathLike[str]) -> models.CreateCollection:
    """The parameters that a shard was created with."""
    return models.CreateCollection(**_read(Path(path), f"shard {os.fspath(path)}"))


def _read(folder: Path, place: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
        models.CreateCollection(**found)
    except FileNotFoundError:
        raise CollectionError(f"{place} does not exist, or was not made by create_shard") from None
    except (ValueError, TypeError) as error:
        raise CollectionError(f"{place} is damaged: {CONFIG_FILE} cannot be read") from error
    return dict(found)


@contextmanager
def open_shard(path: str | os.PathLike[str], binarizer: Binarizer) -> Iterator[Collection[Shard]]:
    """Open a shard that `create_shard` made; closed, with all of it on disk, at the end.

    One process at a time can open it. Raises CollectionError where it is missing, damaged or
    open elsewhere, FingerprintError for another binarizer's.
    """
    place = f"shard {os.fspath(path)}"
    config = shard_config(path)
    settings = Settings.from_metadata(config.metadata, place)
    settings.check(binarizer, place)
    check_config(settings, config.vectors, place)
    with _loaded(path, place) as shard:
        engine = Shard(shard, place)
        _check_vectors(engine, settings)
        yield Collection(binarizer, settings, engine)


@contextmanager
def read_shard(path: str | os.PathLike[str]) -> Iterator[Shard]:
    """Open any shard of Qdrant Edge, as something to move from.

    Raises CollectionError where it is missing, damaged or open elsewhere.
    """
    place = f"shard {os.fspath(path)}"
    with _loaded(path, place) as shard:
        yield Shard(shard, place)


@contextmanager
def _loaded(path: str | os.PathLike[str], place: str) -> Iterator[qdrant_edge.EdgeShard]:
    _is_whole(Path(path), place)
    _check_segments(Path(path), place)
    with _edge_errors(place, "failed to load"):
        shard = qdrant_edge.EdgeShard.load(os.fspath(path))
    try:
        yield shard
        shard.flush()
    finally:
        shard.close()


def _check_segments(folder: Path, place: str) -> None:
    """CollectionError for a segment that lost a file without which the engine forgets its points.

    A segment gets its version when it is whole, and points after that.
    """
    for versions in (folder / "segments").glob("*/*id_tracker.versions"):
        mappings = versions.with_suffix(".mappings")
        for needed in (mappings, versions.with_name("version.info")):
            if versions.stat().st_size and not (needed.is_file() and needed.stat().st_size):
                raise CollectionError(
                    f"{place} is damaged, and was left as it is: {needed.relative_to(folder)} "
                    "is missing or empty"
                )


def _check_vectors(engine: Shard, settings: Settings) -> None:
    """CollectionError where points lack vectors, which `upsert` always writes with them."""
    points = engine.count()
    for name in settings.sizes:
        has = models.Filter(must=[models.HasVectorCondition(has_vector=name)])
        if (found := engine.count(has)) != points:
            raise CollectionError(
                f"{engine.place} is damaged: expected a vector {name!r} of each of its {points} "
                f"points, found {found}"
            )


@contextmanager
def _edge_errors(place: str, panicked: str = "the engine failed") -> Iterator[None]:
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
