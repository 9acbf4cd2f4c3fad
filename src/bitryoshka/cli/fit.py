"""The commands for a binarizer's file: fit, encode, inspect."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bitryoshka.atomic_file import check_output, replacing
from bitryoshka.binarizer import Binarizer
from bitryoshka.binarizer_file import format_version
from bitryoshka.cli import options, tables
from bitryoshka.cli.options import example, numbers
from bitryoshka.cli.output import echo, print_json, show_progress
from bitryoshka.cli.sample import named, read_beside, sample_of
from bitryoshka.limits import MAX_COUNT
from bitryoshka.progress import progress_bar
from bitryoshka.training import fit
from bitryoshka.training.fitting import SAMPLE_ROWS
from bitryoshka.vector_files import read_vectors
from bitryoshka.vectors import renumbered

ENCODE_ROWS = 32_768

fitting = typer.Typer()


@fitting.command("fit", epilog=example("fit vectors.npy -o docs.safetensors --bits 192"))
def _fit(
    output: options.CodeFile,
    vectors: options.Source = None,
    from_postgres: options.FromPostgres = None,
    from_qdrant: options.FromQdrant = None,
    queries: options.Queries = None,
    bits: options.Bits = 384,
    hamming_bits: Annotated[
        int | None,
        typer.Option(
            help="Number of Hamming bits; by default several are tried, up to one a dimension. As "
            "many as bits make the lists of an index short."
        ),
    ] = None,
    nested_bits: Annotated[
        str | None, typer.Option(help="Lengths to cut the code at, such as 64,128,256.")
    ] = None,
    method: options.Method = "auto",
    metric: options.Metric = "cosine",
    seed: options.Seed = 0,
    column: options.Column = None,
    source_model: Annotated[
        str | None, typer.Option(help="Name of the embedding model, kept in the file.")
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Fit a binarizer to embeddings, and write it to a file."""
    lengths = numbers(nested_bits) or None
    check_output(output, ".safetensors", vectors, queries)
    # of a file's rows the fit itself takes a sample
    limit = SAMPLE_ROWS if vectors is None else MAX_COUNT
    taken = sample_of(vectors, from_postgres, from_qdrant, column, limit, seed)
    if vectors is None:
        taken.check(metric)
    result = fit(
        taken.vectors,
        read_beside(queries, column),
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


@fitting.command("encode", epilog=example("encode docs.safetensors vectors.npy -o codes.npy"))
def _encode(
    binarizer: options.Binarizer,
    vectors: options.Vectors,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The .npy or .parquet of codes to write.")
    ],
    bits: Annotated[
        int | None, typer.Option(help="One of the binarizer's lengths; by default the whole code.")
    ] = None,
    column: options.Column = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write the codes of embeddings, as a .npy or a .parquet.

    A .npy holds bytes (rows, bits / 8), and the first bit of a code is the high bit of its
    first byte. A .parquet has the same bytes in its column code, and says whose codes they are;
    from a .parquet it takes all other columns too, without the embeddings and batch by batch, from
    other files it has the number of a row as its id.
    """
    check_output(output, (".npy", ".parquet"), binarizer, vectors)
    loaded = Binarizer.load(binarizer)
    if bits is not None and bits != loaded.bits:
        loaded = loaded.truncate(bits)
    if output.suffix.lower() == ".npy":
        rows = _write_codes(output, loaded, vectors, column, show_progress(quiet))
    else:
        from bitryoshka.cli.parquet import write_codes

        rows = write_codes(output, loaded, vectors, column, show_progress(quiet))
    if as_json:
        print_json(
            {
                "file": str(output),
                "rows": rows,
                "bits": loaded.bits,
                "bytes_per_vector": loaded.bits // 8,
                "fingerprint": loaded.fingerprint,
            }
        )
    elif not quiet:
        echo(f"wrote {output}: {rows} codes of {loaded.bits} bits")


def _write_codes(
    output: Path, b: Binarizer, vectors: Path, column: str | None, progress: bool
) -> int:
    """Written, not memory-mapped: a full disk is an error then, and not a killed process."""
    array = read_vectors(vectors, column)
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(array), b.bits // 8)}
    with replacing(output) as file, progress_bar(len(array), "encode", progress, "rows") as step:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(array), ENCODE_ROWS):
            block = array[start : start + ENCODE_ROWS]
            with named(vectors), renumbered(range(start, start + len(block))):
                file.write(b.encode(block).tobytes())
            step(by=len(block))
    return len(array)


@fitting.command("inspect", epilog=example("inspect docs.safetensors"))
def _inspect(binarizer: options.Binarizer, as_json: options.Json = False) -> None:
    """Show what is in a binarizer's file; with --json all of it."""
    found = _inspection(binarizer, Binarizer.load(binarizer))
    if as_json:
        print_json(found)
        return
    tables.show_inspection(found)
    # info is free: other programs may have written anything there
    with suppress(AttributeError, KeyError, TypeError, ValueError):
        tables.show_lengths(found["info"]["held_out"])


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
