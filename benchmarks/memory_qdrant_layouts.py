"""The layouts that `benchmarks.memory_qdrant` compares, and what each is taken at."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import qdrant_edge
from numpy.typing import NDArray
from qdrant_client import models

from benchmarks.memory_choice import NEARLY, WANTED, Choice, Truth, recall_of
from benchmarks.qdrant_curves import graph, sizes
from benchmarks.recall_curves import LISTS
from bitryoshka import Binarizer
from bitryoshka.qdrant import Settings, collection_config, search_requests
from bitryoshka.qdrant.edge import Shard
from bitryoshka.qdrant.edge_types import edge_config
from bitryoshka.qdrant.quantizers import qdrant_quantizers
from bitryoshka.qdrant.representation import stored_vectors
from bitryoshka.qdrant.settings import BITS

Floats = NDArray[np.float32]
# of a query (d,): the list's length and how many of it are compared by their vectors (None: none),
# or the list's length and how many ids are wanted
Search = Callable[[Floats, int, int | None], models.QueryRequest]
Ranked = Callable[[Floats, int, int], models.QueryRequest]

K, EDGES, BATCH = 10, 16, 1000
IN_MEMORY, ON_DISK = "float32 in memory", "float32 on disk"
INLINE = "TurboQuant 2 bits in the graph, on disk"
OWN = (
    *("1-bit BQ", "1-bit BQ, 8-bit query"),
    *("TurboQuant 1 bits", "TurboQuant 2 bits", "TurboQuant 4 bits"),
)
SHORT, LONG = "short", "long"
OURS = {SHORT: "codes, 256 bits", LONG: "codes, 768 bits"}
ALONE = "codes alone, 768 bits"
LAYOUTS = (IN_MEMORY, ON_DISK, *OWN, INLINE, *OURS.values(), ALONE)
SHORTLISTS = (
    *(10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100),
    *(120, 150, 200, 250, 300, 400, 500),
)


class Kept(NamedTuple):
    """A shard: named vectors, what of some rows they hold, and a query's request.

    ``ranked``: the order of the quantized vectors alone, where vectors compare a shortlist of it.
    """

    vectors: dict[str, models.VectorParams]
    store: Callable[[Floats], Mapping[str, Floats]]
    search: Search
    ranked: Ranked | None = None


def floats(dimensions: int, memory: models.Memory) -> Kept:
    """Vectors as they are, with a graph that is in memory."""
    params = models.VectorParams(
        size=dimensions, distance=models.Distance.DOT, hnsw_config=graph(EDGES), memory=memory
    )

    def search(query: Floats, length: int, shortlist: int | None) -> models.QueryRequest:
        searched = models.SearchParams(hnsw_ef=length)
        return models.QueryRequest(query=query.tolist(), using=BITS, limit=K, params=searched)

    return Kept({BITS: params}, lambda rows: {BITS: rows}, search)


def quantized(dimensions: int, quantization: Any, hnsw: models.HnswConfigDiff) -> Kept:
    """One of the engine's quantizations, pinned in memory, and the vectors on disk."""
    params = models.VectorParams(
        size=dimensions,
        distance=models.Distance.DOT,
        datatype=models.Datatype.FLOAT16,
        quantization_config=quantization,
        hnsw_config=hnsw,
        memory=models.Memory.COLD,
    )

    def request(
        query: Floats, length: int, k: int, asked: models.QuantizationSearchParams
    ) -> models.QueryRequest:
        searched = models.SearchParams(hnsw_ef=length, quantization=asked)
        return models.QueryRequest(query=query.tolist(), using=BITS, limit=k, params=searched)

    def search(query: Floats, length: int, shortlist: int | None) -> models.QueryRequest:
        asked = models.QuantizationSearchParams(rescore=True, oversampling=(shortlist or K) / K)
        return request(query, length, K, asked)

    def ranked(query: Floats, length: int, k: int) -> models.QueryRequest:
        return request(query, length, k, models.QuantizationSearchParams(rescore=False))

    return Kept({BITS: params}, lambda rows: {BITS: rows}, search, ranked)


def codes(binarizer: Binarizer, keep_vectors: bool) -> Kept:
    """What `collection_config` makes of a binarizer, searched by `search_requests`."""
    vectors = collection_config(binarizer, keep_vectors=keep_vectors).vectors
    if not isinstance(vectors, dict):
        raise TypeError(f"expected named vectors, found {type(vectors).__name__}")
    vectors[BITS].hnsw_config = graph(EDGES)
    settings = Settings.of(binarizer, keep_vectors=keep_vectors)

    def ranked(query: Floats, length: int, k: int) -> models.QueryRequest:
        [found] = search_requests(
            binarizer, settings, query[None], k, candidates=max(length, k), rescore=None
        )
        return found

    def search(query: Floats, length: int, shortlist: int | None) -> models.QueryRequest:
        if shortlist is None:
            return ranked(query, length, K)
        [found] = search_requests(
            binarizer,
            settings,
            query[None],
            K,
            candidates=shortlist,
            hnsw_ef=length,
            rescore="exact",
        )
        return found

    return Kept(
        vectors,
        lambda rows: stored_vectors(binarizer, settings, rows),
        search,
        ranked if keep_vectors else None,
    )


def layouts(binarizers: Mapping[str, Binarizer]) -> dict[str, Kept]:
    """Every layout, the vectors' own first."""
    own = {q.label: q.quantization for q in qdrant_quantizers()}
    width = binarizers[SHORT].dimensions
    # the engine's own answer to a graph that does not fit in memory: no jump to another file
    inline = models.HnswConfigDiff(
        m=EDGES, full_scan_threshold=10, memory=models.Memory.COLD, inline_storage=True
    )
    return {
        IN_MEMORY: floats(width, models.Memory.CACHED),
        ON_DISK: floats(width, models.Memory.COLD),
        **{label: quantized(width, own[label], graph(EDGES)) for label in OWN},
        INLINE: quantized(width, own["TurboQuant 2 bits"], inline),
        **{label: codes(binarizers[name], True) for name, label in OURS.items()},
        ALONE: codes(binarizers[LONG], False),
    }


def build(kept: Kept, rows: Floats, folder: Path) -> dict[str, float]:
    """Make an indexed shard; its bytes, and seconds of all processors together."""
    # what a run that was ended had begun
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = models.CreateCollection(
        vectors=kept.vectors, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1)
    )
    opened = qdrant_edge.EdgeShard.create(str(folder), edge_config(config, log=False))
    with closing(opened):
        shard, times = Shard(opened, folder.name), [time.process_time()]
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            shard.write(range(start, start + len(part)), kept.store(part), None)
        times.append(time.process_time())
        shard.optimize()
        times.append(time.process_time())
    upsert, index = np.diff(times)
    return {"upsert_seconds": upsert, "index_seconds": index, **sizes(folder / "segments")}


def ids_of(shard: Shard, request: models.QueryRequest) -> list[int]:
    """Found rows, best first."""
    [hits] = shard.query([request])
    return [int(hit.id) for hit in hits]


def choose(shard: Shard, kept: Kept, queries: Floats, truth: Truth) -> Choice:
    """What finds WANTED: the fewest rows compared by their vectors, and then the shortest list.

    Each such row is a read from the disk where memory is short. Without them the shortest list;
    where none finds as much, the shortest that finds nearly what the best does.
    """
    if kept.ranked is None:
        return shortest_list(shard, kept, queries, truth)
    found: list[Choice] = []
    most = Choice(0, None, 0.0)
    for length in LISTS:
        order = [
            ids_of(shard, kept.ranked(query, length, min(length, SHORTLISTS[-1])))
            for query in queries
        ]
        # vectors put what they compare into the exact order: a shortlist finds what it holds
        for shortlist in (s for s in SHORTLISTS if s <= length):
            recall = recall_of([ids[:shortlist] for ids in order], truth)
            most = max(most, Choice(length, shortlist, recall), key=lambda choice: choice.recall)
            if recall >= WANTED:
                found.append(Choice(length, shortlist, recall))
                break
    return min(found, key=lambda c: (c.shortlist or 0, c.length), default=most)


def shortest_list(shard: Shard, kept: Kept, queries: Floats, truth: Truth) -> Choice:
    """The shortest list that finds WANTED, or nearly what the best does."""
    tried: list[Choice] = []
    for length in LISTS:
        found = [ids_of(shard, kept.search(query, length, None)) for query in queries]
        tried.append(Choice(length, None, recall_of(found, truth)))
        if tried[-1].recall >= WANTED:
            return tried[-1]
    best = max(choice.recall for choice in tried)
    return next(choice for choice in tried if choice.recall >= best - NEARLY)
