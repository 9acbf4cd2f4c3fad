"""How to search a collection for a recall target: the cheapest that reaches it on one's queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from numpy.typing import ArrayLike

from bitryoshka.errors import CollectionError, SearchError
from bitryoshka.limits import check_count
from bitryoshka.qdrant.collection import Collection
from bitryoshka.qdrant.engine import Engine
from bitryoshka.qdrant.representation import query_vectors
from bitryoshka.qdrant.searching import (
    asymmetric_at_once,
    exact_search,
    mean_recall,
    search,
)
from bitryoshka.qdrant.settings import Settings
from bitryoshka.search_parameters import CANDIDATES, TARGET_RECALL, K, SearchParameters

__all__ = ["CollectionPlan", "plan_search"]

_TIMES = (1, 2, 4, 8, 16)
_PREFIX_TIMES = 4


@dataclass(frozen=True, kw_only=True)
class CollectionPlan(SearchParameters):
    """Parameters of a search, and its recall of the exact first k on the given queries."""

    hnsw_ef: int | None
    target_recall: float
    recall: float

    @property
    def reached(self) -> bool:
        """Whether that recall reaches the target."""
        return self.recall >= self.target_recall

    def search_arguments(self) -> dict[str, Any]:
        """For every search: ``search(collection, queries, **plan.search_arguments())``."""
        found = asdict(self)
        return {name: found[name] for name in found if name not in ("target_recall", "recall")}


def plan_search(
    collection: Collection[Engine],
    queries: ArrayLike,
    target_recall: float = TARGET_RECALL,
    *,
    k: int = K,
    prefix_bits: int | None = None,
    hnsw_ef: int | None = None,
) -> CollectionPlan:
    """The cheapest search whose recall reaches ``target_recall`` on ``queries`` (Q, d).

    Tried in the order of what they read: codes alone, then more and more candidates by the floats
    that are stored. Where none reaches the target, the best. Take queries that you do not judge by
    afterwards. Raises CollectionError for a collection that does not keep the vectors or has none,
    SearchError for a target outside 0 to 1 and for what `search` refuses.
    """
    check_count(k, "k")
    if not 0 < target_recall <= 1:
        raise SearchError(f"target_recall must be above 0 and at most 1, found {target_recall}")
    settings = collection.settings
    if not settings.keep_vectors:
        raise CollectionError(
            f"{collection.engine.place} does not keep the vectors, which say what is exact"
        )
    asked = query_vectors(collection.binarizer, settings, queries, settings.original)
    exact = exact_search(collection.engine, settings.original, asked, k)
    if not any(exact):
        raise CollectionError(f"{collection.engine.place} holds no vectors, of which to find any")
    tried = []
    for parameters in _offered(settings, k, prefix_bits):
        found = search(collection, queries, **asdict(parameters), hnsw_ef=hnsw_ef)
        recall = mean_recall(found, exact)
        plan = CollectionPlan(
            **asdict(parameters), hnsw_ef=hnsw_ef, target_recall=target_recall, recall=recall
        )
        if plan.reached:
            return plan
        tried.append(plan)
    return max(tried, key=lambda plan: plan.recall)


def _offered(settings: Settings, k: int, prefix_bits: int | None) -> Iterator[SearchParameters]:
    """In the order of what they read: codes are in memory, floats on disk."""
    at_once = asymmetric_at_once(settings, prefix_bits)
    yield SearchParameters(
        k=k,
        candidates=max(k, CANDIDATES),
        prefix_bits=prefix_bits,
        rescore="asymmetric" if at_once else None,
    )
    by_codes = prefix_bits is not None and asymmetric_at_once(settings, None)
    more = 1 if prefix_bits is None else _PREFIX_TIMES
    steps = [
        SearchParameters(k=k, candidates=more * times * k, prefix_bits=prefix_bits)
        for times in _TIMES
    ]
    if by_codes:
        yield from steps
    for times, parameters in zip(_TIMES, steps, strict=True):
        yield replace(parameters, rescore="exact", shortlist=times * k if by_codes else None)
