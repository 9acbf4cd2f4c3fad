"""LangChain's filters, dicts with operators, as conditions on the metadata of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, not_, or_, true

from bitryoshka.documents.metadata import Condition, Metadata, Place, check_value
from bitryoshka.errors import SearchError

_LOGICAL = ("$and", "$or", "$not")
_ORDER = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_LIKE = {"$like": "~~", "$ilike": "~~*"}
_ON_KEYS = ("$eq", "$ne", *_ORDER, "$between", "$in", "$nin", *_LIKE, "$exists")
_KNOWN = f"operators are {', '.join(_ON_KEYS)} on a key, and {', '.join(_LOGICAL)} around dicts"


def metadata_condition(metadata: Metadata, wanted: Mapping[str, Any]) -> Condition:
    """A dict filter as a condition on a column of jsonb objects.

    The operators are those of langchain-postgres, ``$and $or $not`` around dicts and the others on
    a key; what has none must be contained in the metadata, as ``@>`` of jsonb has it. A value of
    another type than the operand's is not equal to it, and neither before nor after it. Strings
    are in the order of their code points. ``$not`` lets through what its dict does not.

    Raises SearchError for other operators, operands that do not fit, operators beside keys in one
    dict, and what jsonb cannot hold: NUL, lone surrogates, NaN and infinity.
    """
    check_value(wanted)
    return _all_of(metadata, wanted)


def _all_of(metadata: Metadata, wanted: Mapping[str, Any]) -> Condition:
    if _are_operators(wanted):
        return and_(*(_logical(metadata, name, operand) for name, operand in wanted.items()))
    # in one dict, which an index on the metadata answers at once
    plain = {k: v for k, v in wanted.items() if "." not in k and not _has_operators(v)}
    others = [_on_key(metadata, k, v) for k, v in wanted.items() if k not in plain]
    contained = [Place(metadata, ()).contains(plain)] if plain or not others else []
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
    named = Place(metadata, (key,))
    parts = tuple(key.split("."))
    if len(parts) == 1 or not all(parts):
        return _at(named, value)
    spelt = Place(metadata, parts)
    return or_(
        and_(named.exists(), _at(named, value)), and_(not_(named.exists()), _at(spelt, value))
    )


def _at(place: Place, value: Any) -> Condition:
    if not _has_operators(value):
        return place.contains(value)
    if _are_operators(value):
        return and_(*(_operator(place, name, operand) for name, operand in value.items()))
    return and_(*(_at(place.below(key), inner) for key, inner in value.items()))


def _operator(place: Place, name: str, operand: Any) -> Condition:
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
        return place.like(_LIKE[name], _pattern(name, operand))
    if name == "$exists":
        if not isinstance(operand, bool):
            raise SearchError(f"expected $exists of True or False, found {operand!r:.80}")
        return place.exists() if operand else not_(place.exists())
    raise SearchError(f"expected an operator on a key, found {name!r:.80}: {_KNOWN}")


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
