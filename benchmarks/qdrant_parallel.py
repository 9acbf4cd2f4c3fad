"""What threads gain in process: ``python -m benchmarks.qdrant_parallel``.

Upsert, move and verify_move with one thread, two and four, in turns, over made-up vectors and an
additive code of 384 bits. The engine in process holds Python's lock while it works, and encoding
does not: its share of the processor time, which other programs disturb less than the wall clock,
says what threads can gain at most. Servers are not measured.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.qdrant import made_up, raw_shard
from benchmarks.results import at_most, write
from bitryoshka.qdrant import Settings, collection_config, move, upsert, verify_move
from bitryoshka.qdrant.choosing import additive_code
from bitryoshka.qdrant.edge import Shard, create_shard, open_shard, read_shard
from bitryoshka.qdrant.representation import stored_vectors

ROWS, BATCH, ROUNDS = 10_000, 500, 3
THREADS = (1, 2, 4)


def measure(rows: int = ROWS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Median seconds of each by number of threads, and processor seconds with one."""
    vectors = made_up(rows)
    binarizer = additive_code(vectors, 384)
    config = collection_config(binarizer, keep_vectors=False)
    settings = Settings.of(binarizer, keep_vectors=False)
    stored_vectors(binarizer, settings, vectors[:BATCH])
    wall: dict[str, list[float]] = {}
    processor: dict[str, list[float]] = {}

    def timed(name: str, call: Callable[[], Any]) -> None:
        before = time.perf_counter(), time.process_time()
        call()
        wall.setdefault(name, []).append(time.perf_counter() - before[0])
        processor.setdefault(name, []).append(time.process_time() - before[1])

    def encode() -> None:
        for start in range(0, rows, BATCH):
            stored_vectors(binarizer, settings, vectors[start : start + BATCH])

    def write_plain(shard: Shard) -> None:
        for start in range(0, rows, BATCH):
            part = vectors[start : start + BATCH]
            shard.write(range(start, start + len(part)), {"bits": part}, None)

    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with raw_shard(folder / "raw", vectors.shape[1]) as raw:
                timed("plain", partial(write_plain, raw))
            timed("encode", encode)
            for n in THREADS:
                create_shard(folder / f"up{n}", config)
                with open_shard(folder / f"up{n}", binarizer) as target:
                    timed(f"upsert {n}", partial(upsert, target, range(rows), vectors, parallel=n))
            for n in THREADS:
                create_shard(folder / f"to{n}", config)
                with (
                    read_shard(folder / "raw") as source,
                    open_shard(folder / f"to{n}", binarizer) as target,
                ):
                    for what, call in (("move", move), ("verify", verify_move)):
                        timed(f"{what} {n}", partial(call, source, target, "bits", parallel=n))
    return {
        "rows": rows,
        "dimensions": vectors.shape[1],
        "load": os.getloadavg()[1],
        "seconds": {name: float(np.median(found)) for name, found in wall.items()},
        "processor_seconds": {name: float(np.median(found)) for name, found in processor.items()},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.qdrant_parallel", description=__doc__
    )
    parser.add_argument("--rows", type=int, default=ROWS)
    figures = measure(parser.parse_args(arguments).rows)
    seconds, processor = figures["seconds"], figures["processor_seconds"]
    write(
        "qdrant_parallel",
        figures,
        [
            at_most(
                "upsert with two threads, times vectors as they are",
                1.3,
                seconds["upsert 2"] / seconds["plain"],
            ),
            at_most(
                "upsert with two threads, times one", 0.8, seconds["upsert 2"] / seconds["upsert 1"]
            ),
        ],
    )
    for name in seconds:
        print(f"{name}: {seconds[name]:.2f} s, {processor[name]:.2f} s of processor time")


if __name__ == "__main__":
    main()
