"""Sessions of SQLAlchemy on a test's database, with every driver, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

SYNC = ("psycopg", "psycopg2")
DRIVERS = (*SYNC, "psycopg_async", "asyncpg")

Run = Callable[[Callable[[Session], Any]], Any]


def url(dsn: str, driver: str) -> URL:
    parts = conninfo_to_dict(dsn)
    host = str(parts.get("host", ""))
    return URL.create(
        f"postgresql+{driver}",
        username=parts.get("user"),  # type: ignore[arg-type]
        password=parts.get("password"),  # type: ignore[arg-type]
        database=parts.get("dbname"),  # type: ignore[arg-type]
        query={"host": host, "port": str(parts.get("port") or 5432)},
    )


def runner(dsn: str, driver: str, **options: Any) -> Run:
    """Runs a function of a Session in a transaction of its own, with this driver.

    ``options`` are the driver's own for a connection.
    """
    if driver in SYNC:

        def run(work: Callable[[Session], Any]) -> Any:
            engine = create_engine(url(dsn, driver), poolclass=NullPool, connect_args=options)
            with Session(engine, expire_on_commit=False) as session, session.begin():
                return work(session)

        return run

    async def wait(work: Callable[[Session], Any]) -> Any:
        engine = create_async_engine(url(dsn, driver), poolclass=NullPool, connect_args=options)
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            return await session.run_sync(work)

    return lambda work: asyncio.run(wait(work))
