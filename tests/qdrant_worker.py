"""What tests kill: `python qdrant_worker.py upsert|move PARALLEL BINARIZER VECTORS SHARD [SOURCE]`.

For each line on standard input a process of its own goes on with the work. Standard output gets
its number and a space, a dot for each batch that is done, and at its end "!" and its status.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from bitryoshka import Binarizer
from bitryoshka.qdrant import upsert
from bitryoshka.qdrant.edge import Shard, open_shard, read_shard
from bitryoshka.qdrant.moving import move


def main(what: str, parallel: str, file: str, vectors: str, path: str, source: str = "") -> None:
    name = "write" if what == "upsert" else "write_points"
    write = getattr(Shard, name)

    def telling(self: Shard, *arguments: Any) -> None:
        write(self, *arguments)
        print(".", end="", flush=True)

    setattr(Shard, name, telling)
    binarizer, rows = Binarizer.load(file), np.load(vectors)
    with open_shard(path, binarizer) as target:
        if what == "upsert":
            payloads = [{"n": i} for i in range(len(rows))]
            words = {"batch_rows": 5, "resume": True, "parallel": int(parallel)}
            upsert(target, range(len(rows)), rows, payloads, **words)
        else:
            with read_shard(source) as given:
                move(given, target, "old", batch_rows=5, parallel=int(parallel))


if __name__ == "__main__":
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            print(os.getpid(), end=" ", flush=True)
            main(*sys.argv[1:])
            os._exit(0)
        print(f"!{os.waitpid(child, 0)[1]}", flush=True)
