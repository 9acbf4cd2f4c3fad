"""What a binarizer keeps of exact float search on given vectors, beside plain sign bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import prefix
from bitryoshka.errors import SearchError, VectorsError
from bitryoshka.evaluation import (
    Interval,
    Ranking,
    asymmetric_topk,
    bootstrap_interval,
    exact_topk,
    hamming_topk,
    ndcg_at_k,
    recall_at_k,
    rescore,
)
from bitryoshka.limits import check_counts
from bitryoshka.vectors import blocks, check_values, check_vectors, normalized, renumbered

__all__ = ["Evaluation", "Quality", "Row", "evaluate"]

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


class Row(NamedTuple):
    """One way to search (``"hamming"``, ``"asymmetric"``, ``"funnel"``) at one length.

    ``codes``: the binarizer's. ``sign``: plain sign bits of equal length, None where the vectors
    have fewer dimensions than that.
    """

    search: str
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
    rows: tuple[Row, ...]

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


class _Search(NamedTuple):
    """How many rows to find, and which row each query is and must not find itself."""

    k: int
    candidates: int
    own: Rows | None

    def rows(self, search: Callable[[int], Ranking], k: int) -> Rows:
        """The best k rows of each query, without the query itself where it is one of them."""
        if self.own is None:
            return search(k).rows
        rows = search(k + 1).rows
        keep = rows != self.own[:, None]
        keep[keep.all(axis=1), -1] = False
        others: Rows = rows[keep].reshape(len(rows), k)
        return others


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
    search = _Search(k, min(candidates, searched), own)
    unit = normalized(queries, binarizer.metric, binarizer.dimensions, "queries")
    exact = search.rows(lambda n: exact_topk(unit, array, n, binarizer.metric), k)
    reference = None if judgements is None else ndcg_at_k(exact, judgements, k)
    if reference is not None and not len(reference):
        raise VectorsError("no query has a relevant row among its judgements")

    def judge(found: Rows) -> Quality:
        recall = bootstrap_interval(recall_at_k(found, exact, k))
        if judgements is None or reference is None:
            return Quality(recall, None)
        return Quality(recall, _ratio_interval(ndcg_at_k(found, judgements, k), reference))

    ours = _binarizer_rankings(binarizer, array, unit, search)
    sign = _sign_rankings(binarizer, array, unit, search)
    return Evaluation(
        k=k,
        candidates=search.candidates,
        vectors=len(array),
        queries=len(unit),
        held_out=own is not None,
        float_ndcg=None if reference is None else float(reference.mean()),
        rows=tuple(
            Row(kind, bits, judge(found), judge(sign[kind, bits]) if (kind, bits) in sign else None)
            for (kind, bits), found in ours.items()
        ),
    )


def _binarizer_rankings(
    b: Binarizer, vectors: NDArray[np.number], unit: Floats, search: _Search
) -> dict[tuple[str, int], Rows]:
    return _rankings(
        b.encode(vectors),
        b.encode_queries(unit),
        lambda bits: b.query_weights(unit, bits),
        [bits for bits in b.nested_bits if bits <= b.hamming_bits],
        b.nested_bits,
        search,
    )


def _sign_rankings(
    b: Binarizer, vectors: NDArray[np.number], unit: Floats, search: _Search
) -> dict[tuple[str, int], Rows]:
    """The same searches on the signs of the leading dimensions, as every database can have them."""
    lengths = [bits for bits in b.nested_bits if bits <= b.dimensions]
    if not lengths:
        return {}
    codes = np.empty((len(vectors), lengths[-1] // 8), np.uint8)
    for rows, block, _ in blocks(vectors, norms=False):
        codes[rows] = np.packbits(block[:, : lengths[-1]] > 0, axis=1)
    query_codes = np.packbits(unit[:, : lengths[-1]] > 0, axis=1)
    return _rankings(
        codes,
        query_codes,
        lambda bits: np.ascontiguousarray(unit[:, :bits]),
        lengths,
        lengths,
        search,
    )


def _rankings(
    codes: NDArray[np.uint8],
    query_codes: NDArray[np.uint8],
    weights: Callable[[int], Floats],
    prefixes: Sequence[int],
    cuts: Sequence[int],
    search: _Search,
) -> dict[tuple[str, int], Rows]:
    """The rows found by each kind of search at each length."""
    found: dict[tuple[str, int], Rows] = {}

    def hamming(bits: int, k: int) -> Rows:
        q, c = prefix(query_codes, bits), prefix(codes, bits)
        return search.rows(lambda n: hamming_topk(q, c, n), k)

    def asymmetric(bits: int) -> Rows:
        w, c = weights(bits), prefix(codes, bits)
        return search.rows(lambda n: asymmetric_topk(w, c, n), search.k)

    for bits in prefixes:
        found["hamming", bits] = hamming(bits, search.k)
    for bits in cuts:
        found["asymmetric", bits] = asymmetric(bits)
    shortlist = hamming(prefixes[-1], search.candidates)
    found["funnel", cuts[-1]] = rescore(weights(cuts[-1]), codes, shortlist, search.k).rows
    return found


def _ratio_interval(
    values: NDArray[np.float64], reference: NDArray[np.float64], samples: int = 2000, seed: int = 0
) -> Interval | None:
    """95 % percentile bootstrap interval of the ratio of two means over the same queries."""
    if not reference.any():
        return None
    generator = np.random.default_rng(seed)
    ratios = []
    for _ in range(samples):
        picked = generator.integers(0, len(values), len(values))
        if reference[picked].any():
            ratios.append(values[picked].mean() / reference[picked].mean())
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Interval(float(values.mean() / reference.mean()), float(low), float(high))
