"""Ways to quantize vectors, Qdrant's own and ours, and trials of them in the real engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from bitryoshka.binarizer import Binarizer
from bitryoshka.qdrant.config import TURBO, one_bit, quantization_config, turbo_quantization
from bitryoshka.qdrant.engine import Engine
from bitryoshka.qdrant.representation import query_vectors, stored_vectors
from bitryoshka.qdrant.settings import BITS, ORIGINAL, Settings

__all__ = [
    "Quantizer",
    "Trial",
    "check_engine",
    "code_quantizer",
    "code_quantizers",
    "qdrant_quantizers",
    "try_quantizer",
    "turbo_quantizer",
]

Floats = NDArray[np.float32]

_BATCH = 1000
_ENCODINGS = models.BinaryQuantizationEncoding
_BINARY = {
    "1-bit BQ": one_bit("binary"),
    "1-bit BQ, 8-bit query": one_bit("scalar8bits"),
    "1.5-bit BQ, 8-bit query": one_bit("scalar8bits", _ENCODINGS.ONE_AND_HALF_BITS),
    "2-bit BQ, 8-bit query": one_bit("scalar8bits", _ENCODINGS.TWO_BITS),
}
_QUANTIZED = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=False))


@dataclass(frozen=True)
class Quantizer:
    """What is stored of vectors and asked of queries, and how the engine quantizes it.

    ``store`` and ``ask`` turn unit vectors (N, d) and queries (Q, d) into what the engine gets,
    ``(N, width)`` and ``(Q, width)`` float32, compared by inner product.
    """

    label: str
    quantization: Any
    store: Callable[[Floats], Floats] = lambda vectors: vectors
    ask: Callable[[Floats], Floats] = lambda queries: queries


def qdrant_quantizers() -> list[Quantizer]:
    """Qdrant's own, of the vectors as they are."""
    binary = [Quantizer(label, quantization) for label, quantization in _BINARY.items()]
    return binary + [turbo_quantizer(n) for n in ("turbo1", "turbo1_5", "turbo2", "turbo4")]


def turbo_quantizer(name: str) -> Quantizer:
    """One of `TURBO`, of the vectors as they are."""
    return Quantizer(f"TurboQuant {_turbo_bits(name)} bits", turbo_quantization(name))


def _turbo_bits(name: str) -> str:
    return name.removeprefix("turbo").replace("_", ".")


def code_quantizer(binarizer: Binarizer, label: str = "", **chosen: Any) -> Quantizer:
    """A binarizer's codes, kept as `collection_config` with these choices would keep them."""
    settings = Settings.of(binarizer, keep_vectors=False, **chosen)
    return Quantizer(
        label or _label(binarizer, settings),
        quantization_config(settings),
        lambda rows: stored_vectors(binarizer, settings, rows)[BITS],
        lambda queries: query_vectors(binarizer, settings, queries, BITS),
    )


def _label(binarizer: Binarizer, settings: Settings) -> str:
    if settings.quantization in TURBO:
        bits = _turbo_bits(settings.quantization)
        return f"projected to {binarizer.hamming_bits}, TurboQuant {bits} bits"
    asked = "Hamming" if settings.query_encoding == "binary" else "8-bit query"
    return f"ours {settings.width} bits, {asked}"


def code_quantizers(binarizer: Binarizer) -> list[Quantizer]:
    """A binarizer's code at every prefix of Hamming bits, and at every longer cut."""
    found = []
    for bits in binarizer.nested_bits:
        cut = binarizer.truncate(bits)
        if bits <= binarizer.hamming_bits:
            found.append(code_quantizer(cut, query_encoding="binary"))
            found.append(code_quantizer(cut))
        else:
            found.append(code_quantizer(cut, quantization="code"))
    return found


@dataclass(frozen=True)
class Trial:
    """What a quantizer gives.

    ``rows`` and ``rescored_rows`` (Q, k): found by the quantized vectors alone, and with several
    times as many candidates compared by their own vectors. ``bytes``: of a quantized vector in
    memory, as the engine wrote it. Milliseconds of one query: the median of several batches.
    """

    rows: NDArray[np.int64]
    rescored_rows: NDArray[np.int64]
    bytes: float
    milliseconds: float
    rescored_milliseconds: float


def check_engine() -> None:
    """MissingExtraError without the engine in process, in which quantizers are tried."""
    import bitryoshka.qdrant.edge  # noqa: F401


def try_quantizer(
    quantizer: Quantizer,
    vectors: Floats,
    queries: Floats,
    *,
    k: int = 10,
    oversampling: float = 4.0,
    hnsw_m: int = 0,
    repeats: int = 3,
    with_rescoring: bool = True,
) -> Trial:
    """Build a shard of the vectors (N, d), search it, and throw it away.

    ``hnsw_m``: edges a node of the graph; 0 compares every quantized vector, so that nothing but
    the quantizer decides.
    """
    from bitryoshka.qdrant.edge import temporary_shard

    columns = {BITS: quantizer.store(vectors)} | ({ORIGINAL: vectors} if with_rescoring else {})
    params = {
        name: models.VectorParams(
            size=column.shape[1],
            distance=models.Distance.DOT,
            datatype=models.Datatype.FLOAT16,
            quantization_config=quantizer.quantization if name == BITS else None,
            hnsw_config=models.HnswConfigDiff(
                m=hnsw_m if name == BITS else 0, full_scan_threshold=10
            ),
        )
        for name, column in columns.items()
    }
    config = models.CreateCollection(
        vectors=params, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1)
    )
    asked = quantizer.ask(queries).tolist()
    with temporary_shard(config, quantizer.label) as (shard, folder):
        for start in range(0, len(vectors), _BATCH):
            part = {name: rows[start : start + _BATCH] for name, rows in columns.items()}
            shard.write(range(start, start + len(part[BITS])), part, None)
        shard.optimize()
        size = sum(f.stat().st_size for f in Path(folder).rglob("quantized.data"))
        plain = [
            models.QueryRequest(query=q, using=BITS, limit=k, params=_QUANTIZED) for q in asked
        ]
        alone = again = _searched(shard, plain, repeats)
        if with_rescoring:
            limit = int(np.ceil(k * oversampling))
            rescored = [
                models.QueryRequest(
                    query=query,
                    using=ORIGINAL,
                    limit=k,
                    prefetch=models.Prefetch(query=q, using=BITS, limit=limit, params=_QUANTIZED),
                )
                for q, query in zip(asked, queries.tolist(), strict=True)
            ]
            again = _searched(shard, rescored, repeats)
    return Trial(alone[0], again[0], size / len(vectors), alone[1], again[1])


def _searched(
    engine: Engine, requests: Sequence[models.QueryRequest], repeats: int
) -> tuple[NDArray[np.int64], float]:
    """Rows (Q, k), and the median of the milliseconds of a query."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        found = engine.query(requests)
        seconds.append(time.perf_counter() - started)
    rows = np.array([[int(hit.id) for hit in hits] for hits in found], np.int64)
    return rows, float(np.median(seconds)) * 1000 / len(requests)
