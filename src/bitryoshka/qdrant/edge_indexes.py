"""Payload indexes as Qdrant client's models and as the types of the engine in process."""

from __future__ import annotations

from enum import Enum
from typing import Any

import qdrant_edge as edge
from pydantic import BaseModel
from qdrant_client import models

from bitryoshka.errors import CollectionError
from bitryoshka.qdrant.edge_types import named
from bitryoshka.qdrant.hits import IndexSchema

__all__ = ["edge_index", "rest_index"]

_OURS = {"DisabledStemmerParams": "DisabledStemmer"}
_KINDS = {"SnowballParams": "snowball", "DisabledStemmer": "none"}


def edge_index(schema: IndexSchema) -> Any:
    """What the engine makes an index of; CollectionError for what it does not have."""
    if isinstance(schema, list):
        return {edge_index(value) for value in schema}
    if not isinstance(schema, (Enum, BaseModel)):
        return schema
    name = type(schema).__name__
    kind = getattr(edge, _OURS.get(name, name), None)
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
    return kept | ({"type": _KINDS[name]} if name in _KINDS else {})
