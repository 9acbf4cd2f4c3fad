"""What autogenerate cannot mend by itself: said in the script, and as a warning."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from alembic.operations import ops

from bitryoshka.alembic.note_operation import NoteOp
from bitryoshka.alembic.stored import Held

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.types import TypeEngine

_log = logging.getLogger(__name__)
_VECTOR = re.compile(r"(?:vector|halfvec)(?:\((\d+)\))?", re.IGNORECASE)


def unfit(held: Held, kind: TypeEngine[Any], dialect: Dialect) -> list[NoteOp]:
    """Where a vector column gets a type that the codec of its codes does not take."""
    made, written = held.addition, kind.compile(dialect=dialect)
    found = _VECTOR.fullmatch(written)
    if found and found[1] in (None, str(held.dimensions)):
        return []
    return [
        _note(
            f"{made.vector_column} of {made.table_name} becomes {written}; codes of {made.codec} "
            f"in {made.code_column} are made from {held.dimensions} dimensions, and every write "
            f"would be refused: before this, {_drop(held)}, and after it, op.add_code_column with "
            "a codec of the new dimensions, which leave_to_trigger may name"
        )
    ]


def length_kept(held: Held, op: ops.AlterColumnOp) -> list[NoteOp]:
    """Where a column of codes gets another length than its codec's."""
    if op.modify_type is None:
        return []
    made = held.addition
    return [
        _note(
            f"{made.code_column} of {made.table_name} holds codes of {made.codec}, as long as they "
            f"are: in place of this, {_drop(held)}, and op.add_code_column with another codec"
        )
    ]


def renamed(op: ops.ModifyTableOps, held: Held) -> list[NoteOp]:
    """Where a vector column may have got another name, which Alembic takes for another column."""
    made = held.addition
    kinds = tuple(
        type(one._reverse.column.type)
        for one in op.ops
        if isinstance(one, ops.DropColumnOp) and one.column_name == made.vector_column
        if one._reverse is not None
    )
    new = [
        one.column.name
        for one in op.ops
        if isinstance(one, ops.AddColumnOp) and isinstance(one.column.type, kinds)
    ]
    table, schema = repr(made.table_name), _schema(held)
    return [
        _note(
            f"{made.vector_column} of {made.table_name} is dropped with its vectors: if it is "
            f"{name} now, put op.alter_column({table}, {made.vector_column!r}, "
            f"new_column_name={name!r}{schema}) and op.restore_code_column({table}, {name!r}, "
            f"{made.code_column!r}{schema}) in place of what is done to these columns, and the "
            "same the other way round in downgrade"
        )
        for name in new[:1]
    ]


def _drop(held: Held) -> str:
    made = held.addition
    return f"op.drop_code_column({made.table_name!r}, {made.code_column!r}{_schema(held)})"


def _schema(held: Held) -> str:
    schema = held.addition.schema
    return "" if schema is None else f", schema={schema!r}"


def _note(text: str) -> NoteOp:
    _log.warning(text)
    return NoteOp(f"{text}.")
