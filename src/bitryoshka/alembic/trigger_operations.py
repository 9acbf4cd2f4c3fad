"""Operations on columns of codes whose vectors change: their trigger comes anew, or goes."""

from __future__ import annotations

from dataclasses import KW_ONLY

from alembic.operations import MigrateOperation, Operations

from bitryoshka.alembic.code_operation import CodeOperation, operation
from bitryoshka.alembic.note_operation import NoteOp
from bitryoshka.alembic.sending import send
from bitryoshka.errors import TableError
from bitryoshka.schema_scripts import identifier, quoted


@operation("restore_code_column")
class RestoreCodeColumnOp(CodeOperation):
    """Make the trigger of a column of codes anew: after its vector column was altered.

    ``vector_column`` is its name now. ``backfill`` encodes all rows, in the same transaction, and
    writes the codes that have changed: for a large table say False, and run ``bitryoshka attach``
    afterwards, which looks at all of them in small batches.
    """

    table_name: str
    vector_column: str
    code_column: str = "code"
    _: KW_ONLY
    schema: str | None = None
    backfill: bool = True
    _reverse: MigrateOperation | None = None

    def reverse(self) -> MigrateOperation:
        """What undoes it; nothing, where the column is altered back."""
        return self._reverse or NoteOp("")


@operation("release_code_column")
class ReleaseCodeColumnOp(CodeOperation):
    """Drop the trigger of a column of codes, before its vectors are dropped: the codes stay.

    The catalogue has them as codes that were adopted.
    """

    table_name: str
    code_column: str = "code"
    _: KW_ONLY
    schema: str | None = None
    _reverse: MigrateOperation | None = None

    def reverse(self) -> MigrateOperation:
        """Make the trigger again; TableError where it is not known of which vectors."""
        if self._reverse is None:
            raise TableError(
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
