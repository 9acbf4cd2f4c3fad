"""Codes beside floats in DuckDB: ``python -m benchmarks.duckdb_search``.

One database in a file, made-up vectors, one thread, warm caches, no index on any side: DuckDB reads
every row. The same rows lie in tables and in Parquet files:

* float: ``array_cosine_similarity(vector, query)`` over ``FLOAT[384]``; inner product:
  ``array_inner_product`` over rows of length 1;
* hamming: ``bit_count(xor(code::BIT, query::BIT))`` over BLOB, the best 100; BIT: over a column
  that is stored so;
* two stages: `bitryoshka.duckdb.search` over the BLOBs, with planes of the float query on the 100
  candidates; then exact: with their vectors, from a table that has both.

The sides take turns on each query, in an order that changes, and each asks it twice: the second is
timed, by the time of this process' processor, which is DuckDB's too, so that other work on the
machine counts little. A ratio is that of one query's turns, and the median of all is reported.
Recall is that of the exact first 10, for "hamming" in its whole list; queries are none of the rows
and none of those fitted to.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import bitryoshka
from benchmarks.made_up import World
from benchmarks.results import Target, at_least, at_most, write
from bitryoshka import Binarizer
from bitryoshka.arrow import code_array
from bitryoshka.duckdb import search
from bitryoshka.evaluation import exact_topk
from bitryoshka.vectors import normalized

Floats = NDArray[np.float32]
Search = Callable[[Floats], list[int]]

ROWS, DIMENSIONS, BITS, QUERIES = 200_000, 384, 384, 40
K, CANDIDATES, WARM = 10, 100, 5

FLOAT = """
SELECT id FROM {source}
ORDER BY {function}(vector::FLOAT[{dimensions}], $query::FLOAT[{dimensions}]) DESC, id
LIMIT {k}
"""
HAMMING = """
SELECT id FROM {source}
ORDER BY bit_count(xor(code::BIT, $query::BLOB::BIT)), id
LIMIT {candidates}
"""


def fill(connection: Any, folder: Path, codes: NDArray[np.uint8], vectors: Floats) -> None:
    """The same rows as Parquet files and as tables."""
    ids = pa.array(np.arange(len(vectors)))
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    pq.write_table(pa.table({"id": ids, "vector": lists}), folder / "vectors.parquet")
    pq.write_table(pa.table({"id": ids, "code": code_array(codes)}), folder / "codes.parquet")
    connection.from_arrow(
        pa.table({"id": ids, "code": code_array(codes), "vector": lists})
    ).to_table("wide")
    connection.sql("CREATE TABLE vectors AS SELECT id, vector FROM wide")
    connection.sql("CREATE TABLE codes AS SELECT id, code FROM wide")
    connection.sql("CREATE TABLE bits AS SELECT id, code::BIT AS code FROM wide")


def sides(connection: Any, folder: Path, binarizer: Binarizer) -> dict[str, Search]:
    """Every way to search, from a float query to ids."""

    def float_search(source: str, function: str = "array_cosine_similarity") -> Search:
        text = FLOAT.format(source=source, function=function, dimensions=DIMENSIONS, k=K)
        return lambda q: ids(connection.execute(text, {"query": q}))

    def hamming(source: str) -> Search:
        text = HAMMING.format(source=source, candidates=CANDIDATES)
        return lambda q: ids(
            connection.execute(text, {"query": binarizer.encode_queries(q[None])[0].tobytes()})
        )

    def funnel(relation: Any, **more: Any) -> Search:
        return lambda q: search(relation, binarizer, q[None], K, candidates=CANDIDATES, **more).ids[
            0
        ]

    files = {name: f"'{folder / name}.parquet'" for name in ("codes", "vectors")}
    return {
        "float": float_search("vectors"),
        "float, inner product": float_search("vectors", "array_inner_product"),
        "float, Parquet": float_search(files["vectors"]),
        "hamming": hamming("codes"),
        "hamming, BIT": hamming("bits"),
        "hamming, Parquet": hamming(files["codes"]),
        "two stages": funnel(connection.table("codes")),
        "two stages, Parquet": funnel(connection.read_parquet(str(folder / "codes.parquet"))),
        "then exact": funnel(connection.table("wide"), rescore="exact"),
    }


def ids(cursor: Any) -> list[int]:
    """The first column."""
    return [row[0] for row in cursor.fetchall()]


def measure(searches: dict[str, Search], queries: Floats) -> dict[str, Any]:
    """Milliseconds of a query by each side, what they find, and ratios to the float search."""
    names = list(searches)
    taken_by: dict[str, list[float]] = {name: [] for name in names}
    found: dict[str, list[list[int]]] = {name: [] for name in names}
    for i, query in enumerate(queries):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            found[name].append(searches[name](query))
            started = time.process_time()
            searches[name](query)
            if i >= WARM:
                taken_by[name].append(time.process_time() - started)

    def ratio(slow: str, fast: str) -> float:
        return median(a / b for a, b in zip(taken_by[slow], taken_by[fast], strict=True))

    return {
        "found": found,
        "milliseconds": {name: median(taken) * 1e3 for name, taken in taken_by.items()},
        "times_faster": {
            name: ratio("float, Parquet" if "Parquet" in name else "float", name)
            for name in names
            if not name.startswith("float")
        },
    }


def recall(found: list[list[int]], truth: NDArray[np.int64]) -> float:
    """Share of the exact first k that is found."""
    hits = [len({*rows} & {*best}) for rows, best in zip(found, truth.tolist(), strict=True)]
    return sum(hits) / truth.size


def table_bytes(connection: Any, name: str) -> int:
    """What a table's blocks take in the database's file."""
    info = connection.sql(f"SELECT DISTINCT block_id FROM pragma_storage_info('{name}')").fetchall()
    [(size,)] = connection.sql("SELECT block_size FROM pragma_database_size()").fetchall()
    return int(size) * sum(block >= 0 for (block,) in info)


def targets(figures: dict[str, Any]) -> list[Target]:
    """What codes have to bring here."""
    return [
        at_least("times faster, two stages in a table", 2, figures["times_faster"]["two stages"]),
        at_least(
            "times faster, two stages over Parquet",
            2,
            figures["times_faster"]["two stages, Parquet"],
        ),
        at_least("recall, two stages", 0.8, figures["recall"]["two stages"]),
        at_least("recall, then exact", 0.95, figures["recall"]["then exact"]),
        at_most("bytes of codes per byte of vectors, Parquet", 0.05, figures["bytes_share"]),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.duckdb_search", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--queries", type=int, default=QUERIES)
    given = parser.parse_args(arguments)
    world, generator = World(DIMENSIONS), np.random.default_rng(0)
    vectors = normalized(world.draw(given.rows, generator), "cosine")
    queries = normalized(world.draw(given.queries + WARM, generator), "cosine")
    binarizer = bitryoshka.fit(world.draw(8_000, generator), bits=BITS, method="additive").binarizer
    truth = exact_topk(queries, vectors, K).rows
    with tempfile.TemporaryDirectory(prefix="bitryoshka-") as name:
        folder = Path(name)
        connection = duckdb.connect(folder / "database.duckdb", config={"threads": 1})
        fill(connection, folder, binarizer.encode(vectors), vectors)
        connection.execute("CHECKPOINT")
        measured = measure(sides(connection, folder, binarizer), queries)
        files = {f: (folder / f"{f}.parquet").stat().st_size for f in ("codes", "vectors")}
        tables = {t: table_bytes(connection, t) for t in ("codes", "bits", "vectors")}
        connection.close()
    found = measured.pop("found")
    figures = {
        "rows": given.rows,
        "dimensions": DIMENSIONS,
        "bits": BITS,
        "k": K,
        "candidates": CANDIDATES,
        "queries": given.queries,
        "threads": 1,
        **measured,
        "recall": {name: recall(rows, truth) for name, rows in found.items()},
        "parquet_bytes": files,
        "table_bytes": tables,
        "bytes_share": files["codes"] / files["vectors"],
    }
    print(figures)
    write("duckdb_search", figures, targets(figures))


if __name__ == "__main__":
    main()
