"""Postgres beside itself: ``python -m benchmarks.postgres --data DIR`` (about 20 minutes).

DIR is a folder as in `benchmarks.datasets`, without queries of its own: documents are held out.
More rows than it has are made from it, each a document moved a little and normalised again. One
embedded server, 384 float32 dimensions, one client.

* encode: bulk encoding in SQL, by encode (tables), by the function of an attached column (what its
  trigger and its backfill use) and by create_encoder (constants); bits that differ from NumPy's;
  whole backfills.
* trigger: its share of an insert. load: binary COPY built by NumPy against a loop over rows, as
  pgvector-python documents it.
* planes: recall that rounding a query's weights loses. search: see `benchmarks.postgres_search`.

`--only` measures some parts anew and keeps the others of the file.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bitryoshka
from benchmarks.datasets import read_dataset
from benchmarks.postgres_search import measure_planes, measure_search
from benchmarks.postgres_writing import measure_encoding, measure_load, measure_trigger
from benchmarks.results import FOLDER, Target, at_least, at_most, read, write
from bitryoshka.postgres import (
    connect,
    embedded_server,
    install,
    register,
)
from bitryoshka.postgres.server import Connection

Floats = NDArray[np.float32]

ROWS, QUERIES, SAMPLE = 200_000, 200, 20_000
JITTER = 0.4
SHARED_BUFFERS = "4GB"
PARTS = ("encode", "trigger", "load", "planes", "search")
COMPARED, LOADED = 10_000, 100_000


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
    signs = encoding["signs"]
    ours, floats = search["ours, narrow table, HNSW, then exact"], search["float HNSW"]
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
        "shared_buffers": SHARED_BUFFERS,
        "rounds": given.rounds,
    }
    with tempfile.TemporaryDirectory(prefix="bitryoshka-") as folder, server(folder) as connection:
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
            "planes": lambda: measure_planes(codecs, data.documents, data.queries),
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
