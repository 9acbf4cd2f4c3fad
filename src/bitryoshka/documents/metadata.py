"""Conditions on what stands at a place in the metadata of documents, a column of jsonb objects."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Text, any_, cast, literal, true
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH

from bitryoshka.errors import OptionError, SearchError

Condition = ColumnElement[bool]
Metadata = ColumnElement[Any]

MAX_DEPTH = 64
_NOT_STORED = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Place:
    """Where a path of keys leads to in the metadata."""

    metadata: Metadata
    path: tuple[str, ...]

    def below(self, key: str) -> Place:
        """The place that a further key leads to."""
        return Place(self.metadata, (*self.path, key))

    def exists(self) -> Condition:
        """Whether the keys are there, if with null."""
        path = cast(f"strict {self._jsonpath()}", JSONPATH)
        return _operation(self.metadata, "@?", path).is_(true())

    def contains(self, value: Any) -> Condition:
        """As ``@>`` of jsonb: scalars are equal, lists and dicts have at least these parts."""
        return _operation(self.metadata, "@>", literal(self._within(value), JSONB))

    def contains_any(self, values: Iterable[Any]) -> Condition:
        """`contains`, of one of them."""
        # one parameter, however many values
        dicts = cast([self._within(value) for value in values], ARRAY(JSONB))
        return _operation(self.metadata, "@>", any_(dicts))

    def equals(self, value: Any) -> Condition:
        """Whether there is this value and no more, for lists and dicts; NULL for nothing."""
        return _operation(self._value("->"), "=", literal(value, JSONB))

    def compares(self, *tests: tuple[str, Any]) -> Condition:
        """Order, by operators of jsonpath; NULL where there is nothing, or another type."""
        here = self._jsonpath()
        predicate = " && ".join(f"{here} {operator} {json.dumps(v)}" for operator, v in tests)
        return _operation(self.metadata, "@@", cast(f"strict {predicate}", JSONPATH))

    def has_part(self, part: str, *, any_case: bool) -> Condition:
        """Whether there is a string with this in it; NULL for nothing, or another type."""
        flags = "iq" if any_case else "q"
        predicate = f'strict {self._jsonpath()} like_regex {json.dumps(part)} flag "{flags}"'
        return _operation(self.metadata, "@@", cast(predicate, JSONPATH))

    def like(self, operator: str, pattern: str) -> Condition:
        """An operator of LIKE on the value as text; NULL for nothing."""
        return _operation(self._value("->>"), operator, literal(pattern, Text))

    def _value(self, last: str) -> ColumnElement[Any]:
        value = self.metadata
        for key in self.path[:-1]:
            value = value.op("OPERATOR(pg_catalog.->)")(literal(key, Text))
        return value.op(f"OPERATOR(pg_catalog.{last})")(literal(self.path[-1], Text))

    def _within(self, value: Any) -> Any:
        for key in reversed(self.path):
            value = {key: value}
        return value

    def _jsonpath(self) -> str:
        # the escapes of a string in jsonpath include those of JSON
        return "$" + "".join(f".{json.dumps(key)}" for key in self.path)


def _operation(left: ColumnElement[Any], operator: str, right: Any) -> Condition:
    return left.bool_op(f"OPERATOR(pg_catalog.{operator})")(right)


def check_stored(value: Any) -> None:
    """OptionError for what no row's text or jsonb can hold: NUL, lone surrogates, NaN, infinity."""
    if isinstance(value, str):
        if _NOT_STORED.search(value):
            raise OptionError(f"Postgres holds no NUL and no lone surrogate, found {value!r:.80}")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise OptionError(f"expected finite numbers in metadata, found {value}")
    elif isinstance(value, Mapping):
        for pair in value.items():
            check_stored(pair)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            check_stored(inner)


def check_value(value: Any, depth: int = 0) -> None:
    """SearchError for what jsonb cannot hold, and for what no statement is deep enough for."""
    if depth > MAX_DEPTH:
        raise SearchError(f"expected at most {MAX_DEPTH} dicts and lists in each other in a filter")
    if isinstance(value, str):
        if _NOT_STORED.search(value):
            raise SearchError(f"Postgres holds no NUL and no lone surrogate, found {value!r:.80}")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise SearchError(f"expected finite numbers in a filter, found {value}")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise SearchError(f"expected keys that are strings in a filter, found {key!r:.80}")
            check_value(key, depth)
            check_value(inner, depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            check_value(inner, depth + 1)
