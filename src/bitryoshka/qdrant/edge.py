"""The same engine in process: a shard in a directory, its settings in a file beside it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qdrant_client import models

from bitryoshka.atomic_file import replacing
from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import CollectionError, MissingExtraError
from bitryoshka.qdrant.collection import Collection
from bitryoshka.qdrant.config import body, check_config
from bitryoshka.qdrant.engine import having
from bitryoshka.qdrant.settings import Settings

try:
    import qdrant_edge
except ImportError as error:
    raise MissingExtraError("bitryoshka.qdrant.edge", "edge") from error

from bitryoshka.qdrant.edge_types import edge_config
from bitryoshka.qdrant.shard import CONFIG_FILE, ENGINES_FILE, Shard, edge_errors, read_config

__all__ = ["Shard", "create_shard", "open_shard", "read_shard", "temporary_shard"]


def create_shard(path: str | os.PathLike[str], config: models.CreateCollection) -> None:
    """Create a shard in a directory, with `collection_config`'s parameters.

    A directory that holds a shard of just this configuration is left as it is. Raises
    CollectionError where it holds one of another, or should have shard keys, and whatever the file
    system refuses.
    """
    folder = Path(path)
    place = f"shard {os.fspath(path)}"
    if config.sharding_method == models.ShardingMethod.CUSTOM:
        raise CollectionError(
            f"{place} cannot have shard keys; leave them out with drop=('sharding_method',) "
            "(--drop sharding_method)"
        )
    wanted = body(config)
    if (folder / CONFIG_FILE).is_file():
        found = body(read_config(folder, place))
        if found != wanted:
            differing = sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k))
            raise CollectionError(
                f"{place} exists with another configuration: {', '.join(differing)} differ; "
                f"expected {_excerpt(wanted, differing)}, found {_excerpt(found, differing)}"
            )
    else:
        if (folder / "segments").exists():
            raise CollectionError(f"{place} was not made by bitryoshka: it has no {CONFIG_FILE}")
        folder.mkdir(parents=True, exist_ok=True)
        # first: a call that was killed in between goes on from here
        with replacing(folder / CONFIG_FILE) as file:
            file.write(json.dumps(wanted, indent=1).encode())
    if not _is_whole(folder, place):
        with edge_errors(place):
            qdrant_edge.EdgeShard.create(os.fspath(path), edge_config(config)).close()


def _is_whole(folder: Path, place: str) -> bool:
    """Whether the engine made its parts; CollectionError where only some are there.

    The engine itself would begin anew with what is missing.
    """
    parts = [(folder / name).exists() for name in (ENGINES_FILE, "segments")]
    if any(parts) and not all(parts):
        raise CollectionError(f"{place} is damaged, and was left as it is: a part of it is missing")
    return all(parts)


def _excerpt(body_: Mapping[str, Any], keys: Sequence[str]) -> str:
    return json.dumps({k: body_.get(k) for k in keys})


@contextmanager
def open_shard(path: str | os.PathLike[str], binarizer: Binarizer) -> Iterator[Collection[Shard]]:
    """Open a shard that `create_shard` made; closed, with all of it on disk, at the end.

    One process at a time can open it. Raises CollectionError where it is missing, damaged or
    open elsewhere, FingerprintError for another binarizer's.
    """
    place = f"shard {os.fspath(path)}"
    config = read_config(Path(path), place)
    settings = Settings.from_metadata(config.metadata, place)
    settings.check(binarizer, place)
    check_config(settings, config.vectors, place)
    with _loaded(path, place) as shard:
        engine = Shard(shard, place, Path(path))
        _check_vectors(engine, settings)
        yield Collection(binarizer, settings, engine)


@contextmanager
def read_shard(path: str | os.PathLike[str]) -> Iterator[Shard]:
    """Open any shard of Qdrant Edge, as something to move from.

    Raises CollectionError where it is missing, damaged or open elsewhere.
    """
    place = f"shard {os.fspath(path)}"
    with _loaded(path, place) as shard:
        yield Shard(shard, place, Path(path))


@contextmanager
def temporary_shard(config: models.CreateCollection, place: str) -> Iterator[tuple[Shard, Path]]:
    """A shard without a log in a folder of its own, which is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="bitryoshka-") as folder:
        shard = qdrant_edge.EdgeShard.create(folder, edge_config(config, log=False))
        try:
            yield Shard(shard, place), Path(folder)
        finally:
            shard.close()


@contextmanager
def _loaded(path: str | os.PathLike[str], place: str) -> Iterator[qdrant_edge.EdgeShard]:
    _is_whole(Path(path), place)
    _check_segments(Path(path), place)
    with edge_errors(place, "failed to load"):
        shard = qdrant_edge.EdgeShard.load(os.fspath(path))
    try:
        yield shard
        shard.flush()
    finally:
        shard.close()


def _check_segments(folder: Path, place: str) -> None:
    """CollectionError for a segment that lost a file without which the engine forgets its points.

    A segment gets its version when it is whole, and points after that.
    """
    for versions in (folder / "segments").glob("*/*id_tracker.versions"):
        mappings = versions.with_suffix(".mappings")
        for needed in (mappings, versions.with_name("version.info")):
            if versions.stat().st_size and not (needed.is_file() and needed.stat().st_size):
                raise CollectionError(
                    f"{place} is damaged, and was left as it is: {needed.relative_to(folder)} "
                    "is missing or empty"
                )


def _check_vectors(engine: Shard, settings: Settings) -> None:
    """CollectionError where points lack one of the vectors that are always written together.

    Points that `move` found without a vector have none of them.
    """
    found = {name: engine.count(having(name)) for name in settings.sizes}
    expected = max(found.values()) if len(found) > 1 else engine.count()
    for name, points in found.items():
        if points != expected:
            raise CollectionError(
                f"{engine.place} is damaged: expected a vector {name!r} of {expected} points, "
                f"found {points}"
            )
