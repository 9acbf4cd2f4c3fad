"""Postgres beside itself: ``python -m benchmarks.postgres --data DIR`` (about 20 minutes).

DIR is a folder as in `benchmarks.datasets`, without queries of its own: documents are held out.
More rows than it has are made from it, each a document moved a little and normalised again. One
embedded server, 384 float32 dimensions, one client.

* encode: bulk encoding in SQL, by encode (tables), by the function of an attached column (what
  triggers and backfills use) and by create_encoder (constants); the trigger's share of an insert;
  bits that differ from NumPy's.
* load: binary COPY built by NumPy against a loop over rows, as pgvector-python documents it.
* search: see `benchmarks.postgres_search`.

Runs take turns, and the fastest of each counts: other work on the machine only slows them.
`--only` measures some parts anew and keeps the others of the file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import Bit, HalfVector
from pgvector.psycopg import register_vector

import bitryoshka
from benchmarks.datasets import read_dataset
from benchmarks.postgres_search import measure_search
from benchmarks.results import FOLDER, Target, at_least, at_most, read, write
from bitryoshka import Binarizer
from bitryoshka.bits import unpack
from bitryoshka.postgres import (
    attach,
    connect,
    create_table,
    embedded_server,
    install,
    load,
    register,
)
from bitryoshka.postgres.server import Connection

Floats = NDArray[np.float32]

ROWS, QUERIES, SAMPLE = 200_000, 200, 20_000
JITTER = 0.4
PARTS = ("encode", "trigger", "load", "search")
ENCODED, INSERTED, COMPARED, LOADED = 3_000, 3_000, 10_000, 100_000


def clustered(documents: Floats, rows: int, seed: int = 0) -> Floats:
    """The documents, then copies of them, each moved by a random vector of length JITTER."""
    rng = np.random.default_rng(seed)
    found = np.empty((rows, documents.shape[1]), np.float32)
    kept = min(rows, len(documents))
    found[:kept] = documents[:kept]
    for start in range(kept, rows, 10_000):
        count = min(10_000, rows - start)
        moved = rng.standard_normal((count, documents.shape[1]), np.float32)
        moved *= JITTER / np.linalg.norm(moved, axis=1, keepdims=True)
        moved += documents[rng.integers(0, len(documents), count)]
        found[start : start + count] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return found


def turns(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Fewest seconds of each run, after one that warms up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if turn:
                times[name].append(time.perf_counter() - started)
    return {name: min(taken) for name, taken in times.items()}


def measure_encoding(
    connection: Connection, codecs: dict[str, Binarizer], vectors: Floats, rounds: int
) -> dict[str, Any]:
    """Microseconds a row, and bits that are not NumPy's, of each codec and way."""
    fill(connection, codecs["signs"], vectors)
    connection.execute("SET max_parallel_workers_per_gather = 0")
    found: dict[str, Any] = {}
    for name, binarizer in codecs.items():
        connection.execute("SELECT bitryoshka.create_encoder(%s)", [f"{name}@1"])
        connection.execute(
            f"CREATE TABLE of_{name} (id int PRIMARY KEY, vector vector(384))".encode()
        )
        attach(connection, f"of_{name}", "vector", f"{name}@1", index=False, queries=0)
        [(column,)] = connection.execute("SELECT max(id) FROM bitryoshka.columns").fetchall()
        ways = {
            "tables": f"bitryoshka.encode('{name}@1', vector)",
            "column": f"bitryoshka.encode_column_{column}(vector)",
            "constants": f"bitryoshka.encode_{name}_1(vector)",
        }
        seconds = turns(
            {
                way: lambda call=call: connection.execute(  # type: ignore[misc]
                    f"SELECT count({call}) FROM encoded WHERE id < {ENCODED}"
                )
                for way, call in {**ways, "read alone": "vector"}.items()
            },
            rounds,
        )
        found[name] = {
            way: {
                "microseconds_a_row": (seconds[way] - seconds["read alone"]) / ENCODED * 1e6,
                **differing(connection, binarizer, call, vectors),
            }
            for way, call in ways.items()
        }
    connection.execute("RESET max_parallel_workers_per_gather")
    return found


def fill(connection: Connection, binarizer: Binarizer, vectors: Floats) -> None:
    """Table encoded, with the vectors under their row numbers."""
    connection.execute("DROP TABLE IF EXISTS encoded")
    table = create_table(connection, "encoded", binarizer, "vector")
    load(connection, table, range(len(vectors)), binarizer.encode(vectors), vectors)
    connection.execute("VACUUM ANALYZE encoded")


def differing(
    connection: Connection, binarizer: Binarizer, call: str, vectors: Floats
) -> dict[str, int]:
    """Bits that differ from NumPy's, and those of them that lie at no threshold."""
    rows = connection.execute(
        f"SELECT ({call})::text FROM encoded ORDER BY id"  # type: ignore[arg-type]
    ).fetchall()
    digits = np.frombuffer("".join(code for (code,) in rows).encode(), np.uint8) - ord("0")
    differ = digits.reshape(len(vectors), -1) != unpack(binarizer.encode(vectors))
    steps = binarizer.project(vectors) / binarizer.step
    near = np.abs(steps - np.round(steps)) * binarizer.step < 1e-5
    far = differ & ~near[:, binarizer.bit_dimension]
    return {
        "vectors": len(vectors),
        "differing_bits": int(differ.sum()),
        "differing_bits_far_from_thresholds": int(far.sum()),
    }


def measure_trigger(
    connection: Connection, codecs: dict[str, Binarizer], vectors: Floats, rounds: int
) -> dict[str, float]:
    """Microseconds that the trigger adds to a row of INSERT ... SELECT."""
    found = {}
    fill(connection, codecs["signs"], vectors)
    for name in codecs:
        for table in ("plain", "triggered"):
            connection.execute(
                f"DROP TABLE IF EXISTS {table}; "  # type: ignore[arg-type]
                f"CREATE TABLE {table} (id bigint PRIMARY KEY, vector vector(384))"
            )
        attach(connection, "triggered", "vector", f"{name}@1", index=False, queries=0)

        def insert(table: str) -> None:
            connection.execute(
                f"TRUNCATE {table}; INSERT INTO {table} (id, vector) "  # type: ignore[arg-type]
                f"SELECT id, vector FROM encoded WHERE id < {INSERTED}"
            )

        seconds = turns(
            {t: lambda t=t: insert(t) for t in ("plain", "triggered")},  # type: ignore[misc]
            rounds,
        )
        found[name] = (seconds["triggered"] - seconds["plain"]) / INSERTED * 1e6
    return found


def measure_load(
    connection: Connection, binarizer: Binarizer, vectors: Floats, rounds: int
) -> dict[str, Any]:
    """Rows a second of both loads, with codes alone and with halfvecs."""
    register_vector(connection)
    codes, ids = binarizer.encode(vectors), np.arange(len(vectors))
    found: dict[str, Any] = {}
    for kind, vector_type, keyed in (
        ("id + code", None, False),
        ("id + code + halfvec", "halfvec", False),
        ("id + code, with a primary key", None, True),
    ):
        connection.execute("DROP TABLE IF EXISTS loaded")
        table = create_table(connection, "loaded", binarizer, vector_type)  # type: ignore[arg-type]
        if not keyed:
            connection.execute("ALTER TABLE loaded DROP CONSTRAINT loaded_pkey")
        kept = None if vector_type is None else vectors

        def by_numpy(table: Any = table, kept: Any = kept) -> None:
            connection.execute("TRUNCATE loaded")
            load(connection, table, ids, codes, kept)

        def by_loop(table: Any = table, kept: Any = kept) -> None:
            connection.execute("TRUNCATE loaded")
            types = ["int8", "bit"] + ([] if kept is None else ["halfvec"])
            copy_in = "COPY loaded FROM STDIN WITH (FORMAT BINARY)"
            with connection.cursor().copy(copy_in) as copy:
                copy.set_types(types)
                for i, code in enumerate(codes):
                    row: list[Any] = [i, Bit(code.tobytes())]
                    copy.write_row(row if kept is None else [*row, HalfVector(kept[i])])

        seconds = turns({"numpy": by_numpy, "loop": by_loop}, rounds)
        found[kind] = {
            "rows_per_second": len(ids) / seconds["numpy"],
            "loop_rows_per_second": len(ids) / seconds["loop"],
            "times_the_loop": seconds["loop"] / seconds["numpy"],
        }
    connection.execute("DROP TABLE loaded")
    return found


def targets(figures: dict[str, Any]) -> list[Target]:
    """What the Postgres part set out to reach."""
    encoding, search = figures["encode"], figures["search"]
    signs = encoding["signs"]
    ours, floats = search["ours, HNSW, then exact"], search["float HNSW"]
    found = [
        at_most(
            f"encode 384 -> 384 in bulk ({way}): microseconds a row",
            100,
            signs[way]["microseconds_a_row"],
        )
        for way in ("column", "constants")
    ]
    far = "differing_bits_far_from_thresholds"
    worst = max(ways[way][far] for ways in encoding.values() for way in ways)
    found += [
        at_most("bits that differ from NumPy's away from thresholds", 0, worst),
        at_most("trigger: microseconds added to an insert", 150, figures["trigger"]["signs"]),
        at_least(
            "load of id + code: times the loop", 4, figures["load"]["id + code"]["times_the_loop"]
        ),
        at_least(
            "load with halfvec: times the loop",
            1.2,
            figures["load"]["id + code + halfvec"]["times_the_loop"],
        ),
        at_most("asymmetric rescoring of 1,000: times without", 1.5, search["rescoring"]["times"]),
        at_most(
            "bits only, 768 bits: recall apart from NumPy",
            0.01,
            abs(search["bits only"]["recall"] - search["bits only"]["numpy_recall"]),
        ),
        at_least("prefix and exact: recall@10", 0.98, ours["recall"]),
        at_least(
            "prefix and exact: float HNSW's time over ours",
            1,
            floats["milliseconds"] / ours["milliseconds"],
        ),
        at_most(
            "prefix and exact: index size of float HNSW's",
            0.25,
            ours["index_bytes"] / floats["index_bytes"],
        ),
        at_most(
            "prefix and exact: build time of float HNSW's",
            0.6,
            ours["index_seconds"] / floats["index_seconds"],
        ),
        at_least(
            "prefix and exact: exact search's time over ours",
            25,
            search["exact float scan"]["milliseconds"] / ours["milliseconds"],
        ),
    ]
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.postgres", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder of one set")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args(arguments)
    data = read_dataset(given.data, given.queries)
    vectors = clustered(data.documents, given.rows)
    sample = data.documents[:SAMPLE]
    codecs = {
        "signs": bitryoshka.fit(sample, bits=384, method="itq").binarizer,
        "bits384": bitryoshka.fit(
            sample, bits=384, hamming_bits=192, method="progressive"
        ).binarizer,
        "bits768": bitryoshka.fit(
            sample, bits=768, hamming_bits=256, method="progressive"
        ).binarizer,
    }
    figures: dict[str, Any] = {
        "rows": given.rows,
        "documents": len(data.documents),
        "queries": given.queries,
        "dimensions": int(vectors.shape[1]),
        "jitter": JITTER,
        "rounds": given.rounds,
    }
    with (
        tempfile.TemporaryDirectory(prefix="bitryoshka-") as folder,
        embedded_server(folder) as dsn,
        connect(dsn) as connection,
    ):
        install(connection)
        for name, binarizer in codecs.items():
            register(connection, name, binarizer)
        some = data.documents[:COMPARED]
        parts: dict[str, Callable[[], Any]] = {
            "encode": lambda: measure_encoding(connection, codecs, some, given.rounds),
            "trigger": lambda: measure_trigger(connection, codecs, some, given.rounds),
            "load": lambda: measure_load(
                connection, codecs["bits384"], vectors[:LOADED], given.rounds
            ),
            "search": lambda: measure_search(connection, codecs["bits768"], vectors, data.queries),
        }
        for name in PARTS:
            if name in given.only:
                figures[name] = parts[name]()
                print(name, figures[name], flush=True)
            else:
                figures[name] = read(FOLDER / "postgres.json")["figures"][name]
    write("postgres", figures, targets(figures))


if __name__ == "__main__":
    main()
