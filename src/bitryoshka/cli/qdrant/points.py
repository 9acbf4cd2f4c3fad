"""Points of a collection: written, and searched for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from bitryoshka.cli import options
from bitryoshka.cli.options import example
from bitryoshka.cli.output import show_facts, show_progress
from bitryoshka.cli.qdrant.opening import (
    BatchOption,
    KeyOption,
    NameArgument,
    ParallelOption,
    ShardKeysOption,
    UrlOption,
    opened,
)
from bitryoshka.errors import FileFormatError, OptionError, VectorsError
from bitryoshka.search_parameters import CANDIDATES, K
from bitryoshka.vector_files import read_vectors

points = typer.Typer()


@points.command("upsert", epilog=example("qdrant upsert articles docs.safetensors vectors.npy"))
def _upsert(
    name: NameArgument,
    binarizer: options.Binarizer,
    vectors: options.Vectors,
    payloads: Annotated[
        Path | None, typer.Option(help="A .jsonl with one object a row; key id is the point's id.")
    ] = None,
    first_id: Annotated[int, typer.Option(min=0, help="Id of the first row without ids.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Leave out what is there.")] = False,
    parallel: ParallelOption = 1,
    shard_key: ShardKeysOption = None,
    ordering: Annotated[
        Literal["weak", "medium", "strong"] | None, typer.Option(help="Of writes on several nodes.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Until a server has applied each batch.")] = True,
    batch_rows: BatchOption = 500,
    column: options.Column = None,
    url: UrlOption = "",
    api_key: KeyOption = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write embeddings into a collection; safe to repeat."""
    from bitryoshka.qdrant import upsert

    keys: Any = shard_key or None
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
            shard_key_selector=keys,
            ordering=ordering,
            wait=wait,
            progress=show_progress(quiet),
        )
    if not quiet or as_json:
        show_facts(found._asdict(), as_json)


def _objects(path: Path, rows: int) -> list[dict[str, Any]]:
    try:
        found = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise FileFormatError(f"{path}: expected a JSON object a line: {error}") from error
    if len(found) != rows or not all(isinstance(o, dict) for o in found):
        raise VectorsError(
            f"{path}: expected {rows} JSON objects, one a vector, found {len(found)}"
        )
    return found


@points.command(
    "search", epilog=example("qdrant search articles docs.safetensors queries.npy -k 5")
)
def _search(
    name: NameArgument,
    binarizer: options.Binarizer,
    queries: options.Vectors,
    k: options.K = K,
    candidates: options.Candidates = CANDIDATES,
    rescore: Annotated[
        Literal["asymmetric", "exact", "none"] | None,
        typer.Option(help="What ranks the candidates; by default exact where vectors are kept."),
    ] = None,
    condition: Annotated[
        str, typer.Option("--filter", metavar="JSON", help="A filter as Qdrant's REST API has it.")
    ] = "",
    shard_key: ShardKeysOption = None,
    consistency: Annotated[
        str | None, typer.Option(help="Of replicas: their number, majority, quorum or all.")
    ] = None,
    column: options.Column = None,
    url: UrlOption = "",
    api_key: KeyOption = None,
) -> None:
    """Search, and print one JSON array of hits a query."""
    from bitryoshka.qdrant import search

    by: Any = {"none": None, None: "auto"}.get(rescore, rescore)
    where = _filter(condition) if condition else None
    stages: dict[str, Any] = {"candidates": candidates, "rescore": by, "where": where}
    stages["consistency"] = consistency
    if consistency and consistency.isdecimal():
        stages["consistency"] = int(consistency)
    stages["shard_key_selector"] = shard_key or None
    with opened(name, binarizer, url, api_key) as collection:
        asked = np.asarray(read_vectors(queries, column))
        for hits in search(collection, asked, k, with_payload=True, **stages):
            typer.echo(json.dumps([hit._asdict() for hit in hits]))


def _filter(text: str) -> Any:
    """A `models.Filter`."""
    from pydantic import ValidationError
    from qdrant_client import models

    try:
        return models.Filter.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise OptionError(
            "--filter must be a filter of Qdrant as JSON, such as "
            '{"must": [{"key": "year", "match": {"value": 2020}}]}, '
            f"found {text!r}: {place + ': ' if place else ''}{first['msg']}"
        ) from error
