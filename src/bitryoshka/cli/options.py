"""Arguments and options that several commands have, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bitryoshka import binarizer
from bitryoshka.errors import BitsError
from bitryoshka.search_parameters import check_share

Binarizer = Annotated[
    Path, typer.Argument(metavar="BINARIZER", help="A .safetensors file made by fit.")
]
Vectors = Annotated[
    Path,
    typer.Argument(metavar="VECTORS", help="Embeddings: .npy, .npz, .parquet, .jsonl, .jsonl.gz."),
]
Source = Annotated[
    Path | None, typer.Argument(metavar="VECTORS", help="Embeddings in a file.", show_default=False)
]
FromPostgres = Annotated[
    tuple[str, str, str] | None,
    typer.Option(metavar="DSN TABLE COLUMN", help="Take vectors of a table instead."),
]
FromQdrant = Annotated[
    tuple[str, str] | None,
    typer.Option(
        metavar="URL COLLECTION",
        help="Take vectors of a collection instead, or of a shard in a folder.",
    ),
]
Queries = Annotated[
    Path | None, typer.Option("--queries", help="Query embeddings; the same kinds of files.")
]
Column = Annotated[
    str | None,
    typer.Option(
        "--column", help="Column (.parquet), array (.npz) or key (.jsonl) of the embeddings."
    ),
]
Qrels = Annotated[
    Path | None,
    typer.Option(help="Judgements of the queries: tab-separated query-id, corpus-id, score."),
]
Ids = Annotated[
    Path | None, typer.Option(help='JSON {"corpus": [...], "queries": [...]}: ids in row order.')
]
CodeFile = Annotated[Path, typer.Option("--output", "-o", help="The .safetensors to write.")]
Bits = Annotated[int, typer.Option(help="Length of the whole code, a multiple of 8.")]
Method = Annotated[
    Literal["auto", "sign", "centred", "rotation", "itq", "progressive", "additive", "learned"],
    typer.Option(help="auto: try them, keep the best."),
]
Metric = Annotated[binarizer.Metric, typer.Option(help="How the vectors are compared.")]
Seed = Annotated[int, typer.Option(min=0, help="Of every random choice.")]
K = Annotated[int, typer.Option("-k", min=1, help="Results of a query.")]
Candidates = Annotated[int, typer.Option(min=1, help="Rows of the first stage, by Hamming.")]
TargetRecall = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        callback=lambda share: check_share(share, "--target-recall"),
        help="Of the exact first k, that a search has to find.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No tables, no progress.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]

Dsn = Annotated[
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
