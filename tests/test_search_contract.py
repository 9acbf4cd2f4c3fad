"""The one search contract of docs/search.md, held by every door to it."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, get_args

import django.db
import numpy as np
import psycopg
import pytest
import typer
from django.apps import apps
from django.db.migrations.state import ProjectState
from engines import engine
from langchain_stores import Known
from llama_index.core.vector_stores import VectorStoreQuery
from pgvector import Vector
from psycopg import sql
from sqlalchemy import Column, Integer, MetaData, Table, select
from synthetic import clustered
from tests.django_project import default_database

import bitryoshka
from bitryoshka import SearchError, SearchParameters, duckdb, llama_index, postgres, qdrant, report
from bitryoshka.cli.app import app
from bitryoshka.django import AttachCodec, CodeQuerySet
from bitryoshka.langchain import CodeVectorStore
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres_rules import scan_settings
from bitryoshka.qdrant.edge import create_shard, open_shard
from bitryoshka.search_parameters import CANDIDATES, TARGET_RECALL, K
from bitryoshka.sqlalchemy import Code, funnel, prefix_index

ROWS, DIMENSIONS, QUERIES = 600, 48, 8
VECTORS = clustered(0, ROWS + QUERIES, DIMENSIONS)
# a code that has more bits than Hamming bits
BINARIZER = bitryoshka.fit(
    VECTORS[:ROWS], bits=96, nested_bits=(32, 48, 96), hamming_bits=48, method="progressive"
).binarizer

STAGES = {"k": K, "candidates": CANDIDATES, "prefix_bits": None, "shortlist": None}
CODES = STAGES | {"rescore": "asymmetric"}
STORE = STAGES | {"rescore": "auto"}
DOORS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "parameters": (SearchParameters, CODES),
    "code table": (postgres.search, CODES),
    "code table, async": (postgres.search_async, CODES),
    "column": (postgres.search_column, CODES | {"where": None}),
    "column, async": (postgres.search_column_async, CODES | {"where": None}),
    "DuckDB": (duckdb.search, CODES | {"where": None}),
    "SQLAlchemy": (funnel, {name: CODES[name] for name in CODES if name != "shortlist"}),
    "Django": (CodeQuerySet.search, CODES),
    "LangChain": (CodeVectorStore, {name: STORE[name] for name in STORE if name != "k"}),
    "LlamaIndex": (
        llama_index.CodeVectorStore,
        {name: STORE[name] for name in STORE if name != "k"},
    ),
    "Qdrant": (qdrant.search, STORE | {"candidates": None, "oversampling": None, "where": None}),
    "Qdrant, async": (
        qdrant.search_async,
        STORE | {"candidates": None, "oversampling": None, "where": None},
    ),
    "a plan": (bitryoshka.plan, {"k": K, "target_recall": TARGET_RECALL}),
    "a plan in Qdrant": (
        qdrant.plan_search,
        {"k": K, "target_recall": TARGET_RECALL, "prefix_bits": None},
    ),
    "a report": (report.measure_codes, {"k": K, "target_recall": TARGET_RECALL}),
}
# words of the contract, and those that it replaced
WORDS = {*CODES, "target_recall", "where", "oversampling"}
OLD = {"exact", "points_filter", "prefix", "recall", "limit", "top_k", "num_candidates"}


@pytest.mark.parametrize("door", DOORS)
def test_words_and_defaults(door: str) -> None:
    function, expected = DOORS[door]
    found = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
    }
    assert {name: found[name] for name in found if name in WORDS} == expected
    assert not OLD & set(found)


@pytest.mark.parametrize("name", ["search", "search_statement"])
def test_words_and_defaults_of_the_sql_functions(installed: Connection, name: str) -> None:
    [(arguments,)] = installed.execute(
        "SELECT pg_get_function_arguments(oid) FROM pg_proc "
        "WHERE pronamespace = 'bitryoshka'::regnamespace AND proname = %s",
        [name],
    ).fetchall()
    for word in (
        f"k integer DEFAULT {K}",
        f"candidates integer DEFAULT {CANDIDATES}",
        "prefix_bits integer DEFAULT NULL::integer",
        "rescore text DEFAULT 'asymmetric'::text",
        "shortlist integer DEFAULT NULL::integer",
        "filter text DEFAULT NULL::text",
    ):
        assert word in arguments
    assert not any(f"{word} " in arguments for word in OLD)


def test_the_settings_of_a_scan_are_one(installed: Connection) -> None:
    """Those in the statement of the database are those that Python sets."""
    installed.execute("CREATE TABLE docs (id bigint PRIMARY KEY, embedding vector(48))")
    label = postgres.register(installed, "docs", BINARIZER).label
    postgres.attach(installed, "docs", "embedding", label)
    for candidates in (70, 5000):
        [(text,)] = installed.execute(
            "SELECT bitryoshka.search_statement('docs', candidates => %s)", [candidates]
        ).fetchall()
        found = dict(re.findall(r"set_config\('hnsw\.(\w+)', '(\w+)', true\)", text))
        assert found == {name: str(value) for name, value in scan_settings(candidates).items()}


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("evaluate", {"k": K, "candidates": CANDIDATES}),
        ("plan", {"k": K, "target_recall": TARGET_RECALL}),
        ("report", {"target_recall": TARGET_RECALL}),
        ("qdrant search", {"k": K, "candidates": CANDIDATES, "rescore": None}),
    ],
)
def test_words_and_defaults_of_commands(command: str, options: dict[str, Any]) -> None:
    found: Any = typer.main.get_command(app)
    for name in command.split():
        found = found.commands[name]
    defaults = {parameter.name: parameter.default for parameter in found.params}
    assert {name: defaults[name] for name in options} == options
    assert not OLD & set(defaults)


def documents(label: str) -> Any:
    """A model of Django's with the same rows, in the default database."""
    from django_library.models import Document

    assert Document._meta.get_field("code").codec == label
    state = ProjectState.from_apps(apps)
    with django.db.connection.schema_editor() as editor:
        editor.create_model(Document)
        AttachCodec("Document", "code").database_forwards("django_library", editor, state, state)
    Document.objects.bulk_create(
        Document(id=i, embedding=row) for i, row in enumerate(VECTORS[:ROWS])
    )
    django.db.connection.close()  # the next one takes up the settings of the database
    return Document.objects


class Doors:
    """Every door, opened on the same rows, for one query."""

    def __init__(self, dsn: str, connection: Connection) -> None:
        self.connection = connection
        self.table = postgres.create_table(connection, "codes", BINARIZER, "vector")
        ids, codes = range(ROWS), BINARIZER.encode(VECTORS[:ROWS])
        postgres.load(connection, self.table, ids, codes, VECTORS[:ROWS])
        self.indexes = {"code table": postgres.create_index(connection, self.table)}
        connection.execute(
            f"CREATE TABLE docs (id int PRIMARY KEY, embedding vector({DIMENSIONS}))".encode()
        )
        with connection.cursor() as cursor, cursor.copy("COPY docs FROM STDIN") as copy:
            for number, row in enumerate(VECTORS[:ROWS]):
                copy.write_row((number, Vector(row).to_text()))
        label = postgres.register(connection, "docs", BINARIZER).label
        postgres.attach(connection, "docs", "embedding", label, queries=0)
        [(self.indexes["column"],)] = connection.execute(
            "SELECT relname FROM pg_class WHERE relname ~ '^docs_codes_.*_hnsw$'"
        ).fetchall()
        self.engine = engine(dsn)
        self.model = Table(
            "models", MetaData(), Column("id", Integer, primary_key=True), Column("code", Code(96))
        )
        index = prefix_index("models_hnsw", self.model.c.code, BINARIZER.hamming_bits)
        self.indexes["SQLAlchemy"] = str(index.name)
        with self.engine.begin() as opened:
            self.model.create(opened)
            opened.execute(
                self.model.insert(), [{"id": i, "code": code} for i, code in enumerate(codes)]
            )
        self.indexes["Django"] = "docs_hnsw"
        self.store = CodeVectorStore(Known(VECTORS), BINARIZER, "texts", engine=self.engine)
        self.store.create_table()
        self.store.add_texts([str(i) for i in ids])
        # the same table, and so the same index
        self.nodes = llama_index.CodeVectorStore(BINARIZER, "texts", engine=self.engine)
        self.indexes |= dict.fromkeys(("LangChain", "LlamaIndex"), str(self.store.index.name))
        self.documents = documents(label)
        connection.execute("ANALYZE")
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET enable_seqscan = off").format(name))
        connection.execute("SET enable_seqscan = off")

    def search(self, door: str, **stages: Any) -> list[Any]:
        """Ids of the rows that one query finds."""
        query = VECTORS[ROWS]
        if door == "code table":
            found = postgres.search(self.connection, self.table, BINARIZER, query[None], **stages)
            return found.ids[0]
        if door == "column":
            return postgres.search_column(self.connection, "docs", query[None], **stages).ids[0]
        if door == "SQL":
            given = sql.SQL("").join(
                sql.SQL(", {} => {}").format(sql.SQL(name), sql.Literal(value))  # type: ignore[arg-type]
                for name, value in stages.items()
            )
            text = sql.SQL(
                "SELECT (s.item).id FROM bitryoshka.search(NULL::docs, {}::vector{}) AS s"
            ).format(sql.Literal(Vector(query).to_text()), given)
            return [row[0] for row in self.connection.execute(text).fetchall()]
        if door == "SQLAlchemy":
            chosen = funnel(select(self.model.c.id), self.model.c.code, query, BINARIZER, **stages)
            with self.engine.connect() as opened:
                return list(opened.scalars(chosen))
        if door == "Django":
            found_ids = [row.pk for row in self.documents.search(query, **stages)]
            django.db.connection.close()  # which writes its statistics
            return found_ids
        k = stages.pop("k", K)
        if door == "LlamaIndex":
            asked = VectorStoreQuery(query.tolist(), similarity_top_k=k)
            nodes = self.nodes.query(asked, **stages).nodes or []
            return [int(node.get_content()) for node in nodes]
        found = self.store.similarity_search_by_vector(query.tolist(), k, **stages)
        return [int(document.page_content) for document in found]

    def scans(self, index: str) -> int:
        """How often an index was scanned, by the server's own count."""
        with psycopg.connect(self.connection.info.dsn, autocommit=True) as other:
            self.connection.execute("SELECT pg_stat_force_next_flush()")
            [(scans,)] = other.execute(
                "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = %s", [index]
            ).fetchall()
        return int(scans)


@pytest.fixture
def doors(installed_database: str, installed: Connection) -> Iterator[Doors]:
    with default_database(installed_database):
        yield Doors(installed_database, installed)


def test_the_default_search_is_one_by_the_default_index(doors: Doors) -> None:
    for door in ("code table", "column", "SQL", "SQLAlchemy", "Django", "LangChain", "LlamaIndex"):
        index = doors.indexes["column" if door == "SQL" else door]
        before = doors.scans(index)
        assert len(doors.search(door)) == K, door
        assert doors.scans(index) == before + 1, door


REFUSED = (
    {"k": 0},
    {"k": CANDIDATES + 1},
    {"candidates": 0},
    {"rescore": "float"},
    {"prefix_bits": 40},
    {"prefix_bits": 96},
    {"shortlist": 20, "rescore": "asymmetric"},
    {"shortlist": K - 1, "rescore": "exact"},
)


def test_every_door_refuses_the_same(doors: Doors) -> None:
    for door in ("code table", "column", "SQL", "SQLAlchemy", "Django", "LangChain", "LlamaIndex"):
        for stages in REFUSED:
            if door == "SQLAlchemy" and "shortlist" in stages:
                continue
            kind = psycopg.DataError if door == "SQL" else SearchError
            if door == "Django" and stages.get("prefix_bits"):
                kind = django.db.DataError  # which lengths a codec has, its database knows
            with pytest.raises(kind, match=r"found"):
                doors.search(door, **stages)


def test_every_door_finds_the_same(doors: Doors) -> None:
    """The whole list by vectors, where no tie and no index decides."""
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    best = np.argsort(-(unit[:ROWS] @ unit[ROWS]))[:K].tolist()
    every = {"candidates": ROWS}
    for door in ("code table", "column", "SQL", "Django", "LangChain", "LlamaIndex"):
        assert doors.search(door, rescore="exact", **every) == best, door
        shorter = doors.search(door, rescore="exact", shortlist=ROWS, **every)
        assert shorter == best, door
    by_codes = doors.search("code table", **every)
    for door in ("column", "SQL", "SQLAlchemy", "Django"):
        assert doors.search(door, **every) == by_codes, door
    for door in ("LangChain", "LlamaIndex"):
        assert doors.search(door, rescore="asymmetric", **every) == by_codes, door


def test_qdrant_refuses_the_same(tmp_path: os.PathLike[str]) -> None:
    shard = f"{os.fspath(tmp_path)}/shard"
    create_shard(shard, qdrant.collection_config(BINARIZER, prefixes=(32,)))
    with open_shard(shard, BINARIZER) as collection:
        qdrant.upsert(collection, range(ROWS), VECTORS[:ROWS])
        collection.engine.optimize()
        assert len(qdrant.search(collection, VECTORS[ROWS:])[0]) == K
        for stages in (*REFUSED, {"oversampling": 4.0, "candidates": 40}):
            with pytest.raises(SearchError, match="found"):
                qdrant.search(collection, VECTORS[ROWS:], **stages)  # type: ignore[arg-type]


def test_the_page_has_every_word() -> None:
    page = os.path.join(os.path.dirname(__file__), os.pardir, "docs", "search.md")
    with open(page, encoding="utf-8") as file:
        text = file.read()
    words = {"k", "candidates", "prefix_bits", "rescore", "shortlist", "where", "target_recall"}
    for word in words:
        assert f"\n| `{word}` |" in text
    for value in get_args(bitryoshka.search_parameters.Rescore):
        assert f'`"{value}"`' in text
    for number in (K, CANDIDATES, TARGET_RECALL):
        assert f"| {number} " in text
