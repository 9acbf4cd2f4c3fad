"""What docs/memory.md says about layouts is true: its blocks run in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from pgvector import Vector
from synthetic import clustered
from test_readme import commands, run_cli, run_sql
from tests.pages import blocks

import bitryoshka
from bitryoshka.postgres import install, register, search_column
from bitryoshka.postgres.server import Connection

PAGE = Path(__file__).parents[1] / "docs" / "memory.md"


def test_its_blocks_run(
    database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = clustered(0, 500, 192, 40)
    connection.execute(
        "CREATE TABLE articles (id bigint PRIMARY KEY, title text, embedding vector(192) NOT NULL)"
    )
    with connection.cursor() as cursor, cursor.copy("COPY articles FROM STDIN") as copy:
        for i, row in enumerate(rows):
            copy.write_row((i, f"title {i}", Vector(row).to_text()))
    install(connection)
    fitted = bitryoshka.fit(np.asarray(rows, np.float32), bits=192, method="sign")
    register(connection, "articles", fitted.binarizer)
    monkeypatch.setenv("BITRYOSHKA_DSN", database)
    namespace: dict[str, Any] = {"connection": connection, "queries": rows[:3]}
    for block in blocks(PAGE):
        if block.language == "python":
            exec(compile(block.text, block.place, "exec"), namespace)
        elif block.language == "sql":
            for statement in block.text.split(";\n\n"):
                run_sql(block._replace(text=statement), connection)
        else:
            for program, *arguments in commands(block):
                assert program == "bitryoshka"
                run_cli(arguments)
    assert [ids[0] for ids in namespace["found"].ids] == [0, 1, 2]
    # prepared before the vectors were dropped, and asked after
    with pytest.raises(psycopg.errors.UndefinedColumn):
        connection.execute(f"PREPARE own AS {namespace['text']}".encode())
    again = search_column(connection, "articles", rows[42:43])
    assert {42, 1001} <= set(again.ids[0])
