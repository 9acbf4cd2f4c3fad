"""Postgres beside itself: ``python -m benchmarks.postgres --data DIR...`` (about an hour).

Folders as in `benchmarks.datasets`, such as `benchmarks.texts` makes. The rows are their documents
in random order, of which some are held out as queries. One embedded server, 384 float32 dimensions,
one client.

* encode: bulk encoding in SQL, by encode (tables), by the function of an attached column (what its
  trigger and its backfill use) and by create_encoder (constants); bits that differ from NumPy's,
  and wrong codes (of additive codes, those whose loss is more than that of NumPy's); whole
  backfills.
* trigger: its share of an insert. load: binary COPY built by NumPy against a loop over rows, as
  pgvector-python documents it.
* planes: recall that rounding a query's weights loses.
* growth: searches over the first SIZES rows; search: over all. See `benchmarks.postgres_search`.

`--only` measures some parts anew and keeps the others of the file.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bitryoshka
from benchmarks.postgres_search import (
    FLOAT,
    ROW,
    bits_only,
    layouts,
    measure_planes,
    measure_search,
    rescoring,
)
from benchmarks.postgres_statements import PREFIX
from benchmarks.postgres_writing import measure_encoding, measure_load, measure_trigger
from benchmarks.recall_curves import drawn
from benchmarks.results import FOLDER, Target, at_least, at_most, read, write
from bitryoshka.postgres import (
    connect,
    embedded_server,
    install,
    register,
)
from bitryoshka.postgres.server import Connection

ROWS, QUERIES, SAMPLE = 200_000, 200, 20_000
SIZES = (10_000, 50_000)
SHARED_BUFFERS = "4GB"
PARTS = ("encode", "trigger", "load", "planes", "growth", "search")
COMPARED, LOADED, COMPARED_PLANES = 10_000, 100_000, 30_000


@contextmanager
def server(folder: str) -> Iterator[Connection]:
    """A connection to an embedded server that has memory for all tables and indexes."""
    with embedded_server(folder) as dsn, connect(dsn) as connection:
        connection.execute(f"ALTER SYSTEM SET shared_buffers = '{SHARED_BUFFERS}'".encode())
    with embedded_server(folder) as dsn, connect(dsn) as connection:
        yield connection


def targets(figures: dict[str, Any]) -> list[Target]:
    """What the Postgres part set out to reach."""
    encoding, search = figures["encode"], figures["search"]
    signs, indexes = encoding["signs"], search["indexes"]
    ours, floats = (search["at_recall"]["0.98"][name] for name in (ROW, FLOAT))
    found = [
        at_most(
            f"encode 384 -> 384 in bulk ({way}): microseconds a row",
            100,
            signs[way]["microseconds_a_row"],
        )
        for way in ("column", "constants")
    ]
    far = "differing_bits_far_from_thresholds"
    worst = max(way[far] for ways in encoding.values() for way in ways.values() if far in way)
    if searched := encoding.get("additive384"):
        wrong = max(way["wrong_rows"] for way in searched.values() if "wrong_rows" in way)
        found += [
            at_most("additive codes worse than NumPy's", 0, wrong),
            at_most(
                "trigger of an additive code: microseconds added to an insert",
                1000,
                figures["trigger"]["additive384"],
            ),
        ]
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
        at_most(
            "8 planes of a query: recall lost",
            0.005,
            max(lost["8"] for lost in figures["planes"].values()),
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
            indexes[ROW]["bytes"] / indexes[FLOAT]["bytes"],
        ),
        at_most(
            "prefix and exact: build time of float HNSW's",
            0.6,
            indexes[ROW]["seconds"] / indexes[FLOAT]["seconds"],
        ),
        at_least(
            "prefix and exact: exact search's time over ours",
            25,
            search["scan"]["milliseconds"] / ours["milliseconds"],
        ),
    ]
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.postgres", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, nargs="+", help="folders of sets")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args(arguments)
    queries, vectors = drawn(given.data, given.queries, given.rows)
    sample = vectors[:SAMPLE]
    codecs = {
        name: bitryoshka.fit(sample, bits=bits, hamming_bits=signs, method=method).binarizer
        for name, bits, signs, method in (
            ("signs", 384, None, "itq"),
            ("bits384", 384, 192, "progressive"),
            ("bits768", 768, PREFIX, "auto"),
            ("additive384", 384, 384, "additive"),
        )
    }
    figures: dict[str, Any] = {
        "rows": given.rows,
        "queries": given.queries,
        "sets": [folder.name for folder in given.data],
        "dimensions": int(vectors.shape[1]),
        "shared_buffers": SHARED_BUFFERS,
        "rounds": given.rounds,
        "methods": {name: binarizer.info["method"] for name, binarizer in codecs.items()},
    }
    with tempfile.TemporaryDirectory(prefix="bitryoshka-") as folder, server(folder) as connection:
        install(connection)
        for name, binarizer in codecs.items():
            register(connection, name, binarizer)
        dsn = connection.info.dsn
        some, whole = vectors[:COMPARED], codecs["bits768"]
        parts: dict[str, Callable[[], Any]] = {
            "encode": lambda: measure_encoding(connection, codecs, some, given.rounds),
            "trigger": lambda: measure_trigger(connection, codecs, some, given.rounds),
            "load": lambda: measure_load(
                connection, codecs["bits384"], vectors[:LOADED], given.rounds
            ),
            "planes": lambda: measure_planes(codecs, vectors[:COMPARED_PLANES], queries),
            "growth": lambda: [
                measure_search(dsn, whole, codecs["signs"], vectors[:size], queries)
                for size in SIZES
            ],
            "search": lambda: {
                **measure_search(dsn, whole, codecs["signs"], vectors, queries),
                "bits only": bits_only(connection, whole, vectors, queries),
                "rescoring": rescoring(connection, whole, queries),
                "layouts": layouts(connection, whole, queries),
            },
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
