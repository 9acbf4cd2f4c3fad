"""docs/sqlalchemy.md is true: its blocks run in their order, in a database as it describes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pgvector import Vector
from tests.pages import blocks
from tests.sessions import url
from tests.synthetic import clustered
from tests.test_readme import check_pip, commands

import bitryoshka
from bitryoshka.bits import hamming
from bitryoshka.postgres.server import Connection
from bitryoshka.sqlalchemy import Code

PAGE = Path(__file__).parents[1] / "docs" / "sqlalchemy.md"
DIMENSIONS = 96


def test_its_blocks_run(
    database: str, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    vectors = clustered(0, 600, DIMENSIONS, 40)
    binarizer = bitryoshka.fit(vectors, bits=128, hamming_bits=64, method="progressive").binarizer
    binarizer.save("docs.safetensors")
    connection.execute(
        f"CREATE TABLE articles (id int PRIMARY KEY, embedding vector({DIMENSIONS}))".encode()
    )
    connection.execute(
        "INSERT INTO articles VALUES (1, %s::vector)", [Vector(vectors[0]).to_text()]
    )
    query = clustered(1, 1, DIMENSIONS, 40)[0]
    namespace: dict[str, Any] = {
        "url": url(database, "psycopg"),
        "dsn": database,
        "vectors": vectors,
        "query": query,
    }
    ran = 0
    for block in blocks(PAGE):
        if block.language == "python":
            exec(compile(block.text, block.place, "exec", dont_inherit=True), namespace)
            ran += 1
        else:
            for program, *arguments in commands(block):
                assert program == "pip"
                check_pip(arguments)
    namespace["engine"].dispose()
    assert ran == 13
    rows = connection.execute(
        "SELECT id, vector::text, code::text FROM docs ORDER BY id"
    ).fetchall()
    assert len(rows) == 593
    given = {0: 4, 1: 5, 2: 3, **{i: i for i in range(10, 600)}}
    codes = binarizer.encode(vectors)
    for row, vector, code in rows:
        stored = np.array(json.loads(vector), np.float32)
        np.testing.assert_allclose(stored, vectors[given[row]], atol=1e-6)
        found = np.frombuffer(int(code, 2).to_bytes(16, "big"), np.uint8)
        # one row is not multiplied in the order of many
        assert hamming(found[None], codes[given[row]][None])[0, 0] <= 1
    assert all(doc.tenant == 1 for doc in namespace["nearest"])
    assert len(namespace["nearest"]) == 10
    assert namespace["ids"][0] == 1000
    assert isinstance(namespace["kind"], Code)
    assert connection.execute("SELECT code IS NOT NULL FROM articles").fetchall() == [(True,)]
