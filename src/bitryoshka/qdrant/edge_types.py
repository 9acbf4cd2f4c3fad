"""Qdrant client's models as the types of the engine in process."""

from __future__ import annotations

from enum import Enum
from typing import Any

import qdrant_edge as edge
from pydantic import BaseModel
from qdrant_client import models

from bitryoshka.errors import CollectionError

__all__ = ["edge_config", "edge_filter", "edge_payload_selector", "edge_query"]

_CLASSES = {"Range": "RangeFloat", "DatetimeRange": "RangeDateTime"}
_FIELDS = {
    "HasVectorCondition": {"has_vector": "vector"},
}
_FULL_SCAN_KIB = 10_000
_EF_CONSTRUCT = 100
_EDGES = 16


def edge_config(config: models.CreateCollection, *, log: bool = True) -> edge.EdgeConfig:
    """The configuration of a shard; shards, replicas and the like have no meaning there.

    ``log``: whether there is a write-ahead log; without one only what was flushed survives.
    """
    if not isinstance(config.vectors, dict):
        raise CollectionError("a shard of bitryoshka needs named vectors, found a single one")
    optimizers = config.optimizers_config or models.OptimizersConfigDiff()
    return edge.EdgeConfig(
        vectors={name: _vector(params) for name, params in config.vectors.items()},
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=optimizers.indexing_threshold),
        wal_enabled=log,
    )


def _vector(params: models.VectorParams) -> edge.EdgeVectorParams:
    graph = params.hnsw_config
    return edge.EdgeVectorParams(
        size=params.size,
        distance=_named(edge.Distance, params.distance),
        datatype=None
        if params.datatype is None
        else _named(edge.VectorStorageDatatype, params.datatype),
        memory=None if params.memory is None else _named(edge.Memory, params.memory),
        quantization_config=_quantization(params.quantization_config),
        hnsw_config=None
        if graph is None
        else edge.HnswIndexConfig(
            _EDGES if graph.m is None else graph.m,
            graph.ef_construct or _EF_CONSTRUCT,
            graph.full_scan_threshold or _FULL_SCAN_KIB,
        ),
    )


def _quantization(config: Any) -> Any:
    match config:
        case None:
            return None
        case models.BinaryQuantization(binary=chosen):
            return edge.BinaryQuantizationConfig(
                encoding=_named(edge.BinaryQuantizationEncoding, chosen.encoding),
                query_encoding=_named(edge.BinaryQuantizationQueryEncoding, chosen.query_encoding),
                memory=_named(edge.Memory, chosen.memory),
            )
        case models.ScalarQuantization(scalar=chosen):
            return edge.ScalarQuantizationConfig(
                type=_named(edge.ScalarType, chosen.type),
                quantile=chosen.quantile,
                memory=_named(edge.Memory, chosen.memory),
            )
        case models.TurboQuantization(turbo=chosen):
            return edge.TurboQuantQuantizationConfig(
                bits=_named(edge.TurboQuantBitSize, chosen.bits),
                memory=_named(edge.Memory, chosen.memory),
            )
    raise CollectionError(f"a shard of bitryoshka cannot have {type(config).__name__}")


def _named(kind: Any, value: Enum | None) -> Any:
    """The member of an enum of the engine whose name is the value, but for case and underscores."""
    if value is None:
        return None
    text = str(value.value)
    for name in dir(kind):
        if name.lower() == text.lower() or name.lower() == text.replace("_", "").lower():
            return getattr(kind, name)
    raise CollectionError(f"the engine in process has no {kind.__name__} {text!r}")


def edge_query(request: models.QueryRequest) -> edge.QueryRequest:
    """A request of `search_requests`."""
    return edge.QueryRequest(
        limit=request.limit or 10,
        query=_nearest(request),
        prefetches=_prefetches(request.prefetch),
        params=_params(request.params),
        filter=edge_filter(request.filter),
        with_payload=edge_payload_selector(request.with_payload),
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


def edge_payload_selector(selector: Any) -> Any:
    """Which payload to give: a bool, a list of keys, or what to include or exclude."""
    if isinstance(selector, models.PayloadSelectorInclude):
        return edge.PayloadSelector.Include(selector.include)
    if isinstance(selector, models.PayloadSelectorExclude):
        return edge.PayloadSelector.Exclude(selector.exclude)
    return selector


def edge_filter(points_filter: models.Filter | None) -> edge.Filter | None:
    """A filter; CollectionError for a condition that the engine in process does not have."""
    if points_filter is None:
        return None
    return edge.Filter(
        must=_conditions(points_filter.must),
        should=_conditions(points_filter.should),
        must_not=_conditions(points_filter.must_not),
        min_should=None
        if points_filter.min_should is None
        else edge.MinShould(
            conditions=[_plain(c) for c in points_filter.min_should.conditions],
            min_count=points_filter.min_should.min_count,
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
        case models.MatchExcept(except_=values):
            return edge.MatchExcept(values)
        case BaseModel():
            name = type(value).__name__
            kind = getattr(edge, _CLASSES.get(name, name), None)
            if kind is None:
                raise CollectionError(f"the engine in process has no condition {name}")
            renamed = _FIELDS.get(name, {})
            fields = {f: getattr(value, f) for f in type(value).model_fields}
            return kind(
                **{renamed.get(f, f): _plain(v) for f, v in fields.items() if v is not None}
            )
    return value
