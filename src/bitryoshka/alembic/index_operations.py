"""Operations that build and drop the HNSW index of a code column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import Literal

from alembic.operations import Operations

from bitryoshka.alembic.code_operation import CodeOperation, operation
from bitryoshka.alembic.sending import send
from bitryoshka.bits import check_bits
from bitryoshka.errors import BitsError, DatabaseError, TableError
from bitryoshka.postgres_rules import EF_CONSTRUCTION, M
from bitryoshka.schema_scripts import filled, identifier

Opclass = Literal["bit_hamming_ops", "bit_jaccard_ops"]
PrefixBits = int | Literal["all"]


@operation("create_code_index")
class CreateCodeIndexOp(CodeOperation):
    """Build an HNSW index on the first ``prefix_bits`` of a code.

    Searches that ask for nothing else compare all Hamming bits: name as many here, or "all" where
    those are all bits of the code. No default could tell, since a migration is written without the
    codec at hand.

    ``concurrently`` lets the table be written meanwhile, and ends the migration's transaction
    before it begins: set ``transaction_per_migration`` in env.py. A build that was broken off
    leaves an INVALID index behind: drop it, then migrate again. Partitioned tables need
    ``concurrently=False``.
    """

    index_name: str
    table_name: str
    column: str = "code"
    _: KW_ONLY
    prefix_bits: PrefixBits
    m: int = M
    ef_construction: int = EF_CONSTRUCTION
    opclass: Opclass = "bit_hamming_ops"
    schema: str | None = None
    concurrently: bool = True

    def __post_init__(self) -> None:
        if self.prefix_bits == "all":
            return
        if not isinstance(self.prefix_bits, int):
            raise BitsError(
                f"prefix_bits must be a number of bits or 'all', found {self.prefix_bits!r}"
            )
        check_bits(self.prefix_bits, "prefix_bits")

    def reverse(self) -> DropCodeIndexOp:
        """Drop the index."""
        return DropCodeIndexOp(
            self.index_name,
            self.table_name,
            schema=self.schema,
            concurrently=self.concurrently,
            _reverse=self,
        )


@operation("drop_code_index")
class DropCodeIndexOp(CodeOperation):
    """Drop an index of a code column, ``concurrently`` as `create_code_index` builds it."""

    index_name: str
    table_name: str
    _: KW_ONLY
    schema: str | None = None
    concurrently: bool = True
    _reverse: CreateCodeIndexOp | None = None

    def reverse(self) -> CreateCodeIndexOp:
        """Build it again; TableError where it is not known what it was."""
        if self._reverse is None:
            raise TableError(f"dropping index {self.index_name!r} has no reverse: it is not known")
        return self._reverse


@Operations.implementation_for(CreateCodeIndexOp)
def _create(operations: Operations, operation: CreateCodeIndexOp) -> None:
    expression = identifier(operation.column)
    if (bits := operation.prefix_bits) != "all":
        expression = filled("prefix", code=expression, prefix_bits=str(bits))

    def create(concurrently: str) -> None:
        send(
            operations,
            "create_code_index",
            concurrently=concurrently,
            index=identifier(operation.index_name),
            table=identifier(operation.schema, operation.table_name),
            expression=expression,
            opclass=identifier(operation.opclass),
            m=str(operation.m),
            ef_construction=str(operation.ef_construction),
        )

    _apart(operations, operation.concurrently, create)


@Operations.implementation_for(DropCodeIndexOp)
def _drop(operations: Operations, operation: DropCodeIndexOp) -> None:
    index = identifier(operation.schema, operation.index_name)

    def drop(concurrently: str) -> None:
        send(operations, "drop_code_index", concurrently=concurrently, index=index)

    _apart(operations, operation.concurrently, drop)


def _apart(operations: Operations, concurrently: bool, work: Callable[[str], None]) -> None:
    """Run outside a transaction where the statement must."""
    if not concurrently:
        work("")
        return
    context = operations.get_context()
    if not context.as_sql and context._in_external_transaction:
        raise DatabaseError(
            "an index is built concurrently outside a transaction, and env.py has begun one: "
            "expected context.begin_transaction() to begin it, or concurrently=False"
        )
    with context.autocommit_block():
        work("CONCURRENTLY ")
