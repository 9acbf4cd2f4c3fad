"""Operations that add a column of codes with its trigger, and drop it."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Literal

from alembic.operations import Operations

from bitryoshka.alembic.code_operation import CodeOperation, operation
from bitryoshka.alembic.note_operation import NoteOp
from bitryoshka.alembic.sending import send
from bitryoshka.errors import TableError
from bitryoshka.schema_scripts import identifier, quoted


@operation("add_code_column")
class AddCodeColumnOp(CodeOperation):
    """Add a column of codes, its trigger and its entry in the catalogue.

    ``codec`` is name@version. ``bad_vectors`` "reject" refuses rows whose vector has no code,
    "skip" leaves their code NULL. ``prefix_bits``: what searches compare first (None: all sign
    bits). ``backfill`` writes the codes of the rows that are there, in the same transaction: for a
    large table say False, and run ``bitryoshka attach`` afterwards, which goes on from there in
    small batches. ``published``: the table's subscribers have the column already; a published
    table is refused otherwise.
    """

    table_name: str
    vector_column: str
    codec: str
    code_column: str = "code"
    _: KW_ONLY
    schema: str | None = None
    bad_vectors: Literal["reject", "skip"] = "reject"
    prefix_bits: int | None = None
    backfill: bool = True
    published: bool = False

    def reverse(self) -> DropCodeColumnOp:
        """Drop the column."""
        return DropCodeColumnOp(
            self.table_name, self.code_column, schema=self.schema, _reverse=self
        )


@operation("drop_code_column")
class DropCodeColumnOp(CodeOperation):
    """Drop a column of codes with its trigger, its indexes and its entry in the catalogue."""

    table_name: str
    code_column: str = "code"
    _: KW_ONLY
    schema: str | None = None
    _reverse: AddCodeColumnOp | NoteOp | None = None

    def reverse(self) -> AddCodeColumnOp | NoteOp:
        """Add it again; TableError where its codec is not known."""
        if self._reverse is None:
            raise TableError(
                f"dropping column {self.code_column!r} of {self.table_name!r} has no reverse: its "
                "codec is not known"
            )
        return self._reverse


@Operations.implementation_for(AddCodeColumnOp)
def _add(operations: Operations, operation: AddCodeColumnOp) -> None:
    table = quoted(identifier(operation.schema, operation.table_name))
    code = quoted(operation.code_column)
    prefix = operation.prefix_bits
    send(
        operations,
        "add_code_column",
        table=table,
        vector=quoted(operation.vector_column),
        codec=quoted(operation.codec),
        code=code,
        bad_vectors=quoted(operation.bad_vectors),
        prefix_bits="NULL" if prefix is None else str(int(prefix)),
        published=str(bool(operation.published)).lower(),
    )
    if operation.backfill:
        send(operations, "fill_code_column", table=table, code=code)


@Operations.implementation_for(DropCodeColumnOp)
def _drop(operations: Operations, operation: DropCodeColumnOp) -> None:
    send(
        operations,
        "drop_own_column",
        table=quoted(identifier(operation.schema, operation.table_name)),
        code=quoted(operation.code_column),
    )
