"""What a new collection takes over from the one that it stands beside, and what it cannot."""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from qdrant_client import models

from bitryoshka.errors import CollectionError, VectorsError
from bitryoshka.qdrant.engine import Engine, IndexSchema, having
from bitryoshka.qdrant.settings import METADATA_KEY, Settings

__all__ = [
    "Params",
    "all_vectors",
    "check_vector",
    "losses",
    "other_settings",
    "other_vectors",
    "taken_over",
]

Params = models.VectorParams | models.SparseVectorParams

# what is looked at name by name; Qdrant's own would be that of our vectors too
_BY_NAME = {"vectors", "sparse_vectors", "metadata", "sharding_method", "quantization_config"}


def taken_over(
    ours: models.CreateCollection,
    settings: Settings,
    like: models.CreateCollection,
    vector: str,
    drop: Names[str] = (),
) -> models.CreateCollection:
    """The parameters ``ours``, and where they leave something open those of ``like``.

    Its other vectors keep their names, sizes and quantization; the graph of ``vector`` is that of
    our vectors. Raises CollectionError for what cannot be taken over, and is not in ``drop``.
    """
    source = "the collection to be like"
    known = check_vector(like, vector, settings.dimensions, source)
    others = {n: p for n, p in other_vectors(like, vector).items() if n not in drop}
    lost = {
        n: f"{_described(n, others[n])}: ours has that name" for n in settings.sizes if n in others
    }
    if lost:
        raise CollectionError(
            f"{source} has what ours cannot have: {', '.join(lost.values())}; leave out what is "
            f"not needed: drop={tuple(lost)}"
        )
    given = {f: v for f, v in like if f not in _BY_NAME and v is not None}
    given |= {f: v for f, v in ours if v is not None}
    if ours.sharding_method is None and "sharding_method" not in drop:
        given["sharding_method"] = like.sharding_method
    if like.optimizers_config and ours.optimizers_config:
        given["optimizers_config"] = _merged(like.optimizers_config, ours.optimizers_config)
    dense = {n: p for n, p in others.items() if isinstance(p, models.VectorParams)}
    given["vectors"] = _like(ours, settings, like, known) | dense
    given["sparse_vectors"] = {n: p for n, p in others.items() if n not in dense} or None
    kept = {k: v for k, v in (like.metadata or {}).items() if k not in drop}
    given["metadata"] = kept | (ours.metadata or {})
    return models.CreateCollection(**given)


def _like(
    ours: models.CreateCollection,
    settings: Settings,
    like: models.CreateCollection,
    known: models.VectorParams,
) -> dict[str, models.VectorParams]:
    """Our vectors with the graph of the vector that they stand for; none for the original."""
    found = {}
    for name, params in dict(ours.vectors or {}).items():
        graph = params.hnsw_config
        if name != settings.original:
            graph = _merged(known.hnsw_config, graph)
        elif like.hnsw_config is not None and like.hnsw_config.payload_m:
            graph = _merged(graph, models.HnswConfigDiff(payload_m=0))
        found[name] = params.model_copy(update={"hnsw_config": graph})
    return found


def _merged(first: Any, second: Any) -> Any:
    """The second model's values where it has some, those of the first elsewhere."""
    if first is None or second is None:
        return first or second
    return first.model_copy(update={f: v for f, v in second if v is not None})


def check_vector(
    config: models.CreateCollection, vector: str, dimensions: int, place: str
) -> models.VectorParams:
    """The parameters of the vector that codes are made of.

    Raises CollectionError where there is none, or a multivector, VectorsError for other dimensions.
    """
    known = all_vectors(config)
    found = known.get(vector)
    if not isinstance(found, models.VectorParams):
        raise CollectionError(f"{place} has no dense vector {vector!r}, found {sorted(known)}")
    if found.multivector_config is not None:
        raise CollectionError(
            f"vector {vector!r} of {place} is a multivector: expected a single one"
        )
    if found.size != dimensions:
        raise VectorsError(
            f"vector {vector!r} of {place} must have {dimensions} dimensions, found {found.size}"
        )
    return found


def all_vectors(config: models.CreateCollection) -> dict[str, Params]:
    """All vectors, quantized as they are there, be it for the collection as a whole."""
    dense = config.vectors or {}
    named = dense if isinstance(dense, dict) else {"": dense}
    found: dict[str, Params] = {
        name: params.model_copy(
            update={"quantization_config": params.quantization_config or config.quantization_config}
        )
        for name, params in named.items()
    }
    return found | (config.sparse_vectors or {})


def other_vectors(config: models.CreateCollection, vector: str) -> dict[str, Params]:
    """All vectors but that one, and the codes that were made of it."""
    made: set[str] = set()
    if METADATA_KEY in (config.metadata or {}):
        settings = Settings.from_metadata(config.metadata, "the source")
        made = set(settings.sizes) if settings.original == vector else set()
    return {n: p for n, p in all_vectors(config).items() if n != vector and n not in made}


def losses(
    source: Engine, target: Engine, settings: Settings, vector: str, drop: Names[str]
) -> dict[str, str]:
    """What the source has and the target cannot be given, by name, as words; but for ``drop``.

    ``settings``: of the target. Payload indexes that are merely missing are none. CollectionError
    for a name in ``drop`` that the source does not have.
    """
    config = source.config()
    known = {vector, "sharding_method", *other_vectors(config, vector)}
    known |= {*source.indexes(), *(config.metadata or {})} - {METADATA_KEY}
    if unknown := sorted(set(drop) - known):
        raise CollectionError(
            f"drop names {unknown}, which {source.place} does not have: found {sorted(known)}"
        )
    found: dict[str, list[str]] = {}
    for name, words in _losses(source, target, settings, vector):
        if name not in drop:
            found.setdefault(name, []).append(words)
    return {name: " and ".join(words) for name, words in found.items()}


def _losses(
    source: Engine, target: Engine, settings: Settings, vector: str
) -> Iterator[tuple[str, str]]:
    given, there = source.config(), target.config()
    known = all_vectors(there)
    for name, params in other_vectors(given, vector).items():
        words = _described(name, params)
        if name in settings.sizes:
            yield name, f"{words} (ours has that name)"
        elif name not in known:
            yield name, words
        elif _nature(params) != _nature(known[name]):
            yield name, f"{words} ({_nature(params)}, there {_nature(known[name])})"
    indexes = target.indexes()
    for field, schema in source.indexes().items():
        if field in indexes and _type(schema) != _type(indexes[field]):
            words = f"{_type(schema)}, there {_type(indexes[field])}"
            yield field, f"payload index {field!r} ({words})"
    for key, value in (given.metadata or {}).items():
        if key != METADATA_KEY and (there.metadata or {}).get(key) != value:
            yield key, f"metadata {key!r}"
    custom = models.ShardingMethod.CUSTOM
    if given.sharding_method == custom != there.sharding_method:
        yield "sharding_method", "sharding_method custom"
    if len(settings.sizes) == 1:
        # alone, "bits" could not be told to be complete, and such points would hold nothing of ours
        without = source.count() - source.count(having(vector))
        if without:
            yield vector, f"{without} points without vector {vector!r}"


def _described(name: str, params: Params) -> str:
    if isinstance(params, models.SparseVectorParams):
        return f"sparse vector {name!r}"
    return f"{'vector' if params.multivector_config is None else 'multivector'} {name!r}"


def _nature(params: Params) -> str:
    """What decides how vectors compare."""
    if isinstance(params, models.SparseVectorParams):
        modifier = params.modifier or models.Modifier.NONE
        return f"sparse, modifier {modifier.value}"
    many = params.multivector_config
    comparator = "" if many is None else f", {many.comparator.value}"
    return f"{params.size} dimensions, {params.distance.value}{comparator}"


def _type(schema: IndexSchema) -> str:
    kind: Any = getattr(schema, "type", schema)
    return str(kind.value)


def other_settings(source: Engine, target: Engine, vector: str) -> list[str]:
    """Settings of the source that are others in the target: those that decide no result."""
    given, there = source.config(), target.config()
    # what is only in the target is what its engine fills in
    mine, its = _settings(given), _settings(there)
    found = [*_differing("", mine, {path: its.get(path) for path in mine})]
    known = all_vectors(there)
    for name, params in other_vectors(given, vector).items():
        if name in known:
            words = f"vector {name!r} "
            found += _differing(words, _flat(params), _flat(known[name]))
    indexes = target.indexes()
    for field, schema in source.indexes().items():
        if field in indexes:
            words = f"payload index {field!r} "
            found += _differing(words, _flat(schema), _flat(indexes[field]))
    return found


def _settings(config: models.CreateCollection) -> dict[str, Any]:
    return _flat(config.model_copy(update=dict.fromkeys(_BY_NAME)))


def _differing(words: str, given: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    for path in sorted({*given, *there}):
        if given.get(path) != there.get(path):
            yield f"{words}{path}: {given.get(path)}, there {there.get(path)}"


def _flat(model: Any) -> dict[str, Any]:
    """The values of a model and of those in it, by path."""
    if isinstance(model, Enum):
        return {"type": model.value}
    found: dict[str, Any] = {}
    for name, value in model.model_dump(mode="json", exclude_none=True).items():
        found |= _paths(name, value)
    return found


def _paths(path: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    found: dict[str, Any] = {}
    for name, inner in value.items():
        found |= _paths(f"{path}.{name}", inner)
    return found
