"""A search plan for a recall target: the cheapest that reaches it on one's own queries."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from qdrant_client import models

from bitryoshka.errors import CollectionError
from bitryoshka.limits import check_counts
from bitryoshka.qdrant.collection import Collection
from bitryoshka.qdrant.hits import Engine
from bitryoshka.qdrant.representation import query_vector
from bitryoshka.qdrant.searching import Rescore, SearchPlan, search

__all__ = ["Planned", "plan_search"]

_OVERSAMPLING = (1.0, 2.0, 4.0, 8.0, 16.0)


class Planned(NamedTuple):
    """A plan with the recall that it was measured to have, and whether that reaches the target."""

    plan: SearchPlan
    recall: float
    reached: bool


def plan_search(
    collection: Collection[Engine],
    queries: ArrayLike,
    recall: float = 0.95,
    *,
    k: int = 10,
    prefix: int | None = None,
    hnsw_ef: int | None = None,
) -> Planned:
    """The cheapest plan whose recall of the exact first k reaches ``recall`` on ``queries`` (Q, d).

    Tried in the order of what they read: the codes alone, then rescoring of 1, 2, 4, 8 and 16
    times k candidates by what the collection keeps. Where none reaches the target, the best.
    Take queries that you do not judge by afterwards. Needs a collection that keeps the vectors:
    CollectionError otherwise.
    """
    check_counts(k=k)
    settings = collection.settings
    if not settings.exact:
        raise CollectionError(
            f"{collection.engine.place} does not keep the vectors, which say what is exact"
        )
    asked = query_vector(collection.binarizer, settings, queries, settings.original)
    exact = collection.engine.query(
        [
            models.QueryRequest(
                query=q,
                using=settings.original,
                limit=k,
                params=models.SearchParams(exact=True),
            )
            for q in asked.tolist()
        ]
    )
    wanted = [{hit.id for hit in hits} for hits in exact]
    best = Planned(SearchPlan(k=k), -1.0, False)
    for rescore, oversampling in _steps():
        plan = SearchPlan(
            k=k, rescore=rescore, oversampling=oversampling, prefix=prefix, hnsw_ef=hnsw_ef
        )
        found = search(collection, queries, plan)
        shares = [
            len(real & {hit.id for hit in hits}) / max(1, len(real))
            for real, hits in zip(wanted, found, strict=True)
        ]
        measured = float(np.mean(shares))
        if measured > best.recall:
            best = Planned(plan, measured, measured >= recall)
        if best.reached:
            return best
    return best


def _steps() -> list[tuple[Rescore, float]]:
    return [("none", 1.0), *(("original", times) for times in _OVERSAMPLING)]
