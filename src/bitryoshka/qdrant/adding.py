"""Codes for a collection that is in use, beside the vectors that it has: further named vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import CollectionError, FingerprintError, VectorsError
from bitryoshka.limits import check_counts
from bitryoshka.progress import progress_bar
from bitryoshka.qdrant.collection import Collection
from bitryoshka.qdrant.config import vector_params
from bitryoshka.qdrant.hits import Engine
from bitryoshka.qdrant.representation import stored_vectors
from bitryoshka.qdrant.server import Server, refuse_local, server_errors
from bitryoshka.qdrant.settings import BITS, METADATA_KEY, Quantization, QueryEncoding, Settings
from bitryoshka.vectors import renumbered

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
    batch_rows: int = 500,
    progress: bool = False,
) -> Collection[Server]:
    """Give a collection with named vectors the codes of its vectors ``vector``, in place.

    Needs a server of Qdrant 1.18 or newer, which can add named vectors; with an older one, or a
    single unnamed vector, `move` builds a new collection beside it. Searches and writes go on
    meanwhile. The settings are written last: until then `open_collection` refuses the collection.
    The same call goes on after a kill, and gives points that came later their codes.

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
        fill_codes(engine, binarizer, settings, batch_rows=batch_rows, progress=progress)
        client.update_collection(name, metadata=settings.as_metadata())
    return Collection(binarizer, settings, engine)


def fill_codes(
    engine: Engine,
    binarizer: Binarizer,
    settings: Settings,
    *,
    batch_rows: int = 500,
    progress: bool = False,
) -> int:
    """Write the codes of every point that has the original vector and none; give their number.

    What was done before a kill is not done again, because such points have codes.
    """
    check_counts(batch_rows=batch_rows)
    missing = models.Filter(
        must=[models.HasVectorCondition(has_vector=settings.original)],
        must_not=[models.HasVectorCondition(has_vector=BITS)],
    )
    filled, offset = 0, None
    with progress_bar(engine.count(missing), "codes", progress, "points") as advance:
        while True:
            page = engine.scroll(batch_rows, offset, (settings.original,), points_filter=missing)
            given = page.vectors[settings.original]
            rows = [(i, v) for i, v in zip(page.ids, given, strict=True) if v is not None]
            if rows:
                ids, vectors = zip(*rows, strict=True)
                with renumbered(ids, "point"):
                    stored = stored_vectors(binarizer, settings, np.array(vectors, np.float32))
                engine.write_vectors(ids, {n: stored[n] for n in _added(settings)})
                filled += len(ids)
                advance(by=len(ids))
            if page.next is None:
                return filled
            offset = page.next


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
    found = tuple(int(part) for part in version.split("-")[0].split(".")[:2])
    if found < OLDEST:
        raise CollectionError(
            f"{place} is on Qdrant {version}, which cannot add a named vector: expected 1.18 or "
            "newer; use move, into a new collection"
        )
    vectors = info.config.params.vectors
    if not isinstance(vectors, dict) or settings.original not in vectors:
        names = sorted(vectors) if isinstance(vectors, dict) else "a single unnamed one"
        raise CollectionError(
            f"{place} has no named vector {settings.original!r}, found {names}; use move, into a "
            "new collection"
        )
    size = vectors[settings.original].size
    if size != settings.dimensions:
        raise VectorsError(
            f"vector {settings.original!r} of {place} must have {settings.dimensions} dimensions, "
            f"found {size}"
        )
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
