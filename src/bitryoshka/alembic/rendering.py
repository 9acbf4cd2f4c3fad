"""Operations and column types as they stand in a migration script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.autogenerate.render import renderers

from bitryoshka.alembic.codec_operations import DropCodecOp, RegisterCodecOp
from bitryoshka.alembic.column_operations import AddCodeColumnOp, DropCodeColumnOp
from bitryoshka.alembic.index_operations import CreateCodeIndexOp, DropCodeIndexOp
from bitryoshka.alembic.schema_operations import InstallBitryoshkaOp, UninstallBitryoshkaOp
from bitryoshka.postgres_rules import EF_CONSTRUCTION, M
from bitryoshka.sqlalchemy import Code

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

# of each operation: its function, its arguments by position, and its options with their defaults
_CALLS: dict[type[Any], tuple[str, tuple[str, ...], dict[str, Any]]] = {
    InstallBitryoshkaOp: ("install_bitryoshka", (), {"revision": "head"}),
    UninstallBitryoshkaOp: ("uninstall_bitryoshka", (), {}),
    RegisterCodecOp: ("register_codec", ("name", "source", "version"), {}),
    DropCodecOp: ("drop_codec", ("codec",), {}),
    AddCodeColumnOp: (
        "add_code_column",
        ("table_name", "vector_column", "codec", "code_column"),
        {"schema": None, "bad_vectors": "reject", "prefix_bits": None, "backfill": True},
    ),
    DropCodeColumnOp: ("drop_code_column", ("table_name", "code_column"), {"schema": None}),
    CreateCodeIndexOp: (
        "create_code_index",
        ("index_name", "table_name", "column"),
        {
            "prefix_bits": None,
            "m": M,
            "ef_construction": EF_CONSTRUCTION,
            "opclass": "bit_hamming_ops",
            "schema": None,
            "concurrently": True,
        },
    ),
    DropCodeIndexOp: (
        "drop_code_index",
        ("index_name", "table_name"),
        {"schema": None, "concurrently": True},
    ),
}


def _render(context: AutogenContext, operation: Any) -> str:
    function, places, options = _CALLS[type(operation)]
    given = [repr(_plain(getattr(operation, name))) for name in places]
    given += [
        f"{name}={_plain(value)!r}"
        for name, default in options.items()
        if (value := getattr(operation, name)) != default
    ]
    return f"{context.opts['alembic_module_prefix'] or ''}{function}({', '.join(given)})"


def _plain(value: Any) -> Any:
    """A quoted_name as the string that it is."""
    return str(value) if isinstance(value, str) else value


for _kind in _CALLS:
    renderers.dispatch_for(_kind)(_render)


def render_codes(context: AutogenContext) -> None:
    """Let the scripts of this run name `Code` by its public place, and import it."""
    before = context.opts.get("render_item")
    if getattr(before, "renders_codes", False):
        return

    def render_item(kind: str, item: Any, current: AutogenContext) -> Any:
        found = before(kind, item, current) if before else False
        if found is False and kind == "type" and isinstance(item, Code):
            current.imports.add("import bitryoshka.sqlalchemy")
            return f"bitryoshka.sqlalchemy.Code({item.bits})"
        return found

    render_item.renders_codes = True  # type: ignore[attr-defined]
    context.opts["render_item"] = render_item
