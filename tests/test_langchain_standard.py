"""LangChain's own suite for vector stores, on every driver and with each way to rank."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests.vectorstores import VectorStoreIntegrationTests
from tests.conftest import fresh_database
from tests.engines import async_engine, engine

from bitryoshka import Binarizer
from bitryoshka.langchain import CodeVectorStore
from bitryoshka.training.closed_form import Layout, uniform_levels

SETTINGS: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "psycopg": ("psycopg", "psycopg_async", {}),
    "asyncpg": ("psycopg2", "asyncpg", {}),
    "threads": ("psycopg", None, {"vector_type": "halfvec"}),
    "three stages": ("psycopg", "asyncpg", {"shortlist": 20}),
    "codes alone": ("psycopg", "asyncpg", {"vector_type": None}),
}


@pytest.fixture(scope="module")
def shared_database(dsn: str, installed_template: str) -> Iterator[str]:
    with fresh_database(dsn, installed_template) as address:
        yield address


def deep_binarizer(dimensions: int, planes: int) -> Binarizer:
    """Eight random directions with so many bits each: codes fine enough to tell six floats."""
    m, rng = 8, np.random.default_rng(0)
    dimension = np.tile(np.arange(m, dtype=np.int32), planes)
    plane = np.repeat(np.arange(planes, dtype=np.uint8), m)
    step = np.full(m, 2.0 ** (1 - planes), np.float32)
    nested = (m, m * planes)
    layout = Layout(dimension, plane, np.full(m, planes))
    return Binarizer(
        projection=np.linalg.qr(rng.normal(size=(m, dimensions)))[0].astype(np.float32),
        offset=np.zeros(m, np.float32),
        step=step,
        bit_dimension=dimension,
        bit_plane=plane,
        levels=uniform_levels(step, layout, nested),
        nested_bits=nested,
    )


class TestStandard(VectorStoreIntegrationTests):
    @pytest.fixture(params=SETTINGS)
    def vectorstore(
        self, request: pytest.FixtureRequest, shared_database: str
    ) -> Iterator[VectorStore]:
        sync, asynchronous, settings = SETTINGS[request.param]
        store = CodeVectorStore(
            self.get_embeddings(),
            deep_binarizer(6, 8),
            f"docs_{uuid4()}",
            engine=engine(shared_database, sync),
            async_engine=asynchronous and async_engine(shared_database, asynchronous),
            **settings,
        )
        store.create_table()
        yield store
        store.table.drop(engine(shared_database))
