"""The search as a queryset: the funnel around the caller's own conditions."""

from __future__ import annotations

from typing import Self

from django.core.exceptions import FieldError
from django.db.models import Case, Expression, F, FloatField, Manager, QuerySet, Value, When
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
)
from bitryoshka.django.fields import CodeField
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

        Raises SearchError for numbers that do not fit together and for ``distinct``, VectorsError
        for a query that is no finite vector of the vector field's dimensions, and FieldError for a
        field that is no CodeField and for filters that repeat rows. What the server refuses, such
        as a prefix that the codec does not offer, is Django's DataError.
        """
        asked = SearchParameters(
            k=k,
            candidates=candidates,
            prefix_bits=prefix_bits,
            rescore=rescore,
            shortlist=shortlist,
        )
        field = self._code_field(code_field)
        bits = field.searched_bits if prefix_bits is None else prefix_bits
        check_prefix_bits(bits, range(8, (field.bits or 0) + 1, 8))
        _check(self.query)
        vectors = self.model._meta.get_field(field.vector_field) if field.vector_field else None
        if rescore == "exact" and vectors is None:
            raise SearchError(
                f"{field} has no vector_field to compare vectors of, found rescore='exact'"
            )
        text = query_text(query, getattr(vectors, "dimensions", None))
        distance = HammingDistance(
            field.name, QueryBits(field.name, text, bits, asked.candidates), prefix_bits=bits
        )
        by_codes = AsymmetricScore(field.name, text)
        found = self._among(
            self.filter(**{f"{field.name}__isnull": False}).order_by(distance), asked.candidates
        )
        if asked.shortlist is not None:
            found = self._among(found.order_by(by_codes.desc(), "pk"), asked.shortlist)
        value: Expression
        if rescore == "exact":
            value = _similarity(field, text)
        elif rescore is None:
            value = Value(1.0) - distance * Value(2.0 / bits)
        else:
            value = by_codes
        return found.annotate(**{score: value}).order_by(F(score).desc(), "pk")[: asked.k]

    def _among(self, best: Self, rows: int) -> Self:
        """This queryset, of those rows alone that come first in another."""
        return self.filter(pk__in=best.values("pk")[:rows])

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


def _similarity(field: CodeField, query: str) -> Expression:
    """The metric that the codec compares by, between stored vectors and the query."""
    cosine = Value(1.0) - CosineDistance(field.vector_field, Value(query))
    product = Value(0.0) - MaxInnerProduct(field.vector_field, Value(query))
    metric = Exact(CodecMetric(field.name), Value("cosine"))
    return Case(When(metric, then=cosine), default=product, output_field=FloatField())


def _check(query: Query) -> None:
    """What would make one row several, which would then count as several candidates."""
    if query.distinct:
        raise SearchError(
            "expected a queryset without distinct(), whose rows cannot be ordered by a score"
        )
    for alias, join in query.alias_map.items():
        relation = getattr(join, "join_field", None)
        many = relation is not None and (relation.one_to_many or relation.many_to_many)
        if many and query.alias_refcount[alias]:
            raise FieldError(
                f"expected filters that leave each row once, found a join with "
                f"{join.table_name!r}: use Exists(...), or pk__in=..."
            )
