"""Encode vectors and load them into Qdrant, with Ray: see README.md."""

from __future__ import annotations

from contextlib import closing

import ray
from load import arguments, load_with_ray
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
    ray.init()  # the cluster that RAY_ADDRESS names, else one on this machine
    print(f"loaded {load_with_ray(CollectionLoader(**given), found)} rows")


if __name__ == "__main__":
    main()
