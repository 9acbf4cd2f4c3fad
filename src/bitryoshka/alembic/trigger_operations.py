"""Operations on columns of codes whose vectors change: their trigger comes anew, or goes."""

from __future__ import annotations

from typing import ClassVar

from alembic.operations import MigrateOperation, Operations

from bitryoshka.alembic.note_operation import NoteOp
from bitryoshka.alembic.operation import CodeOperation
from bitryoshka.alembic.sending import identifier, send
from bitryoshka.schema_scripts import quoted


@Operations.register_operation("restore_code_column")
class RestoreCodeColumnOp(CodeOperation):
    """A column of codes has a new trigger, for a vector column of another name or type."""

    call = "restore_code_column"
    places = ("table_name", "vector_column", "code_column")
    options: ClassVar = {"schema": None, "backfill": True}

    def __init__(
        self,
        table_name: str,
        vector_column: str,
        code_column: str = "code",
        *,
        schema: str | None = None,
        backfill: bool = True,
        _reverse: MigrateOperation | None = None,
    ) -> None:
        self.table_name, self.vector_column = table_name, vector_column
        self.code_column, self.schema, self.backfill = code_column, schema, backfill
        self._reverse = _reverse

    @classmethod
    def restore_code_column(
        cls,
        operations: Operations,
        table_name: str,
        vector_column: str,
        code_column: str = "code",
        *,
        schema: str | None = None,
        backfill: bool = True,
    ) -> None:
        """Make the trigger of a column of codes anew: after its vector column was altered.

        ``vector_column`` is its name now. ``backfill`` encodes all rows, in the same transaction,
        and writes the codes that have changed: for a large table say False, and run ``bitryoshka
        attach`` afterwards, which looks at all of them in small batches.
        """
        operations.invoke(
            cls(table_name, vector_column, code_column, schema=schema, backfill=backfill)
        )

    def reverse(self) -> MigrateOperation:
        """What undoes it; nothing, where the column is altered back."""
        return self._reverse or NoteOp("")


@Operations.register_operation("release_code_column")
class ReleaseCodeColumnOp(CodeOperation):
    """A column of codes has no trigger any more, and keeps its codes."""

    call = "release_code_column"
    places = ("table_name", "code_column")
    options: ClassVar = {"schema": None}

    def __init__(
        self,
        table_name: str,
        code_column: str = "code",
        *,
        schema: str | None = None,
        _reverse: MigrateOperation | None = None,
    ) -> None:
        self.table_name, self.code_column, self.schema = table_name, code_column, schema
        self._reverse = _reverse

    @classmethod
    def release_code_column(
        cls,
        operations: Operations,
        table_name: str,
        code_column: str = "code",
        *,
        schema: str | None = None,
    ) -> None:
        """Drop the trigger of a column of codes, before its vectors are dropped: the codes stay.

        The catalogue has them as codes that were adopted.
        """
        operations.invoke(cls(table_name, code_column, schema=schema))

    def reverse(self) -> MigrateOperation:
        """Make the trigger again, where it is known of which vectors."""
        if self._reverse is None:
            raise ValueError(
                f"releasing column {self.code_column!r} of {self.table_name!r} has no reverse: its "
                "vector column is not known"
            )
        return self._reverse


@Operations.implementation_for(RestoreCodeColumnOp)
def _restore(operations: Operations, operation: RestoreCodeColumnOp) -> None:
    table = quoted(identifier(operation.schema, operation.table_name))
    code = quoted(operation.code_column)
    vector = quoted(operation.vector_column)
    send(operations, "restore_own_column", table=table, code=code, vector=vector)
    if operation.backfill:
        send(operations, "repair_code_column", table=table, code=code)


@Operations.implementation_for(ReleaseCodeColumnOp)
def _release(operations: Operations, operation: ReleaseCodeColumnOp) -> None:
    send(
        operations,
        "release_own_column",
        table=quoted(identifier(operation.schema, operation.table_name)),
        code=quoted(operation.code_column),
    )
