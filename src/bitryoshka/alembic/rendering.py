"""Operations and column types as they stand in a migration script."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from alembic.autogenerate.render import renderers

from bitryoshka.alembic.code_operation import CodeOperation
from bitryoshka.alembic.note_operation import NoteOp
from bitryoshka.sqlalchemy import Code

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext


@renderers.dispatch_for(CodeOperation)
def _render(context: AutogenContext, operation: CodeOperation) -> str:
    places, options = operation.given()
    given = [repr(value) for value in places]
    given += [f"{name}={value!r}" for name, value in options.items()]
    # never batch_op: they are not a batch's own
    return f"{context.opts['alembic_module_prefix'] or ''}{operation.call}({', '.join(given)})"


@renderers.dispatch_for(NoteOp)
def _render_note(context: AutogenContext, operation: NoteOp) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(operation.text, 92)]


def render_codes(context: AutogenContext) -> None:
    """Let the scripts of this run name `Code` by its public place, and import what they name."""
    before = context.opts.get("render_item")
    if getattr(before, "renders_codes", False):
        return

    def render_item(kind: str, item: Any, current: AutogenContext) -> Any:
        found = before(kind, item, current) if before else False
        if found is False and kind == "type" and isinstance(item, Code):
            current.imports.add("import bitryoshka.sqlalchemy")
            return f"bitryoshka.sqlalchemy.Code({item.bits})"
        if found is False and kind == "type" and type(item).__module__.startswith("pgvector."):
            current.imports.add("import pgvector.sqlalchemy")
        return found

    render_item.renders_codes = True  # type: ignore[attr-defined]
    context.opts["render_item"] = render_item
