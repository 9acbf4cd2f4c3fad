"""The searches that `benchmarks.postgres_search` compares, each as a function of one query.

All are prepared statements, from a float vector in the client to ids in the client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector

from bitryoshka import Binarizer
from bitryoshka.bits import query_planes
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import bit_strings

Floats = NDArray[np.float32]
Search = Callable[[Floats], list[int]]

K, PREFIX, EXACT = 10, 256, 100

current: dict[str, int] = {}


def run_prepared(connection: Connection, query: str, length: int) -> Callable[..., list[int]]:
    """A statement by ids, with the list length set for it alone."""
    settings = (
        "SELECT set_config('hnsw.ef_search', %s, false), "
        "set_config('hnsw.iterative_scan', 'relaxed_order', false)"
    )

    def run(values: dict[str, Any]) -> list[int]:
        if current.get("length") != length:
            connection.execute(settings, [str(min(length, 1000))])
            current["length"] = length
        rows = connection.execute(query.encode(), values, prepare=True).fetchall()
        return [row[0] for row in rows]

    return run


def float_scan(connection: Connection) -> Search:
    """Exact: the sum keeps indexes out of the plan."""
    run = run_prepared(
        connection,
        f"SELECT id FROM floats ORDER BY (vector <=> %(q)s::vector(384)) + 0 LIMIT {K}",
        40,
    )
    return lambda query: run({"q": Vector(query).to_text()})


def float_hnsw(connection: Connection, length: int) -> Search:
    """Pgvector's own index on the vectors."""
    run = run_prepared(
        connection,
        f"SELECT id FROM floats ORDER BY vector <=> %(q)s::vector(384) LIMIT {K}",
        length,
    )
    return lambda query: run({"q": Vector(query).to_text()})


def quantized(connection: Connection, length: int) -> Search:
    """Pgvector's documented query on binary_quantize with a rerank."""
    run = run_prepared(
        connection,
        "SELECT id FROM (SELECT id, vector FROM floats ORDER BY "
        "binary_quantize(vector)::bit(384) <~> binary_quantize(%(q)s::vector(384))::bit(384) "
        f"LIMIT {length}) AS near ORDER BY vector <=> %(q)s::vector(384) LIMIT {K}",
        length,
    )
    return lambda query: run({"q": Vector(query).to_text()})


def statement_text(connection: Connection, length: int, rescore: bool, exact: int) -> str:
    """What search_statement gives, with placeholders of psycopg."""
    [(text,)] = connection.execute(
        "SELECT bitryoshka.search_statement('halves', k => %s, candidates => %s, "
        "rescore => %s, exact => %s)",
        [K, length, rescore, exact],
    ).fetchall()
    for number, placeholder in ((1, "code"), (2, "planes"), (3, "query")):
        text = text.replace(f"${number}", f"%({placeholder})s")
    # a parameter of the array's own type: a conversion would be made for every candidate
    text = text.replace("%(planes)s", "%(planes)s::varbit[]")
    return text.replace("SELECT t AS item", "SELECT t.id AS item")


def ours(connection: Connection, binarizer: Binarizer, length: int, exact: int) -> Search:
    """The statement of bitryoshka.search, prepared, with queries encoded by NumPy."""
    run = run_prepared(connection, statement_text(connection, length, True, exact), length)
    return lambda query: run(encoded(binarizer, query))


def encoded(binarizer: Binarizer, query: Floats) -> dict[str, Any]:
    """A query's bits, planes and text, made by NumPy."""
    planes = query_planes(binarizer.query_weights(query[None]), 8).planes[0]
    return {
        "code": bit_strings(binarizer.encode_queries(query[None], PREFIX))[0],
        "planes": "{" + ",".join(bit_strings(planes)) + "}",
        "query": Vector(query).to_text(),
    }


def ours_narrow(connection: Connection, binarizer: Binarizer, length: int) -> Search:
    """The same stages over codes in a table of their own, vectors looked up by id."""
    run = run_prepared(
        connection,
        "WITH near AS MATERIALIZED (SELECT id, code FROM narrow "
        "ORDER BY substring(code FROM 1 FOR 256)::bit(256) <~> %(code)s::bit(256) "
        f"LIMIT {length}), best AS MATERIALIZED (SELECT id FROM near "
        f"ORDER BY bitryoshka.asymmetric_score(code, %(planes)s::varbit[]) DESC LIMIT {EXACT}) "
        "SELECT h.id FROM best JOIN halves AS h USING (id) "
        f"ORDER BY h.vector <=> %(query)s::halfvec(384) LIMIT {K}",
        length,
    )
    return lambda query: run(encoded(binarizer, query))


def ours_in_sql(connection: Connection, length: int) -> Search:
    """bitryoshka.search, which encodes the query on the server."""
    run = run_prepared(
        connection,
        f"SELECT (s.item).id FROM bitryoshka.search(NULL::halves, %(q)s::vector, k => {K}, "
        f"candidates => {length}, exact => {min(length, EXACT)}) AS s",
        40,
    )
    return lambda query: run({"q": Vector(query).to_text()})
