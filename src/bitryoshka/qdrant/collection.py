"""Collections: created with all that codes need, and opened only with their own binarizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from qdrant_client import AsyncQdrantClient, QdrantClient, models

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import CollectionError
from bitryoshka.qdrant.config import check_config
from bitryoshka.qdrant.engine import Engine
from bitryoshka.qdrant.server import AsyncServer, Server, refuse_local, server_errors
from bitryoshka.qdrant.settings import METADATA_KEY, Settings

__all__ = [
    "AsyncCollection",
    "Collection",
    "create_collection",
    "create_collection_async",
    "open_collection",
    "open_collection_async",
]

E = TypeVar("E", bound=Engine | AsyncServer, covariant=True)


@dataclass(frozen=True)
class Collection(Generic[E]):
    """A collection whose codes are ``binarizer``'s: what upsert and search work on.

    `AsyncCollection` is the same over an AsyncQdrantClient.
    """

    binarizer: Binarizer
    settings: Settings
    engine: E


AsyncCollection = Collection[AsyncServer]


def create_collection(
    client: QdrantClient,
    name: str,
    config: models.CreateCollection,
    *,
    shard_keys: Sequence[models.ShardKey] = (),
) -> None:
    """Create a collection with `collection_config`'s parameters.

    ``shard_keys``: of a collection with ``sharding_method="custom"``; those that it has stay. One
    that exists with just these settings is left as it is; CollectionError where it exists with
    others, where the server did not keep them (it is too old), for shard keys where it cannot have
    them, and for a client in local mode, which ignores quantization.
    """
    refuse_local(client)
    _check_keys(config, shard_keys)
    place = f"collection {name!r}"
    with server_errors(place):
        if not client.collection_exists(name):
            client.create_collection(collection_name=name, **_arguments(config))
        _check_created(config, client.get_collection(name), place)
        known = client.list_shard_keys(name).shard_keys if shard_keys else None
        for key in _lacking(shard_keys, known):
            client.create_shard_key(name, key)


async def create_collection_async(
    client: AsyncQdrantClient,
    name: str,
    config: models.CreateCollection,
    *,
    shard_keys: Sequence[models.ShardKey] = (),
) -> None:
    """`create_collection` over an AsyncQdrantClient."""
    refuse_local(client)
    _check_keys(config, shard_keys)
    place = f"collection {name!r}"
    with server_errors(place):
        if not await client.collection_exists(name):
            await client.create_collection(collection_name=name, **_arguments(config))
        _check_created(config, await client.get_collection(name), place)
        known = (await client.list_shard_keys(name)).shard_keys if shard_keys else None
        for key in _lacking(shard_keys, known):
            await client.create_shard_key(name, key)


def _check_keys(config: models.CreateCollection, shard_keys: Sequence[models.ShardKey]) -> None:
    if shard_keys and config.sharding_method != models.ShardingMethod.CUSTOM:
        raise CollectionError(f"shard keys {list(shard_keys)} need sharding_method='custom'")


def _lacking(
    shard_keys: Sequence[models.ShardKey], known: Sequence[models.ShardKeyDescription] | None
) -> list[models.ShardKey]:
    there = {description.key for description in known or ()}
    return [key for key in shard_keys if key not in there]


def _arguments(config: models.CreateCollection) -> dict[str, Any]:
    """The client's own arguments, two of which have other names than in the body."""
    renamed = {"vectors": "vectors_config", "sparse_vectors": "sparse_vectors_config"}
    return {renamed.get(k, k): v for k, v in config if v is not None}


def _check_created(
    config: models.CreateCollection, info: models.CollectionInfo, place: str
) -> None:
    found = info.config.metadata or {}
    wanted = (config.metadata or {})[METADATA_KEY]
    if found.get(METADATA_KEY) != wanted:
        raise CollectionError(
            f"{place} exists with another configuration, or its server keeps no metadata: "
            f"expected {wanted}, found {found.get(METADATA_KEY)}"
        )
    check_config(Settings.from_metadata(found, place), info.config.params.vectors, place)
    asked, given = (
        (params.sharding_method or models.ShardingMethod.AUTO).value
        for params in (config, info.config.params)
    )
    if asked != given:
        raise CollectionError(
            f"{place} exists with another sharding_method: expected {asked}, found {given}"
        )
    there, wanted = _names(info.config.params), _names(config)
    if lacking := sorted(wanted - there):
        raise CollectionError(
            f"{place} exists without the vectors {lacking}: found {sorted(there)}"
        )


def _names(config: models.CollectionParams | models.CreateCollection) -> set[str]:
    named = config.vectors if isinstance(config.vectors, dict) else {}
    return {*named, *(config.sparse_vectors or {})}


def open_collection(client: QdrantClient, name: str, binarizer: Binarizer) -> Collection[Server]:
    """Open a collection that `create_collection` made.

    Raises FingerprintError for another binarizer's, CollectionError where it is missing or of
    another shape, ServerUnreachableError without a connection.
    """
    refuse_local(client)
    place = f"collection {name!r}"
    with server_errors(place):
        info = client.get_collection(name)
    return Collection(binarizer, _settings(info, binarizer, place), Server(client, name))


async def open_collection_async(
    client: AsyncQdrantClient, name: str, binarizer: Binarizer
) -> AsyncCollection:
    """`open_collection` over an AsyncQdrantClient."""
    refuse_local(client)
    place = f"collection {name!r}"
    with server_errors(place):
        info = await client.get_collection(name)
    return AsyncCollection(binarizer, _settings(info, binarizer, place), AsyncServer(client, name))


def _settings(info: models.CollectionInfo, binarizer: Binarizer, place: str) -> Settings:
    settings = Settings.from_metadata(info.config.metadata, place)
    settings.check(binarizer, place)
    check_config(settings, info.config.params.vectors, place)
    return settings
