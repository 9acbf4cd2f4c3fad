"""The demo's Postgres part: load, index, and time searches side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import sql

from bitryoshka.binarizer import Binarizer
from bitryoshka.demo.quality import Judge, K
from bitryoshka.postgres import CodeTable, create_index, create_table, load, search
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import pgvector_schema, statement

Floats = NDArray[np.float32]
Search = Callable[[Floats], NDArray[np.int64]]

SCHEMA = "bitryoshka_demo"
_TIMED = 200


class Tables(NamedTuple):
    """Codes alone, and the float vectors that are their baseline."""

    codes: CodeTable
    floats: CodeTable


def fill(
    connection: Connection, binarizer: Binarizer, texts: Floats, progress: bool
) -> tuple[Tables, float]:
    """Make and load both tables in a schema of their own; gives the seconds of the codes' load."""
    connection.execute(statement("demo_schema", schema=sql.Identifier(SCHEMA)))
    tables = Tables(
        create_table(connection, "codes", binarizer, schema=SCHEMA),
        create_table(connection, "floats", binarizer, "vector", schema=SCHEMA),
    )
    codes, ids = binarizer.encode(texts), np.arange(len(texts))
    started = time.perf_counter()
    load(connection, tables.codes, ids, codes, progress=progress)
    seconds = time.perf_counter() - started
    load(connection, tables.floats, ids, codes, texts, progress=progress)
    return tables, seconds


def compare_searches(
    connection: Connection,
    tables: Tables,
    binarizer: Binarizer,
    questions: Floats,
    by: Judge,
) -> dict[str, Any]:
    """Recall and median latency of float search, float HNSW and ours, on the same server."""

    def floats(queries: Floats) -> NDArray[np.int64]:
        return _float_search(connection, tables.floats, queries)

    def ours(table: CodeTable, rescore: Any) -> Search:
        def run(queries: Floats) -> NDArray[np.int64]:
            found = search(connection, table, binarizer, queries, K, rescore=rescore)
            return np.array(found.ids, np.int64)

        return run

    bits_only = ours(tables.codes, "asymmetric")
    results = {"exact float scan": _timed(floats, questions, by)}
    results["ours, scan, codes only"] = _timed(bits_only, questions, by)
    built = {"ours": _seconds(lambda: _index(connection, tables, binarizer))}
    results["ours, HNSW, codes only"] = _timed(bits_only, questions, by)
    results["ours, HNSW, then exact"] = _timed(ours(tables.floats, "exact"), questions, by)
    built["float"] = _seconds(lambda: _float_index(connection, tables.floats))
    results["float HNSW"] = _timed(floats, questions, by)
    sizes = dict(
        connection.execute(statement("index_sizes", schema=sql.Literal(SCHEMA))).fetchall()
    )
    return {"searches": results, "index_bytes": sizes, "index_seconds": built}


def _index(connection: Connection, tables: Tables, binarizer: Binarizer) -> None:
    for table in tables:
        create_index(connection, table, binarizer.hamming_bits)


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


def _seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
