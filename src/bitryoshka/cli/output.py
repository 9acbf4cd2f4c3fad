"""What commands print that is no table."""

from __future__ import annotations

import json
from typing import Any

import typer

from bitryoshka.cli.terminal import printable


def show_progress(quiet: bool) -> bool:
    """Whether signs of life are wanted."""
    return not quiet


def echo(text: str) -> None:
    """Print text, of which files and databases may have given a part."""
    typer.echo(printable(text))


def print_json(found: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(found, indent=2, allow_nan=False))


def show_facts(found: dict[str, Any], as_json: bool) -> None:
    """Print facts, one a line, or as JSON."""
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        echo(f"{name.replace('_', ' ')}: {_words(value)}")


def _words(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_words(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, float):
        return round(value, 4)
    return "none" if value is None else value
