"""The parameters of a collection, as Qdrant's own models; nothing here talks to an engine."""

from __future__ import annotations

from collections.abc import Collection as Names
from typing import Any, Literal, get_args

from qdrant_client import models

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import BitsError, CollectionError
from bitryoshka.limits import check_count
from bitryoshka.qdrant.settings import (
    BITS,
    ORIGINAL,
    Datatype,
    Quantization,
    QueryEncoding,
    Settings,
    prefix_name,
)
from bitryoshka.qdrant.taking_over import taken_over

__all__ = ["body", "check_config", "collection_config", "vector_params"]

Sharding = Literal["auto", "custom"]

# where quantized vectors lie does not decide a code, and one bit is the engine's default
PLACEMENT = {
    ("always_ram", True),
    ("always_ram", False),
    ("encoding", "one_bit"),
    *(("memory", place.value) for place in models.Memory),
}

TURBO = {
    "turbo1": models.TurboQuantBitSize.BITS1,
    "turbo1_5": models.TurboQuantBitSize.BITS1_5,
    "turbo2": models.TurboQuantBitSize.BITS2,
    "turbo4": models.TurboQuantBitSize.BITS4,
    "turbo8": models.TurboQuantBitSize.BITS8,
}


def collection_config(
    binarizer: Binarizer,
    *,
    keep_vectors: bool = True,
    prefixes: tuple[int, ...] = (),
    quantization: Quantization | None = None,
    query_encoding: QueryEncoding = "scalar8bits",
    datatype: Datatype = "float16",
    on_disk: bool = True,
    hnsw_m: int | None = None,
    shards: int | None = None,
    replicas: int | None = None,
    write_consistency: int | None = None,
    sharding_method: Sharding | None = None,
    indexing_threshold: int | None = None,
    like: models.CreateCollection | None = None,
    vector: str = "",
    drop: Names[str] = (),
) -> models.CreateCollection:
    """Parameters of a collection for a binarizer's codes: the body of PUT /collections/NAME.

    The first five mean what they mean to `Settings.of`. ``on_disk``: the floats stay on disk, the
    quantized vectors are pinned in memory either way. ``hnsw_m``: edges a node of the graph of
    "bits", None: the engine's own default, 0: no graph. ``shards``, ``replicas`` and
    ``write_consistency`` are Qdrant's shard_number, replication_factor and
    write_consistency_factor. ``sharding_method``: "custom" for shard keys, of which each has so
    many ``shards``. ``indexing_threshold`` in KiB of vectors: below it a segment is neither
    quantized nor indexed; None: the engine's own default.

    ``like``: what a `Server` or `Shard` gives as its ``config()``. Its other named vectors (dense,
    sparse, multi), metadata and whatever is left open here are taken over, so that `move` can copy
    all that it holds; ``vector``: the name of the vectors that codes are made of, "" for an unnamed
    one; ``drop``: names of other vectors and keys of metadata that are not taken over, and
    "sharding_method" to leave its shard keys.

    Raises BitsError for a length or a choice that the binarizer does not offer, CollectionError for
    what cannot be taken over, VectorsError where ``vector`` has other dimensions.
    """
    for name, count, least in (
        ("hnsw_m", hnsw_m, 0),
        ("shards", shards, 1),
        ("replicas", replicas, 1),
        ("write_consistency", write_consistency, 1),
        ("indexing_threshold", indexing_threshold, 0),
    ):
        if count is not None:
            check_count(count, name, BitsError, least=least)
    settings = Settings.of(
        binarizer,
        quantization=quantization,
        query_encoding=query_encoding,
        keep_vectors=keep_vectors,
        prefixes=prefixes,
        datatype=datatype,
    )
    config = models.CreateCollection(
        vectors=vector_params(settings, on_disk=on_disk, hnsw_m=hnsw_m),
        shard_number=shards,
        replication_factor=replicas,
        write_consistency_factor=write_consistency,
        sharding_method=None if sharding_method is None else _sharding(sharding_method),
        optimizers_config=None
        if indexing_threshold is None
        else models.OptimizersConfigDiff(indexing_threshold=indexing_threshold),
        metadata=settings.as_metadata(),
    )
    return config if like is None else taken_over(config, settings, like, vector, drop)


def _sharding(given: Sharding) -> models.ShardingMethod:
    if given not in get_args(Sharding):
        raise BitsError(f"sharding_method must be one of {get_args(Sharding)}, found {given!r}")
    return models.ShardingMethod(given)


def vector_params(
    settings: Settings, *, on_disk: bool = True, hnsw_m: int | None = None
) -> dict[str, models.VectorParams]:
    """Parameters of every named vector of the settings."""
    memory = models.Memory.COLD if on_disk else models.Memory.CACHED
    common: dict[str, Any] = {"memory": memory, "datatype": models.Datatype(settings.datatype)}
    params = {
        BITS: models.VectorParams(
            size=settings.width,
            distance=models.Distance.DOT,
            quantization_config=quantization_config(settings),
            hnsw_config=None if hnsw_m is None else models.HnswConfigDiff(m=hnsw_m),
            **common,
        )
    }
    for bits in settings.prefixes:
        params[prefix_name(bits)] = models.VectorParams(
            size=bits,
            distance=models.Distance.DOT,
            quantization_config=one_bit("binary"),
            hnsw_config=None if hnsw_m is None else models.HnswConfigDiff(m=hnsw_m),
            **common,
        )
    if settings.keep_vectors:
        cosine = settings.metric == "cosine"
        params[settings.original] = models.VectorParams(
            size=settings.dimensions,
            distance=models.Distance.COSINE if cosine else models.Distance.DOT,
            hnsw_config=models.HnswConfigDiff(m=0),
            **common,
        )
    return params


def one_bit(
    query_encoding: QueryEncoding,
    encoding: models.BinaryQuantizationEncoding = models.BinaryQuantizationEncoding.ONE_BIT,
) -> models.BinaryQuantization:
    """Binary quantization, its bits pinned in memory."""
    return models.BinaryQuantization(
        binary=models.BinaryQuantizationConfig(
            encoding=encoding,
            query_encoding=models.BinaryQuantizationQueryEncoding(query_encoding),
            memory=models.Memory.PINNED,
        )
    )


def turbo_quantization(name: str) -> models.TurboQuantization:
    """One of `TURBO`, pinned in memory."""
    return models.TurboQuantization(
        turbo=models.TurboQuantQuantizationConfig(bits=TURBO[name], memory=models.Memory.PINNED)
    )


def quantization_config(
    settings: Settings,
) -> models.BinaryQuantization | models.TurboQuantization:
    """How vector "bits" is quantized."""
    if settings.quantization in TURBO:
        return turbo_quantization(settings.quantization)
    return one_bit(settings.query_encoding)


def body(config: models.CreateCollection) -> dict[str, Any]:
    """The REST body, as JSON's own types."""
    found: dict[str, Any] = config.model_dump(mode="json", exclude_none=True)
    return found


def check_config(settings: Settings, found: object, place: str) -> None:
    """CollectionError where named vectors differ from the settings in what decides a code.

    ``found``: the collection's ``vectors``, a dict of VectorParams where they are named.
    """
    if not isinstance(found, dict):
        raise CollectionError(f"{place} has a single unnamed vector, expected {[*settings.sizes]}")
    for name, expected in vector_params(settings).items():
        if name not in found:
            raise CollectionError(f"{place} has no vector {name!r}, found {sorted(found)}")
        pairs: dict[str, tuple[Any, Any]] = {"size": (expected.size, found[name].size)}
        # what was there before codes were added is the owner's
        if name != settings.original or name == ORIGINAL:
            pairs["distance"] = (expected.distance, found[name].distance)
            pairs["quantization"] = (_kind(expected), _kind(found[name]))
        for what, (wanted, had) in pairs.items():
            if wanted != had:
                raise CollectionError(
                    f"vector {name!r} of {place} has another {what}: expected {wanted}, found {had}"
                )


def _kind(params: Any) -> str:
    quantization = params.quantization_config
    if quantization is None:
        return "none"
    found = quantization.model_dump(mode="json", exclude_none=True)
    return str({kind: sorted(set(chosen.items()) - PLACEMENT) for kind, chosen in found.items()})
