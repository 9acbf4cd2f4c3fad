"""Engines of SQLAlchemy for the tests' database, by driver."""

from __future__ import annotations

from typing import Any

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool


def engine(dsn: str, driver: str = "psycopg", **options: Any) -> Engine:
    return create_engine(url(dsn, driver), poolclass=NullPool, **options)


def async_engine(dsn: str, driver: str = "asyncpg") -> AsyncEngine:
    return create_async_engine(url(dsn, driver), poolclass=NullPool)


def url(dsn: str, driver: str) -> URL:
    parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    return URL.create(
        f"postgresql+{driver}",
        username=parts.get("user"),
        password=parts.get("password"),
        database=parts.get("dbname"),
        query={"host": parts.get("host", ""), "port": parts.get("port", "5432")},
    )
