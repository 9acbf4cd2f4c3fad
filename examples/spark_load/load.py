"""Encode vectors and load them into Postgres, with Spark: see README.md."""

from __future__ import annotations

import argparse
import glob
import os
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
from pyspark.sql import SparkSession

from bitryoshka.loading import PieceLoader, pieces

Loader = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]
LOADED = "file string, number int, rows bigint, loaded boolean"


def load_with_spark(spark: SparkSession, loader: Loader, found: pa.Table) -> int:
    """Load pieces; give the rows of those of which this call loaded any."""
    if not found.num_rows:
        return 0
    # a partition, and so a task, for each piece; Spark runs it again where its worker dies
    given = spark.createDataFrame(found).repartition(found.num_rows)
    loaded = given.mapInArrow(lambda batches: loader(batches), LOADED).collect()
    return sum(row.rows for row in loaded if row.loaded)


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
    spark = SparkSession.builder.appName("bitryoshka load").getOrCreate()
    print(f"loaded {load_with_spark(spark, loader, loader.remaining(found))} rows")
    spark.stop()


if __name__ == "__main__":
    main()
