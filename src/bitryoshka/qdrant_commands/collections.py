"""Create, fill, search and move collections: on a server with ``--url``, else in process."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from bitryoshka.binarizer import Binarizer
from bitryoshka.command_output import JsonOption, QuietOption, echo, print_json, show_progress
from bitryoshka.errors import CollectionError, VectorsError
from bitryoshka.qdrant_commands.options import (
    BatchOption,
    BinarizerArgument,
    ColumnOption,
    EncodingOption,
    FromShardOption,
    KeyOption,
    NameArgument,
    QuantizationOption,
    UrlOption,
    VectorOption,
    VectorsArgument,
    client_of,
    numbers,
    opened,
    settled,
    show,
    source_of,
)
from bitryoshka.vector_files import read_vectors

collections = typer.Typer()


@collections.command("create")
def _create(
    name: NameArgument,
    binarizer: BinarizerArgument,
    exact: Annotated[bool, typer.Option(help="Keep the vectors too, for rescoring.")] = True,
    prefixes: Annotated[str, typer.Option(help="Lengths for a first stage, as 64,128.")] = "",
    quantization: QuantizationOption = None,
    query_encoding: EncodingOption = "scalar8bits",
    on_disk: Annotated[bool, typer.Option(help="Keep the floats on disk.")] = True,
    shards: Annotated[int | None, typer.Option(min=1, help="Qdrant's shard_number.")] = None,
    replicas: Annotated[int | None, typer.Option(min=1, help="replication_factor.")] = None,
    write_consistency: Annotated[
        int | None, typer.Option(min=1, help="write_consistency_factor.")
    ] = None,
    like: Annotated[
        str,
        typer.Option(help="Take over the other vectors and all settings of this one, for move."),
    ] = "",
    vector: VectorOption = "",
    drop: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Not taken over; can be repeated.")
    ] = None,
    from_shard: FromShardOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the REST body alone.")] = False,
    url: UrlOption = "",
    api_key: KeyOption = None,
) -> None:
    """Create a collection for a binarizer's codes."""
    from bitryoshka.qdrant import collection_config, create_collection
    from bitryoshka.qdrant.config import body

    if like:
        with source_of(like, from_shard, url, api_key) as source:
            given = source.config()
    config = collection_config(
        Binarizer.load(binarizer),
        keep_vectors=exact,
        prefixes=numbers(prefixes),
        quantization=quantization,
        query_encoding=query_encoding,
        on_disk=on_disk,
        shards=shards,
        replicas=replicas,
        write_consistency=write_consistency,
        like=given if like else None,
        vector=vector,
        drop=drop or (),
    )
    if dry_run:
        print_json(body(config))
        return
    if url:
        with client_of(url, api_key) as client:
            create_collection(client, name, config)
    else:
        from bitryoshka.qdrant.edge import create_shard

        create_shard(name, config)
    echo(f"{name} is there")


@collections.command("upsert")
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
    with opened(name, binarizer, url, api_key) as collection:
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
        show(found._asdict(), as_json)


def _objects(path: Path, rows: int) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    if len(found) != rows or not all(isinstance(o, dict) for o in found):
        raise VectorsError(
            f"{path}: expected {rows} JSON objects, one a vector, found {len(found)}"
        )
    return found


@collections.command("search")
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
    from bitryoshka.qdrant import search

    by: Any = {"none": None, "projected": "asymmetric", "original": "exact"}[rescore]
    with opened(name, binarizer, url, api_key) as collection:
        asked = np.asarray(read_vectors(queries, column))
        for hits in search(
            collection, asked, k, rescore=by, oversampling=oversampling, with_payload=True
        ):
            typer.echo(json.dumps([hit._asdict() for hit in hits]))


@collections.command("add")
def _add(
    name: NameArgument,
    binarizer: BinarizerArgument,
    vector: VectorOption,
    quantization: QuantizationOption = None,
    query_encoding: EncodingOption = "scalar8bits",
    renew: Annotated[
        bool, typer.Option("--renew", help="Also mend the codes of vectors that changed since.")
    ] = False,
    batch_rows: BatchOption = 500,
    url: UrlOption = "",
    api_key: KeyOption = None,
    quiet: QuietOption = False,
) -> None:
    """Add codes to a collection of a server (1.18 or newer), in place and while it is in use."""
    from bitryoshka.qdrant import add_codes

    if not url:
        raise CollectionError("add needs a server: give --url, or use move with a shard")
    with client_of(url, api_key) as client:
        add_codes(
            client,
            name,
            Binarizer.load(binarizer),
            vector,
            quantization=quantization,
            query_encoding=query_encoding,
            renew=renew,
            batch_rows=batch_rows,
            progress=show_progress(quiet),
        )


@collections.command("move")
def _move(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="What to copy from.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A collection of create --like.")],
    binarizer: BinarizerArgument,
    vector: VectorOption = "",
    drop: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A vector, index or so to leave out; can be repeated."),
    ] = None,
    delete_extra: Annotated[
        bool, typer.Option("--delete-extra", help="Delete points of TARGET that SOURCE has not.")
    ] = False,
    from_shard: FromShardOption = False,
    least_recall: Annotated[float, typer.Option(min=0, max=1, help="Of the check.")] = 0.9,
    batch_rows: BatchOption = 500,
    url: UrlOption = "",
    api_key: KeyOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy a collection or shard into one with codes, and check it; exit code 1 where it is bad.

    What the target cannot be given is told, and nothing is written, unless --drop names it. Run
    again, it goes on after a kill, and brings over what was added or changed since.
    """
    from bitryoshka.qdrant import move, verify_move

    common: dict[str, Any] = {
        "drop": drop or (),
        "batch_rows": batch_rows,
        "progress": show_progress(quiet),
    }
    with (
        source_of(source, from_shard, url, api_key) as given,
        opened(target, binarizer, url, api_key) as collection,
    ):
        moved = move(given, collection, vector, delete_extra=delete_extra, **common)
        settled(collection)
        checked = verify_move(given, collection, vector, least_recall=least_recall, **common)
    if not quiet or as_json:
        show(moved._asdict() | asdict(checked) | {"good": checked.good}, as_json)
    if not checked.good:
        raise typer.Exit(1)


@collections.command("alias")
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
    with client_of(url, api_key) as client:
        before = point_alias(client, alias, name)
    echo(f"{alias} means {name} now, and meant {before or 'nothing'}")
