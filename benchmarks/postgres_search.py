"""Searches in one database: float scan, float HNSW, binary_quantize, and ours.

Every search is tuned by its own list length alone: the shortest of CANDIDATES whose recall@10
against exact search reaches WANTED. Times are those of single queries, from a float vector in the
client to ids in the client, searches taking turns; ``in SQL`` encodes the query on the server. Ours
rank the list by the asymmetric score, and the best EXACT of it by halfvecs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import sql

from bitryoshka import Binarizer
from bitryoshka.bits import query_planes
from bitryoshka.evaluation import hamming_topk
from bitryoshka.postgres import attach, create_index, create_table, load
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import bit_strings

Floats = NDArray[np.float32]
Search = Callable[[Floats], list[int]]

K, WANTED, PREFIX, EXACT, TIMED = 10, 0.98, 256, 100, 100
CANDIDATES = (20, 40, 60, 80, 100, 150, 200, 300, 400, 600, 800, 1000)
LABEL = "bits768@1"
SIZED = ("vectors", "halfvecs and codes", "codes alone", "covering index")


def measure_search(
    connection: Connection, binarizer: Binarizer, vectors: Floats, queries: Floats
) -> dict[str, Any]:
    """Build the tables and indexes, tune every search, and time them in turns."""
    connection.execute("SET maintenance_work_mem = '2GB'")
    prepare(connection, vectors)
    truth = exact_ids(vectors, queries)
    found: dict[str, Any] = {}
    for name, build in (
        ("float HNSW", "CREATE INDEX i ON floats USING hnsw (vector vector_cosine_ops)"),
        (
            "binary_quantize, HNSW, then exact",
            "CREATE INDEX i ON floats USING hnsw "
            "((binary_quantize(vector)::bit(384)) bit_hamming_ops)",
        ),
    ):
        found[name] = built(connection, "floats", build.replace("INDEX i", f"INDEX {slug(name)}"))
    found["ours, HNSW, then exact"] = attached(connection, "halves")
    found["ours, narrow table, HNSW, then exact"] = narrow_codes(connection, binarizer, vectors)
    runs: dict[str, Search] = {"exact float scan": float_scan(connection)}
    makers: dict[str, Callable[[int], Search]] = {
        "float HNSW": lambda n: float_hnsw(connection, n),
        "binary_quantize, HNSW, then exact": lambda n: quantized(connection, n),
        "ours, HNSW, then exact": lambda n: ours(connection, binarizer, n, min(n, EXACT)),
        "ours, narrow table, HNSW, then exact": lambda n: ours_narrow(connection, binarizer, n),
        "ours in SQL, HNSW, then exact": lambda n: ours_in_sql(connection, n),
    }
    for name, make in makers.items():
        length, recall = tuned(make, queries, truth)
        runs[name] = make(length)
        found.setdefault(name, {})
        found[name] |= {"candidates": length, "recall": recall}
    runs["ours, HNSW, codes only"] = ours(connection, binarizer, 1000, 0)
    found["ours, HNSW, codes only"] = {"candidates": 1000}
    found["exact float scan"] = {"recall": recall_of(runs["exact float scan"], queries[:20], truth)}
    for name, seconds in in_turns(runs, queries[:TIMED]).items():
        found[name]["milliseconds"] = seconds * 1e3
    found["bits only"] = bits_only(connection, binarizer, vectors, queries, truth)
    found["ours, HNSW, codes only"]["recall"] = found["bits only"]["recall"]
    found["rescoring"] = rescoring(connection, binarizer, queries)
    found["layouts"] = layouts(connection, binarizer, queries)
    return found


def slug(name: str) -> str:
    """A name for an index."""
    return name.partition(",")[0].replace(" ", "_").lower()


def prepare(connection: Connection, vectors: Floats) -> None:
    """One table of vectors, one of halfvecs."""
    for table, kind in (("floats", "vector"), ("halves", "halfvec")):
        connection.execute(
            f"CREATE TABLE {table} (id bigint PRIMARY KEY, vector {kind}(384))"  # type: ignore[arg-type]
        )
        copy_in = f"COPY {table} FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(copy_in) as copy:  # type: ignore[arg-type]
            for i, row in enumerate(vectors):
                copy.write_row((i, Vector(row).to_text()))
        connection.execute(f"VACUUM ANALYZE {table}")  # type: ignore[arg-type]


def exact_ids(vectors: Floats, queries: Floats) -> NDArray[np.int64]:
    """The K nearest rows by cosine; all are of unit length."""
    best = [np.argpartition(-(vectors @ query), K)[:K] for query in queries]
    return np.array(best, np.int64)


def built(connection: Connection, table: str, statement: str) -> dict[str, float]:
    """Seconds and bytes of one index."""
    started = time.perf_counter()
    connection.execute(statement.encode())
    seconds = time.perf_counter() - started
    return {"index_seconds": seconds, "index_bytes": index_bytes(connection, table)[-1]}


def index_bytes(connection: Connection, table: str) -> list[int]:
    """Sizes of a table's HNSW indexes, oldest first."""
    rows = connection.execute(
        "SELECT pg_relation_size(indexrelid) FROM pg_index JOIN pg_class ON oid = indexrelid "
        "WHERE indrelid = %s::regclass AND relname NOT LIKE '%%pkey' ORDER BY indexrelid",
        [table],
    ).fetchall()
    return [int(size) for (size,) in rows]


def attached(connection: Connection, table: str) -> dict[str, float]:
    """Attach; seconds of the backfill, and of the index on the rows written anew."""
    started = time.perf_counter()
    attach(connection, table, "vector", LABEL, index=False, queries=0)
    seconds = time.perf_counter() - started
    connection.execute(f"VACUUM (FULL, ANALYZE) {table}".encode())
    started = time.perf_counter()
    attach(connection, table, "vector", LABEL, prefix_bits=PREFIX, queries=0)
    return {
        "backfill_seconds": seconds,
        "index_seconds": time.perf_counter() - started,
        "index_bytes": index_bytes(connection, table)[-1],
    }


def narrow_codes(connection: Connection, binarizer: Binarizer, vectors: Floats) -> dict[str, float]:
    """Codes in a table of their own, with an index."""
    narrow = create_table(connection, "narrow", binarizer)
    load(connection, narrow, range(len(vectors)), binarizer.encode(vectors))
    connection.execute("VACUUM ANALYZE narrow")
    started = time.perf_counter()
    create_index(connection, narrow, PREFIX)
    seconds = time.perf_counter() - started
    return {"index_seconds": seconds, "index_bytes": index_bytes(connection, "narrow")[-1]}


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


current: dict[str, int] = {}


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
    planes = query_planes(binarizer.query_weights(query[None]), 6).planes[0]
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


def recall_of(search: Search, queries: Floats, truth: NDArray[np.int64]) -> float:
    """Recall@K against exact search."""
    shared = [len(set(search(q)) & set(t.tolist())) for q, t in zip(queries, truth, strict=False)]
    return float(np.mean(shared)) / K


def tuned(
    make: Callable[[int], Search], queries: Floats, truth: NDArray[np.int64]
) -> tuple[int, float]:
    """The shortest list that reaches WANTED, or the longest; and its recall."""
    for length in CANDIDATES:
        recall = recall_of(make(length), queries, truth)
        if recall >= WANTED:
            break
    return length, recall


def in_turns(runs: dict[str, Search], queries: Floats) -> dict[str, float]:
    """Median seconds of a query, each asked of every search before the next."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for query in queries:
        for name, run in runs.items():
            run(query)
            started = time.perf_counter()
            run(query)
            times[name].append(time.perf_counter() - started)
    return {name: median(taken) for name, taken in times.items()}


def bits_only(
    connection: Connection,
    binarizer: Binarizer,
    vectors: Floats,
    queries: Floats,
    truth: NDArray[np.int64],
) -> dict[str, float]:
    """Recall of prefix HNSW and asymmetric scores, and of the same funnel in NumPy."""
    length = 1000
    codes = binarizer.encode(vectors)
    near = hamming_topk(
        binarizer.encode_queries(queries, PREFIX), codes[:, : PREFIX // 8].copy(), length
    )
    weights = binarizer.query_weights(queries)
    shared = []
    for weight, shortlist, best in zip(weights, near.rows, truth, strict=True):
        signs = np.unpackbits(codes[shortlist], axis=1).astype(np.float32) * 2 - 1
        top = shortlist[np.argsort(-(signs @ weight), kind="stable")[:K]]
        shared.append(len(set(top.tolist()) & set(best.tolist())))
    return {
        "candidates": length,
        "recall": recall_of(ours(connection, binarizer, length, 0), queries, truth),
        "numpy_recall": float(np.mean(shared)) / K,
    }


def rescoring(connection: Connection, binarizer: Binarizer, queries: Floats) -> dict[str, float]:
    """The same statement over 1,000 candidates with and without asymmetric scores."""
    length = 1000
    without = run_prepared(connection, statement_text(connection, length, False, 0), length)

    def hamming_alone(query: Floats) -> list[int]:
        signs = binarizer.encode_queries(query[None], PREFIX)
        return without({"code": bit_strings(signs)[0]})

    runs = {"with": ours(connection, binarizer, length, 0), "without": hamming_alone}
    seconds = in_turns(runs, queries[:TIMED])
    return {
        "candidates": length,
        "milliseconds_with": seconds["with"] * 1e3,
        "milliseconds_without": seconds["without"] * 1e3,
        "times": seconds["with"] / seconds["without"],
    }


def layouts(connection: Connection, binarizer: Binarizer, queries: Floats) -> dict[str, Any]:
    """An exact Hamming scan over codes in the row, in a narrow table, in a covering index."""
    connection.execute("CREATE INDEX covering ON halves (id) INCLUDE (code)")
    for table in ("narrow", "halves"):
        connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table)))
    scan = (
        "SELECT id FROM {} ORDER BY (substring(code FROM 1 FOR 256)::bit(256) <~> "
        f"%(q)s::bit(256)) + 0 LIMIT {K}"
    )
    signs = bit_strings(binarizer.encode_queries(queries[:TIMED], PREFIX))
    times: dict[str, list[float]] = {}
    for sign in signs[:20]:
        for name, table, settings in (
            ("code in the row", "halves", "SET enable_indexonlyscan = off"),
            ("narrow table", "narrow", "RESET enable_indexonlyscan"),
            ("covering index", "halves", "SET enable_seqscan = off"),
        ):
            connection.execute(settings.encode())
            query = scan.replace("{}", table).encode()
            connection.execute(query, {"q": sign}).fetchall()
            started = time.perf_counter()
            connection.execute(query, {"q": sign}).fetchall()
            times.setdefault(name, []).append(time.perf_counter() - started)
            connection.execute("RESET enable_seqscan")
            connection.execute("RESET enable_indexonlyscan")
    [sizes] = connection.execute(
        "SELECT pg_table_size('floats'), pg_table_size('halves'), pg_table_size('narrow'), "
        "pg_relation_size('covering')"
    ).fetchall()
    return {
        "milliseconds": {name: median(taken) * 1e3 for name, taken in times.items()},
        "bytes": dict(
            zip(
                ("vectors", "halfvecs and codes", "codes alone", "covering index"),
                sizes,
                strict=True,
            )
        ),
    }
