"""Operations that install and remove schema bitryoshka."""

from __future__ import annotations

from typing import ClassVar

from alembic.operations import Operations

from bitryoshka.alembic.operation import CodeOperation
from bitryoshka.alembic.sending import send_text
from bitryoshka.schema_scripts import downgrade_statements, upgrade_statements


@Operations.register_operation("install_bitryoshka")
class InstallBitryoshkaOp(CodeOperation):
    """Schema bitryoshka is there, in a revision of its own history."""

    call = "install_bitryoshka"
    options: ClassVar = {"revision": "head"}

    def __init__(self, revision: str = "head") -> None:
        self.revision = revision

    @classmethod
    def install_bitryoshka(cls, operations: Operations, revision: str = "head") -> None:
        """Create schema bitryoshka and pgvector, or upgrade the schema to ``revision``.

        What is there already stays. A later migration upgrades by the same call. DatabaseError for
        a revision that this version of the package does not know.
        """
        operations.invoke(cls(revision))

    def reverse(self) -> UninstallBitryoshkaOp:
        """Remove the schema."""
        return UninstallBitryoshkaOp()


@Operations.register_operation("uninstall_bitryoshka")
class UninstallBitryoshkaOp(CodeOperation):
    """Schema bitryoshka is gone."""

    call = "uninstall_bitryoshka"

    @classmethod
    def uninstall_bitryoshka(cls, operations: Operations) -> None:
        """Drop schema bitryoshka with its codecs; an error while a column uses one.

        pgvector stays.
        """
        operations.invoke(cls())

    def reverse(self) -> InstallBitryoshkaOp:
        """Install the schema."""
        return InstallBitryoshkaOp()


@Operations.implementation_for(InstallBitryoshkaOp)
def _install(operations: Operations, operation: InstallBitryoshkaOp) -> None:
    for statement in upgrade_statements(operation.revision):
        send_text(operations, statement)


@Operations.implementation_for(UninstallBitryoshkaOp)
def _uninstall(operations: Operations, operation: UninstallBitryoshkaOp) -> None:
    for statement in downgrade_statements():
        send_text(operations, statement)
