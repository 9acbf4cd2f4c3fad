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

from benchmarks.postgres_statements import (
    EXACT,
    PREFIX,
    K,
    Search,
    float_hnsw,
    float_scan,
    ours,
    ours_in_sql,
    ours_narrow,
    quantized,
    run_prepared,
    statement_text,
)
from bitryoshka import Binarizer
from bitryoshka.bits import query_planes, unpack
from bitryoshka.evaluation import hamming_topk
from bitryoshka.postgres import attach, create_index, create_table, load
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import bit_strings

Floats = NDArray[np.float32]

WANTED, TIMED = 0.98, 100
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


def measure_planes(
    codecs: dict[str, Binarizer], vectors: Floats, queries: Floats
) -> dict[str, dict[str, float]]:
    """Recall@K that rounding a query's weights to so many bit planes loses, by codec."""
    truth = exact_ids(vectors, queries)
    found: dict[str, dict[str, float]] = {}
    for name, binarizer in codecs.items():
        signs = unpack(binarizer.encode(vectors)).astype(np.float32) * 2 - 1
        weights = binarizer.query_weights(queries)
        whole = recall_of_scores(weights @ signs.T, truth)
        found[name] = {"float": whole}
        for count in range(3, 9):
            planes = query_planes(weights, count).planes
            rounded = sum(
                (unpack(planes[:, p].copy()).astype(np.float32) * 2 - 1) * 2 ** (count - 1 - p)
                for p in range(count)
            )
            lost = whole - recall_of_scores(rounded @ signs.T, truth)
            found[name][str(count)] = lost
    return found


def recall_of_scores(scores: Floats, truth: NDArray[np.int64]) -> float:
    """Recall@K of the best rows under scores (Q, N)."""
    best = np.argpartition(-scores, K, axis=1)[:, :K]
    shared = [len(set(b) & set(t)) for b, t in zip(best.tolist(), truth.tolist(), strict=True)]
    return float(np.mean(shared)) / K


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
