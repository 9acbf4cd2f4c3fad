"""Which code to take: for a number of bytes, and beside Qdrant's own quantizers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitryoshka.atomic_file import check_output
from bitryoshka.binarizer import Binarizer
from bitryoshka.cli import options, tables
from bitryoshka.cli.options import example, numbers
from bitryoshka.cli.output import print_json, show_facts, show_progress
from bitryoshka.cli.sample import read_beside
from bitryoshka.vector_files import read_vectors

HeldOutOption = Annotated[int, typer.Option(min=1, help="Rows that judge, without queries.")]

choosing = typer.Typer()


@choosing.command("choose", epilog=example("qdrant choose vectors.npy 48 -o docs.safetensors"))
def _choose(
    vectors: options.Vectors,
    budget: Annotated[int, typer.Argument(metavar="BYTES", help="In memory, for a vector.")],
    output: options.CodeFile,
    metric: options.Metric = "cosine",
    held_out: HeldOutOption = 500,
    seed: options.Seed = 0,
    column: options.Column = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Choose a code for a number of bytes a vector.

    Dimensions and bits are tried on held-out rows, in the engine.
    """
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
    facts = {
        "file": str(output),
        "quantization": found.quantization,
        "bytes": found.bytes,
        "recall": found.recall,
    }
    if as_json:
        print_json({**facts, "tried": found.tried})
    elif not quiet:
        show_facts(facts | {"recall": f"{found.recall:.3f}"}, False)
        tried = sorted(found.tried.items(), key=lambda label_recall: -label_recall[1])
        tables.show(("tried", "recall"), [(label, f"{recall:.3f}") for label, recall in tried])


@choosing.command("compare", epilog=example("qdrant compare vectors.npy --budgets 48"))
def _compare(
    vectors: options.Vectors,
    queries: options.Queries = None,
    binarizer: Annotated[Path | None, typer.Option(help="Compare its code too.")] = None,
    budgets: Annotated[
        str, typer.Option(help="Bytes to choose codes for, as 48,96; none: as TurboQuant needs.")
    ] = "",
    held_out: HeldOutOption = 500,
    metric: options.Metric = "cosine",
    seed: options.Seed = 0,
    column: options.Column = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Compare Qdrant's quantizers with ours on your vectors."""
    from bitryoshka.qdrant import compare

    report = compare(
        read_vectors(vectors, column),
        read_beside(queries, column),
        binarizer=None if binarizer is None else Binarizer.load(binarizer),
        budgets=numbers(budgets) or None,
        held_out=held_out,
        metric=metric,
        seed=seed,
        progress=show_progress(quiet),
    )
    if as_json:
        print_json(report.as_dict())
    else:
        tables.show_quantizers(report.as_dict())
