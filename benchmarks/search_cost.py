"""What a search costs beside statements by hand: ``python -m benchmarks.search_cost --data DIR``.

The same list of 100 candidates by HNSW on 384 bits, and the best ten of them: pgvector's
``binary_quantize`` with a rescoring query, a statement by hand over our codes whose query Python
has encoded, the statement of ``bitryoshka.search_statement`` as a client prepares it, and
``bitryoshka.search``. Each is prepared, and gives ids. Ratios of the median processor time of the
server's process, which other programs do not disturb; a query is asked of every search in turn.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pgvector import Vector

import bitryoshka
from benchmarks.recall_curves import drawn
from benchmarks.results import at_most, write
from benchmarks.revision import clocks
from bitryoshka.bits import bit_text
from bitryoshka.evaluation import exact_topk
from bitryoshka.postgres import attach, connect, embedded_server, install, register
from bitryoshka.postgres.server import Connection

BITS, K, MOST = 384, 10, 1.3
HAND = "codes, by hand"
BASELINE = "binary_quantize, by hand"


def prepared(connection: Connection, rows: np.ndarray, method: Any) -> bitryoshka.Binarizer:
    """A table with vectors, codes and both indexes."""
    binarizer = bitryoshka.fit(rows, bits=BITS, method=method).binarizer
    dimensions = rows.shape[1]
    connection.execute(
        f"CREATE TABLE docs (id bigint PRIMARY KEY, embedding vector({dimensions}))".encode()
    )
    with connection.cursor() as cursor, cursor.copy("COPY docs FROM STDIN") as copy:
        for number, row in enumerate(rows):
            copy.write_row((number, Vector(row).to_text()))
    attach(connection, "docs", "embedding", register(connection, "docs", binarizer).label)
    connection.execute(
        f"CREATE INDEX ON docs USING hnsw ((binary_quantize(embedding)::bit({dimensions})) "
        "bit_hamming_ops) WITH (m = 8, ef_construction = 128)".encode()
    )
    connection.execute("VACUUM ANALYZE docs")
    return binarizer


def statements(connection: Connection, dimensions: int) -> dict[str, str]:
    """What is compared, by name."""
    by_hand = (
        "SELECT id FROM (SELECT id, embedding FROM docs ORDER BY {} LIMIT 100) AS near "
        f"ORDER BY embedding <=> %(query)s::vector({dimensions}) LIMIT {K}"
    )
    quantized = f"binary_quantize({{}})::bit({dimensions})"
    query = quantized.format(f"%(query)s::vector({dimensions})")
    found = {
        BASELINE: by_hand.format(f"{quantized.format('embedding')} <~> {query}"),
        HAND: by_hand.format(f"code <~> %(code)s::bit({BITS})"),
    }
    for kind in ("exact", "asymmetric"):
        [(text,)] = connection.execute(
            "SELECT bitryoshka.search_statement('docs', rescore => %s)", [kind]
        ).fetchall()
        owned = text.replace("$1", "%(query)s").replace("$2", "NULL")
        found[f"search_statement, {kind}"] = owned.replace(
            "SELECT bitryoshka_row AS item", "SELECT bitryoshka_row.id"
        )
        found[f"search, {kind}"] = (
            "SELECT (s.item).id FROM bitryoshka.search(NULL::docs, %(query)s::vector, "
            f"rescore => '{kind}') AS s"
        )
    return found


def measure(
    connection: Connection, binarizer: bitryoshka.Binarizer, rows: np.ndarray, queries: np.ndarray
) -> dict[str, dict[str, float]]:
    """Recall, and milliseconds of processor time and of the clock, of every statement."""
    truth = exact_topk(queries, rows, K).rows.tolist()
    codes = [bit_text(code) for code in binarizer.encode_queries(queries)]
    texts = statements(connection, rows.shape[1])
    connection.execute("SET hnsw.ef_search = 100")
    spent: dict[str, list[np.ndarray]] = {name: [] for name in texts}
    hits = dict.fromkeys(texts, 0)
    # the first round warms up
    for turn in range(5):
        for query, code, best in zip(queries, codes, truth, strict=True):
            values = {"query": Vector(query).to_text(), "code": code}
            for name, text in texts.items():
                before = clocks(connection)
                found = connection.execute(text.encode(), values, prepare=True).fetchall()
                taken = np.subtract(clocks(connection), before)
                if turn:
                    spent[name].append(taken)
                    hits[name] += len({row[0] for row in found} & {*best})
    return {
        name: {
            "recall": hits[name] / (4 * K * len(queries)),
            **dict(
                zip(("processor_ms", "clock_ms"), np.median(spent[name], axis=0) * 1e3, strict=True)
            ),
        }
        for name in texts
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_cost", description=__doc__)
    parser.add_argument("--data", nargs="+", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=100)
    given = parser.parse_args(arguments)
    rows, queries = drawn(given.data, given.rows, given.queries)
    figures: dict[str, Any] = {"rows": given.rows, "queries": given.queries}
    targets = []
    for method in ("itq", "additive"):
        with (
            tempfile.TemporaryDirectory(prefix="bitryoshka-") as folder,
            embedded_server(folder) as dsn,
            connect(dsn) as connection,
        ):
            install(connection)
            binarizer = prepared(connection, rows, method)
            figures[method] = measure(connection, binarizer, rows, queries)
        for name, found in figures[method].items():
            print(method, name, found, flush=True)
        own = figures[method][HAND]["processor_ms"]
        targets += [
            at_most(
                f"{method}: {name}, times a statement by hand",
                MOST,
                figures[method][name]["processor_ms"] / own,
            )
            for name in figures[method]
            if name not in (HAND, BASELINE)
        ]
    write("search_cost", figures, targets)


if __name__ == "__main__":
    main()
