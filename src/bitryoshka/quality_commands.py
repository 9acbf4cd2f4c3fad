"""The commands for looking before and after a switch: report, check."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from bitryoshka import sources
from bitryoshka.atomic_file import check_output
from bitryoshka.binarizer import Binarizer
from bitryoshka.command_output import JsonOption, print_json
from bitryoshka.drift import SAMPLE, check, recalibrate
from bitryoshka.sources import Sampled
from bitryoshka.vector_files import read_vectors

quality = typer.Typer()

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
ColumnOption = Annotated[
    str | None, typer.Option(help="Column, array or key of a file that holds the embeddings.")
]


def sample_of(
    vectors: Path | None,
    from_postgres: tuple[str, str, str] | None,
    from_qdrant: tuple[str, str] | None,
    column: str | None,
    limit: int,
    seed: int,
) -> Sampled:
    """Random vectors of the one source that was named."""
    if sum(source is not None for source in (vectors, from_postgres, from_qdrant)) != 1:
        raise ValueError("expected one of VECTORS, --from-postgres and --from-qdrant")
    if from_postgres is not None:
        return sources.from_postgres(*from_postgres, limit, seed)
    if from_qdrant is not None:
        return sources.from_qdrant(*from_qdrant, limit)
    assert vectors is not None  # noqa: S101
    array: NDArray[np.number] = read_vectors(vectors, column)
    rows = len(array)
    if rows > limit:
        picked = np.random.default_rng(seed).choice(rows, limit, replace=False)
        array = array[np.sort(picked)]
    return Sampled(np.asarray(array, np.float32), rows, vectors.name)


@quality.command("check")
def _check(
    codec: Annotated[Path, typer.Argument(metavar="CODEC", help="A .safetensors file.")],
    vectors: SourceArgument = None,
    from_postgres: PostgresOption = None,
    from_qdrant: QdrantOption = None,
    reference: Annotated[
        Path | None, typer.Option(help="Vectors it was fitted to, if it keeps no statistics.")
    ] = None,
    recalibrated: Annotated[
        Path | None, typer.Option(help="Write the binarizer with moved thresholds here.")
    ] = None,
    column: ColumnOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Say whether new vectors are still like those fitted to; exit code 1 where not."""
    if recalibrated is not None:
        check_output(recalibrated, ".safetensors")
    binarizer = Binarizer.load(codec)
    sample = sample_of(vectors, from_postgres, from_qdrant, column, SAMPLE, seed).vectors
    before = None if reference is None else read_vectors(reference)
    found = check(binarizer, sample, reference=before, seed=seed)
    if recalibrated is not None:
        recalibrate(binarizer, sample, reference=before, seed=seed).save(recalibrated)
    if as_json:
        print_json(asdict(found))
    else:
        typer.echo(found.text())
    if found.advice != "keep":
        raise typer.Exit(1)
