"""Loads by Ray and Spark beside one process: ``python -m benchmarks.engine_load``.

Needs what ``make test-engines`` installs, and is run by its Python. Made-up vectors in Parquet
files, additive codes, an embedded Postgres on the same machine, into a table of ids and codes with
its primary key.

First what a row costs, by the time of processors, so that other work on the machine counts little:
reading and encoding, then COPY in the client and in the server, in one process and one transaction.

Then whole loads, by the clock: one process that takes piece after piece, as many processes as there
are cores, and the examples of Ray and Spark on local clusters with as many workers, which are up
and have loaded something before. They take turns; the median of all rounds is reported, and the
load average of the machine, since the server and whatever else runs take from the same cores.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import bitryoshka
from benchmarks.made_up import World
from benchmarks.results import Target, at_least, write
from bitryoshka import Binarizer
from bitryoshka.arrow import codes_of, encode_stream
from bitryoshka.loading import PieceLoader, pieces
from bitryoshka.postgres import connect, create_table, embedded_server, load

ROOT = Path(__file__).parents[1]
ROWS, DIMENSIONS, BITS, PIECES, ROUNDS = 192_000, 384, 384, 16, 2
FITTED = 2_000
# what the page reckons with
PLANNED_ROWS, PLANNED_WORKERS = 100_000_000, 50

Loader = Callable[[PieceLoader, pa.Table], int]


def write_files(folder: Path, rows: int) -> list[str]:
    """Vectors in two files of equal pieces."""
    world, generator = World(DIMENSIONS), np.random.default_rng(0)
    files = []
    for number in range(2):
        vectors = world.draw(rows // 2, generator)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIMENSIONS)
        ids = np.arange(len(vectors)) + number * len(vectors)
        files.append(str(folder / f"part-{number}.parquet"))
        table = pa.table({"id": ids, "vector": lists})
        pq.write_table(table, files[-1], row_group_size=rows // PIECES)
    return files


def example(engine: str) -> Any:
    """The module of an example."""
    path = ROOT / "examples" / f"{engine}_load" / "load.py"
    spec = importlib.util.spec_from_file_location(f"{engine}_load", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def one_process(loader: PieceLoader, found: pa.Table) -> int:
    """Piece after piece."""
    return sum(batch["rows"][0].as_py() for batch in loader(found.to_batches()))


def pool_load(pool: ProcessPoolExecutor, loader: PieceLoader, found: pa.Table) -> int:
    """A process for each core, a piece for each task."""
    alone = [found.slice(i, 1) for i in range(len(found))]
    return sum(pool.map(partial(one_process, loader), alone))


def engines(stack: ExitStack, workers: int) -> dict[str, Loader]:
    """Local clusters that are up, and other processes."""
    import ray
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    pool = stack.enter_context(ProcessPoolExecutor(workers, get_context("spawn")))
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    stack.callback(ray.shutdown)
    ray.data.DataContext.get_current().enable_progress_bars = False
    built = SparkSession.builder.master(f"local[{workers}]").config("spark.ui.enabled", "false")
    spark = built.config("spark.ui.showConsoleProgress", "false").getOrCreate()
    stack.callback(spark.stop)
    return {
        "one process": one_process,
        "a process a core": partial(pool_load, pool),
        "Ray": example("ray").load_with_ray,
        "Spark": partial(example("spark").load_with_spark, spark),
    }


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of this process' processor, and what the work gives."""
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def processor_seconds(pid: int) -> float:
    """What another process has used."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def costs(dsn: str, binarizer: Binarizer, files: list[str], rows: int) -> dict[str, float]:
    """Rows a second of one processor, for each part of the work."""

    def encode() -> list[pa.RecordBatch]:
        found: list[pa.RecordBatch] = []
        for name in files:
            with pq.ParquetFile(name) as file:
                found += encode_stream(file, binarizer, keep_vectors=False)
        return found

    encode()  # what is compiled is compiled
    encoding, batches = timed(encode)
    with connect(dsn) as connection:
        table = create_table(connection, "costs", binarizer)
        before = processor_seconds(connection.info.backend_pid)

        def copy() -> None:
            with connection.transaction():
                for batch in batches:
                    load(connection, table, np.asarray(batch["id"]), codes_of(batch["code"]))

        client, _ = timed(copy)
        server = processor_seconds(connection.info.backend_pid) - before
    parts = {"reading and encoding": encoding, "COPY, client": client, "COPY, server": server}
    return {name: rows / seconds for name, seconds in parts.items()}


def measure(
    searches: dict[str, Loader], dsn: str, path: str, files: list[str], rows: int, rounds: int
) -> dict[str, Any]:
    """Rows a second of each way, round by round, each into a table of its own."""
    base = PieceLoader(dsn=dsn, table="", binarizer=path, load="benchmark")
    names = list(searches)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, rounds):
        for place in range(len(names)):
            name = names[(place + turn) % len(names)]
            started = time.perf_counter()
            loader = replace(base, table=f"t{turn + 1}_{place}")
            loader.prepare()
            loaded = searches[name](loader, pieces(files))
            if loaded != rows:
                raise RuntimeError(f"{name} loaded {loaded} of {rows} rows")
            if turn >= 0:
                seconds[name].append(time.perf_counter() - started)
    alone = seconds[names[0]]
    return {
        "rows_per_second": {name: rows / median(taken) for name, taken in seconds.items()},
        "times_one_process": {
            name: median(a / b for a, b in zip(alone, taken, strict=True))
            for name, taken in seconds.items()
        },
    }


def planned(per_second: dict[str, float]) -> dict[str, float]:
    """Minutes of a large load: by its workers, and by the server's processors."""
    worker = 1 / sum(1 / per_second[part] for part in ("reading and encoding", "COPY, client"))
    return {
        "rows": PLANNED_ROWS,
        "workers": PLANNED_WORKERS,
        "rows_per_second_of_a_worker": worker,
        "minutes_of_workers": PLANNED_ROWS / worker / PLANNED_WORKERS / 60,
        "minutes_of_one_server_processor": PLANNED_ROWS / per_second["COPY, server"] / 60,
    }


def targets(figures: dict[str, Any]) -> list[Target]:
    """What an engine must not lose, and what a load may take."""
    return [
        at_least(
            f"{name}: rows a second, times one process", 1.2, figures["times_one_process"][name]
        )
        for name in ("Ray", "Spark")
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine_load", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args(arguments)
    workers = len(os.sched_getaffinity(0))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    sample = World(DIMENSIONS).draw(FITTED, np.random.default_rng(1))
    binarizer = bitryoshka.fit(sample, bits=BITS, method="additive").binarizer
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bitryoshka-")))
        dsn = stack.enter_context(embedded_server(folder / "server"))
        files = write_files(folder, given.rows)
        path = str(folder / "binarizer.safetensors")
        binarizer.save(path)
        per_second = costs(dsn, binarizer, files, given.rows)
        print(per_second, flush=True)
        found = measure(engines(stack, workers), dsn, path, files, given.rows, given.rounds)
        found["load_average"] = os.getloadavg()[1]
    figures = {
        "rows": given.rows,
        "dimensions": DIMENSIONS,
        "bits": BITS,
        "pieces": PIECES,
        "workers": workers,
        "rounds": given.rounds,
        "rows_per_processor_second": per_second,
        **found,
        "planned": planned(per_second),
    }
    print(figures)
    write("engine_load", figures, targets(figures))


if __name__ == "__main__":
    main()
