"""Searches whose filter few rows pass fill k, from an index of many rows or without it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event, select, text
from tests.conftest import fresh_database
from tests.engines import engine
from tests.langchain_stores import Known, open_store

import bitryoshka
from bitryoshka.bits import hamming, unpack
from bitryoshka.langchain import CodeVectorStore
from bitryoshka.postgres import connect
from bitryoshka.postgres_rules import scan_settings
from bitryoshka.sqlalchemy import funnel, prefix_index

ROWS, DIMENSIONS = 25_000, 32
VECTORS = np.random.default_rng(0).normal(size=(ROWS + 1, DIMENSIONS)).astype(np.float32)
QUERY = str(ROWS)
BINARIZER = bitryoshka.fit(VECTORS[:2000], bits=32, method="itq").binarizer
CODES = BINARIZER.encode(VECTORS[:ROWS])
DISTANCES = hamming(BINARIZER.encode_queries(VECTORS[ROWS:]), CODES)[0]
# 1 row in 5,000 passes, and an index scan comes to it last
RARE = np.argsort(DISTANCES, kind="stable")[-ROWS // 5000 :]
COSINES = VECTORS[:ROWS] @ VECTORS[ROWS] / np.linalg.norm(VECTORS[:ROWS], axis=1)
EXPECTED = [str(i) for i in RARE[np.argsort(-COSINES[RARE])]]

FILTERS: dict[str, dict[str, Any]] = {
    "contained": {"rare": True},
    "in": {"number": {"$in": RARE.tolist()}},
    "in order": {"rank": {"$gte": ROWS - len(RARE)}},
    "not": {"$not": {"rank": {"$lt": ROWS - len(RARE)}}},
    "or": {"$or": [{"number": {"$between": [i, i]}} for i in RARE.tolist()]},
}


def opened(address: str, embedding: Any, options: str = "", **settings: Any) -> CodeVectorStore:
    # prepared at once, as statements are that are sent often
    acting = engine(address, connect_args={"options": options, "prepare_threshold": 0})
    return open_store(address, embedding, BINARIZER, engine=acting, **settings)


@pytest.fixture(scope="module")
def large(dsn: str, installed_template: str) -> Iterator[str]:
    rank = np.argsort(np.argsort(DISTANCES, kind="stable"))
    bits = unpack(CODES) + ord("0")
    with fresh_database(dsn, installed_template) as address:
        store = opened(address, Known(VECTORS))
        store.create_table(index=False)
        with connect(address) as connection, connection.cursor() as cursor:
            copy = "COPY docs (id, content, metadata, code, vector) FROM STDIN"
            with cursor.copy(copy) as rows:
                for i in range(ROWS):
                    rare = "true" if rank[i] >= ROWS - len(RARE) else "false"
                    metadata = f'{{"number": {i}, "rank": {rank[i]}, "rare": {rare}}}'
                    code = bits[i].astype(np.uint8).tobytes().decode()
                    rows.write_row((str(i), str(i), metadata, code, str(VECTORS[i].tolist())))
            cursor.execute("ANALYZE docs")
        prefix_index("docs_code_hnsw", store.table.c.code, 32, ef_construction=32).create(
            engine(address)
        )
        yield address


def watched(store: CodeVectorStore) -> list[str]:
    """The statements that a store sends from now on, with their parameters."""
    sent: list[str] = []
    acting = store._documents.engines.sync
    event.listen(acting, "before_cursor_execute", lambda *given: sent.append(str(given[2:4])))
    return sent


@pytest.mark.parametrize("settings", [{}, {"shortlist": 20}], ids=str)
@pytest.mark.parametrize("name", FILTERS)
def test_an_index_scan_goes_on_to_the_last_rows_that_pass(
    large: str, name: str, settings: dict[str, Any]
) -> None:
    store = opened(large, Known(VECTORS), "-c enable_seqscan=off", **settings)
    sent = watched(store)
    found = store.similarity_search(QUERY, k=len(RARE), filter=FILTERS[name])
    assert [document.id for document in found] == EXPECTED
    # by the index alone
    assert any("hnsw.iterative_scan" in statement for statement in sent)
    assert not any("enable_indexscan" in statement for statement in sent)


@pytest.mark.parametrize("name", FILTERS)
def test_fewer_than_k_are_all_that_pass(large: str, name: str) -> None:
    store = opened(large, Known(VECTORS))
    for k in (3, 50):
        found = store.similarity_search(QUERY, k=k, filter=FILTERS[name])
        assert [document.id for document in found] == EXPECTED[:k]
    diverse = store.max_marginal_relevance_search(QUERY, k=9, filter=FILTERS[name])
    assert {document.id for document in diverse} == set(EXPECTED)


def test_a_funnel_is_filled_with_the_settings_of_its_page(large: str) -> None:
    page = (Path(__file__).parents[1] / "docs" / "sqlalchemy.md").read_text("utf-8")
    settings = dict(re.findall(r"SET LOCAL hnsw\.(\w+) = '?(\w+)", page))
    assert settings == {name: str(value) for name, value in scan_settings(200).items()}
    store = opened(large, Known(VECTORS), "-c enable_seqscan=off")
    rare = select(store.table.c.id).where(store.table.c.metadata["rare"].as_boolean())
    statement = funnel(rare, store.table.c.code, VECTORS[ROWS], BINARIZER, rescore=None)
    acting = store._documents.engines.sync
    assert acting is not None
    with acting.begin() as connection:
        for name, value in settings.items():
            connection.execute(text(f"SET LOCAL hnsw.{name} = {value}"))
        assert set(connection.scalars(statement)) == set(EXPECTED)


@pytest.mark.parametrize("settings", [{}, {"shortlist": 20}, {"vector_type": None}], ids=str)
def test_rows_that_the_graph_does_not_lead_to_are_found(
    installed_database: str, settings: dict[str, Any]
) -> None:
    rows = 500
    options = "-c enable_seqscan=off -c plan_cache_mode=force_generic_plan"
    store = opened(installed_database, Known(VECTORS), options, candidates=rows, **settings)
    store.create_table(index=False)
    texts = [str(i) for i in range(rows)]
    store.add_texts(texts, [{"number": i} for i in range(rows)], ids=texts)
    # of so few links that many rows have none
    table = store.table
    acting = store._documents.engines.sync
    assert acting is not None
    prefix_index("docs_code_hnsw", table.c.code, 32, m=2, ef_construction=4).create(acting)
    code = BINARIZER.encode_queries(VECTORS[ROWS:])[0]
    nearest = select(table.c.id).order_by(table.c.code.hamming_distance(code)).limit(rows)
    with acting.begin() as connection:
        for name, value in scan_settings(rows).items():
            connection.execute(text(f"SET LOCAL hnsw.{name} = {value}"))
        reached = set(connection.scalars(nearest))
    lost = [i for i in range(rows) if str(i) not in reached][:4]
    assert len(lost) == 4
    sent = watched(store)
    found = store.similarity_search(QUERY, k=4, filter={"number": {"$in": lost}})
    assert {document.id for document in found} == set(map(str, lost))
    assert any("enable_indexscan" in statement for statement in sent)
    # the settings end with the search
    with acting.connect() as connection:
        for name, value in (("enable_indexscan", "on"), ("enable_seqscan", "off")):
            assert connection.scalar(text(f"SHOW {name}")) == value
