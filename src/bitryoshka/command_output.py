"""What all commands share: how they print, and how they are told to."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from bitryoshka.terminal import printable

QuietOption = Annotated[bool, typer.Option("--quiet", help="No tables, no progress.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def show_progress(quiet: bool) -> bool:
    """Whether signs of life are wanted."""
    return not quiet


def echo(text: str) -> None:
    """Print text, of which files and databases may have given a part."""
    typer.echo(printable(text))


def print_json(found: dict[str, Any]) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(found, indent=2, allow_nan=False))
