"""In which order the operations on a table run, forth and, reversed, back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from alembic.operations import ops

from bitryoshka.alembic.code_operation import CodeOperation
from bitryoshka.alembic.column_operations import AddCodeColumnOp
from bitryoshka.alembic.index_operations import DropCodeIndexOp
from bitryoshka.alembic.note_operation import NoteOp

_OWN = (CodeOperation, NoteOp)


@dataclass
class Changes:
    """The operations on one table, by what has to come before what.

    A trigger goes before the columns that it reads, and comes after them; what lies on a column of
    codes goes before it.
    """

    found: list[Any] = field(default_factory=list)
    drops: list[Any] = field(default_factory=list)
    leaving: list[Any] = field(default_factory=list)
    columns: list[Any] = field(default_factory=list)
    coming: list[Any] = field(default_factory=list)
    rest: list[Any] = field(default_factory=list)
    last: list[Any] = field(default_factory=list)

    def add(self, *parts: Any) -> None:
        """More of them, in Alembic's order."""
        for part in parts:
            self.found.append(part)
            self._bin(part).append(part)

    def _bin(self, part: Any) -> list[Any]:
        if isinstance(part, (ops.DropIndexOp, ops.DropConstraintOp, DropCodeIndexOp)):
            return self.drops
        if isinstance(part, (ops.AddColumnOp, ops.AlterColumnOp, NoteOp)):
            return self.columns
        if isinstance(part, AddCodeColumnOp):
            return self.coming
        return self.last if isinstance(part, ops.DropColumnOp) else self.rest

    def ordered(self) -> list[Any]:
        """All of them; in Alembic's order where no column of codes comes or goes."""
        if not (self.leaving or self.coming):
            return self.found
        first = [*self.drops, *self.leaving, *self.columns]
        return [*first, *self.coming, *self.rest, *self.last]


def apart(found: list[Any]) -> Iterator[Any]:
    """Operations of this package outside of a table's batch, which runs when it ends."""
    for op in found:
        if not isinstance(op, ops.ModifyTableOps):
            yield op
            continue
        for own, parts in groupby(op.ops, lambda part: isinstance(part, _OWN)):
            if own:
                yield from parts
            else:
                yield ops.ModifyTableOps(op.table_name, list(parts), schema=op.schema)
