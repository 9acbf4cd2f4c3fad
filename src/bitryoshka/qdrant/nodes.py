"""What collections of servers alone have: shard keys, replicas, and a version to ask for."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar, cast

from qdrant_client import models

from bitryoshka.errors import CollectionError, OptionError
from bitryoshka.qdrant.engine import Engine
from bitryoshka.qdrant.server import AsyncServer, Server, check_version, server_errors

__all__ = ["asked", "check_slices", "shard_keys"]

SLICING = (1, 19)

E = TypeVar("E", bound=Engine | AsyncServer)


def asked(
    engine: E,
    *,
    shard_key_selector: models.ShardKeySelector | None = None,
    ordering: str | None = None,
    wait: bool = True,
    consistency: int | str | None = None,
) -> E:
    """The engine, to be asked in these words of qdrant-client's.

    Raises OptionError for words that it does not know, CollectionError for a shard in process,
    which has no shard keys and no replicas.
    """
    given = {
        "shard_key_selector": shard_key_selector,
        "ordering": _known(models.WriteOrdering, "ordering", ordering),
        "wait": None if wait else False,
        "consistency": consistency
        if isinstance(consistency, int)
        else _known(models.ReadConsistencyType, "consistency", consistency),
    }
    words = {name: value for name, value in given.items() if value is not None}
    if not words:
        return engine
    if not isinstance(engine, (Server, AsyncServer)):
        raise CollectionError(f"{engine.place} is in process, which has no {', '.join(words)}")
    return cast(E, engine.using(**words))


def shard_keys(engine: Engine) -> list[models.ShardKey] | None:
    """The shard keys of a collection; None where it cannot have any, as in process."""
    return engine.shard_keys() if isinstance(engine, Server) else None


def _known(kind: type[Enum], name: str, given: str | None) -> Enum | None:
    if given is None:
        return None
    try:
        return kind(given)
    except ValueError:
        offered = ", ".join(member.value for member in kind)
        raise OptionError(f"{name} must be one of {offered}, found {given!r}") from None


def check_slices(parallel: int, *engines: Engine) -> None:
    """CollectionError where one is on a server that cannot be cut into so many slices."""
    for engine in engines:
        if parallel > 1 and isinstance(engine, Server):
            with server_errors(engine.place):
                version = engine.client.info().version
            check_version(version, SLICING, engine.place, "cut it into slices", "use parallel=1")
