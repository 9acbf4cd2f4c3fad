"""All commands together."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bitryoshka.cli.columns import columns
from bitryoshka.cli.demo import demonstration
from bitryoshka.cli.evaluate import evaluation
from bitryoshka.cli.fit import fitting
from bitryoshka.cli.interrupts import NOTHING_WRITTEN, Interrupted
from bitryoshka.cli.postgres import database
from bitryoshka.cli.qdrant import qdrant
from bitryoshka.cli.report import reporting


class _Group(TyperGroup):
    """Commands that Ctrl-C ends without words of Typer's own."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Interrupted(NOTHING_WRITTEN) from error


app = typer.Typer(
    name="bitryoshka",
    cls=_Group,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (fitting, evaluation, reporting, demonstration, database, columns, qdrant):
    app.add_typer(commands)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bitryoshka {version('bitryoshka')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version, and exit."
        ),
    ] = False,
) -> None:
    """Learned, nested binary codes for embedding vectors."""
