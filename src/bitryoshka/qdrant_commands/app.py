"""``bitryoshka qdrant``: all its commands."""

from __future__ import annotations

import typer

from bitryoshka.qdrant_commands.choosing import choosing
from bitryoshka.qdrant_commands.collections import collections

__all__ = ["qdrant"]

qdrant = typer.Typer(name="qdrant", help="Codes in Qdrant.", no_args_is_help=True)
qdrant.add_typer(collections)
qdrant.add_typer(choosing)
