"""Encode vectors in Parquet files and load them into Postgres, with Spark: see README.md."""

from __future__ import annotations

import argparse
import glob
import os

from pyspark.sql import SparkSession

from bitryoshka.loading import PieceLoader, pieces

LOADED = "file string, number int, rows bigint, loaded boolean"


def load_with_spark(spark: SparkSession, loader: PieceLoader, files: list[str]) -> int:
    """Load what has not arrived yet; give the rows of the pieces that this call loaded."""
    loader.prepare()
    left = loader.remaining(pieces(files))
    if not left.num_rows:
        return 0
    # a partition, and so a task, for each piece; Spark runs it again where its worker dies
    given = spark.createDataFrame(left).repartition(left.num_rows)
    loaded = given.mapInArrow(lambda batches: loader(batches), LOADED).collect()
    return sum(row.rows for row in loaded if row.loaded)


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
    spark = SparkSession.builder.appName("bitryoshka load").getOrCreate()
    print(f"loaded {load_with_spark(spark, PieceLoader(**given), files)} rows")
    spark.stop()


if __name__ == "__main__":
    main()
