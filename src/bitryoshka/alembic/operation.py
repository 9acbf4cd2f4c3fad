"""What all operations of this package have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from alembic.operations import MigrateOperation


class CodeOperation(MigrateOperation):
    """An operation as a script calls it.

    ``call``: its function; ``places``: what is given by position; ``options``: what is given by
    name, with the defaults, which are left out.
    """

    call: ClassVar[str]
    places: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[dict[str, Any]] = {}

    def given(self) -> tuple[list[Any], dict[str, Any]]:
        """The arguments."""
        named = {name: _plain(getattr(self, name)) for name in self.options}
        return (
            [_plain(getattr(self, name)) for name in self.places],
            {name: value for name, value in named.items() if value != self.options[name]},
        )

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """What ``alembic check`` and ``compare_metadata`` show."""
        places, options = self.given()
        return (self.call, *places, *([options] if options else []))


def _plain(value: Any) -> Any:
    """A quoted_name as the string that it is."""
    return str(value) if isinstance(value, str) else value
