"""LlamaIndex's metadata filters as conditions on the metadata of a table."""

from __future__ import annotations

from typing import Any

from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from sqlalchemy import and_, not_, or_, true

from bitryoshka.documents.metadata import MAX_DEPTH, Condition, Metadata, Place, check_value
from bitryoshka.errors import SearchError

Scalar = str | int | float

_ORDER = {
    FilterOperator.GT: ">",
    FilterOperator.GTE: ">=",
    FilterOperator.LT: "<",
    FilterOperator.LTE: "<=",
}


def metadata_condition(metadata: Metadata, filters: MetadataFilters, depth: int = 0) -> Condition:
    """Filters as a condition on a column of jsonb objects.

    They mean what they mean to LlamaIndex's own store in memory: a key that is missing or null
    passes ``NE``, ``NIN`` and ``IS_EMPTY`` alone, 1 and 0 are equal to true and false, ``NOT`` lets
    through what none of its filters does. Where that store raises for a value of another type than
    the filter's, the row does not pass. Filters may be nested; keys are taken as they are spelt.

    Raises SearchError for a value that does not fit its operator, and for what jsonb cannot hold.
    """
    if depth > MAX_DEPTH:
        raise SearchError(f"expected at most {MAX_DEPTH} filters in each other")
    parts = [
        metadata_condition(metadata, each, depth + 1)
        if isinstance(each, MetadataFilters)
        else _on_key(metadata, each)
        for each in filters.filters
    ]
    if not parts:
        return true()
    if filters.condition == FilterCondition.OR:
        return or_(*parts)
    if filters.condition == FilterCondition.NOT:
        return and_(*map(_fails, parts))
    return and_(*parts)


def asks_nothing(filters: MetadataFilters) -> bool:
    """Whether there is no filter on a key in them, at any depth."""
    return all(isinstance(each, MetadataFilters) and asks_nothing(each) for each in filters.filters)


def _on_key(metadata: Metadata, asked: MetadataFilter) -> Condition:
    check_value(asked.key)
    check_value(asked.value)
    place, operator = Place(metadata, (asked.key,)), asked.operator
    if operator == FilterOperator.IS_EMPTY:
        return or_(not_(place.exists()), place.contains_any([None, ""]), place.equals([]))
    if operator in (FilterOperator.EQ, FilterOperator.NE):
        equal = (
            place.equals(asked.value)
            if isinstance(asked.value, list)
            else or_(*map(place.contains, _equals(_scalar(asked))))
        )
        return equal if operator == FilterOperator.EQ else _fails(equal)
    if operator in (FilterOperator.IN, FilterOperator.NIN):
        among = place.contains_any([e for value in _list(asked) for e in _equals(value)])
        return among if operator == FilterOperator.IN else _fails(among)
    if operator in _ORDER:
        return place.compares((_ORDER[operator], _scalar(asked)))
    if operator == FilterOperator.CONTAINS:
        return place.contains_any([[e] for e in _equals(_scalar(asked))])
    if operator == FilterOperator.ANY:
        return place.contains_any([[e] for value in _list(asked) for e in _equals(value)])
    if operator == FilterOperator.ALL:
        each = [place.contains_any([[e] for e in _equals(value)]) for value in _list(asked)]
        return and_(place.contains([]), *each)
    return place.has_part(_string(asked), any_case=operator != FilterOperator.TEXT_MATCH)


def _fails(condition: Condition) -> Condition:
    # what asks for a value that is not there is NULL
    return condition.is_not(true())


def _equals(value: Scalar) -> list[Any]:
    """What a value is equal to: in LlamaIndex, whose filters hold no bool, 1 to true as well."""
    return [value, bool(value)] if not isinstance(value, str) and value in (0, 1) else [value]


def _scalar(asked: MetadataFilter) -> Scalar:
    if isinstance(asked.value, (str, int, float)):
        return asked.value
    raise _unfit(asked, "a string or a number")


def _string(asked: MetadataFilter) -> str:
    if isinstance(asked.value, str):
        return asked.value
    raise _unfit(asked, "a string")


def _list(asked: MetadataFilter) -> list[Any]:
    if isinstance(asked.value, list):
        return asked.value
    raise _unfit(asked, "a list")


def _unfit(asked: MetadataFilter, expected: str) -> SearchError:
    hint = "; a key that is missing or null passes IS_EMPTY" if asked.value is None else ""
    return SearchError(
        f"expected {asked.operator.name} of {expected}, found {asked.value!r:.80} for "
        f"{asked.key!r:.80}{hint}"
    )
