"""docs/tutorial.md is true: its blocks run in their order, in a database as it describes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from pgvector import Vector
from psycopg import sql
from synthetic import clustered
from test_readme import Block, check_pip, commands, run_cli, run_sql
from tests.pages import blocks

from bitryoshka.postgres.server import Connection

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"
ROLES = ("tutorial_reader", "tutorial_writer", "tutorial_owner")


@pytest.fixture
def roles(connection: Connection) -> Iterator[None]:
    """The roles that the page grants to; they belong to the server, not to one database."""
    names = sql.SQL(", ").join(map(sql.Identifier, ROLES))
    for name in ROLES:
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
    yield
    connection.execute(sql.SQL("DROP OWNED BY {}").format(names))
    connection.execute(sql.SQL("DROP ROLE {}").format(names))


def test_its_blocks_run(
    database: str,
    connection: Connection,
    roles: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = blocks(TUTORIAL)
    [create] = (block.text for block in found if block.language == "text")
    connection.execute(create.encode())
    rows = clustered(0, 600, 192, 40)
    # in an order, so that the first of them are no sample
    rows = rows[np.argsort(rows @ rows[0])]
    with connection.cursor() as cursor, cursor.copy("COPY articles FROM STDIN") as copy:
        for i, row in enumerate(rows):
            copy.write_row((i, i % 5, f"title {i}", Vector(row).to_text()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BITRYOSHKA_DSN", database)
    namespace: dict[str, Any] = {"dsn": database}
    for block in found:
        if block.language == "python":
            # a part of the rows, as the page takes a part of a larger table
            code = block.text.replace("LIMIT 20000", "LIMIT 300")
            exec(compile(code, block.place, "exec"), namespace)
        elif block.language == "sql":
            for statement in block.text.split(";\n\n"):
                run(statement, block, connection)
        elif block.language == "sh":
            for program, *arguments in commands(block):
                if program == "bitryoshka":
                    run_cli([database if a == "$BITRYOSHKA_DSN" else a for a in arguments])
                elif program == "pip":
                    check_pip(arguments)
                else:
                    assert program == "export"
    shape = connection.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'articles'::regclass "
        "AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    ).fetchall()
    assert shape == [("id",), ("tenant",), ("title",), ("embedding",)]
    assert connection.execute("SELECT to_regnamespace('bitryoshka')").fetchall() == [(None,)]


def test_its_figures_are_those_of_the_result_file() -> None:
    text = TUTORIAL.read_text("utf-8")
    assert len(re.findall(r"<!-- begin:(\S+) -->", text)) == 4
    assert import_module("benchmarks.readme").render(text) == text


def run(statement: str, block: Block, connection: psycopg.Connection[Any]) -> None:
    """One statement; GRANT has no rows to count."""
    if statement.startswith("GRANT"):
        connection.execute(statement.encode())
    else:
        run_sql(Block("sql", statement, block.place), connection)
