"""Arguments and options that several commands have, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bitryoshka.binarizer import Metric
from bitryoshka.errors import BitsError

Method = Literal["auto", "sign", "centred", "rotation", "itq", "progressive", "additive", "learned"]

BinarizerArgument = Annotated[
    Path, typer.Argument(metavar="BINARIZER", help="A .safetensors file made by fit.")
]
VectorsArgument = Annotated[
    Path,
    typer.Argument(metavar="VECTORS", help="Embeddings: .npy, .npz, .parquet, .jsonl, .jsonl.gz."),
]
SourceArgument = Annotated[
    Path | None, typer.Argument(metavar="VECTORS", help="Embeddings in a file.", show_default=False)
]
PostgresOption = Annotated[
    tuple[str, str, str] | None,
    typer.Option(metavar="DSN TABLE COLUMN", help="Take vectors of a table instead."),
]
QdrantOption = Annotated[
    tuple[str, str] | None,
    typer.Option(
        metavar="URL COLLECTION",
        help="Take vectors of a collection instead, or of a shard in a folder.",
    ),
]
QueriesOption = Annotated[
    Path | None, typer.Option("--queries", help="Query embeddings; the same kinds of files.")
]
ColumnOption = Annotated[
    str | None,
    typer.Option(
        "--column", help="Column (.parquet), array (.npz) or key (.jsonl) of the embeddings."
    ),
]
QrelsOption = Annotated[
    Path | None,
    typer.Option(help="Judgements of the queries: tab-separated query-id, corpus-id, score."),
]
IdsOption = Annotated[
    Path | None, typer.Option(help='JSON {"corpus": [...], "queries": [...]}: ids in row order.')
]
CodeFileOption = Annotated[Path, typer.Option("--output", "-o", help="The .safetensors to write.")]
BitsOption = Annotated[int, typer.Option(help="Length of the whole code, a multiple of 8.")]
MethodOption = Annotated[Method, typer.Option(help="auto: try them, keep the best.")]
MetricOption = Annotated[Metric, typer.Option(help="How the vectors are compared.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of every random choice.")]
KOption = Annotated[int, typer.Option("-k", min=1, help="Results of a query.")]
CandidatesOption = Annotated[int, typer.Option(min=1, help="Rows of the first stage, by Hamming.")]
TargetOption = Annotated[
    float, typer.Option(metavar="SHARE", help="Of the exact first k, that a search has to find.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No tables, no progress bar.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]

DsnOption = Annotated[
    str,
    typer.Option(
        "--dsn", envvar="BITRYOSHKA_DSN", help="The database: postgresql://... or host=..."
    ),
]


def example(arguments: str) -> str:
    """The end of a command's help."""
    # the first character keeps Typer from wrapping what follows
    return f"\b\nExample:\n  bitryoshka {arguments}"


def numbers(text: str | None) -> tuple[int, ...]:
    """Whole numbers with commas between them."""
    try:
        return tuple(int(part) for part in (text or "").split(",") if part)
    except ValueError:
        raise BitsError(f"expected numbers such as 64,128, found {text!r}") from None
