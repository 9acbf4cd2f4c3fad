"""Who makes the codes of a mapped column: the model or a trigger of the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Column, FetchedValue, Table, event
from sqlalchemy.orm import ColumnProperty, InstrumentedAttribute

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import BitsError, TableError
from bitryoshka.sqlalchemy.code import Code

__all__ = ["leave_to_trigger"]

Attribute = InstrumentedAttribute[Any]

_INFO = "bitryoshka"


@dataclass(frozen=True)
class Declared:
    """By whom a code column is filled, and the codec: a binarizer, or a label such as docs@1."""

    filled_by: Literal["model", "trigger"]
    codec: Binarizer | str


def declared(column: Column[Any]) -> Declared | None:
    """What was declared of a code column."""
    found: Declared | None = column.info.get(_INFO)
    return found


def declare(code: Attribute, what: Declared) -> Column[Any]:
    """Note it on the column, and give the column.

    TableError where something was declared before, BitsError for a code of another length.
    """
    column = mapped_column_of(code)
    if not isinstance(column.type, Code):
        raise BitsError(f"expected an attribute of type Code, found {code} of {column.type!r}")
    if isinstance(what.codec, Binarizer) and what.codec.bits != column.type.bits:
        raise BitsError(
            f"expected {code} to be Code({what.codec.bits}), as long as the binarizer's codes, "
            f"found {column.type!r}"
        )
    if (before := declared(column)) is not None:
        raise TableError(f"{code} is filled by the {before.filled_by} already: declare it once")
    column.info[_INFO] = what
    return column


def mapped_column_of(attribute: Attribute) -> Column[Any]:
    """The column behind an attribute of a mapped class; TableError where there is none."""
    found = getattr(attribute, "property", None)
    if not isinstance(found, ColumnProperty) or not isinstance(found.columns[0], Column):
        raise TableError(
            f"expected an attribute of a mapped class, such as Doc.code, found {attribute!r}"
        )
    return found.columns[0]


def table_of(column: Column[Any]) -> Table:
    """The column's table."""
    return column.table


def leave_to_trigger(code: Attribute, codec: Binarizer | str) -> None:
    """Let the database fill a code column, and the ORM only read it.

    For columns that `bitryoshka.postgres.attach` gave a trigger. ``codec``: the binarizer, or the
    label that it is registered under, which `check_codecs` compares with the catalogue. The column
    is left out of INSERT and UPDATE, and read again after a flush; assigning to it is a TableError.
    With an async Session give the class ``__mapper_args__ = {"eager_defaults": True}``, because
    reading an attribute cannot wait for the database there.

    Example::

        leave_to_trigger(Doc.code, "docs@1")
    """
    column = declare(code, Declared("trigger", codec))
    column.server_default = FetchedValue()
    column.server_onupdate = FetchedValue(for_update=True)

    def refuse(target: object, value: object, *_: object) -> None:
        if value is not None:
            raise TableError(f"{code} is left to the database's trigger: expected no value for it")

    event.listen(code, "set", refuse, propagate=True)
