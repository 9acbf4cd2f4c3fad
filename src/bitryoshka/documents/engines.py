"""Work on a connection, run by a sync engine or by an async one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from bitryoshka.errors import DatabaseError

T = TypeVar("T")
Work = Callable[[Connection], T]

_TRIES = 4
# unique_violation, duplicate_table and duplicate_object
_MADE_MEANWHILE = {"23505", "42P07", "42710"}


@dataclass(frozen=True)
class Engines:
    """The caller's engines; each piece of work is one transaction."""

    sync: Engine | None
    asynchronous: AsyncEngine | None

    def __post_init__(self) -> None:
        for name, engine, kind in (
            ("engine", self.sync, Engine),
            ("async_engine", self.asynchronous, AsyncEngine),
        ):
            if engine is not None and not isinstance(engine, kind):
                raise DatabaseError(
                    f"{name} must be an {kind.__name__}, found {type(engine).__name__}"
                )
            if engine is not None and engine.dialect.name != "postgresql":
                raise DatabaseError(f"{name} must be one for Postgres, found {engine.dialect.name}")
        if self.sync is None and self.asynchronous is None:
            raise DatabaseError("expected an engine, an async_engine or both, found none")

    def run(self, work: Work[T]) -> T:
        """By the sync engine; DatabaseError where there is none."""
        if self.sync is None:
            raise DatabaseError(
                "expected an engine for the sync methods, found an async_engine alone: use the "
                "async methods, or give the store both"
            )
        with self.sync.begin() as connection:
            return work(connection)

    async def run_async(self, work: Work[T]) -> T:
        """By the async engine, whose driver waits without a thread; else `run`, in a thread."""
        if self.asynchronous is None:
            return await asyncio.to_thread(self.run, work)
        async with self.asynchronous.begin() as connection:
            return await connection.run_sync(work)

    def run_making(self, work: Work[T]) -> T:
        """As `run`, and anew where another session makes the same objects at the same moment."""
        for _ in range(_TRIES):
            try:
                return self.run(work)
            except DBAPIError as error:
                if not _MADE_MEANWHILE.intersection(sqlstates(error)):
                    raise
        return self.run(work)

    async def run_making_async(self, work: Work[T]) -> T:
        """`run_making`, async."""
        for _ in range(_TRIES):
            try:
                return await self.run_async(work)
            except DBAPIError as error:
                if not _MADE_MEANWHILE.intersection(sqlstates(error)):
                    raise
        return await self.run_async(work)


def sqlstates(error: DBAPIError) -> set[str | None]:
    """The server's code for an error, wherever the driver keeps it."""
    return {getattr(error.orig, name, None) for name in ("sqlstate", "pgcode")}
