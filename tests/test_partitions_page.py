"""docs/partitions.md is true: its blocks run in their order, but for those that need Citus.

Those are run by citus_by_dsn.py; here the table that they distribute is one table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pgvector import Vector
from synthetic import clustered
from test_readme import Block, commands, run_cli
from tests.pages import blocks

import bitryoshka
from bitryoshka.bits import hamming
from bitryoshka.postgres import attach, install, register, verify
from bitryoshka.postgres.server import Connection

PAGE = Path(__file__).parents[1] / "docs" / "partitions.md"
CITUS = "\n## Citus\n"
ROWS, QUERIES = 2000, 20


def sections() -> tuple[list[Block], list[Block]]:
    """The page's blocks: those of partitions, and those of Citus."""
    text, found = PAGE.read_text("utf-8"), blocks(PAGE)
    before = text[: text.index(CITUS)].count("\n```") // 2
    return found[:before], found[before:]


def run_sql(connection: Connection, block: Block) -> list[Any]:
    """Every statement of a block by itself; what the last one gives."""
    for text in block.text.split(";\n\n"):
        cursor = connection.execute(text.encode())
    return cursor.fetchall() if cursor.description else []


def run_citus(connection: Connection, distributed: bool) -> dict[str, Any]:
    """Run the section on Citus; what its Python knows in the end, and queries."""
    vectors = np.asarray(clustered(0, ROWS + QUERIES, 192, 40), np.float32)
    names: dict[str, Any] = {
        "connection": connection,
        "binarizer": bitryoshka.fit(vectors[:ROWS], bits=192, method="itq").binarizer,
        "ids": range(ROWS),
        "vectors": vectors[:ROWS],
        "queries": vectors[ROWS:],
        "query": vectors[ROWS],
    }
    for block in sections()[1]:
        if block.language == "python":
            exec(compile(block.text, block.place, "exec"), names)
        elif distributed or not any(name in block.text for name in ("citus", "distributed")):
            run_sql(connection, block)
    return names


def check_searches(names: dict[str, Any]) -> None:
    """The page's last block finds what NumPy finds among the same candidates."""
    search, found = sections()[1][-1], 0
    codes = names["binarizer"].encode(names["vectors"])
    for query in names["queries"]:
        names["query"] = query
        exec(compile(search.text, search.place, "exec"), names)
        distances = hamming(names["binarizer"].encode_queries(query[None]), codes)[0]
        near = np.argsort(distances, kind="stable")[:100]
        cosines = names["vectors"][near] @ query / np.linalg.norm(names["vectors"][near], axis=1)
        expected = near[np.argsort(-cosines)[:10]].tolist()
        assert len(names["best"]) == 10
        found += len({id_ for (id_,) in names["best"]} & {*expected})
    assert found / (10 * len(names["queries"])) > 0.95


def test_its_blocks_on_partitions_run(
    database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.asarray(clustered(0, 300, 192, 40), np.float32)
    connection.execute("CREATE TABLE articles (id bigint PRIMARY KEY, embedding vector(192))")
    with connection.cursor() as cursor, cursor.copy("COPY articles FROM STDIN") as copy:
        for i, row in enumerate(rows):
            copy.write_row((i, Vector(row).to_text()))
    install(connection)
    register(connection, "articles", bitryoshka.fit(rows, bits=192, method="sign").binarizer)
    attach(connection, "articles", "embedding", "articles@1")
    monkeypatch.setenv("BITRYOSHKA_DSN", database)
    for block in sections()[0]:
        if block.language == "sh":
            for program, *arguments in commands(block):
                assert program == "bitryoshka"
                run_cli(arguments)
            continue
        given = run_sql(connection, block)
        if "filter =>" in block.text:
            assert len(given) == 10
            assert {id_ % 2 for (id_, _) in given} == {1}
        elif "search_statement" in block.text:
            [(text,)] = given
            assert "'hnsw.ef_search', '50'" in text
            prepared = text.replace("$1", "%(query)s").replace("$2", "NULL").encode()
            query = {"query": Vector(rows[0]).to_text()}
            assert len(connection.execute(prepared, query).fetchall()) == 10
    again = verify(connection, "passages", full=True)
    assert (again.good, again.sampled) == (True, 600)
    # the index that was made by hand became the parent's
    assert connection.execute(
        "SELECT count(*) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhparent "
        "WHERE c.relkind = 'I' AND c.relname LIKE 'passages_codes_%hnsw'"
    ).fetchall() == [(3,)]


def test_its_blocks_on_citus_run_on_one_table(connection: Connection) -> None:
    check_searches(run_citus(connection, distributed=False))
