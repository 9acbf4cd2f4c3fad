"""A search whose statement is made once, and sent with one query after the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.db.models.query import RawQuerySet
from numpy.typing import ArrayLike

from bitryoshka.django.expressions import query_text

# stands for the query's text in a statement that is prepared
QUERY = "the query of a prepared search"


@dataclass(frozen=True)
class PreparedSearch:
    """A search for any query: call it with one (d,).

    It gives objects of the model, best first, with their scores, once they are iterated. The
    statement is what the queryset was when it was prepared; it is made at the first call, and kept.
    Its values are kept too: prepare anew where a filter compares with the time, say. Give it to
    threads as you like. VectorsError for a query that is no finite vector of the vector field's
    dimensions.
    """

    queryset: QuerySet[Any]
    dimensions: int | None

    def __call__(self, query: ArrayLike) -> RawQuerySet[Any]:
        """The best rows for a query."""
        text = query_text(query, self.dimensions)
        sql, parameters = self._statement
        given = tuple(text if value == QUERY else value for value in parameters)
        return RawQuerySet(sql, model=self.queryset.model, params=given, using=self.queryset.db)

    @cached_property
    def _statement(self) -> tuple[str, tuple[Any, ...]]:
        # of a queryset that has no rows too
        compiler = self.queryset.query.get_compiler(self.queryset.db, elide_empty=False)
        sql, parameters = compiler.as_sql()
        return sql, tuple(parameters)
