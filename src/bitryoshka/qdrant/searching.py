"""Search: the funnel as one Query API request, its stages nested as prefetches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from qdrant_client import models

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import BitsError
from bitryoshka.limits import MAX_COUNT, check_count
from bitryoshka.qdrant.collection import AsyncCollection, Collection
from bitryoshka.qdrant.hits import Engine, Hit
from bitryoshka.qdrant.representation import projected_queries, query_vector
from bitryoshka.qdrant.settings import BITS, Settings, prefix_name

__all__ = ["SearchPlan", "search", "search_async", "search_requests"]

Rescore = Literal["none", "projected", "original"]

_QUANTIZED = models.QuantizationSearchParams(rescore=False)
_EXACT = models.SearchParams(quantization=models.QuantizationSearchParams(ignore=True))


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """The stages of a search.

    * ``k``: results of a query.
    * ``rescore``: "none" takes the order of the quantized vectors; "projected" reads the
      candidates' projected floats, "original" their own vectors.
    * ``oversampling``: candidates for the rescoring, as a multiple of k.
    * ``prefix``: length of the prefix whose Hamming distance makes the first stage, None: no
      such stage. ``prefix_oversampling``: its candidates, as a multiple of those that follow.
    * ``hnsw_ef``: list length in the graph, None: the engine's own.
    """

    k: int = 10
    rescore: Rescore = "none"
    oversampling: float = 4.0
    prefix: int | None = None
    prefix_oversampling: float = 4.0
    hnsw_ef: int | None = None

    def check(self, settings: Settings) -> None:
        """BitsError for a stage that the collection does not hold."""
        check_count(self.k, "k", BitsError)
        for times in (self.oversampling, self.prefix_oversampling):
            if not 1 <= times < MAX_COUNT:  # NaN is not
                raise BitsError(f"k and oversampling must be at least 1, found {self}")
        if self.hnsw_ef is not None:
            check_count(self.hnsw_ef, "hnsw_ef", BitsError)
        if self.prefix is not None and self.prefix not in settings.prefixes:
            raise BitsError(f"prefix must be one of {settings.prefixes}, found {self.prefix}")
        offered = ["none"]
        if settings.quantization != "code":
            offered.append("projected")
        if settings.exact:
            offered.append("original")
        if self.rescore not in offered:
            raise BitsError(f"rescore must be one of {offered}, found {self.rescore!r}")


def search_requests(
    binarizer: Binarizer,
    settings: Settings,
    queries: ArrayLike,
    plan: SearchPlan,
    *,
    points_filter: models.Filter | None = None,
    with_payload: Any = False,
) -> list[models.QueryRequest]:
    """One request a query ``(Q, d)``: what `search` sends.

    The filter stands in the innermost stage, so that every later one is as full as it can be.
    Raises BitsError for a stage that the collection lacks, VectorsError for unusable queries.
    """
    plan.check(settings)
    candidates = plan.k if plan.rescore == "none" else int(np.ceil(plan.k * plan.oversampling))
    coarse = query_vector(binarizer, settings, queries, BITS).tolist()
    first = fine = None
    if plan.prefix is not None:
        name = prefix_name(plan.prefix)
        first = query_vector(binarizer, settings, queries, name).tolist()
    if plan.rescore == "projected":
        fine = projected_queries(binarizer, queries).tolist()
    elif plan.rescore == "original":
        fine = query_vector(binarizer, settings, queries, settings.original).tolist()
    quantized = models.SearchParams(quantization=_QUANTIZED, hnsw_ef=plan.hnsw_ef)
    requests = []
    for i, asked in enumerate(coarse):
        prefetch = None
        if first is not None:
            prefetch = models.Prefetch(
                query=first[i],
                using=name,
                limit=int(np.ceil(candidates * plan.prefix_oversampling)),
                filter=points_filter,
                params=quantized,
            )
        stage: dict[str, Any] = {
            "query": asked,
            "using": BITS,
            "params": quantized,
            "prefetch": prefetch,
            "filter": points_filter if prefetch is None else None,
        }
        if fine is not None:
            stage = {
                "query": fine[i],
                "using": BITS if plan.rescore == "projected" else settings.original,
                "params": _EXACT,
                "prefetch": models.Prefetch(limit=candidates, **stage),
            }
        requests.append(models.QueryRequest(limit=plan.k, with_payload=with_payload, **stage))
    return requests


def search(
    collection: Collection[Engine],
    queries: ArrayLike,
    plan: SearchPlan | None = None,
    *,
    points_filter: models.Filter | None = None,
    with_payload: Any = False,
) -> list[list[Hit]]:
    """The hits of each query (Q, d), best first, in one batch of requests.

    ``plan``: None rescores 40 candidates by their own vectors where the collection keeps them,
    and takes the codes' order where it does not. ``points_filter`` and ``with_payload`` are
    Qdrant's own. Raises as `search_requests` does.
    """
    return collection.engine.query(
        search_requests(
            collection.binarizer,
            collection.settings,
            queries,
            plan or default_plan(collection.settings),
            points_filter=points_filter,
            with_payload=with_payload,
        )
    )


async def search_async(
    collection: AsyncCollection,
    queries: ArrayLike,
    plan: SearchPlan | None = None,
    *,
    points_filter: models.Filter | None = None,
    with_payload: Any = False,
) -> list[list[Hit]]:
    """`search` over an AsyncQdrantClient."""
    return await collection.engine.query(
        search_requests(
            collection.binarizer,
            collection.settings,
            queries,
            plan or default_plan(collection.settings),
            points_filter=points_filter,
            with_payload=with_payload,
        )
    )


def default_plan(settings: Settings) -> SearchPlan:
    """Rescoring by the vectors themselves where they are kept."""
    return SearchPlan(rescore="original" if settings.exact else "none")
