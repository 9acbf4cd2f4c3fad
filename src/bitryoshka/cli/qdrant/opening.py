"""How commands name what they open: a server's collection or a shard.

After Ctrl-C the same command goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitryoshka.binarizer import Binarizer
from bitryoshka.cli.interrupts import resumable

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from bitryoshka.qdrant import Collection
    from bitryoshka.qdrant.engine import Engine

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The collection; in process: the shard's directory.")
]
ShardKeysOption = Annotated[
    list[str] | None,
    typer.Option("--shard-key", metavar="KEY", help="Of a server's collection; can be repeated."),
]
ParallelOption = Annotated[int, typer.Option(min=1, help="Threads, each with a part of its own.")]
BatchOption = Annotated[int, typer.Option("--batch-rows", min=1, help="Points in a batch.")]
UrlOption = Annotated[
    str, typer.Option("--url", envvar="BITRYOSHKA_QDRANT_URL", help="The server; none: in process.")
]
KeyOption = Annotated[
    str | None, typer.Option("--api-key", envvar="BITRYOSHKA_QDRANT_API_KEY", help="Of the server.")
]


@contextmanager
def client_of(url: str, key: str | None) -> Iterator[QdrantClient]:
    """A client of the server, closed afterwards."""
    from qdrant_client import QdrantClient

    client = QdrantClient(url=url, api_key=key, check_compatibility=False)
    try:
        with resumable():
            yield client
    finally:
        client.close()


@contextmanager
def opened(name: str, binarizer: Path, url: str, key: str | None) -> Iterator[Collection[Engine]]:
    """The collection of a server, or the shard in that directory, optimized afterwards."""
    loaded = Binarizer.load(binarizer)
    if url:
        from bitryoshka.qdrant import open_collection

        with client_of(url, key) as client:
            yield open_collection(client, name, loaded)
    else:
        from bitryoshka.qdrant.edge import open_shard

        with open_shard(name, loaded) as collection, resumable():
            yield collection
            collection.engine.optimize()


def settled(collection: Collection[Engine]) -> None:
    """Quantize and index what was written to a shard; a server does it in the background."""
    if hasattr(collection.engine, "optimize"):
        collection.engine.optimize()


@contextmanager
def source_of(name: str, from_shard: bool, url: str, key: str | None) -> Iterator[Engine]:
    """A server's collection or a shard, to be read."""
    if from_shard or not url:
        from bitryoshka.qdrant.edge import read_shard

        with read_shard(name) as engine, resumable():
            yield engine
    else:
        from bitryoshka.qdrant import Server

        with client_of(url, key) as client:
            yield Server(client, name)
