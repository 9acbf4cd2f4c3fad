"""Searches in Qdrant's engine as curves: ``python -m benchmarks.qdrant_curves --data DIR...``.

Folders as in `benchmarks.datasets`; rows and queries are drawn as for Postgres. In process, one
client, a graph with the engine's usual 16 edges in every collection but the scanned one. A search's
only setting is the length of its list: `hnsw_ef`, and where vectors are quantized all that the list
holds is rescored by floats (oversampling = list / 10). Peers rescore by the floats that they
quantize, ours by the vectors themselves, kept beside the codes. For every length, until nearly
everything is found: recall@10 of exact search and the median time of a query, from its floats to
ids. For some lengths also without rescoring; the longest of these finds about what a scan would.
The queries are asked in turns, of every search at every length before the next query. Upserts
and indexing are given in seconds of processor time, of all threads: other work does not count.

Floats are float32 where they are searched themselves, as is usual, and float16 on disk otherwise.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import qdrant_edge
from qdrant_client import models

from benchmarks.judge import K
from benchmarks.recall_curves import (
    ENOUGH,
    LISTS,
    QUERIES,
    SAMPLE,
    TIMED,
    WANTED,
    Floats,
    Point,
    Rows,
    at_recall,
    drawn,
)
from benchmarks.results import write
from bitryoshka import Binarizer
from bitryoshka.evaluation import exact_topk
from bitryoshka.qdrant import Settings, collection_config, search_requests
from bitryoshka.qdrant.choosing import additive_code
from bitryoshka.qdrant.edge import Shard
from bitryoshka.qdrant.edge_types import edge_config
from bitryoshka.qdrant.quantizers import qdrant_quantizers
from bitryoshka.qdrant.representation import stored_vectors
from bitryoshka.qdrant.settings import BITS

SIZES = (10_000, 50_000, 200_000)
SCAN, FLOAT = "exact scan", "HNSW, float32"
PLAIN = (
    *("1-bit BQ", "1-bit BQ, 8-bit query"),
    *("TurboQuant 1 bits", "TurboQuant 2 bits", "TurboQuant 4 bits"),
)
EDGES, BATCH = 16, 1000
# lengths of lists that are not rescored
ALONE = (20, 50, 100, 200, 1000)


Key = tuple[str, int, bool]


@dataclass(frozen=True)
class Kept:
    """A collection: named vectors, what of some rows they hold, and one query's request.

    The request takes the query (d,), the list's length, and whether all of the list is rescored.
    """

    vectors: dict[str, models.VectorParams]
    store: Callable[[Floats], Mapping[str, Floats]]
    request: Callable[[Floats, int, bool], models.QueryRequest]


def floats(dimensions: int, edges: int) -> Kept:
    """Vectors as they are, in memory; without edges, each is compared."""
    params = models.VectorParams(
        size=dimensions,
        distance=models.Distance.DOT,
        hnsw_config=graph(edges),
        memory=models.Memory.CACHED,
    )

    def request(query: Floats, length: int, rescored: bool) -> models.QueryRequest:
        searched = models.SearchParams(hnsw_ef=length, exact=edges == 0)
        return models.QueryRequest(query=query.tolist(), using=BITS, limit=K, params=searched)

    return Kept({BITS: params}, lambda rows: {BITS: rows}, request)


def quantized(dimensions: int, quantization: Any) -> Kept:
    """Vectors in one of the engine's own quantizations, rescored by themselves."""
    params = models.VectorParams(
        size=dimensions,
        distance=models.Distance.DOT,
        datatype=models.Datatype.FLOAT16,
        quantization_config=quantization,
        hnsw_config=graph(EDGES),
        memory=models.Memory.COLD,
    )

    def request(query: Floats, length: int, rescored: bool) -> models.QueryRequest:
        again = models.QuantizationSearchParams(
            rescore=rescored, oversampling=length / K if rescored else None
        )
        searched = models.SearchParams(hnsw_ef=length, quantization=again)
        return models.QueryRequest(query=query.tolist(), using=BITS, limit=K, params=searched)

    return Kept({BITS: params}, lambda rows: {BITS: rows}, request)


def ours(binarizer: Binarizer, **chosen: Any) -> Kept:
    """What `collection_config` makes of a binarizer, searched as `search` does."""
    vectors = collection_config(binarizer, **chosen).vectors
    if not isinstance(vectors, dict):
        raise TypeError(f"expected named vectors, found {type(vectors).__name__}")
    vectors[BITS].hnsw_config = graph(EDGES)
    settings = Settings.of(binarizer, **chosen)

    def request(query: Floats, length: int, rescored: bool) -> models.QueryRequest:
        [found] = search_requests(
            binarizer,
            settings,
            query[None],
            K,
            candidates=length,
            rescore="exact" if rescored else None,
        )
        return found

    return Kept(vectors, lambda rows: stored_vectors(binarizer, settings, rows), request)


def graph(edges: int) -> models.HnswConfigDiff:
    """A graph even where there are few rows."""
    return models.HnswConfigDiff(m=edges, full_scan_threshold=10)


def ways(*codes: Binarizer) -> dict[str, Kept]:
    """Every way that is compared; the first is the exact one."""
    own = {q.label: q.quantization for q in qdrant_quantizers()}
    int8 = models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(
            type=models.ScalarType.INT8, quantile=0.99, memory=models.Memory.PINNED
        )
    )
    width = codes[0].dimensions
    return {
        SCAN: floats(width, 0),
        FLOAT: floats(width, EDGES),
        "scalar int8": quantized(width, int8),
        **{label: quantized(width, own[label]) for label in PLAIN},
        **{f"ours, {code.bits} bits": ours(code) for code in codes},
    }


@contextmanager
def filled(kept: Kept, vectors: Floats, folder: Path) -> Iterator[tuple[Shard, Point]]:
    """A shard of the rows, indexed, and what it took: seconds of all processors together."""
    config = models.CreateCollection(
        vectors=kept.vectors, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1)
    )
    folder.mkdir()
    with closing(qdrant_edge.EdgeShard.create(str(folder), edge_config(config))) as opened:
        shard = Shard(opened, folder.name)
        started = time.process_time()
        for start in range(0, len(vectors), BATCH):
            part = vectors[start : start + BATCH]
            shard.write(range(start, start + len(part)), kept.store(part), None)
        written = time.process_time()
        shard.optimize()
        indexed = time.process_time()
        yield (
            shard,
            {
                "upsert_seconds": written - started,
                "index_seconds": indexed - written,
                "segments": opened.info().segments_count,
                **sizes(folder / "segments"),
            },
        )


def sizes(folder: Path) -> dict[str, float]:
    """Bytes of all on disk, and of what a search walks over: one vector in memory, the graph."""
    files = [path for path in folder.rglob("*") if path.is_file()]

    def of(pattern: str) -> int:
        return sum(path.stat().st_size for path in files if path.match(pattern))

    walked = of("quantized.data") or of("matrix.dat")
    return {
        "disk_bytes": sum(path.stat().st_blocks * 512 for path in files),
        "vector_bytes": walked,
        "graph_bytes": of("links*.bin") + of("graph.bin"),
    }


def measure_curves(kept: Mapping[str, Kept], vectors: Floats, queries: Floats) -> dict[str, Any]:
    """Build every collection, and give its costs and the curve of its search."""
    truth = exact_topk(queries, vectors, K, "inner_product").rows
    costs: dict[str, Point] = {}
    curves: dict[str, dict[int, Point]] = {}
    alone: dict[str, dict[int, Point]] = {}
    searches: dict[tuple[str, int, bool], Callable[[Floats], Rows]] = {}
    with tempfile.TemporaryDirectory(prefix="bitryoshka-") as folder, ExitStack() as stack:
        for number, (name, way) in enumerate(kept.items()):
            opened = filled(way, vectors, Path(folder) / str(number))
            shard, costs[name] = stack.enter_context(opened)
            print(len(vectors), name, costs[name], flush=True)
            curves[name], alone[name] = {}, {}
            for rescored, lengths in ((True, LISTS), (False, ALONE)):
                for length in lengths:
                    search = _search(shard, way, length, rescored)
                    searches[name, length, rescored] = search
                    recall = recall_of([search(query) for query in queries], truth)
                    (curves if rescored else alone)[name][length] = {"recall": recall}
                    if rescored and recall >= ENOUGH:
                        break
        for (name, length, rescored), seconds in in_turns(searches, queries[:TIMED]).items():
            (curves if rescored else alone)[name][length]["milliseconds"] = seconds * 1e3
    [scan] = curves.pop(SCAN).values()
    del alone[SCAN]
    listed = _listed(curves)
    equal = {f"{wanted:g}": at_recall(listed, wanted) for wanted in WANTED}
    return {
        "rows": len(vectors),
        "costs": costs,
        "scan": scan,
        "curves": listed,
        "at_recall": equal,
        "alone": _listed(alone),
    }


def _listed(curves: Mapping[str, Mapping[int, Point]]) -> dict[str, list[Point]]:
    return {name: [{"list": n, **p} for n, p in curve.items()] for name, curve in curves.items()}


def _search(shard: Shard, kept: Kept, length: int, rescored: bool) -> Callable[[Floats], Rows]:
    def run(query: Floats) -> Rows:
        [hits] = shard.query([kept.request(query, length, rescored)])
        return np.array([hit.id for hit in hits], np.int64)

    return run


def recall_of(found: Sequence[Rows], truth: Rows) -> float:
    """Share of each query's K nearest rows (Q, K) that it found."""
    shared = [len({*f.tolist()} & {*t.tolist()}) for f, t in zip(found, truth, strict=True)]
    return float(np.mean(shared)) / K


def in_turns(searches: Mapping[Key, Callable[[Floats], Rows]], queries: Floats) -> dict[Key, float]:
    """Median seconds of a query, each asked of every search before the next."""
    times: dict[Key, list[float]] = {key: [] for key in searches}
    for query in queries:
        for key, search in searches.items():
            search(query)
            started = time.perf_counter()
            search(query)
            times[key].append(time.perf_counter() - started)
    return {key: median(taken) for key, taken in times.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.qdrant_curves", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, nargs="+", help="folders of sets")
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES, help="in rising order")
    parser.add_argument("--queries", type=int, default=QUERIES)
    given = parser.parse_args(arguments)
    queries, vectors = drawn(given.data, given.queries, max(given.rows))
    sample = vectors[:SAMPLE]
    kept = ways(additive_code(sample, 384), additive_code(sample, 768))
    runs = []
    for rows in given.rows:
        runs.append(measure_curves(kept, vectors[:rows], queries))
        # the largest takes most of the time: what came before it is not lost
        write(
            "qdrant_curves",
            {
                "sets": [folder.name for folder in given.data],
                "queries": given.queries,
                "dimensions": int(vectors.shape[1]),
                "growth": runs[:-1],
                "search": runs[-1],
            },
        )


if __name__ == "__main__":
    main()
