"""What tests kill: `python qdrant_worker.py upsert|move BINARIZER VECTORS SHARD [SOURCE]`.

One dot on standard output for each batch that is done.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bitryoshka import Binarizer
from bitryoshka.qdrant import upsert
from bitryoshka.qdrant.edge import Shard, open_shard, read_shard
from bitryoshka.qdrant.moving import move


def main(what: str, file: str, vectors: str, path: str, source: str = "") -> None:
    write = Shard.write

    def telling(self: Shard, ids: Sequence[Any], rows: Mapping[str, Any], payloads: Any) -> None:
        write(self, ids, rows, payloads)
        print(".", end="", flush=True)

    Shard.write = telling  # type: ignore[method-assign]
    binarizer, rows = Binarizer.load(file), np.load(vectors)
    with open_shard(path, binarizer) as target:
        if what == "upsert":
            payloads = [{"n": i} for i in range(len(rows))]
            upsert(target, range(len(rows)), rows, payloads, batch_rows=5, resume=True)
        else:
            with read_shard(source) as given:
                move(given, target, "old", batch_rows=5)


if __name__ == "__main__":
    main(*sys.argv[1:])
