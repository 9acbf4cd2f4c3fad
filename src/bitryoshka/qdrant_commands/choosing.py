"""Which code to take: for a number of bytes, and beside Qdrant's own quantizers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitryoshka.atomic_file import check_output
from bitryoshka.binarizer import Binarizer, Metric
from bitryoshka.command_output import JsonOption, QuietOption, print_json, show_progress
from bitryoshka.qdrant_commands.options import (
    ColumnOption,
    VectorsArgument,
    numbers,
    show,
)
from bitryoshka.vector_files import read_vectors

choosing = typer.Typer()


@choosing.command("choose")
def _choose(
    vectors: VectorsArgument,
    budget: Annotated[int, typer.Argument(metavar="BYTES", help="In memory, for a vector.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .safetensors to write.")],
    metric: Annotated[Metric, typer.Option(help="How the vectors are compared.")] = "cosine",
    held_out: Annotated[int, typer.Option(min=1, help="Rows that judge.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
    column: ColumnOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Choose dimensions and bits for a number of bytes, on held-out rows, in the engine."""
    from bitryoshka.qdrant import choose_for_budget

    check_output(output, ".safetensors", vectors)
    found = choose_for_budget(
        read_vectors(vectors, column),
        budget,
        metric=metric,
        held_out=held_out,
        seed=seed,
        progress=show_progress(quiet),
    )
    found.binarizer.save(output)
    facts = {"quantization": found.quantization, "bytes": found.bytes, "recall": found.recall}
    if not quiet or as_json:
        show({"file": str(output), **facts, "tried": found.tried}, as_json)


@choosing.command("compare")
def _compare(
    vectors: VectorsArgument,
    queries: Annotated[Path | None, typer.Option("--queries", help="Query embeddings.")] = None,
    binarizer: Annotated[Path | None, typer.Option(help="Compare its code too.")] = None,
    budgets: Annotated[
        str, typer.Option(help="Bytes to choose codes for, as 48,96; none: as TurboQuant needs.")
    ] = "",
    held_out: Annotated[int, typer.Option(min=1, help="Rows as queries, without any.")] = 500,
    metric: Annotated[Metric, typer.Option(help="How the vectors are compared.")] = "cosine",
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
    column: ColumnOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare Qdrant's quantizers with ours on your vectors, and say which to take."""
    from bitryoshka.qdrant import compare

    report = compare(
        read_vectors(vectors, column),
        None if queries is None else read_vectors(queries, column),
        binarizer=None if binarizer is None else Binarizer.load(binarizer),
        budgets=numbers(budgets) or None,
        held_out=held_out,
        metric=metric,
        seed=seed,
        progress=show_progress(quiet),
    )
    if as_json:
        print_json(report.as_dict())
        return
    from bitryoshka import tables

    tables.show_peers(report.as_dict())
