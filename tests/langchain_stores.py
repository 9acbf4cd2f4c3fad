"""Stores whose texts are the numbers of known vectors, called by any driver, sync or async."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray
from tests.engines import async_engine, engine

from bitryoshka import Binarizer
from bitryoshka.langchain import CodeVectorStore

SYNC = ("psycopg", "psycopg2")
ASYNC = ("psycopg_async", "asyncpg")

Call = Callable[..., Any]


class Known(Embeddings):
    """Text "7" has row 7 of the vectors as its embedding; keeps the sizes of its batches."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.vectors = vectors
        self.batches: list[int] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.batches.append(len(texts))
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.vectors[int(text)].tolist()

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        return self.embed_query(text)


def open_store(
    dsn: str, embedding: Embeddings, binarizer: Binarizer, driver: str = "psycopg", **settings: Any
) -> CodeVectorStore:
    """A store on table "docs" with the one engine that the driver is for."""
    table = settings.pop("table_name", "docs")
    one = (
        {"async_engine": async_engine(dsn, driver)}
        if driver in ASYNC
        else {"engine": engine(dsn, driver)}
    )
    return CodeVectorStore(embedding, binarizer, **{"table_name": table, **one, **settings})


def caller(driver: str) -> Call:
    """``call(store.method, ...)``: the method, or its async twin in a loop of its own."""

    def call(method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if driver not in ASYNC:
            return method(*args, **options)
        twin = getattr(method.__self__, f"a{method.__name__}")  # type: ignore[attr-defined]
        return asyncio.run(twin(*args, **options))

    return call
