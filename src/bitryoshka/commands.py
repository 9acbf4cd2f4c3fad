"""The commands: fit, encode, evaluate, inspect, demo; the databases' have modules of their own."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from bitryoshka import tables
from bitryoshka.atomic_file import check_output, replacing
from bitryoshka.binarizer import Binarizer, Metric
from bitryoshka.binarizer_file import format_version
from bitryoshka.command_output import JsonOption, QuietOption, echo, print_json, show_progress
from bitryoshka.database_commands import database
from bitryoshka.demo.defaults import LIMIT, MODEL
from bitryoshka.errors import BitsError, VectorsError
from bitryoshka.evaluation import evaluate, read_judgements
from bitryoshka.progress import progress_bar
from bitryoshka.qdrant_commands import qdrant
from bitryoshka.quality_commands import quality
from bitryoshka.training import fit
from bitryoshka.vector_files import read_vectors
from bitryoshka.vectors import renumbered

Method = Literal["auto", "sign", "centred", "rotation", "itq", "progressive", "additive", "learned"]

ENCODE_ROWS = 32_768

app = typer.Typer(
    name="bitryoshka",
    help="Learned, nested binary codes for embedding vectors.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(database)
app.add_typer(qdrant)
app.add_typer(quality)

VectorsArgument = Annotated[
    Path,
    typer.Argument(metavar="VECTORS", help="Embeddings: .npy, .npz, .parquet, .jsonl, .jsonl.gz."),
]
BinarizerArgument = Annotated[
    Path, typer.Argument(metavar="BINARIZER", help="A .safetensors file made by fit.")
]
QueriesOption = Annotated[
    Path | None, typer.Option("--queries", help="Query embeddings; the same kinds of files.")
]
ColumnOption = Annotated[
    str | None,
    typer.Option(
        "--column",
        "--array",
        help="Column (.parquet), array (.npz) or key (.jsonl) that holds the embeddings.",
    ),
]


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


@app.command("fit")
def _fit(
    vectors: VectorsArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .safetensors to write.")],
    queries: QueriesOption = None,
    bits: Annotated[int, typer.Option(help="Length of the whole code, a multiple of 8.")] = 384,
    hamming_bits: Annotated[
        int | None, typer.Option(help="Number of Hamming bits; by default several are tried.")
    ] = None,
    nested_bits: Annotated[
        str | None, typer.Option(help="Lengths to cut the code at, such as 64,128,256.")
    ] = None,
    method: Annotated[Method, typer.Option(help="auto: try them, keep the best.")] = "auto",
    metric: Annotated[Metric, typer.Option(help="How the vectors are compared.")] = "cosine",
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
    column: ColumnOption = None,
    source_model: Annotated[
        str | None, typer.Option(help="Name of the embedding model, kept in the file.")
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fit a binarizer to embeddings and write it to a file."""
    lengths = None if nested_bits is None else _lengths(nested_bits)
    check_output(output, ".safetensors", vectors, queries)
    result = fit(
        read_vectors(vectors, column),
        None if queries is None else _read_queries(queries, column),
        bits=bits,
        nested_bits=lengths,
        method=method,
        seed=seed,
        progress=show_progress(quiet),
        hamming_bits=hamming_bits,
        metric=metric,
        source_model=source_model,
    )
    result.binarizer.save(output)
    comparison = result.comparison.as_dict()
    if as_json:
        print_json(_inspection(output, result.binarizer) | {"comparison": comparison})
    elif not quiet:
        tables.show_candidates(comparison)
        tables.show_lengths(comparison["candidates"][result.comparison.chosen])
        echo(f"wrote {output}")


@app.command("encode")
def _encode(
    binarizer: BinarizerArgument,
    vectors: VectorsArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .npy of codes to write.")],
    bits: Annotated[
        int | None, typer.Option(help="One of the binarizer's lengths; by default the whole code.")
    ] = None,
    column: ColumnOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the codes of embeddings as a .npy of bytes, (rows, bits / 8), high bit first."""
    check_output(output, ".npy", binarizer, vectors)
    loaded, array = Binarizer.load(binarizer), read_vectors(vectors, column)
    length = loaded.bits if bits is None else bits
    _write_codes(output, loaded, array, length, str(vectors), show_progress(quiet))
    if as_json:
        print_json(
            {
                "file": str(output),
                "rows": len(array),
                "bits": length,
                "bytes_per_vector": length // 8,
                "fingerprint": loaded.fingerprint,
            }
        )
    elif not quiet:
        echo(f"wrote {output}: {len(array)} codes of {length} bits")


def _write_codes(
    output: Path, b: Binarizer, vectors: NDArray[np.number], bits: int, name: str, progress: bool
) -> None:
    """Written, not memory-mapped: a full disk is an error then, and not a killed process."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(vectors), bits // 8)}
    with replacing(output) as file, progress_bar(len(vectors), "encode", progress, "rows") as step:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(vectors), ENCODE_ROWS):
            block = vectors[start : start + ENCODE_ROWS]
            try:
                with renumbered(range(start, start + len(block))):
                    file.write(b.encode(block, bits).tobytes())
            except VectorsError as error:
                raise VectorsError(f"{name}: {error}", error.row) from error
            step(by=len(block))


@app.command("evaluate")
def _evaluate(
    binarizer: BinarizerArgument,
    vectors: VectorsArgument,
    queries: QueriesOption = None,
    qrels: Annotated[
        Path | None,
        typer.Option(help="Judgements of the queries: tab-separated query-id, corpus-id, score."),
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option(help='JSON {"corpus": [...], "queries": [...]}: ids in row order.'),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many rows to find.")] = 10,
    candidates: Annotated[
        int, typer.Option(min=1, help="Rows that the funnel's Hamming stage hands on.")
    ] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of held-out rows.")] = 0,
    column: ColumnOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare searches on codes with exact float search, beside plain sign bits."""
    if qrels is not None and queries is None:
        raise ValueError("--qrels needs --queries: held-out rows have no judgements")
    if ids is not None and qrels is None:
        raise ValueError("--ids needs --qrels")
    loaded, array = Binarizer.load(binarizer), read_vectors(vectors, column)
    asked = None if queries is None else _read_queries(queries, column)
    judgements = None
    if qrels is not None and asked is not None:
        judgements = read_judgements(qrels, ids, len(asked), len(array))
    found = evaluate(loaded, array, asked, judgements, k=k, candidates=candidates, seed=seed)
    if as_json:
        print_json({"fingerprint": loaded.fingerprint} | found.as_dict())
    else:
        tables.show_evaluation(found)


@app.command("inspect")
def _inspect(binarizer: BinarizerArgument, as_json: JsonOption = False) -> None:
    """Show what is in a binarizer file."""
    found = _inspection(binarizer, Binarizer.load(binarizer))
    if as_json:
        print_json(found)
        return
    tables.show_inspection(found)
    # info is free: other programs may have written anything there
    with suppress(AttributeError, KeyError, TypeError, ValueError):
        tables.show_lengths(found["info"]["held_out"])


@app.command("demo")
def _demo(
    model: Annotated[str, typer.Option(help="A sentence-transformers model.")] = MODEL,
    out: Annotated[Path, typer.Option(help="Folder for what the demo makes.")] = Path("demo-out"),
    limit: Annotated[int, typer.Option(min=1, help="Most docstrings to embed.")] = LIMIT,
    bits: Annotated[int, typer.Option(help="Length of the whole code.")] = 384,
    dsn: Annotated[
        str | None, typer.Option(help="A Postgres server; by default one is started here.")
    ] = None,
    shard: Annotated[
        bool, typer.Option("--shard", help="Fill a Qdrant shard too, in the folder's qdrant.")
    ] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Embed anew.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the whole job on real text: embed, fit, load into Postgres, search."""
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


def _inspection(path: Path, b: Binarizer) -> dict[str, Any]:
    float_bytes = 4 * b.dimensions
    return {
        "file": str(path),
        "file_bytes": path.stat().st_size,
        "format_version": format_version(b),
        "fingerprint": b.fingerprint,
        "metric": b.metric,
        "dimensions": b.dimensions,
        "bits": b.bits,
        "hamming_bits": b.hamming_bits,
        "nested_bits": list(b.nested_bits),
        **_encoder(b),
        "bytes_per_vector": b.bits // 8,
        "float32_bytes_per_vector": float_bytes,
        "times_smaller": round(float_bytes / (b.bits // 8), 2),
        "info": dict(b.info),
    }


def _encoder(b: Binarizer) -> dict[str, Any]:
    """What finds the bits."""
    if b.additive is None:
        return {"encoder": "progressive", "bits_per_plane": np.bincount(b.bit_plane).tolist()}
    return {
        "encoder": "additive",
        "searched_lengths": list(b.additive.lengths),
        "sweeps": b.additive.sweeps,
        "restarts": len(b.additive.flips),
    }


def _lengths(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise BitsError(
            f"--nested-bits must be numbers separated by commas, found {text!r}"
        ) from None


def _read_queries(path: Path, column: str | None) -> NDArray[np.number]:
    """A .npy has no columns, so the column's name is for the other file."""
    return read_vectors(path, None if path.suffix.lower() == ".npy" else column)
