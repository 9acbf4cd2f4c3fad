"""How to search for a recall target: prefix, candidates and rescoring, the cheapest that holds."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.atomic_file import replacing
from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import FileFormatError, PlanError, SearchError, VectorsError
from bitryoshka.evaluation import Rescoring, query_cost, recalls_by_parameters
from bitryoshka.limits import check_counts
from bitryoshka.search_parameters import TARGET_RECALL, K, SearchParameters, check_share
from bitryoshka.vectors import check_values, check_vectors, normalized

__all__ = ["Plan", "choose", "lower_bound", "plan", "plan_among"]

Floats = NDArray[np.float64]

HELD_OUT = 1000
MIN_QUERIES = 30
EXPLORED = 1 / 3


@dataclass(frozen=True, kw_only=True)
class Plan(SearchParameters):
    """How to search, and what that was measured to find.

    ``recall`` is the mean share of the exact first k rows over ``queries`` queries, on ``rows``
    rows; its true mean is at least ``recall_at_least`` with ``confidence``. ``cost``: in candidates
    of an index on 256 bits. ``fingerprint``: of the binarizer.
    """

    prefix_bits: int
    target_recall: float
    recall: float
    recall_at_least: float
    confidence: float
    cost: float
    rows: int
    queries: int
    fingerprint: str

    @property
    def oversampling(self) -> float:
        """Candidates for each row that is asked for, as Qdrant counts them."""
        return self.candidates / self.k

    def search_arguments(self) -> dict[str, Any]:
        """For every search: ``postgres.search(..., queries, **plan.search_arguments())``."""
        return {field.name: getattr(self, field.name) for field in fields(SearchParameters)}

    def text(self) -> str:
        """The plan in one sentence."""
        kind = {None: "no rescoring", "asymmetric": "rescored from the whole code"}.get(
            self.rescore, "rescored by stored vectors"
        )
        if self.shortlist is not None:
            kind = f"rescored from the whole code, the best {self.shortlist} by stored vectors"
        return (
            f"{self.candidates} candidates by Hamming distance on {self.prefix_bits} bits, {kind}: "
            f"recall@{self.k} {self.recall:.3f}, at least {self.recall_at_least:.3f} with "
            f"{self.confidence:.0%} confidence"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as JSON."""
        with replacing(path) as file:
            file.write(json.dumps(asdict(self), indent=2).encode() + b"\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read a file written by `save`; FileNotFoundError, or FileFormatError for another."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(**content)
        except (ValueError, TypeError, RecursionError) as error:
            raise FileFormatError(f"{os.fspath(path)} is no plan: {error}") from error


def plan(
    binarizer: Binarizer,
    vectors: ArrayLike,
    queries: ArrayLike | None = None,
    k: int = K,
    target_recall: float = TARGET_RECALL,
    *,
    rescoring: Sequence[Rescoring] = ("asymmetric", "exact"),
    confidence: float = 0.95,
    max_candidates: int = 1000,
    seed: int = 0,
) -> Plan:
    """The cheapest search that reaches ``target_recall`` with ``confidence``.

    A third of the queries orders the choices by recall and cost; on the others each is tested in
    that order, dearest first, and the last one before the first failure is taken. Testing in a
    fixed order needs no correction for the number of tests (Angelopoulos, Bates, Candès, Jordan
    and Lei, "Learn then test", 2021), and each test holds for any distribution of the queries'
    recall (see `lower_bound`).

    Args:
        binarizer: encodes both; prefixes are its ``nested_bits`` up to ``hamming_bits``.
        vectors: all rows ``(N, d)`` that will be searched, memory-mapped if they are many. On a
            sample of them fewer candidates seem to be enough than are.
        queries: ``(Q, d)`` like those that will be asked, Q >= 30; None holds 1,000 rows out, or
            a fifth of them.
        k: how many rows a search gives.
        target_recall: of the exact first k rows, in the mean over queries.
        rescoring: what the back end can do; ``("asymmetric",)`` where no vectors are stored,
            "shortlist" for both kinds, one after the other.
        confidence: of the bound, and so the share of plans that keep their promise.
        max_candidates: most rows that the first stage hands on.
        seed: of the split of the queries.

    Raises:
        PlanError: nothing reaches the target, or too few queries to show that it is reached.
        VectorsError: unusable vectors, fewer than 30 queries, or k rows are not there.
        SearchError: numbers that do not fit, or another rescoring.
    """
    _check(k, target_recall, rescoring, confidence, max_candidates)
    array, unit = _split(binarizer, vectors, queries, seed)
    if k > len(array):
        raise VectorsError(f"the best {k} rows of each query need more rows, found {len(array)}")
    recalls = recalls_by_parameters(binarizer, array, unit, k, rescoring, max_candidates)
    return plan_among(recalls, binarizer, len(array), k, target_recall, confidence, seed)


def plan_among(
    recalls: Mapping[SearchParameters, Floats],
    binarizer: Binarizer,
    rows: int,
    k: int,
    target_recall: float,
    confidence: float = 0.95,
    seed: int = 0,
) -> Plan:
    """`plan`, from the `recalls_by_parameters` of ``rows`` rows."""
    _check_queries(len(next(iter(recalls.values()))), rows)
    chosen, tested = choose(recalls, k, target_recall, confidence, seed)
    return Plan(
        k=k,
        target_recall=target_recall,
        prefix_bits=chosen.prefix_bits or binarizer.hamming_bits,
        candidates=chosen.candidates,
        rescore=chosen.rescore,
        shortlist=chosen.shortlist,
        recall=float(tested.mean()),
        recall_at_least=lower_bound(tested, confidence),
        confidence=confidence,
        cost=query_cost(chosen),
        rows=rows,
        queries=len(tested),
        fingerprint=binarizer.fingerprint,
    )


def choose(
    recalls: Mapping[SearchParameters, Floats],
    k: int,
    target_recall: float,
    confidence: float,
    seed: int,
) -> tuple[SearchParameters, Floats]:
    """What `plan` takes, by the recalls (Q,) of each choice, and those that it was tested on."""
    queries = len(next(iter(recalls.values())))
    order = np.random.default_rng(seed).permutation(queries)
    explored = max(10, round(queries * EXPLORED))
    first, rest = order[:explored], order[explored:]
    passed = None
    for tested in _order({choice: float(r[first].mean()) for choice, r in recalls.items()}):
        if not _exceeds(recalls[tested][rest], target_recall, 1 - confidence):
            break
        passed = tested
    if passed is None:
        raise PlanError(_failure(recalls, rest, target_recall, k, confidence))
    return passed, recalls[passed][rest]


def lower_bound(values: ArrayLike, confidence: float = 0.95) -> float:
    """A bound that the mean exceeds with ``confidence``, of values in [0, 1] in random order.

    Holds for any distribution and any number of values, and is narrow where they vary little:
    the betting bound of Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
    betting" (JRSS B 2023), section 4, for one side.

    >>> round(lower_bound(np.ones(100)), 3)
    0.961
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array) or not (0 <= array.min() <= array.max() <= 1):
        raise VectorsError(f"expected values (Q,) between 0 and 1, found shape {array.shape}")
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if _exceeds(array, middle, 1 - confidence) else (low, middle)
    return low


def _exceeds(values: Floats, mean: float, risk: float) -> bool:
    """Whether bets on values above ``mean`` win more than chance allows if it is the true mean."""
    n = len(values)
    before = np.arange(n)
    sums = np.cumsum(values) - values
    means = (sums + 0.5) / (before + 1)
    squares = np.cumsum((values - means) ** 2)
    variances = (0.25 + np.concatenate([[0.0], squares[:-1]])) / (before + 1)
    bets = np.minimum(np.sqrt(2 * math.log(1 / risk) / (n * variances)), 0.75 / max(mean, 1e-9))
    return bool(np.cumsum(np.log1p(bets * (values - mean))).max() >= math.log(1 / risk))


def _check(
    k: int,
    target_recall: float,
    rescoring: Sequence[Rescoring],
    confidence: float,
    max_candidates: int,
) -> None:
    unknown = [kind for kind in rescoring if kind not in get_args(Rescoring)]
    if unknown:
        raise SearchError(f"rescoring must be of {get_args(Rescoring)}, found {unknown}")
    check_counts(k=k, max_candidates=max_candidates)
    if max_candidates < k:
        raise SearchError(f"k must be between 1 and max_candidates = {max_candidates}, found {k}")
    check_share(target_recall, "target_recall")
    check_share(confidence, "confidence")


def _split(
    binarizer: Binarizer, vectors: ArrayLike, queries: ArrayLike | None, seed: int
) -> tuple[NDArray[np.number], NDArray[np.float32]]:
    """Rows to search and queries of unit length where the metric asks for it."""
    array = check_vectors(vectors, binarizer.dimensions)
    if queries is None:
        check_values(array, binarizer.metric)
        held = min(HELD_OUT, len(array) // 5)
        picked = np.random.default_rng(seed).choice(len(array), held, replace=False)
        queries, array = array[picked], np.delete(array, picked, axis=0)
    _check_queries(len(np.asarray(queries)), len(array))
    return array, normalized(queries, binarizer.metric, binarizer.dimensions, "queries")


def _check_queries(queries: int, rows: int) -> None:
    if queries < MIN_QUERIES:
        raise VectorsError(
            f"a plan needs at least {MIN_QUERIES} queries (or {5 * MIN_QUERIES} rows to hold some "
            f"out), found {queries} queries and {rows} rows"
        )


def _order(recalls: dict[SearchParameters, float]) -> list[SearchParameters]:
    """Choices that no cheaper one surpasses: the highest recall, and so the dearest, first."""
    front: list[SearchParameters] = []
    best = -1.0
    for choice in sorted(recalls, key=query_cost):
        if recalls[choice] >= best:
            front.append(choice)
            best = recalls[choice]
    return front[::-1]


def _failure(
    recalls: Mapping[SearchParameters, Floats],
    tested: NDArray[np.int64],
    target: float,
    k: int,
    confidence: float,
) -> str:
    perfect = lower_bound(np.ones(len(tested)), confidence)
    if perfect < target:
        return (
            f"{len(tested)} queries cannot show recall@{k} {target}: if all found everything, "
            f"{perfect:.3f} were shown with {confidence:.0%} confidence; give more queries"
        )
    best = max(recalls, key=lambda choice: float(recalls[choice][tested].mean()))
    reached = recalls[best][tested]
    return (
        f"no plan reaches recall@{k} {target} with {confidence:.0%} confidence: the best of "
        f"{len(recalls)}, {best.candidates} candidates on {best.prefix_bits} bits with "
        f"{best.rescore or 'no'} rescoring, has {reached.mean():.3f}, "
        f"at least {lower_bound(reached, confidence):.3f}"
    )
