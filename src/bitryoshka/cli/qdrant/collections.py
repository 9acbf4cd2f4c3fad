"""``bitryoshka qdrant``: collections on a server with ``--url``, else in process."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer

from bitryoshka.binarizer import Binarizer
from bitryoshka.cli import options
from bitryoshka.cli.options import example, numbers
from bitryoshka.cli.output import echo, print_json, show_facts, show_progress
from bitryoshka.cli.qdrant.choosing import choosing
from bitryoshka.cli.qdrant.opening import (
    BatchOption,
    KeyOption,
    NameArgument,
    ParallelOption,
    ShardKeysOption,
    UrlOption,
    client_of,
    opened,
    settled,
    source_of,
)
from bitryoshka.cli.qdrant.points import points
from bitryoshka.errors import CollectionError

VectorOption = Annotated[
    str, typer.Option("--vector", help="Name of the vectors that the binarizer was fitted to.")
]
FromShardOption = Annotated[
    bool, typer.Option("--from-shard", help="What is copied is a directory, though on a server.")
]
QuantizationOption = Annotated[
    Literal["binary", "code", "turbo1", "turbo1_5", "turbo2", "turbo4", "turbo8"] | None,
    typer.Option(
        help="code: all bits, as additive codes need; of progressive codes also binary: the sign "
        "bits, their default, and turbo...: the projection."
    ),
]
EncodingOption = Annotated[
    Literal["binary", "scalar4bits", "scalar8bits"], typer.Option(help="Of queries.")
]

qdrant = typer.Typer(name="qdrant", help="Codes in Qdrant.", no_args_is_help=True)


@qdrant.command(
    "create", epilog=example("qdrant create articles docs.safetensors --url http://127.0.0.1:6333")
)
def _create(
    name: NameArgument,
    binarizer: options.Binarizer,
    keep_vectors: Annotated[bool, typer.Option(help="Keep the vectors too, for rescoring.")] = True,
    prefixes: Annotated[str, typer.Option(help="Lengths for a first stage, as 64,128.")] = "",
    quantization: QuantizationOption = None,
    query_encoding: EncodingOption = "scalar8bits",
    on_disk: Annotated[bool, typer.Option(help="Keep the floats on disk.")] = True,
    shards: Annotated[int | None, typer.Option(min=1, help="Qdrant's shard_number.")] = None,
    replicas: Annotated[int | None, typer.Option(min=1, help="replication_factor.")] = None,
    write_consistency: Annotated[
        int | None, typer.Option(min=1, help="write_consistency_factor.")
    ] = None,
    sharding_method: Annotated[
        Literal["auto", "custom"] | None, typer.Option(help="custom: for shard keys.")
    ] = None,
    shard_key: ShardKeysOption = None,
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

    if shard_key and not url:
        raise CollectionError("shard keys need a server: give --url")
    if like:
        with source_of(like, from_shard, url, api_key) as source:
            given = source.config()
    config = collection_config(
        Binarizer.load(binarizer),
        keep_vectors=keep_vectors,
        prefixes=numbers(prefixes),
        quantization=quantization,
        query_encoding=query_encoding,
        on_disk=on_disk,
        shards=shards,
        replicas=replicas,
        write_consistency=write_consistency,
        sharding_method=sharding_method,
        like=given if like else None,
        vector=vector,
        drop=drop or (),
    )
    if dry_run:
        print_json(body(config))
        return
    if url:
        with client_of(url, api_key) as client:
            create_collection(client, name, config, shard_keys=shard_key or ())
    else:
        from bitryoshka.qdrant.edge import create_shard

        create_shard(name, config)
    echo(f"{name} is there")


@qdrant.command(
    "add",
    epilog=example(
        "qdrant add articles docs.safetensors --vector text --url http://127.0.0.1:6333"
    ),
)
def _add(
    name: NameArgument,
    binarizer: options.Binarizer,
    vector: VectorOption,
    quantization: QuantizationOption = None,
    query_encoding: EncodingOption = "scalar8bits",
    renew: Annotated[
        bool, typer.Option("--renew", help="Also mend the codes of vectors that changed since.")
    ] = False,
    batch_rows: BatchOption = 500,
    url: UrlOption = "",
    api_key: KeyOption = None,
    quiet: options.Quiet = False,
) -> None:
    """Add codes to a server's collection, in place.

    It may be in use. The server must be 1.18 or newer.
    """
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


@qdrant.command(
    "move",
    epilog=example(
        "qdrant move articles articles_codes docs.safetensors --vector text --parallel 4"
    ),
)
def _move(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="What to copy from.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A collection of create --like.")],
    binarizer: options.Binarizer,
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
    parallel: ParallelOption = 1,
    batch_rows: BatchOption = 500,
    url: UrlOption = "",
    api_key: KeyOption = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Copy a collection or shard into one with codes.

    The copy is checked, and the exit code is 1 where it is bad. What the target cannot be given is
    told, and nothing is written, unless --drop names it. Run again, it goes on after a kill, and
    brings over what was added or changed since.
    """
    from bitryoshka.qdrant import move, verify_move

    common: dict[str, Any] = {
        "drop": drop or (),
        "batch_rows": batch_rows,
        "parallel": parallel,
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
        show_facts(moved._asdict() | asdict(checked) | {"good": checked.good}, as_json)
    if not checked.good:
        raise typer.Exit(1)


@qdrant.command(
    "alias", epilog=example("qdrant alias live articles_codes --url http://127.0.0.1:6333")
)
def _alias(
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The name that searches use.")],
    name: NameArgument,
    url: UrlOption = "",
    api_key: KeyOption = None,
) -> None:
    """Let an alias mean another collection, at once.

    Its old meaning is printed.
    """
    from bitryoshka.qdrant import point_alias

    if not url:
        raise CollectionError("aliases need a server: give --url")
    with client_of(url, api_key) as client:
        before = point_alias(client, alias, name)
    echo(f"{alias} means {name} now, and meant {before or 'nothing'}")


qdrant.add_typer(points)
qdrant.add_typer(choosing)
