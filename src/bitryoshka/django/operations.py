"""What all operations of migrations have in common."""

from __future__ import annotations

from typing import Any

from django.db import NotSupportedError, router
from django.db.migrations.operations.base import Operation

from bitryoshka.schema_scripts import filled

# the module that a squashed migration imports them from
PACKAGE = "bitryoshka.django"


class CodeOperation(Operation):
    """An operation on the database, which changes nothing that makemigrations compares."""

    reversible = True
    reduces_to_sql = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Nothing."""

    def allowed(self, schema_editor: Any, app_label: str, **hints: Any) -> bool:
        """Whether the routers let this app migrate the database, which is a Postgres then."""
        connection = schema_editor.connection
        found: bool = router.allow_migrate(connection.alias, app_label, **hints)
        if found:
            require_postgres(connection)
        return found


def require_postgres(connection: Any) -> None:
    """NotSupportedError for any other database."""
    if connection.vendor != "postgresql":
        raise NotSupportedError(
            f"expected a Postgres with pgvector for codes, found {connection.vendor} as database "
            f"{connection.alias!r}: let a router keep these models from it"
        )


def send(schema_editor: Any, name: str, /, **parts: str) -> None:
    """Run the statement of that name, or write it for sqlmigrate."""
    send_text(schema_editor, filled(name, **parts))


def send_text(schema_editor: Any, statement: str) -> None:
    """Run a statement as it is, or write it for sqlmigrate."""
    # without parameters, which a percent sign would begin
    schema_editor.execute(statement, params=None)
