"""The column type: packed codes in Python, ``bit(n)`` in Postgres, with every driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Float,
    Integer,
    cast,
    event,
    func,
    literal_column,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import LoaderCallableStatus
from sqlalchemy.schema import MetaData
from sqlalchemy.sql.expression import BinaryExpression
from sqlalchemy.sql.functions import Function
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.types import TypeEngine, UserDefinedType

from bitryoshka.bits import bit_text, check_bits, packed_row
from bitryoshka.errors import BitsError, DatabaseError

__all__ = ["Code", "reflect_codes"]


class _Operator(custom_op[float]):
    """One of two constants, which SQLAlchemy compares often: by identity, in no time."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


_HAMMING, _JACCARD = _Operator("<~>"), _Operator("<%>")
_FLOAT, _INTEGER = Float(), Integer()


class Code(UserDefinedType[NDArray[np.uint8]]):
    """A column ``bit(bits)`` whose values are packed codes, ``(bits / 8,)`` uint8, MSB first.

    Accepted are such rows, ``bytes``, bool arrays ``(bits,)``, strings of 0 and 1 and
    `pgvector.Bit`; what comes back is always a read-only packed row. A value of another length or
    type is a BitsError before it is sent. psycopg (3, sync and async), asyncpg and psycopg2.

    Example::

        class Doc(Base):
            __tablename__ = "docs"
            id: Mapped[int] = mapped_column(primary_key=True)
            code: Mapped[np.ndarray] = mapped_column(Code(384))

        nearest = select(Doc).order_by(Doc.code.prefix(64).hamming_distance(signs)).limit(10)
    """

    cache_ok = True
    render_bind_cast = True

    def __init__(self, bits: int) -> None:
        self.bits = check_bits(bits)

    def get_col_spec(self, **_: object) -> str:
        """The type's name in DDL and casts."""
        return f"BIT({self.bits})"

    @property
    def python_type(self) -> type[Any]:
        """What columns of this type hold."""
        return np.ndarray

    def compare_values(self, x: Any, y: Any) -> bool:
        """Whether the unit of work sees no change."""
        if any(v is None or isinstance(v, LoaderCallableStatus) for v in (x, y)):
            return x is y
        return packed_row(x, self.bits).tobytes() == packed_row(y, self.bits).tobytes()

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        """Checked and in the driver's form."""
        form = _wire_form(dialect)
        return lambda value: None if value is None else form(packed_row(value, self.bits))

    def literal_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        """For statements printed with their values."""
        return lambda value: f"B'{bit_text(packed_row(value, self.bits))}'"

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """From text, from the bit strings of asyncpg, or from psycopg's binary protocol."""

        def process(value: Any) -> NDArray[np.uint8] | None:
            if isinstance(value, bytes) and len(value) == 4 + self.bits // 8:
                value = value[4:]  # the length comes first, as the server sends it
            return None if value is None else packed_row(getattr(value, "bytes", value), self.bits)

        return process

    class Comparator(UserDefinedType.Comparator[NDArray[np.uint8]]):
        """What pgvector and the codec catalogue offer on codes."""

        type: Code

        def hamming_distance(self, other: Any) -> ColumnElement[float]:
            """Bits that differ (``<~>``); ``other`` is a code of equal length, or a column."""
            return self._compared(_HAMMING, other)

        def jaccard_distance(self, other: Any) -> ColumnElement[float]:
            """Jaccard distance of the sets of ones (``<%>``), pgvector's."""
            return self._compared(_JACCARD, other)

        def prefix(self, bits: int) -> ColumnElement[NDArray[np.uint8]]:
            """The first ``bits``, as a `Code` of that length: what an index is made on.

            BitsError unless ``bits`` is a multiple of 8 and no more than the code has.
            """
            if check_bits(bits) > self.type.bits:
                raise BitsError(f"expected a prefix of at most {self.type.bits} bits, found {bits}")
            if bits == self.type.bits:
                return self.expr
            # searches ask for the same one again and again, and making it takes time
            made: dict[int, ColumnElement[Any]] = vars(self).setdefault("_prefixes", {})
            if bits not in made:
                # constants, because an index's expression is found by its text
                first: ColumnElement[int] = literal_column("1")
                length: ColumnElement[int] = literal_column(str(bits))
                made[bits] = cast(func.substring(self.expr, first, length), Code(bits))
            return made[bits]

        def asymmetric_score(self, planes: Any) -> ColumnElement[int]:
            """The float query's score from the bits alone; larger is better.

            ``planes`` (8, bits / 8) uint8 are ``query_planes(weights).planes`` of one query, or an
            expression. Needs schema ``bitryoshka`` in the database.
            """
            if not isinstance(planes, ColumnElement):
                planes = _bound(planes, Planes(self.type.bits))
            packages = ("bitryoshka",)
            return Function(
                "asymmetric_score", self.expr, planes, packagenames=packages, type_=_INTEGER
            )

        def _compared(self, operator: _Operator, other: Any) -> ColumnElement[float]:
            if hasattr(other, "__clause_element__"):
                other = other.__clause_element__()
            elif not isinstance(other, ColumnElement):
                other = _bound(other, self.type)
            return BinaryExpression(self.expr, other, operator, type_=_FLOAT)

    comparator_factory = Comparator


class Planes(UserDefinedType[NDArray[np.uint8]]):
    """Bit planes of one query, ``(8, bits / 8)`` uint8, as an array of bit strings."""

    cache_ok = True
    render_bind_cast = True

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def get_col_spec(self, **_: object) -> str:
        """The type's name in casts."""
        return "VARBIT[]"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        """A list for asyncpg, the text of an array for the others."""
        form = _wire_form(dialect)

        def process(value: Any) -> Any:
            rows = [form(row) for row in self.rows(value)]
            return rows if dialect.driver == "asyncpg" else "{" + ",".join(rows) + "}"

        return process

    def literal_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        """For statements printed with their values."""
        return lambda value: "'{" + ",".join(map(bit_text, self.rows(value))) + "}'::varbit[]"

    def rows(self, value: Any) -> Iterable[NDArray[np.uint8]]:
        """The array's bit strings, packed."""
        found = np.asarray(value)
        if found.dtype != np.uint8 or found.shape != (8, self.bits // 8):
            raise BitsError(
                f"expected planes (8, {self.bits // 8}) uint8, found {found.shape} "
                f"{found.dtype}: query_planes(weights).planes has one such array a query"
            )
        return found


def _bound(value: Any, kind: TypeEngine[Any]) -> BindParameter[Any]:
    """What `literal` makes, in a quarter of its time."""
    return BindParameter(None, value, type_=kind, unique=True)


def reflect_codes(metadata: MetaData) -> None:
    """Let reflection into this MetaData give `Code` for ``bit(n)`` with n a multiple of 8."""

    def listen(inspector: object, table: object, column: dict[str, Any]) -> None:
        kind = column["type"]
        # SQLAlchemy's, or the one that pgvector puts in its place before 0.5
        fixed = type(kind).__name__ == "BIT" and not getattr(kind, "varying", False)
        if fixed and kind.length and kind.length % 8 == 0:
            column["type"] = Code(kind.length)

    event.listen(metadata, "column_reflect", listen)


def _wire_form(dialect: Dialect) -> Callable[[NDArray[np.uint8]], Any]:
    """How the driver takes one code."""
    if dialect.name != "postgresql":
        raise DatabaseError(f"codes are columns of Postgres, found the dialect {dialect.name!r}")
    if dialect.driver == "asyncpg":
        from asyncpg import BitString

        return lambda row: BitString.frombytes(row.tobytes(), bitlength=8 * len(row))
    if dialect.driver in _TEXT_DRIVERS:
        return bit_text
    known = sorted({*_TEXT_DRIVERS, "asyncpg"})
    raise DatabaseError(f"expected one of the drivers {', '.join(known)}, found {dialect.driver!r}")


_TEXT_DRIVERS = frozenset({"psycopg", "psycopg_async", "psycopg2"})
