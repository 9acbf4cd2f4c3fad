"""What a row costs in Postgres, by dimensions: ``python -m benchmarks.scale_parts`` (minutes).

What `benchmarks.scale` reckons with, of made-up vectors (`benchmarks.made_up`), for tables of
vectors, of vectors with codes in the row, and of codes alone. Codes are additive: short ones of a
bit for each dimension, long ones of three, at most MOST_BITS. All are Hamming bits, and the graphs
over them are those of `benchmarks.memory`.

* bytes: of tables and their indexes. They follow from how Postgres fills pages, and hardly vary.
* memory of a build: by how many rows fit into SMALL before the graph is full, as the server says.
* processor time: of COPY and of builds in the server process, without parallel workers, and of
  encoding, compiled.

Over ROWS rows for each number of dimensions. `benchmarks.scale` compares what it reckons from them
with what larger benchmarks measured.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.errors import Diagnostic, QueryCanceled

from benchmarks.made_up import World
from benchmarks.memory import Steps, working_folder
from benchmarks.memory_layouts import GRAPHS, fill
from benchmarks.memory_layouts import LONG as LONG_CODES
from benchmarks.memory_layouts import SHORT as SHORT_CODES
from benchmarks.results import Target, at_most, write
from benchmarks.revision import clocks
from bitryoshka import Binarizer
from bitryoshka.postgres import connect, create_table, embedded_server, load
from bitryoshka.postgres.server import Connection
from bitryoshka.training.additive import additive_codes, usual_settings
from bitryoshka.training.closed_form import Goal

Floats = NDArray[np.float32]

DIMENSIONS = (256, 384, 768, 1024)
ROWS, FITTED = 10_000, 1_500
MOST_BITS = 2048
SHORT, LONG = "short codes", "long codes"
VECTORS, WITH_CODES, KEY = "vectors", "vectors with long codes", "key"
SMALL = "2MB"
SETTINGS = (
    "shared_buffers = '512MB'\nautovacuum = off\nmax_wal_size = '8GB'\n"
    "max_parallel_maintenance_workers = 0\n"
)


GRAPH = {SHORT: GRAPHS[SHORT_CODES], LONG: GRAPHS[LONG_CODES]}


def lengths(dimensions: int) -> dict[str, int]:
    """Bits of short and long codes."""
    return {SHORT: dimensions, LONG: min(3 * dimensions, MOST_BITS)}


def fitted(rows: Floats) -> dict[str, Binarizer]:
    """Codes of so many bits; how good they are does not matter here."""
    found = {}
    for name, bits in lengths(rows.shape[1]).items():
        settings = usual_settings(bits, rows.shape[1])._replace(rounds=(1,))
        goal = Goal(bits, (bits,), "cosine", 0)
        found[name] = additive_codes(rows[:FITTED], rows[:0], goal, bits, settings)
    return found


@contextmanager
def server() -> Any:
    """A connection to a server of its own, whose builds have one process."""
    with tempfile.TemporaryDirectory(prefix="bitryoshka-") as folder:
        with embedded_server(folder):
            pass
        (Path(folder) / "postgresql.auto.conf").write_text(SETTINGS)
        with embedded_server(folder) as dsn, connect(dsn) as connection:
            connection.execute("CREATE EXTENSION vector")
            yield connection


def processor(connection: Connection, work: Callable[[], object]) -> float:
    """Seconds that the server process works on it."""
    before, _ = clocks(connection)
    work()
    return clocks(connection)[0] - before


def size(connection: Connection, relation: str) -> int:
    """Bytes of a table without its indexes, or of an index."""
    [(found,)] = connection.execute("SELECT pg_table_size(%s::regclass)", [relation]).fetchall()
    return int(found)


def statements(dimensions: int) -> dict[str, str]:
    """What builds an index over the table `floats` or `coded`, by what it is over."""
    cast = f"embedding::halfvec({dimensions})"
    bits = f"binary_quantize(embedding)::bit({dimensions})"
    return {
        "vector": "floats USING hnsw (embedding vector_cosine_ops)",
        "halfvec": f"floats USING hnsw (({cast}) halfvec_cosine_ops)",
        "binary_quantize": f"floats USING hnsw (({bits}) bit_hamming_ops)",
        WITH_CODES: f"coded USING {over_codes(LONG)}",
    }


def over_codes(name: str) -> str:
    """What an index over the codes of a table is."""
    m, ef_construction = GRAPH[name]
    return f"hnsw (code bit_hamming_ops) WITH (m = {m}, ef_construction = {ef_construction})"


def measure(connection: Connection, rows: Floats) -> dict[str, Any]:
    """Bytes, memory and processor time of a row."""
    dimensions, count = int(rows.shape[1]), len(rows)
    codecs = fitted(rows)
    microseconds: dict[str, float] = {}
    sizes: dict[str, int] = {}
    encoding: dict[str, float] = {}
    memory: dict[str, float] = {}
    ids = np.arange(count)
    works = {VECTORS: lambda: fill(connection, "floats", rows)}
    for name, binarizer in codecs.items():
        table = name.partition(" ")[0]
        connection.execute(f"DROP TABLE IF EXISTS {table}".encode())
        codes = create_table(connection, table, binarizer)
        # the first call compiles
        binarizer.encode(rows[:100])
        started = time.process_time()
        encoded = binarizer.encode(rows)
        encoding[name] = count / (time.process_time() - started)
        works[name] = lambda codes=codes, encoded=encoded: load(connection, codes, ids, encoded)
    for name, work in works.items():
        microseconds[name] = processor(connection, work) / count * 1e6
    connection.execute(b"DROP TABLE IF EXISTS coded")
    connection.execute(
        f"CREATE TABLE coded (id bigint PRIMARY KEY, embedding vector({dimensions}), "
        f"code bit({lengths(dimensions)[LONG]}))".encode()
    )
    connection.execute(
        b"INSERT INTO coded SELECT id, embedding, code FROM floats JOIN long USING (id)"
    )
    tables = {VECTORS: "floats", WITH_CODES: "coded", SHORT: "short", LONG: "long"}
    for name, table in tables.items():
        connection.execute(f"VACUUM (FREEZE, ANALYZE) {table}".encode())
        sizes[name] = size(connection, table)
    sizes[KEY] = size(connection, "floats_pkey")
    built_on = statements(dimensions) | {
        name: f"{tables[name]} USING {over_codes(name)}" for name in codecs
    }
    builds = {
        name: lambda what=what: connection.execute(f"CREATE INDEX built ON {what}".encode())
        for name, what in built_on.items()
    }
    indexes: dict[str, int] = {}
    build_microseconds: dict[str, float] = {}
    connection.execute(b"SET maintenance_work_mem = '2GB'")
    for name, build in builds.items():
        build_microseconds[name] = processor(connection, build) / count * 1e6
        indexes[name] = size(connection, "built")
        connection.execute(b"DROP INDEX built")
        memory[name] = graph_memory(connection, build)
    return {
        "bits": lengths(dimensions),
        "table_bytes_a_row": {name: found / count for name, found in sizes.items()},
        "index_bytes_a_row": {name: found / count for name, found in indexes.items()},
        "graph_memory_bytes_a_row": memory,
        "build_microseconds_a_row": build_microseconds,
        "copy_microseconds_a_row": microseconds,
        "encoded_rows_per_processor_second": encoding,
    }


def graph_memory(connection: Connection, build: Callable[[], object]) -> float:
    """Bytes of maintenance_work_mem that a row of the graph takes; the build is not finished."""
    full: list[int] = []

    def notice(said: Diagnostic) -> None:
        if found := re.search(r"no longer fits .* after (\d+) tuples", said.message_primary or ""):
            full.append(int(found[1]))
            connection.cancel_safe()

    connection.add_notice_handler(notice)
    connection.execute(f"SET maintenance_work_mem = '{SMALL}'".encode())
    with suppress(QueryCanceled):
        build()
        connection.execute(b"DROP INDEX built")
    connection.execute(b"SET maintenance_work_mem = '2GB'")
    connection.remove_notice_handler(notice)
    if not full:
        raise ValueError(f"expected a graph that outgrows {SMALL}: there are too few rows")
    return int(SMALL[:-2]) * 2**20 / full[0]


def run(folder: Path, rows: int, dimensions: Sequence[int]) -> dict[str, Any]:
    """What the folder lacks of all dimensions."""
    steps = Steps(folder)
    with ExitStack() as stack:
        connection: Connection | None = None
        found = {}
        for d in dimensions:
            name = f"{d} dimensions, {rows} rows"
            if name not in steps.done and connection is None:
                connection = stack.enter_context(server())
            found[str(d)] = steps.once(
                name, lambda d=d, opened=connection: measure(opened, vectors(d, rows))
            )
    return {"rows": rows, "dimensions": found}


def vectors(dimensions: int, rows: int) -> Floats:
    """Made-up unit vectors."""
    drawn = World(dimensions).draw(rows, np.random.default_rng(0))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


def targets(figures: dict[str, Any]) -> list[Target]:
    """What an index of codes is to save."""
    return [
        at_most(
            f"{d} dimensions: index of short codes, share of halfvec's",
            0.25,
            found["index_bytes_a_row"][SHORT] / found["index_bytes_a_row"]["halfvec"],
        )
        for d, found in figures["dimensions"].items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_parts", description=__doc__)
    parser.add_argument("--folder", type=Path, help="of steps that are done; else a temporary one")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--dimensions", type=int, nargs="+", default=DIMENSIONS)
    given = parser.parse_args(arguments)
    with working_folder(given.folder) as folder:
        figures = run(folder, given.rows, given.dimensions)
    write("scale_parts", figures, targets(figures))


if __name__ == "__main__":
    main()
