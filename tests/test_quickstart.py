"""docs/quickstart.md and docs/index.md are true: each section's blocks run by themselves."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pgvector import Vector
from synthetic import clustered
from tests.engines import url
from tests.pages import blocks
from tests.test_qdrant_tutorial import existing_shard
from tests.test_readme import run_sh, run_sql

import bitryoshka
from bitryoshka.postgres.server import Connection

DOCS = Path(__file__).parents[1] / "docs"
DIMENSIONS = 64


def run(section: str, connection: Connection | None = None, **given: Any) -> dict[str, Any]:
    """The blocks below one heading; gives the names that they made."""
    page = DOCS / "quickstart.md"
    text = page.read_text("utf-8")
    first = text[: text.index(f"\n## {section}\n")].count("\n") + 1
    last = first + re.split(r"\n## ", text[text.index(f"## {section}\n") + 3 :])[0].count("\n")
    found = [b for b in blocks(page) if first <= int(b.place.split()[-1]) <= last]
    assert found
    namespace = dict(given)
    for block in found:
        if block.language == "python":
            exec(compile(block.text, block.place, "exec", dont_inherit=True), namespace)
        elif block.language == "sql":
            assert connection is not None
            run_sql(block, connection)
        else:
            assert block.language == "sh", block.place
            dsn = os.environ.get("BITRYOSHKA_DSN", "")
            run_sh(block._replace(text=block.text.replace("$BITRYOSHKA_DSN", dsn)))
    return namespace


def test_a_postgres_table(
    database: str, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BITRYOSHKA_DSN", database)
    connection.execute("CREATE TABLE articles (id int PRIMARY KEY, embedding vector(64))")
    with connection.cursor() as cursor, cursor.copy("COPY articles FROM STDIN") as copy:
        for i, row in enumerate(clustered(0, 400, DIMENSIONS, 30)):
            copy.write_row((i, Vector(row).to_text()))
    run("A Postgres table", connection)
    assert connection.execute(
        "SELECT (s.item).id FROM bitryoshka.search("
        "NULL::articles, (SELECT embedding FROM articles WHERE id = 42), k => 1) AS s"
    ).fetchall() == [(42,)]


def test_a_qdrant_collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BITRYOSHKA_QDRANT_URL", raising=False)
    existing_shard(tmp_path / "articles")
    hits = run("A Qdrant collection")["hits"]
    assert [len(found) for found in hits] == [10, 10, 10]


def test_vectors_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("vectors.npy", clustered(0, 400, DIMENSIONS, 30))
    made = run("Vectors in a file")
    assert made["near"].rows[:, 0].tolist() == [0, 1, 2]
    [front] = blocks(DOCS / "index.md")
    exec(compile(front.text, front.place, "exec"), {})


def test_sqlalchemy(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    vectors = clustered(0, 200, DIMENSIONS, 30)
    bitryoshka.fit(vectors, bits=64, method="itq").binarizer.save("docs.safetensors")
    with bitryoshka.postgres.connect(database) as connection:
        bitryoshka.postgres.prepare_database(connection)
    made = run("SQLAlchemy", url=url(database, "psycopg"), vectors=vectors)
    made["engine"].dispose()
    assert len(made["nearest"]) == 10
    assert all(doc.tenant == 1 for doc in made["nearest"])


def test_langchain(database: str) -> None:
    run("LangChain", url=url(database, "psycopg"))["engine"].dispose()
