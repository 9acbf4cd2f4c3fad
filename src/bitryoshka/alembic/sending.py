"""Statements with their values in the text: the same online, with every driver, and offline."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import text

from bitryoshka.schema_scripts import filled


def send(operations: Operations, name: str, /, **parts: str) -> None:
    """Run the statement of that name, or write it to the script that is being made."""
    send_text(operations, filled(name, **parts))


def send_text(operations: Operations, statement: str) -> None:
    """Run a statement as it is, or write it to the script that is being made."""
    context = operations.get_context()
    if context.as_sql:
        context.impl.static_output(f"{statement};\n")
    else:
        # a colon would begin a parameter
        operations.get_bind().execute(text(statement.replace(":", "\\:")))
