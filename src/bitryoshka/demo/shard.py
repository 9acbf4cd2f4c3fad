"""The demo's vectors in a shard of Qdrant, in process."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.qdrant import collection_config, upsert
from bitryoshka.qdrant.edge import create_shard, open_shard


def fill_shard(folder: Path, binarizer: Binarizer, texts: NDArray[np.float32]) -> None:
    """Put the texts' codes and vectors (N, d) into a new shard, instead of what the folder held."""
    if folder.exists():
        shutil.rmtree(folder)
    create_shard(folder, collection_config(binarizer))
    with open_shard(folder, binarizer) as collection:
        upsert(collection, range(len(texts)), texts)
        collection.engine.optimize()
