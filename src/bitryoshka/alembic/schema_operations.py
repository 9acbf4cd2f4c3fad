"""Operations that install and remove schema bitryoshka."""

from __future__ import annotations

from alembic.operations import Operations

from bitryoshka.alembic.code_operation import CodeOperation, operation
from bitryoshka.alembic.sending import send_text
from bitryoshka.schema_scripts import downgrade_statements, upgrade_statements


@operation("install_bitryoshka")
class InstallBitryoshkaOp(CodeOperation):
    """Create schema bitryoshka and pgvector, or upgrade the schema to ``revision``.

    What is there already stays. A later migration upgrades by the same call. DatabaseError for a
    revision that this version of the package does not know.
    """

    revision: str = "head"

    def reverse(self) -> UninstallBitryoshkaOp:
        """Remove the schema."""
        return UninstallBitryoshkaOp()


@operation("uninstall_bitryoshka")
class UninstallBitryoshkaOp(CodeOperation):
    """Drop schema bitryoshka with its codecs; an error while a column uses one.

    pgvector stays.
    """

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
