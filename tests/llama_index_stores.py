"""LlamaIndex stores whose texts are the numbers of known vectors, called by any driver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from numpy.typing import NDArray
from tests.engines import async_engine, engine

from bitryoshka import Binarizer
from bitryoshka.llama_index import CodeVectorStore

SYNC = ("psycopg", "psycopg2")
ASYNC = ("psycopg_async", "asyncpg")

Call = Callable[..., Any]

# LlamaIndex's names of the async methods
_ASYNC_NAMES = {"add": "async_add"}


class Known(BaseEmbedding):
    """Text "7" has row 7 of the vectors as its embedding."""

    vectors: Any

    def _get_text_embedding(self, text: str) -> list[float]:
        return self.vectors[int(text)].tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def known(vectors: NDArray[np.float32]) -> Known:
    return Known(vectors=vectors, model_name="known")


def open_store(
    dsn: str, binarizer: Binarizer, driver: str = "psycopg", **settings: Any
) -> CodeVectorStore:
    """A store on table "docs" with the one engine that the driver is for."""
    table = settings.pop("table_name", "docs")
    one = (
        {"async_engine": async_engine(dsn, driver)}
        if driver in ASYNC
        else {"engine": engine(dsn, driver)}
    )
    return CodeVectorStore(binarizer, table, **{**one, **settings})


def caller(driver: str) -> Call:
    """``call(store.method, ...)``: the method, or its async twin in a loop of its own."""

    def call(method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if driver not in ASYNC:
            return method(*args, **options)
        name = method.__name__
        twin = getattr(method.__self__, _ASYNC_NAMES.get(name, f"a{name}"))  # type: ignore[attr-defined]
        return asyncio.run(twin(*args, **options))

    return call
