"""docs/living.md is true: its blocks run in their order, on the tutorial's table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pgvector import Vector
from synthetic import clustered
from test_readme import commands, run_cli
from tests.pages import blocks

import bitryoshka
from bitryoshka.postgres import attach, install, register, verify
from bitryoshka.postgres.server import Connection

PAGE = Path(__file__).parents[1] / "docs" / "living.md"


def test_its_blocks_run(
    database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = clustered(0, 300, 192, 40)
    connection.execute(
        "CREATE TABLE articles (id bigint PRIMARY KEY, tenant int, title text, "
        "embedding vector(192))"
    )
    with connection.cursor() as cursor, cursor.copy("COPY articles FROM STDIN") as copy:
        for i, row in enumerate(rows):
            copy.write_row((i, i % 5, f"title {i}", Vector(row).to_text()))
    install(connection)
    fitted = bitryoshka.fit(np.asarray(rows, np.float32), bits=192, method="sign")
    register(connection, "articles", fitted.binarizer)
    attach(connection, "articles", "embedding", "articles@1")
    monkeypatch.setenv("BITRYOSHKA_DSN", database)
    found = blocks(PAGE)
    assert {block.language for block in found} == {"sh", "sql"}
    for block in found:
        if block.language == "sql":
            for statement in block.text.split(";\n\n"):
                connection.execute(statement.encode())
        else:
            for program, *arguments in commands(block):
                assert program == "bitryoshka"
                run_cli(arguments)
    again = verify(connection, "articles", full=True)
    assert (again.good, again.sampled) == (True, 300)
