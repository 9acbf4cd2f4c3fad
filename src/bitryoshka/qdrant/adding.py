"""Codes for a collection that is in use, beside the vectors that it has: further named vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import CollectionError, FingerprintError
from bitryoshka.limits import check_counts
from bitryoshka.progress import progress_bar
from bitryoshka.qdrant.collection import Collection
from bitryoshka.qdrant.config import vector_params
from bitryoshka.qdrant.copying import same_vector
from bitryoshka.qdrant.engine import Engine, Page, PointId, having
from bitryoshka.qdrant.representation import stored_points
from bitryoshka.qdrant.server import Server, check_version, refuse_local, server_errors
from bitryoshka.qdrant.settings import BITS, METADATA_KEY, Quantization, QueryEncoding, Settings
from bitryoshka.qdrant.taking_over import check_vector

__all__ = ["add_codes", "fill_codes", "remove_codes"]

OLDEST = (1, 18)


def add_codes(
    client: QdrantClient,
    name: str,
    binarizer: Binarizer,
    vector: str,
    *,
    quantization: Quantization | None = None,
    query_encoding: QueryEncoding = "scalar8bits",
    prefixes: tuple[int, ...] = (),
    renew: bool = False,
    batch_rows: int = 500,
    progress: bool = False,
) -> Collection[Server]:
    """Give a collection with named vectors the codes of its vectors ``vector``, in place.

    Needs a server of Qdrant 1.18 or newer, which can add named vectors; with an older one, or a
    single unnamed vector, `move` builds a new collection beside it. Searches and writes go on
    meanwhile. The settings are written last: until then `open_collection` refuses the collection.
    The same call goes on after a kill, and gives points that came later their codes. ``renew``
    compares those that are there with their vectors too: codes of vectors that were changed since
    are replaced, those of vectors that were deleted are taken away.

    Raises CollectionError for a server that is too old, or a vector that is missing,
    FingerprintError where the collection has another binarizer's codes.
    """
    refuse_local(client)
    check_counts(batch_rows=batch_rows)
    place = f"collection {name!r}"
    settings = Settings.of(
        binarizer,
        quantization=quantization,
        query_encoding=query_encoding,
        prefixes=prefixes,
        original=vector,
    )
    with server_errors(place):
        version = client.info().version
        info = client.get_collection(name)
        _check_target(info, settings, place, version)
        known = info.config.params.vectors
        for added, params in _added(settings).items():
            if isinstance(known, dict) and added not in known:
                client.create_vector_name(name, added, _dense(params))
        client.update_collection(name, vectors_config=_differences(settings))
        engine = Server(client, name)
        fill_codes(
            engine, binarizer, settings, renew=renew, batch_rows=batch_rows, progress=progress
        )
        if renew:
            stale = _having(BITS, but=vector)
            client.delete_vectors(name, [*_added(settings)], models.FilterSelector(filter=stale))
        client.update_collection(name, metadata=settings.as_metadata())
    return Collection(binarizer, settings, engine)


def fill_codes(
    engine: Engine,
    binarizer: Binarizer,
    settings: Settings,
    *,
    renew: bool = False,
    batch_rows: int = 500,
    progress: bool = False,
) -> int:
    """Write the codes of points that have the original vector and none; give their number.

    What was done before a kill is not done again, because such points have codes. ``renew``: the
    codes that differ from what their vectors give too.
    """
    check_counts(batch_rows=batch_rows)
    added = _added(settings)
    asked = having(settings.original) if renew else _having(settings.original, but=BITS)
    read = (settings.original, *added) if renew else (settings.original,)
    filled, offset = 0, None
    with progress_bar(engine.count(asked), "codes", progress, "points") as advance:
        while True:
            page = engine.scroll(batch_rows, offset, read, where=asked)
            given = page.vectors[settings.original]
            rows = [i for i, v in enumerate(given) if v is not None]
            if rows:
                ids = [page.ids[i] for i in rows]
                stored = stored_points(binarizer, settings, ids, [given[i] for i in rows])
                right = [renew and _right(page, i, stored, n, added) for n, i in enumerate(rows)]
                new = [n for n, known in enumerate(right) if not known]
                filled += _write(engine, [ids[n] for n in new], {a: stored[a][new] for a in added})
                advance(by=len(rows))
            if page.next is None:
                return filled
            offset = page.next


def _right(
    page: Page,
    row: int,
    stored: Mapping[str, NDArray[np.float32]],
    n: int,
    added: Mapping[str, models.VectorParams],
) -> bool:
    """Whether the point at ``row`` has the codes that it should have: row ``n`` of ``stored``."""
    return all(
        (there := page.vectors[name][row]) is not None
        and same_vector(stored[name][n], there, params)
        for name, params in added.items()
    )


def _write(engine: Engine, ids: list[PointId], stored: dict[str, NDArray[np.float32]]) -> int:
    """Write codes of points, but for those that were deleted since they were read."""
    if not ids:
        return 0
    try:
        engine.write_vectors(ids, stored)
    except CollectionError:
        there = engine.existing(ids)
        kept = [n for n, known in enumerate(ids) if known in there]
        if len(kept) == len(ids):
            raise
        return _write(
            engine, [ids[n] for n in kept], {name: rows[kept] for name, rows in stored.items()}
        )
    return len(ids)


def _having(vector: str, *, but: str) -> models.Filter:
    lacking: list[models.Condition] = [models.HasVectorCondition(has_vector=but)]
    return models.Filter(must=having(vector).must, must_not=lacking)


def remove_codes(client: QdrantClient, name: str) -> None:
    """Take the codes of `add_codes` away again; the collection is as it was before.

    Raises CollectionError where the collection was made for codes: delete it as a whole.
    """
    refuse_local(client)
    place = f"collection {name!r}"
    with server_errors(place):
        info = client.get_collection(name)
        settings = Settings.from_metadata(info.config.metadata, place)
        if settings.original == Settings.original:
            raise CollectionError(f"{place} was made for codes: delete it as a whole")
        client.update_collection(name, metadata={METADATA_KEY: None})
        for added in _added(settings):
            client.delete_vector_name(name, added)


def _check_target(
    info: models.CollectionInfo, settings: Settings, place: str, version: str
) -> None:
    check_version(version, OLDEST, place, "add a named vector", "use move, into a new collection")
    vectors = info.config.params.vectors
    if not isinstance(vectors, dict) or settings.original not in vectors:
        names = sorted(vectors) if isinstance(vectors, dict) else "a single unnamed one"
        raise CollectionError(
            f"{place} has no named vector {settings.original!r}, found {names}; use move, into a "
            "new collection"
        )
    config = models.CreateCollection(vectors=vectors)
    check_vector(config, settings.original, settings.dimensions, place)
    metadata = info.config.metadata or {}
    if METADATA_KEY in metadata:
        known = Settings.from_metadata(metadata, place)
        if known.fingerprint != settings.fingerprint:
            raise FingerprintError(
                f"{place} has another binarizer's codes: expected fingerprint "
                f"{settings.fingerprint}, found {known.fingerprint}; remove_codes takes them away"
            )
        if known != settings:
            raise CollectionError(f"{place} has codes of other settings: {known}")


def _added(settings: Settings) -> dict[str, models.VectorParams]:
    return {n: p for n, p in vector_params(settings).items() if n != settings.original}


def _dense(params: models.VectorParams) -> models.DenseVectorNameConfig:
    return models.DenseVectorNameConfig(
        dense=models.DenseVectorConfig(
            size=params.size,
            distance=params.distance,
            datatype=None
            if params.datatype is None
            else models.VectorStorageDatatype(params.datatype.value),
        )
    )


def _differences(settings: Settings) -> dict[str, Any]:
    """Quantization and placement, which cannot be said when a named vector is added."""
    return {
        name: models.VectorParamsDiff(
            quantization_config=params.quantization_config, memory=params.memory
        )
        for name, params in _added(settings).items()
    }
