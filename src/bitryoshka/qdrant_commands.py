"""The commands for Qdrant: on a server with ``--url``, otherwise on the engine in process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

from bitryoshka.atomic_file import check_output
from bitryoshka.binarizer import Binarizer, Metric
from bitryoshka.command_output import JsonOption, QuietOption, print_json, show_progress
from bitryoshka.errors import BitsError, CollectionError, VectorsError
from bitryoshka.vector_files import read_vectors

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from bitryoshka.qdrant import Collection
    from bitryoshka.qdrant.hits import Engine

qdrant = typer.Typer(name="qdrant", help="Codes in Qdrant.", no_args_is_help=True)

UrlOption = Annotated[
    str, typer.Option("--url", envvar="BITRYOSHKA_QDRANT_URL", help="The server; none: in process.")
]
KeyOption = Annotated[
    str | None, typer.Option("--api-key", envvar="BITRYOSHKA_QDRANT_API_KEY", help="Of the server.")
]
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The collection; in process: the shard's directory.")
]
BinarizerArgument = Annotated[
    Path, typer.Argument(metavar="BINARIZER", help="A .safetensors file.")
]
VectorsArgument = Annotated[
    Path, typer.Argument(metavar="VECTORS", help="Embeddings: .npy, .npz, .parquet, .jsonl.")
]
ColumnOption = Annotated[str | None, typer.Option("--column", help="Which of the file's columns.")]
VectorOption = Annotated[
    str, typer.Option("--vector", help="Name of the vectors that the binarizer was fitted to.")
]
BatchOption = Annotated[int, typer.Option("--batch-rows", min=1, help="Points in a batch.")]
QuantizationOption = Annotated[
    Literal["binary", "code", "turbo1", "turbo1_5", "turbo2", "turbo4", "turbo8"],
    typer.Option(help="binary: the sign bits; code: all bits; turbo...: of the projection."),
]
EncodingOption = Annotated[
    Literal["binary", "scalar4bits", "scalar8bits"], typer.Option(help="Of queries.")
]


@contextmanager
def _client(url: str, key: str | None) -> Iterator[QdrantClient]:
    from qdrant_client import QdrantClient

    client = QdrantClient(url=url, api_key=key, check_compatibility=False)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _opened(name: str, binarizer: Path, url: str, key: str | None) -> Iterator[Collection[Engine]]:
    loaded = Binarizer.load(binarizer)
    if url:
        from bitryoshka.qdrant import open_collection

        with _client(url, key) as client:
            yield open_collection(client, name, loaded)
    else:
        from bitryoshka.qdrant.edge import open_shard

        with open_shard(name, loaded) as collection:
            yield collection
            collection.engine.optimize()


@contextmanager
def _source(name: str, shard: Path | None, url: str, key: str | None) -> Iterator[Engine]:
    if shard is not None or not url:
        from bitryoshka.qdrant.edge import read_shard

        with read_shard(shard or name) as engine:
            yield engine
    else:
        from bitryoshka.qdrant import Server

        with _client(url, key) as client:
            yield Server(client, name)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        raise BitsError(f"expected numbers such as 64,128, found {text!r}") from None


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        typer.echo(f"{name.replace('_', ' ')}: {value}")


@qdrant.command("create")
def _create(
    name: NameArgument,
    binarizer: BinarizerArgument,
    exact: Annotated[bool, typer.Option(help="Keep the vectors too, for rescoring.")] = True,
    prefixes: Annotated[str, typer.Option(help="Lengths for a first stage, as 64,128.")] = "",
    quantization: QuantizationOption = "binary",
    query_encoding: EncodingOption = "scalar8bits",
    on_disk: Annotated[bool, typer.Option(help="Keep the floats on disk.")] = True,
    shards: Annotated[int | None, typer.Option(min=1, help="Qdrant's shard_number.")] = None,
    replicas: Annotated[int | None, typer.Option(min=1, help="replication_factor.")] = None,
    write_consistency: Annotated[
        int | None, typer.Option(min=1, help="write_consistency_factor.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the REST body alone.")] = False,
    url: UrlOption = "",
    api_key: KeyOption = None,
) -> None:
    """Create a collection for a binarizer's codes."""
    from bitryoshka.qdrant import collection_config, create_collection
    from bitryoshka.qdrant.config import body

    config = collection_config(
        Binarizer.load(binarizer),
        exact=exact,
        prefixes=_numbers(prefixes),
        quantization=quantization,
        query_encoding=query_encoding,
        on_disk=on_disk,
        shards=shards,
        replicas=replicas,
        write_consistency=write_consistency,
    )
    if dry_run:
        print_json(body(config))
        return
    if url:
        with _client(url, api_key) as client:
            create_collection(client, name, config)
    else:
        from bitryoshka.qdrant.edge import create_shard

        create_shard(name, config)
    typer.echo(f"{name} is there")


@qdrant.command("upsert")
def _upsert(
    name: NameArgument,
    binarizer: BinarizerArgument,
    vectors: VectorsArgument,
    payloads: Annotated[
        Path | None, typer.Option(help="A .jsonl with one object a row; key id is the point's id.")
    ] = None,
    first_id: Annotated[int, typer.Option(min=0, help="Id of the first row without ids.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Leave out what is there.")] = False,
    parallel: Annotated[int, typer.Option(min=1, help="Batches under way at once.")] = 1,
    batch_rows: BatchOption = 500,
    column: ColumnOption = None,
    url: UrlOption = "",
    api_key: KeyOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write embeddings into a collection; safe to repeat."""
    from bitryoshka.qdrant import upsert

    rows = read_vectors(vectors, column)
    ids: list[Any] = list(range(first_id, first_id + len(rows)))
    objects = None if payloads is None else _objects(payloads, len(rows))
    if objects is not None:
        ids = [o.pop("id", i) for i, o in zip(ids, objects, strict=True)]
    with _opened(name, binarizer, url, api_key) as collection:
        found = upsert(
            collection,
            ids,
            rows,
            objects,
            batch_rows=batch_rows,
            parallel=parallel,
            resume=resume,
            progress=show_progress(quiet),
        )
    if not quiet or as_json:
        _show(found._asdict(), as_json)


def _objects(path: Path, rows: int) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    if len(found) != rows or not all(isinstance(o, dict) for o in found):
        raise VectorsError(
            f"{path}: expected {rows} JSON objects, one a vector, found {len(found)}"
        )
    return found


@qdrant.command("search")
def _search(
    name: NameArgument,
    binarizer: BinarizerArgument,
    queries: VectorsArgument,
    k: Annotated[int, typer.Option("-k", min=1, help="Results of a query.")] = 10,
    rescore: Annotated[
        Literal["none", "projected", "original"], typer.Option(help="By which floats.")
    ] = "none",
    oversampling: Annotated[float, typer.Option(min=1, help="Candidates, times k.")] = 4.0,
    column: ColumnOption = None,
    url: UrlOption = "",
    api_key: KeyOption = None,
) -> None:
    """Search, and print one JSON array of hits a query."""
    from bitryoshka.qdrant import SearchPlan, search

    plan = SearchPlan(k=k, rescore=rescore, oversampling=oversampling)
    with _opened(name, binarizer, url, api_key) as collection:
        asked = np.asarray(read_vectors(queries, column))
        for hits in search(collection, asked, plan, with_payload=True):
            typer.echo(json.dumps([hit._asdict() for hit in hits]))


@qdrant.command("add")
def _add(
    name: NameArgument,
    binarizer: BinarizerArgument,
    vector: VectorOption,
    quantization: QuantizationOption = "binary",
    query_encoding: EncodingOption = "scalar8bits",
    batch_rows: BatchOption = 500,
    url: UrlOption = "",
    api_key: KeyOption = None,
    quiet: QuietOption = False,
) -> None:
    """Add codes to a collection of a server (1.18 or newer), in place and while it is in use."""
    from bitryoshka.qdrant import add_codes

    if not url:
        raise CollectionError("add needs a server: give --url, or use move with a shard")
    with _client(url, api_key) as client:
        add_codes(
            client,
            name,
            Binarizer.load(binarizer),
            vector,
            quantization=quantization,
            query_encoding=query_encoding,
            batch_rows=batch_rows,
            progress=show_progress(quiet),
        )


@qdrant.command("move")
def _move(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="What to copy from.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A collection of create.")],
    binarizer: BinarizerArgument,
    vector: VectorOption = "",
    from_shard: Annotated[
        bool, typer.Option("--from-shard", help="SOURCE is a directory, TARGET on the server.")
    ] = False,
    least_recall: Annotated[float, typer.Option(min=0, max=1, help="Of the check.")] = 0.9,
    batch_rows: BatchOption = 500,
    url: UrlOption = "",
    api_key: KeyOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy a collection or shard into one with codes, and check it; exit code 1 where it is bad."""
    from bitryoshka.qdrant import move, verify_move

    with (
        _source(source, Path(source) if from_shard else None, url, api_key) as given,
        _opened(target, binarizer, url, api_key) as collection,
    ):
        moved = move(
            given, collection, vector, batch_rows=batch_rows, progress=show_progress(quiet)
        )
        checked = verify_move(given, collection, vector, least_recall=least_recall)
    if not quiet or as_json:
        _show(moved._asdict() | asdict(checked) | {"good": checked.good}, as_json)
    if not checked.good:
        raise typer.Exit(1)


@qdrant.command("alias")
def _alias(
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The name that searches use.")],
    name: NameArgument,
    url: UrlOption = "",
    api_key: KeyOption = None,
) -> None:
    """Let an alias mean another collection, at once; its old meaning is printed."""
    from bitryoshka.qdrant import point_alias

    if not url:
        raise CollectionError("aliases need a server: give --url")
    with _client(url, api_key) as client:
        before = point_alias(client, alias, name)
    typer.echo(f"{alias} means {name} now, and meant {before or 'nothing'}")


@qdrant.command("choose")
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
    from bitryoshka.qdrant.budget import choose_for_budget

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
        _show({"file": str(output), **facts, "tried": found.tried}, as_json)


@qdrant.command("compare")
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
    from bitryoshka.qdrant.peers import compare

    report = compare(
        read_vectors(vectors, column),
        None if queries is None else read_vectors(queries, column),
        binarizer=None if binarizer is None else Binarizer.load(binarizer),
        budgets=_numbers(budgets) or None,
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
