"""The demo's Postgres part: load, index, and time searches side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import sql

from bitryoshka.binarizer import Binarizer
from bitryoshka.demo.quality import Judge
from bitryoshka.postgres import CodeTable, create_index, create_table, load, search
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import pgvector_schema, statement
from bitryoshka.search_parameters import K, Rescore

Floats = NDArray[np.float32]
Search = Callable[[Floats], NDArray[np.int64]]

SCHEMA = "bitryoshka_demo"
_TIMED = 200


class Tables(NamedTuple):
    """Codes alone; ours beside the float vectors; sign bits beside the float vectors."""

    codes: CodeTable
    floats: CodeTable
    signs: CodeTable


def fill(
    connection: Connection, ours: Binarizer, signs: Binarizer, texts: Floats, progress: bool
) -> tuple[Tables, float]:
    """Make and load the tables in a schema of their own; gives the seconds of the codes' load."""
    connection.execute(statement("demo_schema", schema=sql.Identifier(SCHEMA)))
    tables = Tables(
        create_table(connection, "codes", ours, schema=SCHEMA),
        create_table(connection, "floats", ours, "vector", schema=SCHEMA),
        create_table(connection, "signs", signs, "vector", schema=SCHEMA),
    )
    codes, ids = ours.encode(texts), range(len(texts))
    started = time.perf_counter()
    load(connection, tables.codes, ids, codes, progress=progress)
    seconds = time.perf_counter() - started
    load(connection, tables.floats, ids, codes, texts, progress=progress)
    load(connection, tables.signs, ids, signs.encode(texts), texts, progress=progress)
    return tables, seconds


def compare_searches(
    connection: Connection,
    tables: Tables,
    ours: Binarizer,
    signs: Binarizer,
    questions: Floats,
    by: Judge,
) -> dict[str, dict[str, float]]:
    """Recall, retention and median latency of each search, with its index's size and time."""

    def floats(queries: Floats) -> NDArray[np.int64]:
        return _float_search(connection, tables.floats, queries)

    def coded(table: CodeTable, binarizer: Binarizer, rescore: Rescore) -> Search:
        def run(queries: Floats) -> NDArray[np.int64]:
            found = search(connection, table, binarizer, queries, K, rescore=rescore)
            return np.array(found.ids, np.int64)

        return run

    def indexed(
        table: CodeTable, binarizer: Binarizer, rescore: Rescore = "exact"
    ) -> dict[str, float]:
        bits = binarizer.hamming_bits
        built = _seconds(lambda: create_index(connection, table, bits))
        size = sizes()[f"{table.name}_code_{bits}_hnsw"]
        run = coded(table, binarizer, rescore)
        return _timed(run, questions, by) | {"index_bytes": size, "index_seconds": built}

    def sizes() -> dict[str, int]:
        rows = connection.execute(statement("index_sizes", schema=sql.Literal(SCHEMA)))
        return dict(rows.fetchall())

    scan = _timed(coded(tables.codes, ours, "asymmetric"), questions, by)
    found = {"exact float scan": _timed(floats, questions, by)}
    built = _seconds(lambda: _float_index(connection, tables.floats))
    found["float HNSW"] = _timed(floats, questions, by)
    found["float HNSW"] |= {"index_bytes": sizes()["floats_hnsw"], "index_seconds": built}
    found["sign bits, HNSW, then exact"] = indexed(tables.signs, signs)
    found["ours, HNSW, then exact"] = indexed(tables.floats, ours)
    found["ours, HNSW, codes only"] = indexed(tables.codes, ours, "asymmetric")
    found["ours, scan, codes only"] = scan
    return found


def _float_index(connection: Connection, table: CodeTable) -> None:
    connection.execute(
        statement(
            "float_index",
            index=sql.Identifier("floats_hnsw"),
            table=table.identifier,
            pgvector=pgvector_schema(connection),
        )
    )


def _float_search(connection: Connection, table: CodeTable, queries: Floats) -> NDArray[np.int64]:
    query = statement(
        "float_search",
        table=table.identifier,
        query=sql.Placeholder("query"),
        dimensions=table.dimensions,
        pgvector=pgvector_schema(connection),
        k=K,
    )
    found = [
        connection.execute(query, {"query": Vector(row).to_text()}).fetchall() for row in queries
    ]
    return np.array(found, np.int64)[:, :, 0]


def _timed(run: Search, questions: Floats, by: Judge) -> dict[str, float]:
    """Quality over all questions, which warms up, then the median of single searches."""
    found = run(questions)
    seconds = [
        _seconds(lambda query=query: run(query[None]))  # type: ignore[misc]
        for query in questions[:_TIMED]
    ]
    return {**by.figures(found), "milliseconds": float(np.median(seconds)) * 1e3}


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
