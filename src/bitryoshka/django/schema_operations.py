"""Operations that install, upgrade and remove schema bitryoshka."""

from __future__ import annotations

from typing import Any

from django.db.migrations.operations.base import OperationCategory

from bitryoshka.django.operations import PACKAGE, CodeOperation, send_text
from bitryoshka.schema_scripts import downgrade_statements, upgrade_statements


class InstallBitryoshka(CodeOperation):
    """Create schema bitryoshka and pgvector; backwards, drop the schema with its codecs.

    What is there already stays. Backwards it is an error of the database while a column uses a
    codec, and pgvector stays. DatabaseError for a ``revision`` that this version of the package
    does not know; the newest stands in for earlier ones.
    """

    __module__ = PACKAGE
    category = OperationCategory.ADDITION

    def __init__(self, revision: str = "head") -> None:
        self.revision = revision

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Install."""
        if self.allowed(schema_editor, app_label):
            for statement in upgrade_statements(self.revision):
                send_text(schema_editor, statement)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Uninstall."""
        if self.allowed(schema_editor, app_label):
            for statement in downgrade_statements():
                send_text(schema_editor, statement)

    def describe(self) -> str:
        """What ``migrate --plan`` shows."""
        return "Install schema bitryoshka"

    @property
    def migration_name_fragment(self) -> str:
        """Part of a migration's name."""
        return "install_bitryoshka"


class UpgradeBitryoshka(InstallBitryoshka):
    """Bring schema bitryoshka to a later revision; backwards, it stays as it is."""

    __module__ = PACKAGE
    category = OperationCategory.ALTERATION

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Nothing: a later revision serves earlier migrations too."""

    def describe(self) -> str:
        """What ``migrate --plan`` shows."""
        return f"Upgrade schema bitryoshka to {self.revision}"

    @property
    def migration_name_fragment(self) -> str:
        """Part of a migration's name."""
        return f"upgrade_bitryoshka_{self.revision}"
