"""LangChain's filters, dicts with operators, as conditions on the metadata of a table."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, any_, cast, literal, not_, or_, true
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH

from bitryoshka.errors import SearchError

Condition = ColumnElement[bool]
Metadata = ColumnElement[Any]

_LOGICAL = ("$and", "$or", "$not")
_ORDER = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_LIKE = {"$like": "~~", "$ilike": "~~*"}
_ON_KEYS = ("$eq", "$ne", *_ORDER, "$between", "$in", "$nin", *_LIKE, "$exists")
_KNOWN = f"operators are {', '.join(_ON_KEYS)} on a key, and {', '.join(_LOGICAL)} around dicts"

_NOT_STORED = re.compile("[\0\ud800-\udfff]")
_MAX_DEPTH = 64


def metadata_condition(metadata: Metadata, wanted: Mapping[str, Any]) -> Condition:
    """A dict filter as a condition on a column of jsonb objects.

    The operators are those of langchain-postgres, ``$and $or $not`` around dicts and the others on
    a key; what has none must be contained in the metadata, as ``@>`` of jsonb has it. A value of
    another type than the operand's is not equal to it, and neither before nor after it. Strings
    are in the order of their code points. ``$not`` lets through what its dict does not.

    Raises SearchError for other operators, operands that do not fit, operators beside keys in one
    dict, and what jsonb cannot hold: NUL, lone surrogates, NaN and infinity.
    """
    _check(wanted)
    return _all_of(metadata, wanted)


def _all_of(metadata: Metadata, wanted: Mapping[str, Any]) -> Condition:
    if _are_operators(wanted):
        return and_(*(_logical(metadata, name, operand) for name, operand in wanted.items()))
    # in one dict, which an index on the metadata answers at once
    plain = {k: v for k, v in wanted.items() if "." not in k and not _has_operators(v)}
    others = [_on_key(metadata, k, v) for k, v in wanted.items() if k not in plain]
    contained = [_Place(metadata, ()).contains(plain)] if plain or not others else []
    return and_(*contained, *others)


def _logical(metadata: Metadata, name: str, operand: Any) -> Condition:
    operator = name.lower()
    if operator not in _LOGICAL:
        raise SearchError(f"expected a key or {', '.join(_LOGICAL)}, found {name!r:.80}: {_KNOWN}")
    dicts = [operand] if operator == "$not" and isinstance(operand, Mapping) else operand
    if not isinstance(dicts, (list, tuple)) or not dicts or not all(map(_is_filled_dict, dicts)):
        raise SearchError(f"expected {name} of a list of dicts with keys, found {operand!r:.80}")
    parts = [_all_of(metadata, each) for each in dicts]
    if operator == "$or":
        return or_(*parts)
    # what asks for a value that is not there is NULL
    return and_(*(part.is_not(true()) for part in parts) if operator == "$not" else parts)


def _on_key(metadata: Metadata, key: str, value: Any) -> Condition:
    """What is asked of a key or, where there is none of that name, of the path that it spells."""
    named = _Place(metadata, (key,))
    parts = tuple(key.split("."))
    if len(parts) == 1 or not all(parts):
        return _at(named, value)
    spelt = _Place(metadata, parts)
    return or_(
        and_(named.exists(), _at(named, value)), and_(not_(named.exists()), _at(spelt, value))
    )


def _at(place: _Place, value: Any) -> Condition:
    if not _has_operators(value):
        return place.contains(value)
    if _are_operators(value):
        return and_(*(_operator(place, name, operand) for name, operand in value.items()))
    return and_(*(_at(place.below(key), inner) for key, inner in value.items()))


def _operator(place: _Place, name: str, operand: Any) -> Condition:
    if name in ("$eq", "$ne"):
        equal = place.contains(_operand(name, operand, nothing=True))
        return equal if name == "$eq" else and_(place.exists(), not_(equal))
    if name in ("$in", "$nin"):
        if not isinstance(operand, (list, tuple, set, frozenset)):
            raise SearchError(f"expected {name} of a list of values, found {operand!r:.80}")
        among = place.contains_any([_operand(name, each, nothing=True) for each in operand])
        return among if name == "$in" else and_(place.exists(), not_(among))
    if name in _ORDER:
        return place.compares((_ORDER[name], _operand(name, operand)))
    if name == "$between":
        low, high = _pair(operand)
        return place.compares((">=", low), ("<=", high))
    if name in _LIKE:
        return _operation(place.text(), _LIKE[name], literal(_pattern(name, operand), Text))
    if name == "$exists":
        if not isinstance(operand, bool):
            raise SearchError(f"expected $exists of True or False, found {operand!r:.80}")
        return place.exists() if operand else not_(place.exists())
    raise SearchError(f"expected an operator on a key, found {name!r:.80}: {_KNOWN}")


@dataclass(frozen=True)
class _Place:
    """Where a path of keys leads to in the metadata."""

    metadata: Metadata
    path: tuple[str, ...]

    def below(self, key: str) -> _Place:
        return _Place(self.metadata, (*self.path, key))

    def exists(self) -> Condition:
        path = cast(f"strict {self._jsonpath()}", JSONPATH)
        return _operation(self.metadata, "@?", path).is_(true())

    def contains(self, value: Any) -> Condition:
        return _operation(self.metadata, "@>", literal(self._within(value), JSONB))

    def contains_any(self, values: Iterable[Any]) -> Condition:
        # one parameter, however many values
        dicts = cast([self._within(value) for value in values], ARRAY(JSONB))
        return _operation(self.metadata, "@>", any_(dicts))

    def compares(self, *tests: tuple[str, Any]) -> Condition:
        """NULL where there is nothing, or a value of another type."""
        here = self._jsonpath()
        predicate = " && ".join(f"{here} {operator} {json.dumps(v)}" for operator, v in tests)
        return _operation(self.metadata, "@@", cast(f"strict {predicate}", JSONPATH))

    def text(self) -> ColumnElement[Any]:
        value = self.metadata
        for key in self.path[:-1]:
            value = value.op("OPERATOR(pg_catalog.->)")(literal(key, Text))
        return value.op("OPERATOR(pg_catalog.->>)")(literal(self.path[-1], Text))

    def _within(self, value: Any) -> Any:
        for key in reversed(self.path):
            value = {key: value}
        return value

    def _jsonpath(self) -> str:
        # the escapes of a string in jsonpath include those of JSON
        return "$" + "".join(f".{json.dumps(key)}" for key in self.path)


def _operation(left: ColumnElement[Any], operator: str, right: Any) -> Condition:
    return left.bool_op(f"OPERATOR(pg_catalog.{operator})")(right)


def _operand(name: str, value: Any, *, nothing: bool = False) -> Any:
    if isinstance(value, (str, int, float)) or (nothing and value is None):
        return value
    raise SearchError(
        f"expected {name} of a string, a number or a boolean{' or None' if nothing else ''}, found "
        f"{type(value).__name__} {value!r:.80}"
    )


def _pair(operand: Any) -> tuple[Any, Any]:
    if not isinstance(operand, (list, tuple)) or len(operand) != 2:
        raise SearchError(f"expected $between of two values, found {operand!r:.80}")
    low, high = (_operand("$between", each) for each in operand)
    kinds = {str if isinstance(v, str) else bool if isinstance(v, bool) else float for v in operand}
    if len(kinds) != 1:
        raise SearchError(f"expected $between of two values of one type, found {operand!r:.80}")
    return low, high


def _pattern(name: str, operand: Any) -> str:
    if not isinstance(operand, str):
        raise SearchError(f"expected {name} of a pattern, a string, found {operand!r:.80}")
    if (len(operand) - len(operand.rstrip("\\"))) % 2:
        raise SearchError(
            f"a pattern cannot end with the backslash that escapes what follows, found "
            f"{operand!r:.80}: write two for a backslash itself"
        )
    return operand


def _is_filled_dict(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) > 0


def _are_operators(wanted: Mapping[str, Any]) -> bool:
    operators = [key for key in wanted if key.startswith("$")]
    if operators and len(operators) < len(wanted):
        raise SearchError(
            f"expected operators alone or keys alone in a dict, found {list(wanted)!r:.80}: put "
            "each into a dict of its own, in the list of an $and"
        )
    return bool(operators)


def _has_operators(value: Any) -> bool:
    if isinstance(value, (list, tuple)) and any(map(_has_operators, value)):
        raise SearchError(f"expected values in a list, found operators: {value!r:.80}")
    return isinstance(value, Mapping) and any(
        key.startswith("$") or _has_operators(inner) for key, inner in value.items()
    )


def _check(value: Any, depth: int = 0) -> None:
    """SearchError for what jsonb cannot hold, and for what no statement is deep enough for."""
    if depth > _MAX_DEPTH:
        raise SearchError(
            f"expected at most {_MAX_DEPTH} dicts and lists in each other in a filter"
        )
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
            _check(key, depth)
            _check(inner, depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            _check(inner, depth + 1)
