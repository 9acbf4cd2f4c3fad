"""Who makes the codes of a mapped column: the model or a trigger of the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from sqlalchemy import Column, FetchedValue, event
from sqlalchemy.orm import ColumnProperty, InstrumentedAttribute, Mapper
from sqlalchemy.orm.exc import UnmappedColumnError

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import BitsError, CodecError, TableError
from bitryoshka.sqlalchemy.code import Code

__all__ = ["leave_to_trigger"]

Attribute = InstrumentedAttribute[Any]

_INFO = "bitryoshka"


@dataclass(frozen=True)
class Declared:
    """How a code column is filled.

    ``codec``: a binarizer where the model encodes, a label such as docs@1 where a trigger does. The
    rest is what a migration hands to ``add_code_column``.
    """

    codec: Binarizer | str
    vector_column: str
    bad_vectors: Literal["reject", "skip"] = "reject"
    prefix_bits: int | None = None
    backfill: bool = True

    @property
    def filled_by(self) -> Literal["model", "trigger"]:
        """Who encodes."""
        return "trigger" if isinstance(self.codec, str) else "model"


def declared(column: Column[Any]) -> Declared | None:
    """What was declared of a code column."""
    found: Declared | None = column.info.get(_INFO)
    return found


def declare(
    code: Attribute | Column[Any],
    vector: Attribute | Column[Any],
    codec: Binarizer | str,
    **rest: Any,
) -> Column[Any]:
    """Note it on the column of codes, and give that column.

    TableError where something was declared before or the two are not columns of one table,
    BitsError for a code of another length.
    """
    column = code if isinstance(code, Column) else mapped_column_of(code)
    source = vector if isinstance(vector, Column) else mapped_column_of(vector)
    if column.table is not source.table:
        raise TableError(f"expected {code} and {vector} to be columns of one table")
    if not isinstance(column.type, Code):
        raise BitsError(f"expected an attribute of type Code, found {code} of {column.type!r}")
    if isinstance(codec, Binarizer) and codec.bits != column.type.bits:
        raise BitsError(
            f"expected {code} to be Code({codec.bits}), as long as the binarizer's codes, "
            f"found {column.type!r}"
        )
    if (before := declared(column)) is not None:
        raise TableError(f"{code} is filled by the {before.filled_by} already: declare it once")
    column.info[_INFO] = Declared(codec, source.name, **rest)
    return column


def mapped_column_of(attribute: Attribute) -> Column[Any]:
    """The column behind an attribute of a mapped class; TableError where there is none."""
    found = getattr(attribute, "property", None)
    if not isinstance(found, ColumnProperty) or not isinstance(found.columns[0], Column):
        raise TableError(
            f"expected an attribute of a mapped class, such as Doc.code, found {attribute!r}"
        )
    return found.columns[0]


class Names(NamedTuple):
    """What a mapper calls the two columns."""

    vector: str
    code: str


def names_of(mapper: Mapper[Any], source: Column[Any], column: Column[Any]) -> Names | None:
    """The attributes of a class; None where it has a table of its own."""
    try:
        return Names(*(mapper.get_property_by_column(each).key for each in (source, column)))
    except UnmappedColumnError:
        return None


def forget_with(code: Attribute, vector: Attribute) -> None:
    """Let an object whose vector is set not keep the code that it was loaded with.

    Written with its other attributes, as `Session.merge` does, it would be taken for the new one.
    """
    column, source = mapped_column_of(code), mapped_column_of(vector)

    def forget(state: Any, *change: Any) -> None:
        names = names_of(state.mapper, source, column)
        if names is None or names.code not in state.dict or _is_same(*change[:2]):
            return
        # within a flush a listener sets it, after the code was made
        flushing = state.session is not None and state.session._flushing
        if flushing or names.code in state.unmodified:
            state._expire_attributes(state.dict, [names.code])

    for change in ("set", "modified"):
        event.listen(vector, change, forget, raw=True, propagate=True)


def _is_same(value: Any, old: Any = None) -> bool:
    """Whether a vector is set to its own numbers, in another array: in the same they may be new."""
    kinds = (list, np.ndarray)
    both = isinstance(value, kinds) and isinstance(old, kinds) and value is not old
    return both and np.array_equal(value, old)


def leave_to_trigger(
    code: Attribute | Column[Any],
    vector: Attribute | Column[Any],
    codec: str,
    *,
    bad_vectors: Literal["reject", "skip"] = "reject",
    prefix_bits: int | None = None,
    backfill: bool = True,
) -> None:
    """Let the database fill a code column from ``vector``, and the ORM only read it.

    ``codec`` is the label of a registered binarizer, name@version. The trigger comes from
    `bitryoshka.postgres.attach`, or from a migration: Alembic's autogenerate writes an
    ``add_code_column`` with these very arguments. The column is left out of INSERT and UPDATE, and
    read again after a flush; assigning to it is a TableError. With an async Session give the class
    ``__mapper_args__ = {"eager_defaults": True}``, because reading an attribute cannot wait for the
    database there. Columns of a Table without a class are taken too.

    Raises TableError where the code is declared already or the two are not columns of one table,
    BitsError where the first is not a `Code`, CodecError for anything but a label.

    Example::

        leave_to_trigger(Doc.code, Doc.vector, "docs@1")
    """
    if not isinstance(codec, str) or "@" not in codec:
        raise CodecError(f"expected the label of a codec, name@version, found {codec!r}")
    rest = {"bad_vectors": bad_vectors, "prefix_bits": prefix_bits, "backfill": backfill}
    column = declare(code, vector, codec, **rest)
    column.server_default = FetchedValue()
    column.server_onupdate = FetchedValue(for_update=True)
    if isinstance(code, Column):
        return

    def refuse(target: object, value: Any, old: Any, _: object) -> Any:
        # one that was read, which Session.merge sets with all else that an object has
        was_read = isinstance(value, np.ndarray) and not value.flags.writeable
        if isinstance(old, np.ndarray) and (was_read or np.array_equal(value, old)):
            return old
        if value is not None and not was_read:
            raise TableError(f"{code} is left to the database's trigger: expected no value for it")
        return value

    event.listen(code, "set", refuse, retval=True, propagate=True)
    if isinstance(vector, InstrumentedAttribute):
        forget_with(code, vector)
