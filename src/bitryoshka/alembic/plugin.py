"""Registers what autogenerate compares and renders."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from bitryoshka.alembic.comparing import compare_codes, leave_own_schema

if TYPE_CHECKING:
    from alembic.runtime.plugins import Plugin

NAME = "alembic.autogenerate.bitryoshka"


def setup(plugin: Plugin) -> None:
    """What Alembic 1.18 and later calls, by the entry point of this name."""
    from alembic.util import DispatchPriority

    for function, priority in (
        (leave_own_schema, DispatchPriority.FIRST),
        (compare_codes, DispatchPriority.LAST),
    ):
        plugin.add_autogenerate_comparator(
            function, "schema", f"bitryoshka.{function.__name__}", priority=priority
        )


def _register() -> None:
    """Do what the entry point does where there is none: an older Alembic, a bare source tree."""
    try:
        from alembic.runtime.plugins import Plugin
    except ImportError:
        from alembic.autogenerate import comparators

        comparators.dispatch_for("schema")(compare_codes)
        return
    if not entry_points(group="alembic.plugins", name=NAME):
        setup(Plugin(NAME))


_register()
