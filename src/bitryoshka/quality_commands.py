"""The commands for looking before and after a switch: report, check."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from bitryoshka import sources
from bitryoshka.atomic_file import check_output, replacing
from bitryoshka.binarizer import Binarizer
from bitryoshka.command_output import JsonOption, QuietOption, echo, print_json, show_progress
from bitryoshka.drift import SAMPLE, check_drift, recalibrate
from bitryoshka.errors import FileFormatError
from bitryoshka.evaluation import read_judgements
from bitryoshka.sources import Sampled
from bitryoshka.vector_files import read_vectors, unzipped
from bitryoshka.vectors import check_values, renumbered

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
    metric: str,
) -> Sampled:
    """Random vectors of the one source that was named; VectorsError names one that is unusable."""
    taken = _sample(vectors, from_postgres, from_qdrant, column, limit, seed)
    with renumbered(taken.numbers, taken.word):
        check_values(taken.vectors, metric, taken.place)
    return taken


def _sample(
    vectors: Path | None,
    from_postgres: tuple[str, str, str] | None,
    from_qdrant: tuple[str, str] | None,
    column: str | None,
    limit: int,
    seed: int,
) -> Sampled:
    if sum(source is not None for source in (vectors, from_postgres, from_qdrant)) != 1:
        raise ValueError("expected one of VECTORS, --from-postgres and --from-qdrant")
    if from_postgres is not None:
        return sources.from_postgres(*from_postgres, limit, seed)
    if from_qdrant is not None:
        return sources.from_qdrant(*from_qdrant, limit)
    assert vectors is not None  # noqa: S101
    array: NDArray[np.number] = read_vectors(vectors, column)
    rows = len(array)
    picked = np.arange(rows)
    if rows > limit:
        picked = np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))
        array = array[picked]
    return Sampled(array, rows, vectors.name, "row", picked)


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
    sample = sample_of(vectors, from_postgres, from_qdrant, column, SAMPLE, seed, binarizer.metric)
    before = None if reference is None else read_vectors(reference)
    found = check_drift(binarizer, sample.vectors, reference=before, seed=seed)
    if recalibrated is not None:
        moved = recalibrate(binarizer, sample.vectors, reference=before, seed=seed)
        moved.save(recalibrated)
    if as_json:
        print_json(asdict(found))
    else:
        echo(found.text())
    if found.advice != "keep":
        raise typer.Exit(1)


@quality.command("report")
def _report(
    vectors: SourceArgument = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Name of the .html; .md and .json beside it.")
    ] = Path("report.html"),
    queries: Annotated[Path | None, typer.Option(help="Query embeddings, to judge by.")] = None,
    qrels: Annotated[Path | None, typer.Option(help="Judgements, as for evaluate.")] = None,
    ids: Annotated[Path | None, typer.Option(help="Ids in row order, as for evaluate.")] = None,
    target_recall: Annotated[float, typer.Option(help="What a search must find.")] = 0.98,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Rows to plan for; by default those there are.")
    ] = None,
    bits: Annotated[int, typer.Option(help="Length of the whole code.")] = 384,
    method: Annotated[str, typer.Option(help="How to fit: auto, or a method of fit.")] = "auto",
    sample: Annotated[int, typer.Option(min=100, help="Most rows that are looked at.")] = 20_000,
    from_postgres: PostgresOption = None,
    from_qdrant: QdrantOption = None,
    texts: Annotated[Path | None, typer.Option(help="Texts of the rows: .txt or .jsonl.")] = None,
    query_texts: Annotated[Path | None, typer.Option(help="Texts of the queries.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write the fitted binarizer too.")] = None,
    column: ColumnOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say whether to switch to codes, by measuring them on your vectors."""
    from bitryoshka.report import find, to_html, to_markdown

    if (qrels is not None or query_texts is not None) and queries is None:
        raise ValueError("--qrels and --query-texts need --queries")
    check_output(output, ".html", vectors, queries)
    if save is not None:
        check_output(save, ".safetensors")
    taken = sample_of(vectors, from_postgres, from_qdrant, column, sample, seed, "cosine")
    if (qrels is not None or texts is not None) and len(taken.vectors) != taken.rows:
        raise ValueError(
            f"--qrels and --texts need all rows: --sample must be at least {taken.rows}"
        )
    asked = None if queries is None else read_vectors(queries, column)
    judgements = None
    if qrels is not None and asked is not None:
        judgements = read_judgements(qrels, ids, len(asked), len(taken.vectors))
    found, fitted = find(
        taken.vectors,
        asked,
        judgements,
        bits=bits,
        target_recall=target_recall,
        rows=taken.rows if rows is None else rows,
        method=method,
        source=taken.place,
        texts=taken.names if texts is None else read_texts(texts),
        query_texts=None if query_texts is None else read_texts(query_texts),
        seed=seed,
        progress=show_progress(quiet),
    )
    content = json.dumps(found.as_dict(), indent=2, allow_nan=False) + "\n"
    for suffix, text in (
        (".html", to_html(found)),
        (".md", to_markdown(found)),
        (".json", content),
    ):
        with replacing(output.with_suffix(suffix)) as file:
            file.write(text.encode())
    if save is not None:
        fitted.binarizer.save(save)
    if as_json:
        print_json(found.as_dict())
    elif not quiet:
        advice = found.advice
        written = f"wrote {output}", f"next: {advice.next_command}"
        echo("\n".join((advice.headline, *advice.reasons, *written)))


def read_texts(path: Path) -> list[str]:
    """One text a line (.txt), or objects with ``text`` and perhaps ``title`` (.jsonl, .gz)."""
    try:
        content = unzipped(path) if path.suffix == ".gz" else path.read_bytes()
        text = content.decode()
        lines = text.removesuffix("\n").split("\n")
        if path.suffix == ".txt":
            return lines
        entries = [json.loads(line) for line in lines if line.strip()]
        return [" ".join(filter(None, (e.get("title"), e["text"]))) for e in entries]
    except (FileFormatError, FileNotFoundError):
        raise
    except (OSError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise FileFormatError(f"{path} holds no texts: {error!r}") from error
