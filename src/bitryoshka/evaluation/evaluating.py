"""What a binarizer keeps of exact float search on given vectors, beside plain sign bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import SearchError, VectorsError
from bitryoshka.evaluation.codes import EncodedSearch, SearchKind, without_own
from bitryoshka.evaluation.measures import (
    Interval,
    bootstrap_interval,
    ndcg_at_k,
    ratio_interval,
    recall_at_k,
)
from bitryoshka.evaluation.ranking import exact_topk
from bitryoshka.limits import check_counts
from bitryoshka.vectors import blocks, check_values, check_vectors, normalized, renumbered

__all__ = ["Evaluation", "Quality", "SearchQuality", "evaluate"]

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

MAX_QUERIES = 500


class Quality(NamedTuple):
    """``recall`` of the exact first k rows; ``ndcg_retention`` where there are judgements."""

    recall: Interval
    ndcg_retention: Interval | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""

        def plain(interval: Interval | None) -> dict[str, float] | None:
            if interval is None:
                return None
            return {name: round(value, 4) for name, value in interval._asdict().items()}

        return {"recall": plain(self.recall), "ndcg_retention": plain(self.ndcg_retention)}


class SearchQuality(NamedTuple):
    """What one kind of search (``"hamming"``, ``"asymmetric"``, ``"funnel"``) keeps at one length.

    ``codes``: the binarizer's. ``sign``: plain sign bits of equal length, None where the vectors
    have fewer dimensions than that.
    """

    search: SearchKind
    bits: int
    codes: Quality
    sign: Quality | None


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`. ``float_ndcg``: nDCG@k of the exact search, or None."""

    k: int
    candidates: int
    vectors: int
    queries: int
    held_out: bool
    float_ndcg: float | None
    rows: tuple[SearchQuality, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "k": self.k,
            "candidates": self.candidates,
            "vectors": self.vectors,
            "queries": self.queries,
            "queries_are_rows": self.held_out,
            "float_ndcg": None if self.float_ndcg is None else round(self.float_ndcg, 4),
            "results": [
                {
                    "search": row.search,
                    "bits": row.bits,
                    "bytes": row.bits // 8,
                    **row.codes.as_dict(),
                    "sign": None if row.sign is None else row.sign.as_dict(),
                }
                for row in self.rows
            ],
        }


def evaluate(
    binarizer: Binarizer,
    vectors: ArrayLike,
    queries: ArrayLike | None = None,
    judgements: Sequence[Mapping[int, float]] | None = None,
    *,
    k: int = 10,
    candidates: int = 100,
    seed: int = 0,
) -> Evaluation:
    """Compare searches on codes of ``vectors`` (N, d) with exact float search, query by query.

    At every trained prefix by Hamming distance, at every cut asymmetrically, and as a funnel:
    ``candidates`` rows by Hamming distance on all Hamming bits, ordered by the whole code. Every
    figure is a mean with its 95 % bootstrap interval.

    ``queries`` (Q, d); None: up to 500 random rows of ``vectors``, each left out of its own search.
    ``judgements``: grades by row number for each query, see `bitryoshka.evaluation.ndcg_at_k`.

    Raises VectorsError for unusable vectors or fewer than k rows, SearchError if ``candidates`` is
    less than k.
    """
    check_counts(k=k, candidates=candidates)
    array = check_vectors(vectors, binarizer.dimensions)
    own = None
    if queries is None:
        generator = np.random.default_rng(seed)
        own = np.sort(generator.choice(len(array), min(MAX_QUERIES, len(array)), replace=False))
        queries = np.asarray(array[own])
        with renumbered(own):
            check_values(queries, binarizer.metric)
    searched = len(array) - (own is not None)
    if k > searched:
        raise VectorsError(f"the best {k} rows of each query need more rows, found {len(array)}")
    if candidates < k:
        raise SearchError(f"candidates must be at least k = {k}, found {candidates}")
    unit = normalized(queries, binarizer.metric, binarizer.dimensions, "queries")
    exact = without_own(lambda n: exact_topk(unit, array, n, binarizer.metric), k, own)
    reference = None if judgements is None else ndcg_at_k(exact, judgements, k)
    if reference is not None and not len(reference):
        raise VectorsError("no query has a relevant row among its judgements")

    def judge(found: Rows) -> Quality:
        recall = bootstrap_interval(recall_at_k(found, exact, k))
        if judgements is None or reference is None:
            return Quality(recall, None)
        return Quality(recall, ratio_interval(ndcg_at_k(found, judgements, k), reference))

    ours = EncodedSearch.of(binarizer, array, unit, own).rankings(k, candidates)
    signs = _sign_search(binarizer, array, unit, own)
    sign = {} if signs is None else signs.rankings(k, candidates)
    return Evaluation(
        k=k,
        candidates=min(candidates, searched),
        vectors=len(array),
        queries=len(unit),
        held_out=own is not None,
        float_ndcg=None if reference is None else float(reference.mean()),
        rows=tuple(
            SearchQuality(*key, judge(found), judge(sign[key]) if key in sign else None)
            for key, found in ours.items()
        ),
    )


def _sign_search(
    b: Binarizer, vectors: NDArray[np.number], unit: Floats, own: Rows | None
) -> EncodedSearch | None:
    """The signs of the leading dimensions, as every database can have them; None for too few."""
    lengths = tuple(bits for bits in b.nested_bits if bits <= b.dimensions)
    if not lengths:
        return None
    codes = np.empty((len(vectors), lengths[-1] // 8), np.uint8)
    for rows, block, _ in blocks(vectors, norms=False):
        codes[rows] = np.packbits(block[:, : lengths[-1]] > 0, axis=1)
    return EncodedSearch(
        codes=codes,
        query_codes=np.packbits(unit[:, : lengths[-1]] > 0, axis=1),
        weights=lambda bits: np.ascontiguousarray(unit[:, :bits]),
        prefixes=lengths,
        cuts=lengths,
        own=own,
    )
