"""Operations that add a column of codes with its trigger, and drop it."""

from __future__ import annotations

from typing import ClassVar, Literal

from alembic.operations import Operations

from bitryoshka.alembic.note_operation import NoteOp
from bitryoshka.alembic.operation import CodeOperation
from bitryoshka.alembic.sending import identifier, send
from bitryoshka.schema_scripts import quoted


@Operations.register_operation("add_code_column")
class AddCodeColumnOp(CodeOperation):
    """A table has a column of a codec's codes, which a trigger keeps true."""

    call = "add_code_column"
    places = ("table_name", "vector_column", "codec", "code_column")
    options: ClassVar = {
        "schema": None,
        "bad_vectors": "reject",
        "prefix_bits": None,
        "backfill": True,
        "published": False,
    }

    def __init__(
        self,
        table_name: str,
        vector_column: str,
        codec: str,
        code_column: str = "code",
        *,
        schema: str | None = None,
        bad_vectors: Literal["reject", "skip"] = "reject",
        prefix_bits: int | None = None,
        backfill: bool = True,
        published: bool = False,
    ) -> None:
        self.table_name, self.vector_column, self.codec = table_name, vector_column, codec
        self.code_column, self.schema = code_column, schema
        self.bad_vectors, self.prefix_bits, self.backfill = bad_vectors, prefix_bits, backfill
        self.published = published

    @classmethod
    def add_code_column(
        cls,
        operations: Operations,
        table_name: str,
        vector_column: str,
        codec: str,
        code_column: str = "code",
        *,
        schema: str | None = None,
        bad_vectors: Literal["reject", "skip"] = "reject",
        prefix_bits: int | None = None,
        backfill: bool = True,
        published: bool = False,
    ) -> None:
        """Add a column of codes, its trigger and its entry in the catalogue.

        ``codec`` is name@version. ``bad_vectors`` "reject" refuses rows whose vector has no code,
        "skip" leaves their code NULL. ``prefix_bits``: what searches compare first (None: all sign
        bits). ``backfill`` writes the codes of the rows that are there, in the same transaction:
        for a large table say False, and run ``bitryoshka attach`` afterwards, which goes on from
        there in small batches. ``published``: the table's subscribers have the column already; a
        published table is refused otherwise.
        """
        operations.invoke(
            cls(
                table_name,
                vector_column,
                codec,
                code_column,
                schema=schema,
                bad_vectors=bad_vectors,
                prefix_bits=prefix_bits,
                backfill=backfill,
                published=published,
            )
        )

    def reverse(self) -> DropCodeColumnOp:
        """Drop the column."""
        return DropCodeColumnOp(
            self.table_name, self.code_column, schema=self.schema, _reverse=self
        )


@Operations.register_operation("drop_code_column")
class DropCodeColumnOp(CodeOperation):
    """A column of codes is gone, and all that belonged to it."""

    call = "drop_code_column"
    places = ("table_name", "code_column")
    options: ClassVar = {"schema": None}

    def __init__(
        self,
        table_name: str,
        code_column: str = "code",
        *,
        schema: str | None = None,
        _reverse: AddCodeColumnOp | NoteOp | None = None,
    ) -> None:
        self.table_name, self.code_column, self.schema = table_name, code_column, schema
        self._reverse = _reverse

    @classmethod
    def drop_code_column(
        cls,
        operations: Operations,
        table_name: str,
        code_column: str = "code",
        *,
        schema: str | None = None,
    ) -> None:
        """Drop a column of codes with its trigger, its indexes and its entry in the catalogue."""
        operations.invoke(cls(table_name, code_column, schema=schema))

    def reverse(self) -> AddCodeColumnOp | NoteOp:
        """Add it again, where its codec is known."""
        if self._reverse is None:
            raise ValueError(
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
