"""Encode vectors and load them into Qdrant, with Spark: see README.md."""

from __future__ import annotations

from contextlib import closing

from load import arguments, load_with_spark
from pyspark.sql import SparkSession
from qdrant_client import QdrantClient

from bitryoshka import Binarizer
from bitryoshka.loading.qdrant import CollectionLoader
from bitryoshka.qdrant import collection_config, create_collection


def main() -> None:
    """Read the command line, and load."""
    found, given = arguments("url", "collection", "binarizer")
    config = collection_config(Binarizer.load(given["binarizer"]))
    with closing(QdrantClient(url=given["url"])) as client:
        create_collection(client, given["collection"], config)
    spark = SparkSession.builder.appName("bitryoshka load").getOrCreate()
    print(f"loaded {load_with_spark(spark, CollectionLoader(**given), found)} rows")
    spark.stop()


if __name__ == "__main__":
    main()
