"""Comments in a script, where an operation cannot say what has to be done."""

from __future__ import annotations

from typing import Any

from alembic.operations import MigrateOperation, Operations


class NoteOp(MigrateOperation):
    """Lines of a comment, or none; nothing when it runs."""

    def __init__(self, text: str, _reverse: MigrateOperation | None = None) -> None:
        self.text, self._reverse = text, _reverse

    def reverse(self) -> MigrateOperation:
        """What is done on the way back: nothing, where nothing else was said."""
        return self._reverse or NoteOp("")

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """What ``alembic check`` and ``compare_metadata`` show."""
        return ("note", self.text)


@Operations.implementation_for(NoteOp)
def _run(operations: Operations, operation: NoteOp) -> None:
    pass
