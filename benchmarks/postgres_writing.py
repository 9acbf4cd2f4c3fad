"""Writing, timed: codes made in SQL, triggers, backfills and bulk loads.

Runs take turns, and the fastest of each counts: other work on the machine only slows them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import Bit, HalfVector
from pgvector.psycopg import register_vector

from bitryoshka import Binarizer
from bitryoshka.bits import unpack
from bitryoshka.postgres import attach, create_table, load
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.verification import judge

Floats = NDArray[np.float32]

ENCODED, INSERTED = 3_000, 3_000


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
    """Microseconds a row, bits that are not NumPy's and wrong codes, of each codec and way."""
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
            "column": f"public.bitryoshka_encode_{column}(vector)",
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
        found[name]["backfill"] = backfill_times(connection, name)
    connection.execute("RESET max_parallel_workers_per_gather")
    return found


def backfill_times(connection: Connection, name: str) -> dict[str, float]:
    """Microseconds a row to attach a table of vectors without an index, in both ways."""
    found = {}
    for way in ("numpy", "in_database"):
        connection.execute("DROP TABLE IF EXISTS filled")
        connection.execute("CREATE TABLE filled (id bigint PRIMARY KEY, vector vector(384))")
        connection.execute("INSERT INTO filled SELECT id, vector FROM encoded")
        started = time.perf_counter()
        done = attach(
            connection,
            "filled",
            "vector",
            f"{name}@1",
            index=False,
            in_database=way == "in_database",
            queries=0,
        )
        found[f"{way}_microseconds_a_row"] = (time.perf_counter() - started) / done.filled * 1e6
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
    """Bits that differ from NumPy's, those of them that lie at no threshold, and wrong codes."""
    rows = connection.execute(
        f"SELECT ({call})::text FROM encoded ORDER BY id"  # type: ignore[arg-type]
    ).fetchall()
    digits = np.frombuffer("".join(code for (code,) in rows).encode(), np.uint8) - ord("0")
    judged = judge(binarizer, vectors, np.packbits(digits.reshape(len(vectors), -1), axis=1))
    found = {
        "vectors": len(vectors),
        "differing_bits": judged.wrong_bits + judged.near_bits,
        "wrong_rows": judged.wrong_rows,
    }
    if binarizer.additive is None:
        found["differing_bits_far_from_thresholds"] = judged.wrong_bits
    return found


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
    """Rows a second; the loop takes booleans, as pgvector documents Bit, or packed bytes."""
    register_vector(connection)
    codes, ids = binarizer.encode(vectors), np.arange(len(vectors))
    booleans, packed = unpack(codes), [code.tobytes() for code in codes]
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

        def by_loop(rows: Any, kept: Any = kept) -> None:
            connection.execute("TRUNCATE loaded")
            types = ["int8", "bit"] + ([] if kept is None else ["halfvec"])
            copy_in = "COPY loaded FROM STDIN WITH (FORMAT BINARY)"
            with connection.cursor().copy(copy_in) as copy:
                copy.set_types(types)
                for i, code in enumerate(rows):
                    row: list[Any] = [i, Bit(code)]
                    copy.write_row(row if kept is None else [*row, HalfVector(kept[i])])

        seconds = turns(
            {
                "numpy": by_numpy,
                "loop": lambda: by_loop(booleans),
                "packed": lambda: by_loop(packed),
            },
            rounds,
        )
        found[kind] = {
            "rows_per_second": len(ids) / seconds["numpy"],
            "loop_rows_per_second": len(ids) / seconds["loop"],
            "packed_loop_rows_per_second": len(ids) / seconds["packed"],
            "times_the_loop": seconds["loop"] / seconds["numpy"],
            "times_the_packed_loop": seconds["packed"] / seconds["numpy"],
        }
    connection.execute("DROP TABLE loaded")
    return found
