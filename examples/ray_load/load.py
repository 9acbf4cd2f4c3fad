"""Encode vectors in Parquet files and load them into Postgres, with Ray: see README.md."""

from __future__ import annotations

import argparse
import glob
import os

import pyarrow as pa
import ray

from bitryoshka.loading import LOADED, PieceLoader, pieces


def load_with_ray(loader: PieceLoader, files: list[str]) -> int:
    """Load what has not arrived yet; give the rows of the pieces that this call loaded."""
    loader.prepare()
    left = loader.remaining(pieces(files))
    if not left.num_rows:
        return 0

    def load(batch: pa.Table) -> pa.Table:
        return pa.Table.from_batches(loader(batch.to_batches()), LOADED)

    # a block, and so a task, for each piece; Ray runs it again where its worker dies
    given = ray.data.from_arrow(left).repartition(left.num_rows)
    loaded = given.map_batches(load, batch_format="pyarrow", batch_size=None).take_all()
    return sum(row["rows"] for row in loaded if row["loaded"])


def main() -> None:
    """Read the command line, and load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", help="Parquet files, or patterns of them")
    for name in ("dsn", "table", "binarizer", "load"):
        parser.add_argument(f"--{name}", required=True)
    given = vars(parser.parse_args())
    # workers have working directories of their own, and the ledger knows files by their paths
    given["binarizer"] = os.path.abspath(given["binarizer"])
    files = [
        os.path.abspath(p) for pattern in given.pop("files") for p in sorted(glob.glob(pattern))
    ]
    ray.init()  # the cluster that RAY_ADDRESS names, else one on this machine
    print(f"loaded {load_with_ray(PieceLoader(**given), files)} rows")


if __name__ == "__main__":
    main()
