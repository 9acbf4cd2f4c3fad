"""What each choice of search parameters costs and finds, all from one pass over the vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.evaluation.codes import EncodedSearch
from bitryoshka.evaluation.ranking import exact_topk
from bitryoshka.search_parameters import Rescore, SearchParameters

__all__ = ["GRAPH_BYTES", "Rescoring", "query_cost", "recalls_by_parameters", "vectors_read"]

Rescoring = Literal["asymmetric", "exact", "shortlist"]
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

OVERSAMPLING = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)
KEPT = (2, 3, 5, 10, 20)

# Cost of a candidate, in units of one candidate of an HNSW index on a 256-bit prefix (23
# microseconds there): benchmarks/results/postgres.json, 200,000 rows, 384 dimensions.
ASYMMETRIC_COST = 0.07
EXACT_COST = 0.37
GRAPH_BYTES = 300


def query_cost(parameters: SearchParameters) -> float:
    """What a query takes, in candidates of an index on 256 bits.

    An entry of the index is read for each candidate; rescoring reads the row as well.
    """
    entry = (GRAPH_BYTES + (parameters.prefix_bits or 0) / 8) / (GRAPH_BYTES + 32)
    by_codes = parameters.rescore == "asymmetric" or parameters.shortlist is not None
    asymmetric = ASYMMETRIC_COST if by_codes else 0.0
    exact = vectors_read(parameters) * EXACT_COST
    return parameters.candidates * (entry + asymmetric) + exact


def vectors_read(parameters: SearchParameters) -> int:
    """How many rows a query compares by their stored vectors."""
    if parameters.rescore != "exact":
        return 0
    return parameters.candidates if parameters.shortlist is None else parameters.shortlist


def recalls_by_parameters(
    binarizer: Binarizer,
    vectors: NDArray[np.number],
    unit: NDArray[np.float32],
    k: int,
    rescoring: Sequence[Rescoring] = ("asymmetric", "exact"),
    max_candidates: int = 1000,
) -> dict[SearchParameters, Floats]:
    """Recall@k of each query (Q,) for every choice of parameters.

    ``vectors``: (N, d). ``unit``: queries (Q, d), of length 1 where the metric asks for it.
    """
    return dict(_recalls(binarizer, vectors, unit, k, rescoring, max_candidates))


def _recalls(
    b: Binarizer,
    vectors: NDArray[np.number],
    unit: NDArray[np.float32],
    k: int,
    rescoring: Sequence[Rescoring],
    max_candidates: int,
) -> Iterator[tuple[SearchParameters, Floats]]:
    exact = exact_topk(unit, vectors, k, b.metric).rows
    encoded = EncodedSearch.of(b, vectors, unit)
    most = min(max_candidates, len(encoded.codes))
    steps = sorted({min(most, k * times) for times in OVERSAMPLING})
    for bits in encoded.prefixes:
        listed = encoded.hamming(bits, most)
        near = _among(listed, exact)
        plain = SearchParameters(k=k, candidates=k, prefix_bits=bits, rescore=None)
        yield plain, near[:, :k].sum(axis=1) / k
        if "exact" in rescoring:
            for n in steps:
                yield replace(plain, candidates=n, rescore="exact"), near[:, :n].sum(axis=1) / k
        if not {"asymmetric", "shortlist"} & set(rescoring):
            continue
        ranked = encoded.rescored(listed, most)
        near, place = _among(ranked, exact), _places(listed, ranked)
        for n in steps:
            inside = place < n
            rank = np.cumsum(inside, axis=1)
            for kept in (k, *(k * times for times in KEPT)):
                if kept < n and ("asymmetric" if kept == k else "shortlist") in rescoring:
                    recall = (near & inside & (rank <= kept)).sum(axis=1) / k
                    yield _by_codes(plain, n, None if kept == k else kept), recall


def _by_codes(plain: SearchParameters, candidates: int, shortlist: int | None) -> SearchParameters:
    kind: Rescore = "asymmetric" if shortlist is None else "exact"
    return replace(plain, candidates=candidates, rescore=kind, shortlist=shortlist)


def _among(rows: Rows, exact: Rows) -> NDArray[np.bool_]:
    """Which of the rows (Q, C) are among each query's exact ones (Q, k)."""
    return np.stack([np.isin(found, wanted) for found, wanted in zip(rows, exact, strict=True)])


def _places(listed: Rows, ranked: Rows) -> Rows:
    """Where each of the ranked rows (Q, C) stands in the list, which holds the same rows."""
    places = np.empty_like(listed)
    np.put_along_axis(places, ranked.argsort(axis=1), listed.argsort(axis=1), axis=1)
    return places
