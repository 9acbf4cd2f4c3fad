"""One way of keeping vectors, measured in the real engine: a throw-away shard in process."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from bitryoshka.errors import MissingExtraError

try:
    import qdrant_edge
except ImportError as error:
    raise MissingExtraError("comparing in the engine", "edge") from error

from bitryoshka.qdrant.edge import Shard
from bitryoshka.qdrant.edge_types import edge_config
from bitryoshka.qdrant.settings import BITS, ORIGINAL

__all__ = ["Measured", "Way", "measure"]

Floats = NDArray[np.float32]

_BATCH = 1000


@dataclass(frozen=True)
class Way:
    """A way of keeping vectors: what is stored and asked, and how the engine quantizes it.

    ``store`` and ``ask`` turn unit vectors (N, d) and queries (Q, d) into what the engine gets,
    ``(N, width)`` and ``(Q, width)`` float32, compared by inner product.
    """

    label: str
    quantization: Any
    store: Callable[[Floats], Floats]
    ask: Callable[[Floats], Floats]


@dataclass(frozen=True)
class Measured:
    """What one way gives.

    ``found`` and ``rescored``: rows (Q, k) by the quantized vectors alone, and with several times
    as many candidates compared by their own vectors. ``bytes``: of a quantized vector in memory,
    as the engine wrote it. Milliseconds of one query: the median of several batches.
    """

    found: NDArray[np.int64]
    rescored: NDArray[np.int64]
    bytes: float
    milliseconds: float
    rescored_milliseconds: float


def measure(
    way: Way,
    vectors: Floats,
    queries: Floats,
    *,
    k: int = 10,
    oversampling: float = 4.0,
    hnsw_m: int = 0,
    repeats: int = 3,
    with_rescoring: bool = True,
) -> Measured:
    """Build a shard of the vectors (N, d), search it, and throw it away.

    ``hnsw_m``: edges a node of the graph; 0 compares every quantized vector, so that nothing but
    the quantizer decides.
    """
    stored, asked = way.store(vectors), way.ask(queries)
    graph = models.HnswConfigDiff(m=hnsw_m, full_scan_threshold=10)
    params = {
        BITS: models.VectorParams(
            size=stored.shape[1],
            distance=models.Distance.DOT,
            datatype=models.Datatype.FLOAT16,
            quantization_config=way.quantization,
            hnsw_config=graph,
        )
    }
    columns = {BITS: stored}
    if with_rescoring:
        params[ORIGINAL] = models.VectorParams(
            size=vectors.shape[1],
            distance=models.Distance.DOT,
            datatype=models.Datatype.FLOAT16,
            hnsw_config=models.HnswConfigDiff(m=0),
        )
        columns[ORIGINAL] = vectors
    config = models.CreateCollection(
        vectors=params, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1)
    )
    with tempfile.TemporaryDirectory(prefix="bitryoshka-") as folder:
        shard = Shard(
            qdrant_edge.EdgeShard.create(folder, edge_config(config, log=False)), way.label
        )
        try:
            for start in range(0, len(vectors), _BATCH):
                part = {name: rows[start : start + _BATCH] for name, rows in columns.items()}
                stop = start + len(part[BITS])
                shard.write(range(start, stop), part, None)
            shard.optimize()
            size = sum(f.stat().st_size for f in Path(folder).rglob("quantized.data"))
            plain, time_plain = _searched(shard, _requests(asked, k), repeats)
            again, time_again = plain, time_plain
            if with_rescoring:
                again, time_again = _searched(
                    shard, _rescored(asked, queries, k, oversampling), repeats
                )
        finally:
            shard.shard.close()
    return Measured(plain, again, size / len(vectors), time_plain, time_again)


def _requests(asked: Floats, limit: int) -> list[models.QueryRequest]:
    params = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=False))
    return [
        models.QueryRequest(query=q, using=BITS, limit=limit, params=params) for q in asked.tolist()
    ]


def _rescored(
    asked: Floats, queries: Floats, k: int, oversampling: float
) -> list[models.QueryRequest]:
    stages = _requests(asked, int(np.ceil(k * oversampling)))
    return [
        models.QueryRequest(
            query=q,
            using=ORIGINAL,
            limit=k,
            prefetch=models.Prefetch(
                query=stage.query, using=BITS, limit=stage.limit, params=stage.params
            ),
        )
        for q, stage in zip(queries.tolist(), stages, strict=True)
    ]


def _searched(
    shard: Shard, requests: list[models.QueryRequest], repeats: int
) -> tuple[NDArray[np.int64], float]:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        hits = shard.query(requests)
        seconds.append(time.perf_counter() - started)
    k = requests[0].limit or 0
    rows = np.array([[int(h.id) for h in found][:k] for found in hits], np.int64)
    return rows, float(np.median(seconds)) * 1000 / len(requests)
