"""Searches in one database: float scan, HNSW on floats, binary_quantize, and ours, as curves.

A search's only setting is the length of its list. For every length of LISTS, until nearly
everything is found: recall@10 against exact search, the median time of a query and the pages that
it reads. The queries are asked in turns, of every search at every length before the next query.
Ours compare the whole list by halfvecs, or rank it by the asymmetric score, compare the best 100.

No search has a filter, and pgvector's iterative scans are off, as they are by default; but
bitryoshka.search sets its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from statistics import median
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from benchmarks.postgres_statements import (
    PREFIX,
    K,
    Ours,
    Search,
    exact_scan,
    halfvec_hnsw,
    quantized,
    vector_hnsw,
)
from benchmarks.recall_curves import ENOUGH, WANTED, Point, Rows, at_recall
from bitryoshka import Binarizer
from bitryoshka.bits import bit_text, query_planes, unpack
from bitryoshka.evaluation import EncodedSearch, exact_topk, recall_at_k
from bitryoshka.postgres import attach, connect, create_index, create_table, load
from bitryoshka.postgres.binary import BIGINT, rows_of, vector_column, write_rows
from bitryoshka.postgres.server import Connection

Floats = NDArray[np.float32]
Key = TypeVar("Key", bound=Hashable)

LISTS = (
    10,
    20,
    30,
    40,
    50,
    60,
    80,
    100,
    120,
    150,
    180,
    220,
    260,
    300,
    350,
    400,
    500,
    600,
    800,
    1000,
)
TIMED, LOOKED_AT, CLIENTS = 60, 20, 2
SCAN, FLOAT, HALF, QUANTIZED = "exact scan", "HNSW, vector", "HNSW, halfvec", "binary_quantize"
ROW, STAGES = "ours, 256 bits", "ours, 256 bits, asymmetric too"
NARROW, LONG = "ours, 256 bits, narrow table", "ours, 384 bits"
IN_SQL = "ours, 256 bits, bitryoshka.search"
ALONE = "ours, codes alone"
SMALL = "HNSW, vector, the graph of ours"
BUILDS = {
    FLOAT: ("floats", "CREATE INDEX {} ON floats USING hnsw (vector vector_cosine_ops) "),
    HALF: ("halves", "CREATE INDEX {} ON halves USING hnsw (vector halfvec_cosine_ops) "),
    QUANTIZED: (
        "floats",
        "CREATE INDEX {} ON floats "
        "USING hnsw ((binary_quantize(vector)::bit(384)) bit_hamming_ops)",
    ),
}


def measure_search(
    dsn: str, binarizer: Binarizer, signs: Binarizer, vectors: Floats, queries: Floats
) -> dict[str, Any]:
    """Build tables and indexes anew, and give their costs and the curve of every search."""
    truth = exact_topk(queries, vectors, K, "inner_product").rows
    # a connection of its own: prepared statements do not survive the tables of a smaller size
    with connect(dsn) as connection:
        connection.prepared_max = None
        connection.execute("SET maintenance_work_mem = '2GB'")
        prepare(connection, vectors)
        # before any graph of the same table, into which an update would write every row anew
        columns = {ROW: ("bits768@1", "code", PREFIX), LONG: ("signs@1", "signs", signs.bits)}
        indexes = attached(connection, columns)
        indexes[SMALL] = built(connection, SMALL, "WITH (m = 8, ef_construction = 128)")
        # or the planner would choose between two indexes on the same vectors
        connection.execute(sql.SQL("DROP INDEX {}").format(index_name(SMALL)))
        indexes |= {name: built(connection, name) for name in BUILDS}
        indexes[NARROW] = narrow_codes(connection, binarizer, vectors)
        found = measure_curves(connection, binarizer, signs, queries, truth)
    return {"rows": len(vectors), "indexes": indexes, **found}


def measure_curves(
    connection: Connection,
    binarizer: Binarizer,
    signs: Binarizer,
    queries: Floats,
    truth: Rows,
) -> dict[str, Any]:
    """The curve of every search, and what it needs for every recall of WANTED."""
    of_codes, of_signs = Ours(connection, binarizer), Ours(connection, signs, signs.bits)
    ways: dict[str, Callable[[int], Search]] = {
        FLOAT: vector_hnsw,
        HALF: halfvec_hnsw,
        QUANTIZED: quantized,
        ROW: of_codes.in_row,
        LONG: lambda length: of_signs.in_row(length, "signs"),
        STAGES: of_codes.in_stages,
        NARROW: of_codes.narrow,
        IN_SQL: of_codes.in_sql,
        ALONE: of_codes.codes_alone,
    }
    curves = {name: recalls(connection, make, queries, truth) for name, make in ways.items()}
    searches = {(name, length): ways[name](length) for name in ways for length in curves[name]}
    for (name, length), seconds in in_turns(connection, searches, queries[:TIMED]).items():
        pages = [searches[name, length].pages(connection, q) for q in queries[:LOOKED_AT]]
        curves[name][length] |= {"milliseconds": seconds * 1e3, "pages": median(pages)}
    points = {name: [{"list": n, **p} for n, p in curve.items()] for name, curve in curves.items()}
    equal = {f"{wanted:g}": at_recall(points, wanted) for wanted in WANTED}
    for name, point in equal["0.98"].items():
        search = ways[name](int(point["list"]))
        point["queries_a_second"] = search.throughput(connection, queries[:TIMED], CLIENTS)
    scan = {
        "recall": exact_scan().recall(connection, queries[:LOOKED_AT], truth),
        "milliseconds": in_turns(connection, {0: exact_scan()}, queries[:LOOKED_AT])[0] * 1e3,
        "pages": exact_scan().pages(connection, queries[0]),
    }
    return {"scan": scan, "curves": points, "at_recall": equal}


def prepare(connection: Connection, vectors: Floats) -> None:
    """One table of vectors, one of halfvecs."""
    for table in ("floats", "halves", "narrow"):
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(table)))
    for table, kind, number in (("floats", "vector", ">f4"), ("halves", "halfvec", ">f2")):
        name = sql.Identifier(table)
        connection.execute(
            sql.SQL("CREATE TABLE {} (id bigint PRIMARY KEY, vector {}(384))").format(
                name, sql.Identifier(kind)
            )
        )
        columns = {"id": BIGINT, "vector": vector_column(vectors.shape[1], number)}
        blocks = (
            rows_of(columns, len(part), {"id": np.arange(start, start + len(part)), "vector": part})
            for start in range(0, len(vectors), 10_000)
            for part in [vectors[start : start + 10_000]]
        )
        copy_in = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(name)
        write_rows(connection, copy_in, blocks)
        connection.execute(sql.SQL("VACUUM ANALYZE {}").format(name))


def built(connection: Connection, name: str, options: str = "") -> dict[str, float]:
    """Seconds and bytes of one of BUILDS."""
    table, statement = BUILDS[name if name in BUILDS else FLOAT]
    started = time.perf_counter()
    connection.execute(sql.SQL(statement + options).format(index_name(name)))
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "bytes": index_bytes(connection, table)[-1]}


def index_name(name: str) -> sql.Identifier:
    """Of one of BUILDS."""
    return sql.Identifier(name.replace(", ", " "))


def index_bytes(connection: Connection, table: str) -> list[int]:
    """Sizes of a table's HNSW indexes, oldest first."""
    rows = connection.execute(
        "SELECT pg_relation_size(indexrelid) FROM pg_index JOIN pg_class ON oid = indexrelid "
        "WHERE indrelid = %s::regclass AND relname NOT LIKE '%%pkey' ORDER BY indexrelid",
        [table],
    ).fetchall()
    return [int(size) for (size,) in rows]


def attached(
    connection: Connection, columns: dict[str, tuple[str, str, int]]
) -> dict[str, dict[str, float]]:
    """Attach codecs; seconds of the backfills, and of the indexes on the rows written anew."""
    found: dict[str, dict[str, float]] = {}
    for name, (codec, column, _) in columns.items():
        started = time.perf_counter()
        attach(connection, "halves", "vector", codec, code_column=column, index=False, queries=0)
        found[name] = {"backfill_seconds": time.perf_counter() - started}
    connection.execute("VACUUM (FULL, ANALYZE) halves")
    for name, (codec, column, prefix) in columns.items():
        started = time.perf_counter()
        attach(
            connection,
            "halves",
            "vector",
            codec,
            code_column=column,
            prefix_bits=prefix,
            queries=0,
        )
        found[name]["seconds"] = time.perf_counter() - started
        found[name]["bytes"] = index_bytes(connection, "halves")[-1]
    return found


def narrow_codes(connection: Connection, binarizer: Binarizer, vectors: Floats) -> dict[str, float]:
    """Codes in a table of their own, with an index."""
    narrow = create_table(connection, "narrow", binarizer)
    load(connection, narrow, range(len(vectors)), binarizer.encode(vectors))
    connection.execute("VACUUM ANALYZE narrow")
    started = time.perf_counter()
    create_index(connection, narrow, PREFIX)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "bytes": index_bytes(connection, "narrow")[-1]}


def recalls(
    connection: Connection, make: Callable[[int], Search], queries: Floats, truth: Rows
) -> dict[int, Point]:
    """Recall by the length of the list, until ENOUGH is found."""
    found: dict[int, Point] = {}
    for length in LISTS:
        found[length] = {"recall": make(length).recall(connection, queries, truth)}
        if found[length]["recall"] >= ENOUGH:
            break
    return found


def in_turns(
    connection: Connection, searches: dict[Key, Search], queries: Floats
) -> dict[Key, float]:
    """Median seconds of a query, each asked of every search before the next."""
    times: dict[Key, list[float]] = {key: [] for key in searches}
    for query in queries:
        for key, search in searches.items():
            search.settle(connection)
            search.run(connection, query)
            started = time.perf_counter()
            search.run(connection, query)
            times[key].append(time.perf_counter() - started)
    return {key: median(taken) for key, taken in times.items()}


def bits_only(
    connection: Connection,
    binarizer: Binarizer,
    vectors: Floats,
    queries: Floats,
    length: int = 1000,
) -> Point:
    """Recall of prefix HNSW and asymmetric scores, and of the same funnel in NumPy."""
    truth = exact_topk(queries, vectors, K, "inner_product").rows
    found = EncodedSearch.of(binarizer, vectors, queries).funnel(K, length, prefix_bits=PREFIX)
    search = Ours(connection, binarizer).codes_alone(length)
    return {
        "candidates": length,
        "recall": search.recall(connection, queries, truth),
        "numpy_recall": float(recall_at_k(found, truth, K).mean()),
    }


def measure_planes(
    codecs: dict[str, Binarizer], vectors: Floats, queries: Floats
) -> dict[str, Point]:
    """Recall@K that rounding a query's weights to so many bit planes loses, by codec."""
    truth = exact_topk(queries, vectors, K, "inner_product").rows
    found: dict[str, Point] = {}
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


def recall_of_scores(scores: Floats, truth: Rows) -> float:
    """Recall@K of the best rows under scores (Q, N)."""
    best = np.argpartition(-scores, K, axis=1)[:, :K]
    return float(recall_at_k(best, truth, K).mean())


def rescoring(
    connection: Connection, binarizer: Binarizer, queries: Floats, length: int = 1000
) -> Point:
    """The same statement over 1,000 candidates with and without asymmetric scores."""
    of_codes = Ours(connection, binarizer)
    searches = {
        "with": of_codes.codes_alone(length),
        "without": of_codes.hamming_alone(length),
    }
    seconds = in_turns(connection, searches, queries[:TIMED])
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
        f"SELECT id FROM {{}} ORDER BY (substring(code FROM 1 FOR {PREFIX})::bit({PREFIX}) <~> "
        f"%(q)s::bit({PREFIX})) + 0 LIMIT {K}"
    )
    signs = map(bit_text, binarizer.encode_queries(queries[:LOOKED_AT], PREFIX))
    times: dict[str, list[float]] = {}
    for sign in signs:
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
    sized = ("vectors", "halfvecs and codes", "codes alone", "covering index")
    return {
        "milliseconds": {name: median(taken) * 1e3 for name, taken in times.items()},
        "bytes": dict(zip(sized, sizes, strict=True)),
    }
