"""Encode vectors and load them into Postgres, with Ray: see README.md."""

from __future__ import annotations

import argparse
import glob
import os
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
import ray

from bitryoshka.loading import LOADED, PieceLoader, pieces

Loader = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def load_with_ray(loader: Loader, found: pa.Table) -> int:
    """Load pieces; give the rows of those of which this call loaded any."""
    if not found.num_rows:
        return 0

    def load(batch: pa.Table) -> pa.Table:
        return pa.Table.from_batches(loader(batch.to_batches()), LOADED)

    # a block, and so a task, for each piece; Ray runs it again where its worker dies
    given = ray.data.from_arrow(found).repartition(found.num_rows)
    loaded = given.map_batches(load, batch_format="pyarrow", batch_size=None).take_all()
    return sum(row["rows"] for row in loaded if row["loaded"])


def arguments(*names: str) -> tuple[pa.Table, dict[str, str]]:
    """The pieces of the files on the command line, and the values of its options."""
    parser = argparse.ArgumentParser(description="Encode vectors and load them: see README.md.")
    parser.add_argument("files", nargs="+", help="Parquet files, Lance data sets, or patterns")
    for name in names:
        parser.add_argument(f"--{name}", required=True)
    given = vars(parser.parse_args())
    # workers have working directories of their own, and the ledger knows files by their paths
    given["binarizer"] = os.path.abspath(given["binarizer"])
    files = [path for pattern in given.pop("files") for path in sorted(glob.glob(pattern))]
    return pieces(map(os.path.abspath, files)), given


def main() -> None:
    """Read the command line, and load."""
    found, given = arguments("dsn", "table", "binarizer", "load")
    loader = PieceLoader(**given)
    loader.prepare()
    ray.init()  # the cluster that RAY_ADDRESS names, else one on this machine
    print(f"loaded {load_with_ray(loader, loader.remaining(found))} rows")


if __name__ == "__main__":
    main()
