"""Search: its stages as one request of the Query API, nested as prefetches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qdrant_client import models

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import SearchError
from bitryoshka.limits import MAX_COUNT, check_count
from bitryoshka.qdrant.collection import AsyncCollection, Collection
from bitryoshka.qdrant.engine import Engine, Hit
from bitryoshka.qdrant.nodes import asked
from bitryoshka.qdrant.representation import query_vectors
from bitryoshka.qdrant.settings import BITS, Settings, prefix_name
from bitryoshka.search_parameters import (
    CANDIDATES,
    K,
    Rescore,
    SearchParameters,
    check_prefix_bits,
    check_rescore,
)

__all__ = [
    "asymmetric_at_once",
    "exact_search",
    "mean_recall",
    "search",
    "search_async",
    "search_requests",
]

Consistency = int | Literal["majority", "quorum", "all"] | models.ReadConsistencyType
RescoreOrAuto = Rescore | Literal["auto"] | None

_QUANTIZED = models.QuantizationSearchParams(rescore=False)
_STORED = models.QuantizationSearchParams(ignore=True)


def search(
    collection: Collection[Engine],
    queries: ArrayLike,
    k: int = K,
    *,
    candidates: int | None = None,
    prefix_bits: int | None = None,
    rescore: RescoreOrAuto = "auto",
    shortlist: int | None = None,
    oversampling: float | None = None,
    hnsw_ef: int | None = None,
    where: models.Filter | None = None,
    with_payload: Any = False,
    shard_key_selector: models.ShardKeySelector | None = None,
    consistency: Consistency | None = None,
) -> list[list[Hit]]:
    """The ``k`` hits of each query (Q, d), best first, in one batch of requests.

    * ``candidates``: rows of the first stage; None: 100. ``oversampling`` says the same as a
      multiple of k.
    * ``prefix_bits``: None: the first stage compares vector "bits", as the engine quantizes it;
      one of the collection's prefixes: the Hamming distance on so many leading bits.
    * ``rescore``: what ranks the candidates. "asymmetric": the float query against their whole
      codes, or where the collection stores the projection of which they are made, against that.
      "exact": their own vectors. None: the order of the first stage. "auto": "exact" where the
      collection keeps the vectors, "asymmetric" where it does not.
    * ``shortlist``: with "exact", how many rows are compared by their own vectors, once
      "asymmetric" has ranked all candidates; None: all candidates.
    * ``hnsw_ef``: length of the graph's list; None: ``candidates``.
    * ``where``: a condition on the points, under which the first stage finds its candidates.
    * ``with_payload``: whether hits have their payload, or which of its keys, as Qdrant says it.
    * ``shard_key_selector``: the shard keys whose shards are searched, None: all. ``consistency``:
      of how many replicas an answer is made. Both on servers alone, as qdrant-client has them.

    A score is Qdrant's own, of the last stage: greater is better. Raises SearchError for stages
    that do not fit or that the collection lacks, VectorsError for unusable queries.
    """
    engine = asked(
        collection.engine, shard_key_selector=shard_key_selector, consistency=consistency
    )
    return engine.query(
        search_requests(
            collection.binarizer,
            collection.settings,
            queries,
            k,
            candidates=candidates,
            prefix_bits=prefix_bits,
            rescore=rescore,
            shortlist=shortlist,
            oversampling=oversampling,
            hnsw_ef=hnsw_ef,
            where=where,
            with_payload=with_payload,
        )
    )


async def search_async(
    collection: AsyncCollection,
    queries: ArrayLike,
    k: int = K,
    *,
    candidates: int | None = None,
    prefix_bits: int | None = None,
    rescore: RescoreOrAuto = "auto",
    shortlist: int | None = None,
    oversampling: float | None = None,
    hnsw_ef: int | None = None,
    where: models.Filter | None = None,
    with_payload: Any = False,
    shard_key_selector: models.ShardKeySelector | None = None,
    consistency: Consistency | None = None,
) -> list[list[Hit]]:
    """`search` over an AsyncQdrantClient."""
    engine = asked(
        collection.engine, shard_key_selector=shard_key_selector, consistency=consistency
    )
    return await engine.query(
        search_requests(
            collection.binarizer,
            collection.settings,
            queries,
            k,
            candidates=candidates,
            prefix_bits=prefix_bits,
            rescore=rescore,
            shortlist=shortlist,
            oversampling=oversampling,
            hnsw_ef=hnsw_ef,
            where=where,
            with_payload=with_payload,
        )
    )


def search_requests(
    binarizer: Binarizer,
    settings: Settings,
    queries: ArrayLike,
    k: int = K,
    *,
    candidates: int | None = None,
    prefix_bits: int | None = None,
    rescore: RescoreOrAuto = "auto",
    shortlist: int | None = None,
    oversampling: float | None = None,
    hnsw_ef: int | None = None,
    where: models.Filter | None = None,
    with_payload: Any = False,
) -> list[models.QueryRequest]:
    """What `search` sends: one request for each query (Q, d)."""
    if rescore == "auto":
        rescore = "exact" if settings.keep_vectors else "asymmetric"
    check_rescore(rescore, ("asymmetric", "exact") if settings.keep_vectors else ("asymmetric",))
    if prefix_bits == settings.hamming_bits and settings.compares_signs:
        prefix_bits = None
    if prefix_bits is not None and check_prefix_bits(prefix_bits) not in settings.prefixes:
        raise SearchError(
            f"prefix_bits must be one of the collection's prefixes {settings.prefixes}, found "
            f"{prefix_bits}: create it with prefixes=({prefix_bits},)"
        )
    parameters = SearchParameters(
        k=k,
        candidates=_candidates(k, candidates, oversampling),
        prefix_bits=prefix_bits,
        rescore=rescore,
        shortlist=shortlist,
    )
    if hnsw_ef is not None:
        check_count(hnsw_ef, "hnsw_ef")
    if where is not None and not isinstance(where, models.Filter):
        raise SearchError(f"where must be a models.Filter of qdrant_client, found {where!r}")
    stages = [*_stages(binarizer, settings, queries, parameters, hnsw_ef)]
    *earlier, (last, asked) = stages
    requests = []
    for i, query in enumerate(asked):
        prefetch, condition = None, where
        for stage, rows in earlier:
            prefetch = models.Prefetch(query=rows[i], prefetch=prefetch, filter=condition, **stage)
            condition = None
        last |= {"limit": parameters.k, "with_payload": with_payload}
        requests.append(
            models.QueryRequest(query=query, prefetch=prefetch, filter=condition, **last)
        )
    return requests


def _candidates(k: int, candidates: int | None, oversampling: float | None) -> int:
    if oversampling is None:
        return CANDIDATES if candidates is None else candidates
    if candidates is not None:
        raise SearchError(
            "oversampling is another word for candidates: expected one of them, found "
            f"oversampling={oversampling} and candidates={candidates}"
        )
    if not 1 <= oversampling < MAX_COUNT:  # NaN is not
        raise SearchError(f"oversampling must be at least 1, found {oversampling}")
    return math.ceil(oversampling * check_count(k, "k"))


def _stages(
    binarizer: Binarizer,
    settings: Settings,
    queries: ArrayLike,
    asked: SearchParameters,
    hnsw_ef: int | None,
) -> Iterator[tuple[dict[str, Any], list[list[float]]]]:
    """From the innermost: the fields of a stage, and what it is asked with (Q, width)."""

    def stage(
        name: str, limit: int, quantization: models.QuantizationSearchParams, **params: Any
    ) -> tuple[dict[str, Any], list[list[float]]]:
        quantized = quantization is _QUANTIZED
        rows = query_vectors(binarizer, settings, queries, name, quantized=quantized)
        searched = models.SearchParams(quantization=quantization, **params)
        return {"using": name, "limit": limit, "params": searched}, rows.tolist()

    by_codes = asked.rescore == "asymmetric" or asked.shortlist is not None
    listed = asked.shortlist or asked.candidates
    at_once = by_codes and asymmetric_at_once(settings, asked.prefix_bits)
    first = BITS if asked.prefix_bits is None else prefix_name(asked.prefix_bits)
    kept = listed if at_once else asked.candidates
    yield stage(first, kept, _QUANTIZED, hnsw_ef=hnsw_ef or asked.candidates)
    if by_codes and not at_once:
        in_memory = asymmetric_at_once(settings, None)
        yield stage(BITS, listed, _QUANTIZED if in_memory else _STORED)
    if asked.rescore == "exact":
        yield stage(settings.original, asked.k, _STORED)


def asymmetric_at_once(settings: Settings, prefix_bits: int | None) -> bool:
    """Whether the first stage itself ranks by the float query against whole codes."""
    asked_with_floats = settings.query_encoding != "binary"
    return prefix_bits is None and settings.quantization == "code" and asked_with_floats


def exact_search(
    engine: Engine, vector: str, queries: NDArray[np.float32], k: int
) -> list[list[Hit]]:
    """The exact first k of each query (Q, d), by the floats of a vector; "" is the unnamed one."""
    params = models.SearchParams(exact=True)
    return engine.query(
        [
            models.QueryRequest(query=query, using=vector or None, limit=k, params=params)
            for query in queries.tolist()
        ]
    )


def mean_recall(found: Sequence[Sequence[Hit]], exact: Sequence[Sequence[Hit]]) -> float:
    """Share of each query's exact hits that were found, mean over queries; 1 where there is none.

    >>> mean_recall([[Hit(1, 0.5, None)]], [[Hit(1, 0.5, None), Hit(2, 0.4, None)]])
    0.5
    """
    shares = [
        len({hit.id for hit in wanted} & {hit.id for hit in hits}) / len(wanted)
        for hits, wanted in zip(found, exact, strict=True)
        if wanted
    ]
    return sum(shares) / len(shares) if shares else 1.0
