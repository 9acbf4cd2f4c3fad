"""The command that shows the whole job: demo."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from bitryoshka.cli import options
from bitryoshka.cli.options import example
from bitryoshka.cli.output import print_json, show_progress
from bitryoshka.demo.defaults import LIMIT, MODEL

demonstration = typer.Typer()


@demonstration.command("demo", epilog=example("demo --limit 5000"))
def _demo(
    model: Annotated[str, typer.Option(help="A sentence-transformers model.")] = MODEL,
    out: Annotated[Path, typer.Option(help="Folder for what the demo makes.")] = Path("demo-out"),
    limit: Annotated[int, typer.Option(min=1, help="Most docstrings to embed.")] = LIMIT,
    bits: options.Bits = 384,
    dsn: Annotated[
        str | None, typer.Option(help="A Postgres server; by default one is started here.")
    ] = None,
    shard: Annotated[
        bool, typer.Option("--shard", help="Fill a Qdrant shard too, in the folder's qdrant.")
    ] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Embed anew.")] = False,
    as_json: options.Json = False,
) -> None:
    """Embed real text, fit, load into Postgres, search."""
    from bitryoshka import demo

    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        found = demo.run(
            model=model,
            out=out,
            limit=limit,
            bits=bits,
            dsn=dsn,
            shard=shard,
            refresh=refresh,
            progress=show_progress(False),
            echo=None if as_json else print,
        )
    if as_json:
        print_json(found)
