"""What the commands for Qdrant share: options, output, and opening a server or a shard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bitryoshka.binarizer import Binarizer
from bitryoshka.command_output import echo, print_json
from bitryoshka.errors import BitsError

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from bitryoshka.qdrant import Collection
    from bitryoshka.qdrant.engine import Engine

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
FromShardOption = Annotated[
    bool, typer.Option("--from-shard", help="What is copied is a directory, though on a server.")
]
BatchOption = Annotated[int, typer.Option("--batch-rows", min=1, help="Points in a batch.")]
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


@contextmanager
def client_of(url: str, key: str | None) -> Iterator[QdrantClient]:
    """A client of the server, closed afterwards."""
    from qdrant_client import QdrantClient

    client = QdrantClient(url=url, api_key=key, check_compatibility=False)
    try:
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

        with open_shard(name, loaded) as collection:
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

        with read_shard(name) as engine:
            yield engine
    else:
        from bitryoshka.qdrant import Server

        with client_of(url, key) as client:
            yield Server(client, name)


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers with commas between them."""
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        raise BitsError(f"expected numbers such as 64,128, found {text!r}") from None


def show(found: dict[str, Any], as_json: bool) -> None:
    """Print facts, one a line, or as JSON."""
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        echo(f"{name.replace('_', ' ')}: {_words(value)}")


def _words(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_words(v)}" for k, v in value.items()) or "none"
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else value
