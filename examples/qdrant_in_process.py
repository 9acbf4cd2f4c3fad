"""A collection of codes on Qdrant's own engine, in this process and in a folder that is removed.

Needs the extra `edge`:

    python qdrant_in_process.py
"""

from __future__ import annotations

import tempfile

import numpy as np
from qdrant_client import models

import bitryoshka
from bitryoshka.qdrant import collection_config, search, upsert
from bitryoshka.qdrant.edge import create_shard, open_shard

# yours come from an embedding model; these lie around 30 centres
generator = np.random.default_rng(0)
centres = generator.normal(size=(30, 64))
vectors = centres[np.arange(500) % 30] + 0.6 * generator.normal(size=(500, 64))
binarizer = bitryoshka.fit(vectors, bits=64).binarizer

with tempfile.TemporaryDirectory() as folder:
    create_shard(f"{folder}/example", collection_config(binarizer))
    with open_shard(f"{folder}/example", binarizer) as collection:
        upsert(collection, range(500), vectors, [{"tenant": i % 3} for i in range(500)])
        collection.engine.optimize()

        for hits in search(collection, vectors[:2]):
            print([(hit.id, round(hit.score, 3)) for hit in hits[:3]])

        only = models.FieldCondition(key="tenant", match=models.MatchValue(value=1))
        [hits] = search(collection, vectors[:1], where=models.Filter(must=[only]))
        print("of tenant 1:", [hit.id for hit in hits[:3]])
