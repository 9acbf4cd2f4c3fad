"""A float query as one bound parameter, whose bits are made when the statement is sent.

The types hold the binarizer, so that a statement is compiled once for each, whatever is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BindParameter, ColumnElement
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import query_planes
from bitryoshka.errors import VectorsError
from bitryoshka.sqlalchemy.code import Code, Planes
from bitryoshka.vectors import check_vectors, normalized

__all__ = ["bound_query"]

PLANES = 8


def bound_query(
    query: Any, binarizer: Binarizer, bits: int, scored: bool
) -> tuple[ColumnElement[Any], BindParameter[Any]]:
    """The first sign ``bits`` of a query as an expression, and the parameter that gives them.

    ``scored``: the parameter holds the planes for the asymmetric score, and the signs after them.
    A ``bindparam`` for a query keeps its name and gets its value when the statement is executed.
    VectorsError for a query that is not one usable vector (d,) or (1, d).
    """
    kind = _type(binarizer, bits, scored)
    if isinstance(query, BindParameter):
        parameter = BindParameter(query.key, query.value, type_=kind, required=query.required)
    else:
        one = _one(query)
        normalized(one, binarizer.metric, binarizer.dimensions, "query")
        parameter = BindParameter(None, one, type_=kind, unique=True)
    return SignsAfterPlanes(parameter, bits) if scored else parameter, parameter


@lru_cache
def _type(binarizer: Binarizer, bits: int, scored: bool) -> Code | Planes:
    # asked once, so that a length that is not offered is refused before a statement is made
    binarizer.encode_queries(np.ones((1, binarizer.dimensions), np.float32), bits)
    return PlanesOfQuery(binarizer, bits) if scored else SignsOfQuery(binarizer, bits)


def _one(query: Any) -> NDArray[np.float32]:
    one = check_vectors(np.atleast_2d(query), name="query")
    if len(one) != 1:
        raise VectorsError(f"expected one query, found {len(one)}")
    return one.astype(np.float32, copy=False)


class SignsOfQuery(Code):
    """A query as its first Hamming bits: a code of that length."""

    cache_ok = True

    def __init__(self, binarizer: Binarizer, bits: int) -> None:
        super().__init__(bits)
        self.binarizer = binarizer

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        """Encoded, and in the driver's form."""
        send = super().bind_processor(dialect)
        return lambda query: send(self._signs(query))

    def literal_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        """For statements printed with their values."""
        write = super().literal_processor(dialect)
        return lambda query: write(self._signs(query))

    def _signs(self, query: Any) -> NDArray[np.uint8]:
        signs: NDArray[np.uint8] = self.binarizer.encode_queries(_one(query), self.bits)[0]
        return signs


class PlanesOfQuery(Planes):
    """A query as eight planes of its weights, and then its first Hamming bits."""

    cache_ok = True

    def __init__(self, binarizer: Binarizer, bits: int) -> None:
        super().__init__(binarizer.bits)
        self.binarizer = binarizer
        self.bits = bits

    def rows(self, value: Any) -> Iterable[NDArray[np.uint8]]:
        """Nine bit strings."""
        one = _one(value)
        planes = query_planes(self.binarizer.query_weights(one), PLANES).planes[0]
        return [*planes, self.binarizer.encode_queries(one, self.bits)[0]]


class SignsAfterPlanes(ColumnElement[NDArray[np.uint8]]):
    """The Hamming bits of a parameter that holds planes as well."""

    inherit_cache = True
    type: Code
    _traverse_internals = [  # noqa: RUF012
        ("parameter", InternalTraversal.dp_clauseelement),
        ("type", InternalTraversal.dp_type),
    ]

    def __init__(self, parameter: BindParameter[Any], bits: int) -> None:
        self.parameter = parameter
        self.type = Code(bits)


@compiles(SignsAfterPlanes)
def _signs_of(element: SignsAfterPlanes, compiler: SQLCompiler, **arguments: Any) -> str:
    array = compiler.process(element.parameter, **arguments)
    return f"(({array})[{PLANES + 1}])::BIT({element.type.bits})"
