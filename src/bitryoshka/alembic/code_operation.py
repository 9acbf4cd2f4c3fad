"""What all operations of this package have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, TypeVar, dataclass_transform

from alembic.operations import MigrateOperation, Operations

C = TypeVar("C", bound="CodeOperation")


@dataclass(eq=False)
class CodeOperation(MigrateOperation):
    """An operation as a script calls it: its fields are the arguments, by position or by name.

    ``call``: its function.
    """

    call: ClassVar[str]

    def given(self) -> tuple[list[Any], dict[str, Any]]:
        """The arguments, but for those by name that have their defaults."""
        places, options = [], {}
        for field in fields(self):
            value = _plain(getattr(self, field.name))
            if field.name.startswith("_"):
                continue
            if not field.kw_only:
                places.append(value)
            elif field.default is MISSING or value != field.default:
                options[field.name] = value
        return places, options

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """What ``alembic check`` and ``compare_metadata`` show."""
        places, options = self.given()
        return (self.call, *places, *([options] if options else []))


@dataclass_transform(eq_default=False)
def operation(call: str) -> Callable[[type[C]], type[C]]:
    """Make a dataclass of an operation, and ``op.CALL``, which takes its fields."""

    def register(kind: type[C]) -> type[C]:
        def invoke(cls: Any, operations: Operations, *places: Any, **options: Any) -> None:
            operations.invoke(cls(*places, **options))

        kind.call = invoke.__name__ = call
        invoke.__doc__ = kind.__doc__
        setattr(kind, call, classmethod(invoke))
        return Operations.register_operation(call)(dataclass(eq=False)(kind))

    return register


def _plain(value: Any) -> Any:
    """A quoted_name as the string that it is."""
    return str(value) if isinstance(value, str) else value
