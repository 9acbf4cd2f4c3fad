"""Expressions over codes, for annotations, filters, orders and indexes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from django.core.exceptions import FieldError
from django.db.models import CharField, Expression, FloatField, Func, Value
from django.db.models.expressions import Col
from numpy.typing import ArrayLike
from pgvector import Vector

from bitryoshka.bits import check_bits
from bitryoshka.django.fields import CodeField
from bitryoshka.django.operations import require_postgres
from bitryoshka.errors import BitsError, VectorsError
from bitryoshka.limits import check_count
from bitryoshka.postgres_rules import scan_settings
from bitryoshka.schema_scripts import filled, quoted
from bitryoshka.search_parameters import CANDIDATES
from bitryoshka.vectors import as_vector, blocks


class Prefix(Func):
    """The first ``prefix_bits`` of a code: what an index is made on, and its searches ask for.

    BitsError unless that is a multiple of 8 and no more than the code has.
    """

    arity = 1

    def __init__(self, expression: Any, prefix_bits: int, **extra: Any) -> None:
        self.prefix_bits = check_bits(prefix_bits, "prefix_bits")
        extra.setdefault("output_field", _code(self.prefix_bits))
        super().__init__(expression, **extra)

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        """BitsError for more bits than there are."""
        resolved = super().resolve_expression(*args, **kwargs)
        [code] = resolved.get_source_expressions()
        bits = code_field(code).bits or 0
        if bits < self.prefix_bits:
            raise BitsError(f"expected a prefix of at most {bits} bits, found {self.prefix_bits}")
        # the whole code is compared, and indexed, as it is
        return code if bits == self.prefix_bits else resolved

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> Any:
        """The one text that index and query share."""
        require_postgres(connection)
        sql, parameters = compiler.compile(self.get_source_expressions()[0])
        return filled("prefix", code=sql, prefix_bits=str(self.prefix_bits)), list(parameters)


class HammingDistance(Func):
    """Bits that differ (``<~>``) between a code and another, or between their first ones.

    ``code`` is a value as `CodeField` takes it, or an expression: another field of codes, or
    `QueryBits`. With ``prefix_bits`` the first so many are compared, without all; a value and
    `QueryBits` have as many then.
    ValidationError for a value of another length, FieldError for what is no field of codes.
    """

    function = ""
    arg_joiner = " <~> "
    arity = 2
    output_field = FloatField()

    def __init__(
        self, expression: Any, code: Any, /, prefix_bits: int | None = None, **extra: Any
    ) -> None:
        if not isinstance(code, str) and not hasattr(code, "resolve_expression"):
            code = _code_text(code)
        self._constructor_args = ((expression, code), {"prefix_bits": prefix_bits, **extra})
        if not hasattr(code, "resolve_expression"):
            code = Value(code)
        if prefix_bits is not None:
            expression = Prefix(expression, prefix_bits)
            # both are as long already
            code = code if isinstance(code, (Value, QueryBits)) else Prefix(code, prefix_bits)
        super().__init__(expression, code, **extra)

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        """Checks the value, which is as long as the codes are."""
        resolved = super().resolve_expression(*args, **kwargs)
        left, right = resolved.get_source_expressions()
        field = code_field(left)
        if isinstance(right, Value):
            right = Value(field.get_prep_value(right.value))
        elif (found := code_field(right).bits) != field.bits:
            shorter = min(found or 0, field.bits or 0)
            raise BitsError(
                f"expected a code of {field.bits} bits, found one of {found}: "
                f"HammingDistance(..., prefix_bits={shorter}) compares the first ones"
            )
        resolved.set_source_expressions([left, right])
        return resolved

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **kwargs: Any) -> Any:
        """The operator of pgvector."""
        require_postgres(connection)
        return super().as_sql(compiler, connection, *args, **kwargs)


class _OfQuery(Func):
    """A float query beside a column of codes, encoded by the server with the column's codec."""

    arity = 2

    # of a query that is given as numbers
    dimensions: int | None = None

    def __init__(self, expression: Any, query: ArrayLike | str, **extra: Any) -> None:
        text = query if isinstance(query, str) else query_text(query)
        if not isinstance(query, str):
            self.dimensions = text.count(",") + 1
        self._constructor_args = ((expression, text), extra)
        super().__init__(expression, Value(text), **extra)

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        """FieldError for what is not a CodeField of a table, VectorsError for another dimension."""
        resolved = super().resolve_expression(*args, **kwargs)
        code = resolved.get_source_expressions()[0]
        field = code_field(code)
        if not isinstance(code, Col):
            raise FieldError(f"expected the CodeField of a table, found {code!r}")
        expected = vector_dimensions(field)
        if self.dimensions is not None and expected not in (None, self.dimensions):
            raise VectorsError(
                f"expected a query of {expected} numbers, as {field.vector_field} has, found "
                f"{self.dimensions}"
            )
        return resolved

    def codec(self, connection: Any) -> str:
        """A statement that gives the label of the codec which the database has for the column."""
        require_postgres(connection)
        target = self.get_source_expressions()[0].target
        table = connection.ops.quote_name(target.model._meta.db_table)
        parts = {"table": quoted(table), "code": quoted(target.column)}
        return filled("codec_of_column", **parts)


class QueryBits(_OfQuery):
    """The first bits of a float query, to be compared with as many of a code: `HammingDistance`.

    ``expression``: the `CodeField`, whose codec encodes ``query`` (d,) on the server, once a
    statement. ``prefix_bits`` None: those of the field. The scan of an index goes on until it has
    found ``candidates`` rows: pgvector's ``hnsw.ef_search`` and three more settings are set until
    the transaction ends.
    """

    def __init__(
        self,
        expression: Any,
        query: ArrayLike | str,
        prefix_bits: int | None = None,
        candidates: int = CANDIDATES,
        **extra: Any,
    ) -> None:
        super().__init__(expression, query, **extra)
        self.prefix_bits, self.candidates = prefix_bits, check_count(candidates, "candidates")
        given = {"prefix_bits": prefix_bits, "candidates": candidates}
        self._constructor_args = (self._constructor_args[0], {**extra, **given})

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        """The field says how many bits, where nobody else does."""
        resolved = super().resolve_expression(*args, **kwargs)
        field = code_field(resolved.get_source_expressions()[0])
        resolved.prefix_bits = check_bits(self.prefix_bits or field.searched_bits, "prefix_bits")
        resolved.output_field = _code(resolved.prefix_bits)
        return resolved

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> Any:
        """A subquery."""
        query, parameters = compiler.compile(self.get_source_expressions()[1])
        settings = {n: quoted(str(v)) for n, v in scan_settings(self.candidates).items()}
        statement = filled(
            "query_bits",
            codec=self.codec(connection),
            query=query,
            prefix_bits=str(self.prefix_bits),
            settings=filled("scan_settings", **settings),
        )
        return f"({statement})", list(parameters)


class AsymmetricScore(_OfQuery):
    """How well a code answers a float query (d,), from the bits alone: from -1 to 1.

    The share of the query's weight on which query and code agree, less the share on which they do
    not. ``expression``: the `CodeField`, whose codec encodes the query on the server, once a
    statement. NULL for a row without a code, which Postgres puts first in a descending order: say
    ``F("likeness").desc(nulls_last=True)``. VectorsError for a query as `search` refuses it.
    """

    output_field = FloatField()

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> Any:
        """A subquery."""
        code, query = self.get_source_expressions()
        sql, parameters = compiler.compile(query)
        column, of_column = compiler.compile(code)
        statement = filled("query_score", codec=self.codec(connection), query=sql, code=column)
        return f"({statement})", [*parameters, *of_column]


class CodecMetric(_OfQuery):
    """What the codec of a column compares by: cosine or inner_product."""

    arity = 1

    def __init__(self, expression: Any) -> None:
        super(_OfQuery, self).__init__(expression, output_field=CharField())

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> Any:
        """A subquery."""
        statement = filled("codec_metric", codec=self.codec(connection))
        return f"({statement})", []


@lru_cache
def _code(bits: int) -> CodeField:
    """Searches ask for the same ones again and again, and making a field takes time."""
    return CodeField(bits=bits)


def code_field(expression: Expression) -> CodeField:
    """The field of a resolved expression; FieldError where that is no code."""
    field: Any = expression.output_field
    if not isinstance(field, CodeField):
        raise FieldError(f"expected a CodeField, found {type(field).__name__}: {expression!r}")
    return field


def vector_dimensions(field: CodeField) -> int | None:
    """Those of the vectors that a codec encodes; None where they are not known here."""
    if field.vector_field is None:
        return None
    return getattr(field.model._meta.get_field(field.vector_field), "dimensions", None)


def query_text(query: Any, dimensions: int | None = None) -> str:
    """A query (d,) as pgvector reads it; VectorsError for what is no finite vector, or zero."""
    value = query.to_numpy() if hasattr(query, "to_numpy") else query
    one = as_vector(value, len(np.atleast_1d(value)) if dimensions is None else dimensions)
    for _ in blocks(one[None], norms=False, name="query"):
        pass
    if not one.any():
        # the server refuses it under cosine, and would spoil the transaction
        raise VectorsError(
            "query must be non-zero, found zeros: no row is nearer to it than others"
        )
    text: str = Vector(one).to_text()
    return text


def _code_text(code: Any) -> str:
    """A code as its characters, which can be part of an expression's identity."""
    if hasattr(code, "to_text"):  # pgvector.Bit
        return str(code.to_text())
    booleans = isinstance(code, np.ndarray) and code.dtype == np.bool_
    bits = np.size(code) if booleans else 8 * (len(code) if hasattr(code, "__len__") else 1)
    return str(CodeField(bits=bits).get_prep_value(code))
