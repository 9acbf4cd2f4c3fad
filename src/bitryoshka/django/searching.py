"""The search as a queryset: the funnel around the caller's own conditions."""

from __future__ import annotations

from typing import Any, Self

from django.core.exceptions import FieldError
from django.db import NotSupportedError
from django.db.models import Case, Expression, F, FloatField, Manager, QuerySet, Value, When
from django.db.models.expressions import OuterRef, ResolvedOuterRef
from django.db.models.lookups import Exact
from django.db.models.sql import Query
from numpy.typing import ArrayLike
from pgvector.django import CosineDistance, MaxInnerProduct

from bitryoshka.django.expressions import (
    AsymmetricScore,
    CodecMetric,
    HammingDistance,
    QueryBits,
    query_text,
    vector_dimensions,
)
from bitryoshka.django.fields import CodeField
from bitryoshka.django.preparing import QUERY, PreparedSearch
from bitryoshka.errors import SearchError
from bitryoshka.search_parameters import (
    CANDIDATES,
    K,
    Rescore,
    SearchParameters,
    check_prefix_bits,
)


class CodeQuerySet(QuerySet):  # type: ignore[type-arg]
    """A queryset of a model that has a `CodeField`."""

    def search(
        self,
        query: ArrayLike,
        k: int = K,
        *,
        candidates: int = CANDIDATES,
        prefix_bits: int | None = None,
        rescore: Rescore | None = "asymmetric",
        shortlist: int | None = None,
        code_field: str | None = None,
        score: str = "score",
    ) -> Self:
        """The best ``k`` rows of this queryset for ``query`` (d,), best first.

        The stages are those of `SearchParameters`; the first one takes the rows that this
        queryset's filters let through. ``prefix_bits`` None means those of the field. "exact"
        compares the field's ``vector_field``. ``code_field`` names the field where the model has
        several. ``score``: the annotation that holds a row's score, greater for a better one.

        Nothing is executed, and the result is a queryset that is cut at ``k``: iterated, also with
        ``async for``, it is one statement. The server encodes the query with the codec that the
        column has. Settings of the scan hold until the transaction ends.

        Raises SearchError for numbers that do not fit together, for ``distinct``, aggregates and
        windows, and for a ``score`` that is an annotation already; VectorsError for a query that is
        zero or no finite vector of the vector field's dimensions; and FieldError for a field that
        is no CodeField and for filters that repeat rows. What the server refuses, such as a prefix
        that the codec does not offer, is Django's DataError. A search is not prefetched, and
        databases other than Postgres have none: NotSupportedError.
        """
        asked = SearchParameters(
            k=k,
            candidates=candidates,
            prefix_bits=prefix_bits,
            rescore=rescore,
            shortlist=shortlist,
        )
        field = self._code_field(code_field)
        return self._ranked(query_text(query, vector_dimensions(field)), field, asked, score)

    def prepare_search(
        self,
        k: int = K,
        *,
        candidates: int = CANDIDATES,
        prefix_bits: int | None = None,
        rescore: Rescore | None = "asymmetric",
        shortlist: int | None = None,
        code_field: str | None = None,
        score: str = "score",
    ) -> PreparedSearch:
        """The same search for many queries, whose statement is made once.

        `search` makes and compiles a statement for each query, as every queryset of Django's does.
        What comes back takes a query and gives objects, as ``raw`` does. SearchError for a
        queryset with ``values`` or ``select_related``, which are no objects of the model alone.
        """
        asked = SearchParameters(
            k=k,
            candidates=candidates,
            prefix_bits=prefix_bits,
            rescore=rescore,
            shortlist=shortlist,
        )
        values = self._fields is not None  # type: ignore[attr-defined]
        if values or self.query.select_related:
            raise SearchError(
                "expected a queryset of the model's own objects to be prepared, found one with "
                + ("values()" if values else "select_related()")
            )
        field = self._code_field(code_field)
        return PreparedSearch(self._ranked(QUERY, field, asked, score), vector_dimensions(field))

    def _ranked(self, query: str, field: CodeField, asked: SearchParameters, score: str) -> Self:
        """The search for the text of a query."""
        bits = field.searched_bits if asked.prefix_bits is None else asked.prefix_bits
        check_prefix_bits(bits, range(8, (field.bits or 0) + 1, 8))
        _check(self.query, score)
        if asked.rescore == "exact" and field.vector_field is None:
            raise SearchError(
                f"{field} has no vector_field to compare vectors of, found rescore='exact'"
            )
        distance = HammingDistance(
            field.name, QueryBits(field.name, query, bits, asked.candidates), prefix_bits=bits
        )
        by_codes = AsymmetricScore(field.name, query)
        near = self.query.chain()
        near.add_filter(f"{field.name}__isnull", False)  # type: ignore[arg-type]
        found = self.filter(pk__in=_first(near, asked.candidates, distance))
        if asked.shortlist is not None:
            near = found.query.chain()
            found = self.filter(pk__in=_first(near, asked.shortlist, by_codes.desc(), "pk"))
        value: Expression = by_codes
        if asked.rescore == "exact":
            value = _similarity(field, query)
        elif asked.rescore is None:
            value = Value(1.0) - distance * Value(2.0 / bits)
        found = found.annotate(**{score: value})
        _cut(found.query, asked.k, F(score).desc(), "pk")
        found.query.is_code_search = True  # type: ignore[attr-defined]
        return found

    def _add_hints(self, **hints: Any) -> None:
        """What prefetch_related calls first; it would share out the rows of one search."""
        if getattr(self.query, "is_code_search", False):
            raise NotSupportedError(
                "expected a queryset without search() to be prefetched, found a search, whose "
                "candidates are those of all objects together: use Subquery, or search for each"
            )
        super()._add_hints(**hints)  # type: ignore[misc]

    def _code_field(self, name: str | None) -> CodeField:
        known = [f for f in self.model._meta.get_fields() if isinstance(f, CodeField)]
        found = [f for f in known if name in (None, f.name)]
        if len(found) != 1:
            names = [f.name for f in known]
            raise FieldError(
                f"expected code_field to be the name of a CodeField of "
                f"{self.model._meta.label}, one of {names}, found {name!r}"
            )
        return found[0]


class CodeManager(Manager.from_queryset(CodeQuerySet)):  # type: ignore[misc]
    """A manager whose querysets search: ``Document.objects.search(query)``."""


def _first(query: Query, rows: int, *order: Any) -> Query:
    """The keys of the rows that come first, as a subquery."""
    query.clear_select_clause()
    query.add_fields(["pk"])
    _cut(query, rows, *order)
    inner: Query = _deeper(query)
    return inner


def _deeper(node: Any) -> Any:
    """The same for one query deeper: references to an outer query go past the one between."""
    if isinstance(node, ResolvedOuterRef):
        return OuterRef(node.name)  # type: ignore[attr-defined]
    if isinstance(node, Query):
        node = node.clone()
        node.where = _deeper(node.where)
        node.annotations = {name: _deeper(value) for name, value in node.annotations.items()}
        node.combined_queries = tuple(map(_deeper, node.combined_queries))
    elif hasattr(node, "get_source_expressions") and (parts := node.get_source_expressions()):
        node = node.copy()
        node.set_source_expressions([None if part is None else _deeper(part) for part in parts])
    return node


def _cut(query: Query, rows: int, *order: Any) -> None:
    """Order it and limit it in place: another queryset for each would take time."""
    query.clear_ordering(force=True)
    query.add_ordering(*order)
    query.set_limits(high=rows)


def _similarity(field: CodeField, query: str) -> Expression:
    """The metric that the codec compares by, between stored vectors and the query."""
    cosine = Value(1.0) - CosineDistance(field.vector_field, Value(query))
    product = Value(0.0) - MaxInnerProduct(field.vector_field, Value(query))
    metric = Exact(CodecMetric(field.name), Value("cosine"))
    return Case(When(metric, then=cosine), default=product, output_field=FloatField())


def _check(query: Query, score: str) -> None:
    """What would mean something else in a search, or make one row several candidates."""
    if query.is_sliced:
        raise TypeError("expected a queryset that is not cut, found a slice: filter, then search")
    if query.distinct:
        raise SearchError(
            "expected a queryset without distinct(), whose rows cannot be ordered by a score"
        )
    if score in query.annotations:
        raise SearchError(
            f"expected score to be a new name, found the annotation {score!r}: score='another_name'"
        )
    if query.group_by is not None or any(
        value.contains_over_clause for value in query.annotations.values()
    ):
        raise SearchError(
            "expected a queryset without aggregates and windows, which would see the candidates "
            "alone: use Subquery, or annotate the objects that pk__in=... gives"
        )
    for alias, join in query.alias_map.items():
        relation = getattr(join, "join_field", None)
        many = relation is not None and (relation.one_to_many or relation.many_to_many)
        if many and query.alias_refcount[alias]:
            raise FieldError(
                f"expected filters that leave each row once, found a join with "
                f"{join.table_name!r}: use Exists(...), or pk__in=..."
            )
