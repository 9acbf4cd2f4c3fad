"""What the LangChain store refuses, and that nothing is written then."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from langchain_core.documents import Document
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import SetColumnComment
from tests.engines import engine
from tests.langchain_stores import Call, Known, caller, open_store
from tests.synthetic import clustered

import bitryoshka
from bitryoshka.errors import (
    DatabaseError,
    FingerprintError,
    OptionError,
    PgvectorError,
    SearchError,
    TableError,
    VectorsError,
)
from bitryoshka.langchain import CodeVectorStore

VECTORS = clustered(0, 80, 24)
BINARIZER = bitryoshka.fit(VECTORS, bits=32, hamming_bits=16, method="progressive").binarizer
OTHER = bitryoshka.fit(VECTORS, bits=32, hamming_bits=16, method="progressive", seed=1).binarizer
KNOWN = Known(VECTORS)
TEXTS = [str(i) for i in range(10)]


@pytest.fixture(params=["psycopg", "asyncpg"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def call(driver: str) -> Call:
    return caller(driver)


def filled(address: str) -> CodeVectorStore:
    store = open_store(address, KNOWN, BINARIZER)
    store.create_table()
    store.add_texts(TEXTS, ids=TEXTS)
    return store


def uses(store: CodeVectorStore) -> dict[str, tuple[Any, ...]]:
    """Every method that reads or writes, with arguments."""
    vector = VECTORS[0].tolist()
    return {
        "check": (),
        "create_table": (),
        "add_texts": (["1"],),
        "add_documents": ([Document("1")],),
        "delete": (["1"],),
        "get_by_ids": (["1"],),
        "similarity_search": ("1",),
        "similarity_search_with_score": ("1",),
        "similarity_search_with_relevance_scores": ("1",),
        "similarity_search_by_vector": (vector,),
        "max_marginal_relevance_search": ("1",),
        "max_marginal_relevance_search_by_vector": (vector,),
    }


def rows(address: str) -> list[Any]:
    with engine(address).connect() as connection:
        return list(connection.execute(text("SELECT * FROM docs ORDER BY id")))


@pytest.mark.parametrize("method", uses(None))  # type: ignore[arg-type]
def test_another_binarizers_codes_are_refused_by_every_use(
    database: str, driver: str, call: Call, method: str
) -> None:
    filled(database)
    before = rows(database)
    assert OTHER.fingerprint != BINARIZER.fingerprint
    store = open_store(database, KNOWN, OTHER, driver)
    expected = f"expected fingerprint {OTHER.fingerprint}, found {BINARIZER.fingerprint}"
    for _ in range(2):
        with pytest.raises(FingerprintError, match=expected):
            call(getattr(store, method), *uses(store)[method])
    assert rows(database) == before


@pytest.mark.parametrize("comment", [None, "codes", "bitryoshka codec sha256:"])
def test_a_code_column_without_a_codec_is_refused(database: str, comment: str | None) -> None:
    store = filled(database)
    store.table.c.code.comment = comment
    with engine(database).begin() as connection:
        connection.execute(SetColumnComment(store.table.c.code))
    with pytest.raises(
        FingerprintError, match=f"found {'codes' if comment == 'codes' else 'none'}"
    ):
        open_store(database, KNOWN, BINARIZER).similarity_search("1")


def test_a_table_that_is_missing(database: str, driver: str, call: Call) -> None:
    store = open_store(database, KNOWN, BINARIZER, driver)
    for method, arguments in uses(store).items():
        if method == "create_table":
            continue
        with pytest.raises(TableError, match=r"there is no table public\.docs: make it with"):
            call(getattr(store, method), *arguments)
    call(store.create_table)
    call(store.create_table)
    call(store.add_texts, ["1"])
    assert len(call(store.similarity_search, "1")) == 1


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("ALTER TABLE docs DROP COLUMN vector", "code bit(32)); choose"),
        ("ALTER TABLE docs DROP COLUMN code", "(id text, content text, metadata jsonb, vector"),
        ("ALTER TABLE docs ALTER code TYPE bit(40) USING code::bit(40)", "code bit(40)"),
        ("ALTER TABLE docs ALTER vector TYPE halfvec(24)", "vector halfvec(24)"),
        ("ALTER TABLE docs ALTER vector TYPE vector", "vector vector)"),
        ("ALTER TABLE docs ALTER metadata TYPE json", "metadata json,"),
        ("ALTER TABLE docs ALTER id TYPE bigint USING id::bigint", "id bigint"),
    ],
)
def test_a_table_of_another_shape(database: str, change: str, found: str) -> None:
    filled(database)
    with engine(database).begin() as connection:
        connection.execute(text(change))
    with pytest.raises(TableError, match="has another shape: expected columns") as error:
        open_store(database, KNOWN, BINARIZER).check()
    assert found in str(error.value)


def test_columns_of_the_users_own_are_left_alone(database: str, driver: str, call: Call) -> None:
    filled(database)
    with engine(database).begin() as connection:
        connection.execute(text("ALTER TABLE docs ADD COLUMN mine int DEFAULT 7"))
    store = open_store(database, KNOWN, BINARIZER, driver)
    call(store.add_texts, ["5"], ids=["3"])
    assert {row.mine for row in rows(database)} == {7}
    assert call(store.get_by_ids, ["3"])[0].page_content == "5"


def test_codes_alone_do_not_write_beside_vectors_that_would_stay(installed_database: str) -> None:
    filled(installed_database)
    store = open_store(installed_database, KNOWN, BINARIZER, vector_type=None)
    with pytest.raises(TableError, match=r"found \(.*vector vector\(24\)\)"):
        store.add_texts(["1"], ids=["1"])


@pytest.mark.parametrize("settings", [{"vector_type": None}, {"shortlist": 20}], ids=str)
def test_the_asymmetric_score_needs_its_schema(
    database: str, driver: str, call: Call, settings: dict[str, Any]
) -> None:
    store = open_store(database, KNOWN, BINARIZER, driver, **settings)
    for method, arguments in uses(store).items():
        with pytest.raises((DatabaseError, TableError)) as error:
            call(getattr(store, method), *arguments)
        if method == "create_table":
            assert "run `bitryoshka install`" in str(error.value)
    with engine(database).connect() as connection:
        assert connection.scalar(text("SELECT to_regclass('public.docs')")) is None
    exactly = open_store(database, KNOWN, BINARIZER, driver)
    call(exactly.create_table)
    call(exactly.add_texts, TEXTS)
    assert call(exactly.similarity_search, "1", k=1)[0].page_content == "1"


class Broken(Known):
    """Embeddings that are not what the binarizer was fitted to, from the fourth text on."""

    def __init__(self, wrong: Any) -> None:
        super().__init__(VECTORS)
        self.wrong = wrong

    def embed_documents(self, texts: list[str]) -> Any:
        return [self.wrong if int(text) > 3 else self.embed_query(text) for text in texts]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([0.5] * 23, "rectangular"),
        ([float("nan")] * 24, "must be finite.* found nan in row 4, column 0"),
        ([float("inf")] * 24, "must be finite"),
        ([0.0] * 24, "non-zero"),
        (["x"] * 24, "real numbers"),
    ],
)
def test_embeddings_that_do_not_fit_write_nothing(
    database: str, driver: str, call: Call, wrong: Any, message: str
) -> None:
    filled(database)
    before = rows(database)
    store = open_store(database, Broken(wrong), BINARIZER, driver, batch_size=3)
    with pytest.raises(VectorsError, match=message):
        call(store.add_texts, TEXTS, ids=TEXTS[::-1])
    assert rows(database) == before


def test_embeddings_of_another_dimension(database: str, driver: str, call: Call) -> None:
    filled(database)
    store = open_store(database, Known(VECTORS[:, :20]), BINARIZER, driver)
    with pytest.raises(VectorsError, match="embeddings must have 24 dimensions, found 20"):
        call(store.add_texts, ["1"])
    for method in ("similarity_search", "similarity_search_with_score"):
        with pytest.raises(VectorsError, match="queries must have 24 dimensions, found 20"):
            call(getattr(store, method), "1")
    store = open_store(database, KNOWN, BINARIZER, driver)
    for vector, message in (
        (VECTORS[:, :20][0].tolist(), "24 dimensions, found 20"),
        ([0.0] * 24, "non-zero"),
        ([float("nan")] * 24, "finite"),
        (np.ones(24, np.int8), "queries must be floats, found int8"),
        (VECTORS[:2].tolist(), "shape"),
    ):
        for method in ("similarity_search_by_vector", "max_marginal_relevance_search_by_vector"):
            with pytest.raises(VectorsError, match=message):
                call(getattr(store, method), vector)


def test_a_model_that_loses_texts(database: str) -> None:
    class Short(Known):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return super().embed_documents(texts[1:])

    store = open_store(database, Short(VECTORS), BINARIZER)
    store.create_table()
    with pytest.raises(VectorsError, match="expected embeddings of 10 texts, found 9"):
        store.add_texts(TEXTS)


@pytest.mark.parametrize(
    ("texts", "metadatas", "ids", "message"),
    [
        (["1", "2"], [{}], None, "metadatas for 2 texts, found 1"),
        (["1", "2"], None, ["a"], "ids for 2 documents, found 1"),
        (["1"], None, ["a", "b"], "ids for 1 documents, found 2"),
        (["1"], None, [7], "must be str, found 7"),
    ],
)
def test_numbers_that_do_not_match(
    database: str, texts: Any, metadatas: Any, ids: Any, message: str
) -> None:
    filled(database)
    before = rows(database)
    store = open_store(database, KNOWN, BINARIZER)
    with pytest.raises(TableError, match=message):
        store.add_texts(texts, metadatas, ids=ids)
    assert rows(database) == before


@pytest.mark.parametrize(
    "bad",
    [{"page_content": "1\0"}, {"metadata": {"a": "\0"}}, {"metadata": {"a": float("nan")}}],
    ids=str,
)
def test_what_postgres_cannot_hold_writes_nothing(
    database: str, driver: str, call: Call, bad: dict[str, Any]
) -> None:
    class First(Known):
        def embed_query(self, text: str) -> list[float]:
            return VECTORS[0].tolist()

    filled(database)
    before = rows(database)
    store = open_store(database, First(VECTORS), BINARIZER, driver)
    documents = [Document("2", id="2"), Document(**{"page_content": "3", "id": "3", **bad})]
    with pytest.raises(OptionError, match=r"no NUL and no lone surrogate, found|finite numbers"):
        call(store.add_documents, documents)
    assert rows(database) == before


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"prefix_bits": 8}, SearchError, "one of \\(16,\\), found 8"),
        ({"prefix_bits": 32}, SearchError, "found 32"),
        ({"vector_type": "float"}, TableError, "found 'float'"),
        ({"vector_type": None, "rescore": "exact"}, SearchError, "keeps no vectors, found"),
        ({"rescore": "float"}, SearchError, "found 'float'"),
        ({"vector_type": None, "shortlist": 5}, SearchError, "expected rescore='exact', found"),
        ({"batch_size": 0}, SearchError, "an integer from 1 .* found 0"),
        ({"table_name": "é" * 32}, TableError, "found 64"),
        ({"table_name": ""}, TableError, "found 0"),
        ({"schema": ""}, TableError, "found 0"),
        ({"engine": None}, DatabaseError, "found none"),
        ({"engine": "postgresql://"}, DatabaseError, "must be an Engine, found str"),
        ({"engine": create_engine("sqlite://")}, DatabaseError, "found sqlite"),
        ({"async_engine": create_engine("sqlite://")}, DatabaseError, "AsyncEngine, found Engine"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit(settings: Any, error: type[Exception], message: str) -> None:
    unused = create_engine("postgresql+psycopg://", poolclass=NullPool)
    chosen = {"table_name": "docs", "engine": unused, **settings}
    with pytest.raises(error, match=message):
        CodeVectorStore(KNOWN, BINARIZER, **chosen)


def test_searches_that_do_not_fit(installed_database: str, driver: str, call: Call) -> None:
    filled(installed_database)
    store = open_store(installed_database, KNOWN, BINARIZER, driver, shortlist=8, candidates=9)
    assert len(call(store.similarity_search, "1", k=8)) == 8
    short: tuple[dict[str, int], ...] = ({"k": 9}, {"k": 0}, {"candidates": 3}, {"candidates": 0})
    for options in short:
        with pytest.raises(SearchError, match=r"<= shortlist|at least k|from 1 to .*, found 0"):
            call(store.similarity_search, "1", **options)
    with pytest.raises(TypeError, match="score_threshold"):
        call(store.similarity_search, "1", score_threshold=0.5)


def test_sync_methods_need_an_engine_of_their_own(database: str) -> None:
    filled(database)
    store = open_store(database, KNOWN, BINARIZER, "asyncpg")
    for method, arguments in uses(store).items():
        with pytest.raises(DatabaseError, match="found an async_engine alone"):
            getattr(store, method)(*arguments)


def test_a_server_that_does_not_answer(database: str) -> None:
    missing = database.replace("dbname=", "dbname=no_such_")
    store = open_store(missing, KNOWN, BINARIZER)
    with pytest.raises(OperationalError, match="does not exist"):
        store.similarity_search("1")


def test_pgvector_is_made_or_its_lack_explained(bare_database: str, connection: Any) -> None:
    role = f"bitryoshka_test_{uuid4().hex[:12]}"
    acting = engine(bare_database)
    with engine(bare_database).begin() as first:
        first.execute(text(f"CREATE ROLE {role}"))
        first.execute(text(f"GRANT CREATE ON SCHEMA public TO {role}"))
    event.listen(acting, "connect", lambda raw, _: raw.execute(f"SET ROLE {role}"))
    try:
        store = open_store(bare_database, KNOWN, BINARIZER, engine=acting)
        with pytest.raises(PgvectorError, match="have an owner run CREATE EXTENSION vector"):
            store.create_table()
    finally:
        with engine(bare_database).begin() as first:
            first.execute(text(f"DROP OWNED BY {role}"))
            first.execute(text(f"DROP ROLE {role}"))
    filled(bare_database)
    with engine(bare_database).begin() as first:
        first.execute(text("DROP TABLE docs"))
        first.execute(text("UPDATE pg_extension SET extversion = '0.8.3' WHERE extname = 'vector'"))
    with pytest.raises(PgvectorError, match=r"0\.8\.4 or newer is needed, found 0\.8\.3"):
        filled(bare_database)


def test_a_pgvector_whose_scans_cannot_go_on_is_refused_by_every_use(
    database: str, driver: str, call: Call
) -> None:
    filled(database)
    with engine(database).begin() as first:
        first.execute(text("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'"))
    store = open_store(database, KNOWN, BINARIZER, driver)
    for method, arguments in uses(store).items():
        with pytest.raises(PgvectorError, match=r"0\.8\.4 or newer is needed, found 0\.7\.4"):
            call(getattr(store, method), *arguments)


def test_names_as_long_as_postgres_allows(database: str) -> None:
    store = open_store(database, KNOWN, BINARIZER, table_name="é" * 31)
    store.create_table()
    store.add_texts(["1"], ids=["1"])
    with engine(database).connect() as connection:
        found = connection.scalars(
            text("SELECT indexname FROM pg_indexes WHERE indexname ~ 'hnsw'")
        )
        assert list(found) == ["é" * 25 + "_code_16_hnsw"]
    assert len(store.similarity_search("1")) == 1
