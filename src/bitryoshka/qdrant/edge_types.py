"""Qdrant client's models as the types of the engine in process."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import qdrant_edge as edge
from pydantic import BaseModel
from qdrant_client import models

from bitryoshka.errors import CollectionError, SearchError
from bitryoshka.qdrant.engine import IndexSchema

__all__ = [
    "edge_config",
    "edge_filter",
    "edge_index",
    "edge_query",
    "edge_vector",
    "rest_config",
    "rest_index",
]

_CLASSES = {"Range": "RangeFloat", "DatetimeRange": "RangeDateTime"}
_FIELDS = {
    "HasVectorCondition": {"has_vector": "vector"},
}
_INDEX_CLASSES = {"DisabledStemmerParams": "DisabledStemmer"}
_INDEX_KINDS = {"SnowballParams": "snowball", "DisabledStemmer": "none"}
# the class of each, and the enums of its fields
_QUANTIZATIONS: dict[type, tuple[Any, dict[str, Any]]] = {
    models.BinaryQuantization: (
        edge.BinaryQuantizationConfig,
        {
            "encoding": edge.BinaryQuantizationEncoding,
            "query_encoding": edge.BinaryQuantizationQueryEncoding,
        },
    ),
    models.ScalarQuantization: (edge.ScalarQuantizationConfig, {"type": edge.ScalarType}),
    models.ProductQuantization: (
        edge.ProductQuantizationConfig,
        {"compression": edge.CompressionRatio},
    ),
    models.TurboQuantization: (edge.TurboQuantQuantizationConfig, {"bits": edge.TurboQuantBitSize}),
}
# the engine's own
_GRAPH = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000}


def edge_config(config: models.CreateCollection, *, log: bool = True) -> edge.EdgeConfig:
    """The configuration of a shard; shards, replicas, strict mode and so on mean nothing there.

    ``log``: whether there is a write-ahead log; without one only what was flushed survives.
    """
    if not isinstance(config.vectors, dict):
        raise CollectionError("a shard of bitryoshka needs named vectors, found a single one")
    graph = _given(config.hnsw_config)
    optimizers = _given(config.optimizers_config)
    return edge.EdgeConfig(
        vectors={name: _vector(params, graph) for name, params in config.vectors.items()},
        sparse_vectors={n: _sparse(p) for n, p in (config.sparse_vectors or {}).items()},
        on_disk_payload=config.on_disk_payload,
        payload_memory=_placed(config.payload),
        id_tracker_memory=_placed(config.id_tracker),
        hnsw_config=_graph(graph),
        quantization_config=_quantization(config.quantization_config),
        optimizers=edge.EdgeOptimizersConfig(
            **{k: v for k, v in optimizers.items() if hasattr(edge.EdgeOptimizersConfig, k)}
        ),
        wal_enabled=log,
    )


def _given(model: BaseModel | None) -> dict[str, Any]:
    return {} if model is None else {k: v for k, v in model if v is not None}


def _placed(params: Any) -> edge.Memory | None:
    return None if params is None else named(edge.Memory, params.memory)


def _vector(params: models.VectorParams, graph: dict[str, Any]) -> edge.EdgeVectorParams:
    own = _given(params.hnsw_config)
    many = params.multivector_config
    return edge.EdgeVectorParams(
        size=params.size,
        distance=named(edge.Distance, params.distance),
        on_disk=params.on_disk,
        multivector_config=None
        if many is None
        else edge.MultiVectorConfig(named(edge.MultiVectorComparator, many.comparator)),
        datatype=named(edge.VectorStorageDatatype, params.datatype),
        memory=named(edge.Memory, params.memory),
        quantization_config=_quantization(params.quantization_config),
        hnsw_config=_graph(own and graph | own),
    )


def _sparse(params: models.SparseVectorParams) -> edge.EdgeSparseVectorParams:
    index = params.index or models.SparseIndexParams()
    modifier = None if params.modifier == models.Modifier.NONE else params.modifier
    return edge.EdgeSparseVectorParams(
        full_scan_threshold=index.full_scan_threshold,
        on_disk=index.on_disk,
        memory=named(edge.Memory, index.memory),
        datatype=named(edge.VectorStorageDatatype, index.datatype),
        modifier=named(edge.Modifier, modifier),
    )


def _graph(given: dict[str, Any]) -> edge.HnswIndexConfig | None:
    if not given:
        return None
    return edge.HnswIndexConfig(
        **_GRAPH | given | {"memory": named(edge.Memory, given.get("memory"))}
    )


def _quantization(config: Any) -> Any:
    if config is None:
        return None
    if type(config) not in _QUANTIZATIONS:
        raise CollectionError(f"a shard of bitryoshka cannot have {type(config).__name__}")
    kind, enums = _QUANTIZATIONS[type(config)]
    [(_, chosen)] = config
    kinds = {"memory": edge.Memory, **enums}
    return kind(**{f: named(kinds[f], v) if f in kinds else v for f, v in chosen})


def named(kind: Any, value: Enum | None) -> Any:
    """The member of an enum of the engine whose name is the value, but for case and underscores."""
    if value is None:
        return None
    text = str(value.value)
    for name in dir(kind):
        if name.lower() == text.lower() or name.lower() == text.replace("_", "").lower():
            return getattr(kind, name)
    raise CollectionError(f"the engine in process has no {kind.__name__} {text!r}")


def rest_config(found: dict[str, Any], metadata: dict[str, Any] | None) -> models.CreateCollection:
    """The engine's own file as the parameters that would make such a collection."""
    told: dict[str, Any] = {
        "vectors": found["vectors"],
        "sparse_vectors": {
            name: {
                "modifier": params.get("modifier"),
                "index": {k: v for k, v in params.items() if k != "modifier"},
            }
            for name, params in found["sparse_vectors"].items()
        },
        "optimizers_config": found.get("optimizers"),
        "metadata": metadata,
    }
    for name in ("on_disk_payload", "hnsw_config", "quantization_config"):
        told[name] = found.get(name)
    for name in ("payload", "id_tracker"):
        if memory := found.get(f"{name}_memory"):
            told[name] = {"memory": memory}
    return models.CreateCollection(**told)


def edge_vector(found: Any) -> Any:
    """A vector of a `Point` as the engine takes it."""
    if isinstance(found, models.SparseVector):
        return edge.SparseVector(found.indices, found.values)
    return found


def edge_query(request: models.QueryRequest) -> edge.QueryRequest:
    """A request of `search_requests`."""
    return edge.QueryRequest(
        limit=request.limit or 10,
        query=_nearest(request),
        prefetches=_prefetches(request.prefetch),
        params=_params(request.params),
        filter=edge_filter(request.filter),
        with_payload=_edge_payload_selector(request.with_payload),
    )


def _nearest(stage: Any) -> Any:
    return edge.Query.Nearest(stage.query, using=stage.using)


def _prefetches(prefetch: Any) -> list[edge.Prefetch]:
    return [
        edge.Prefetch(
            limit=stage.limit or 10,
            query=_nearest(stage),
            prefetches=_prefetches(stage.prefetch),
            params=_params(stage.params),
            filter=edge_filter(stage.filter),
        )
        for stage in ([prefetch] if isinstance(prefetch, models.Prefetch) else prefetch or [])
    ]


def _params(params: models.SearchParams | None) -> edge.SearchParams | None:
    if params is None:
        return None
    asked = params.quantization
    return edge.SearchParams(
        hnsw_ef=params.hnsw_ef,
        exact=bool(params.exact),
        quantization=None
        if asked is None
        else edge.QuantizationSearchParams(
            ignore=bool(asked.ignore), rescore=asked.rescore, oversampling=asked.oversampling
        ),
    )


def _edge_payload_selector(selector: Any) -> Any:
    """Which payload to give: a bool, a list of keys, or what to include or exclude."""
    if isinstance(selector, models.PayloadSelectorInclude):
        return edge.PayloadSelector.Include(selector.include)
    if isinstance(selector, models.PayloadSelectorExclude):
        return edge.PayloadSelector.Exclude(selector.exclude)
    return selector


def edge_filter(where: models.Filter | None) -> edge.Filter | None:
    """A filter; SearchError for a condition that the engine in process does not have."""
    if where is None:
        return None
    return edge.Filter(
        must=_conditions(where.must),
        should=_conditions(where.should),
        must_not=_conditions(where.must_not),
        min_should=None
        if where.min_should is None
        else edge.MinShould(
            conditions=[_plain(c) for c in where.min_should.conditions],
            min_count=where.min_should.min_count,
        ),
    )


def _conditions(conditions: Any) -> list[Any] | None:
    if conditions is None:
        return None
    return [_plain(c) for c in (conditions if isinstance(conditions, list) else [conditions])]


def _plain(value: Any) -> Any:
    """Models become the engine's class of the same name, field by field."""
    match value:
        case models.Filter():
            return edge_filter(value)
        case models.IsEmptyCondition(is_empty=field):
            return edge.IsEmptyCondition(field.key)
        case models.IsNullCondition(is_null=field):
            return edge.IsNullCondition(field.key)
        case models.HasIdCondition(has_id=ids):
            return edge.HasIdCondition(set(ids))
        case models.NestedCondition(nested=nested):
            return edge.NestedCondition(nested.key, _plain(nested.filter))
        case models.SliceCondition(slice=chosen):
            stubless: Any = edge  # its stubs do not have it
            return stubless.SliceCondition(chosen.total, chosen.index)
        case models.MatchExcept(except_=values):
            return edge.MatchExcept(values)
        case models.MatchValue(value=bool(asked)):
            # the engine takes a bool for an integer, and matches none; not so NumPy's
            numpys: Any = np.bool_(asked)
            match = edge.MatchValue(numpys)
            if match.value is not asked:
                raise SearchError(f"the engine in process cannot match {asked}")
            return match
        case BaseModel():
            name = type(value).__name__
            kind = getattr(edge, _CLASSES.get(name, name), None)
            if kind is None:
                raise SearchError(f"the engine in process has no condition {name}")
            renamed = _FIELDS.get(name, {})
            fields = {f: getattr(value, f) for f in type(value).model_fields}
            return kind(
                **{renamed.get(f, f): _plain(v) for f, v in fields.items() if v is not None}
            )
    return value


def edge_index(schema: IndexSchema) -> Any:
    """What the engine makes an index of; CollectionError for what it does not have."""
    if isinstance(schema, list):
        return {edge_index(value) for value in schema}
    if not isinstance(schema, (Enum, BaseModel)):
        return schema
    name = type(schema).__name__
    kind = getattr(edge, _INDEX_CLASSES.get(name, name), None)
    if kind is None:
        raise CollectionError(f"the engine in process has no {name}")
    if isinstance(schema, Enum):
        return named(kind, schema)
    fields = {f: v for f in type(schema).model_fields if (v := getattr(schema, f)) is not None}
    if not hasattr(kind, "type"):
        fields.pop("type", None)
    if lacking := [f for f in fields if not hasattr(kind, f)]:
        raise CollectionError(f"the engine in process has no {', '.join(lacking)} of {name}")
    return kind(**{f: edge_index(v) for f, v in fields.items()})


def rest_index(info: edge.PayloadIndexInfo) -> IndexSchema:
    """The model that would make such an index."""
    name = _rest(info.data_type)
    if info.params is None:
        return models.PayloadSchemaType(name)
    model = getattr(models, type(info.params).__name__)
    return model(**{"type": name} | _rest(info.params))


def _rest(value: Any) -> Any:
    """A value of the engine as JSON has it: enums by their names, sets as lists."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (set, list)):
        return sorted(_rest(v) for v in value)
    name = type(value).__name__
    kind, _, member = repr(value).partition(".")
    if kind == name:
        return member.lower()
    fields = {f: _rest(getattr(value, f)) for f in dir(value) if not f.startswith("_")}
    kept = {f: v for f, v in fields.items() if v is not None}
    return kept | ({"type": _INDEX_KINDS[name]} if name in _INDEX_KINDS else {})
