"""Exact search of vectors and of codes, as free functions on arrays.

Rankings are arrays of row numbers ``(Q, k)``, best first. Equal scores are ordered by row
number, everywhere, so that every result can be reproduced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.bits import check_codes, words
from bitryoshka.errors import BitsError, OptionError, SearchError
from bitryoshka.limits import check_count
from bitryoshka.vectors import blocks, check_vectors, normalized

__all__ = ["Ranking", "asymmetric_topk", "exact_topk", "hamming_topk", "rescore"]

Rows = NDArray[np.int64]
_BLOCK_SCORES = 4_000_000


class Ranking(NamedTuple):
    """The best rows of each query: ``rows`` (Q, k) int64 and their ``scores`` (Q, k) float32.

    Scores are similarities, higher is better; Hamming distances appear negated.
    """

    rows: Rows
    scores: NDArray[np.float32]


def _keys(scores: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers that sort as (score descending, row ascending): the score's bits, then the row."""
    bits = (scores + np.float32(0)).view(np.int32)
    rising = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    keys: NDArray[np.int64] = (np.bitwise_not(rising).astype(np.int64) << 32) | rows
    return keys


def _scores(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    rising = np.bitwise_not((keys >> 32).astype(np.int32))
    scores: NDArray[np.float32] = (rising ^ ((rising >> 31) & np.int32(0x7FFFFFFF))).view(
        np.float32
    )
    return scores


def _smallest(keys: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    if keys.shape[1] > k:
        keys = np.partition(keys, k - 1, axis=1)[:, :k]
    return keys


def _topk(
    queries: int, k: int, scored: Iterator[tuple[slice, NDArray[np.float32]]], rows: int
) -> Ranking:
    """Merge blocks of scores ``(Q, block)`` into the best k rows of each query."""
    if check_count(k, "k") > rows:
        raise SearchError(f"k must be between 1 and the {rows} rows there are, found {k}")
    best = np.empty((queries, 0), np.int64)
    for block, scores in scored:
        keys = _keys(scores, np.arange(block.start, block.stop, dtype=np.int64))
        best = _smallest(np.concatenate([best, _smallest(keys, k)], axis=1), k)
    best = np.sort(best, axis=1)
    return Ranking(best & 0xFFFFFFFF, _scores(best))


def _in_query_batches(queries: int, rows: int, k: int, run: Callable[[slice], Ranking]) -> Ranking:
    size = max(1, _BLOCK_SCORES // max(1, min(rows, 65_536)))
    parts = [run(slice(start, start + size)) for start in range(0, max(1, queries), size)]
    rows_of, scores_of = zip(*parts, strict=True)
    return Ranking(np.concatenate(rows_of), np.concatenate(scores_of))


def exact_topk(
    queries: ArrayLike, vectors: ArrayLike, k: int = 10, metric: str = "cosine"
) -> Ranking:
    """The k rows of ``vectors`` (N, d) nearest to each of ``queries`` (Q, d), by float search.

    ``metric``: "cosine" or "inner_product". Vectors are streamed block by block, so a
    memory-mapped array larger than memory works. Raises VectorsError for unusable input,
    SearchError for a k that is not 1 to N, OptionError for another metric.

    >>> exact_topk([[1.0, 0.0]], [[0.0, 1.0], [1.0, 1.0], [2.0, 0.0]], k=2).rows
    array([[2, 1]])
    """
    if metric not in ("cosine", "inner_product"):
        raise OptionError(f"metric must be 'cosine' or 'inner_product', found {metric!r}")
    array = check_vectors(vectors)
    cosine = metric == "cosine"
    unit = normalized(queries, metric, array.shape[1], "queries")

    def run(part: slice) -> Ranking:
        def scored() -> Iterator[tuple[slice, NDArray[np.float32]]]:
            read = blocks(array, norms=cosine, bounded=not cosine, block_rows=65_536)
            for rows, block, norms in read:
                scores = unit[part] @ block.T
                yield rows, scores if norms is None else scores / norms

        return _topk(len(unit[part]), k, scored(), len(array))

    return _in_query_batches(len(unit), len(array), k, run)


def hamming_topk(queries: ArrayLike, codes: ArrayLike, k: int = 10) -> Ranking:
    """The k codes (N, bits/8) nearest to each query code (Q, bits/8) by Hamming distance.

    The scores are negated distances. Raises BitsError where the lengths differ.

    >>> hamming_topk(np.array([[7]], np.uint8), np.array([[0], [3], [7]], np.uint8), k=2).rows
    array([[2, 1]])
    """
    q, c = check_codes(queries, "queries"), check_codes(codes)
    if q.shape[1] != c.shape[1]:
        raise BitsError(
            f"codes must have equal lengths, found {q.shape[1] * 8} and {c.shape[1] * 8} bits"
        )
    query_words, code_words = words(q), words(c)

    def run(part: slice) -> Ranking:
        def scored() -> Iterator[tuple[slice, NDArray[np.float32]]]:
            for start in range(0, len(c), 65_536):
                rows = slice(start, min(start + 65_536, len(c)))
                total = np.zeros((len(q[part]), rows.stop - start), np.uint16)
                for x, y in zip(query_words, code_words, strict=True):
                    total += np.bitwise_count(x[part, None] ^ y[None, rows])
                yield rows, -total.astype(np.float32)

        return _topk(len(q[part]), k, scored(), len(c))

    return _in_query_batches(len(q), len(c), k, run)


def _signs(codes: NDArray[np.uint8], bits: int) -> NDArray[np.float32]:
    """Bits as -1 and +1."""
    signs = np.unpackbits(codes, axis=-1, count=bits).astype(np.float32)
    signs *= 2
    signs -= 1
    return signs


def _check_weights(weights: ArrayLike, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    w = np.asarray(weights, np.float32)
    if w.ndim != 2 or w.shape[1] != codes.shape[1] * 8:
        raise BitsError(
            f"weights must have shape (Q, {codes.shape[1] * 8}), one a bit of the codes, "
            f"found {w.shape}"
        )
    return w


def asymmetric_topk(weights: ArrayLike, codes: ArrayLike, k: int = 10) -> Ranking:
    """The k codes (N, bits/8) with the highest score under query weights (Q, bits).

    The score of a row is the sum of the weights of its set bits minus that of its clear bits;
    see `Binarizer.query_weights`. Raises BitsError where the lengths differ.
    """
    c = check_codes(codes)
    w = _check_weights(weights, c)

    def run(part: slice) -> Ranking:
        def scored() -> Iterator[tuple[slice, NDArray[np.float32]]]:
            for start in range(0, len(c), 16_384):
                rows = slice(start, min(start + 16_384, len(c)))
                yield rows, w[part] @ _signs(c[rows], w.shape[1]).T

        return _topk(len(w[part]), k, scored(), len(c))

    return _in_query_batches(len(w), len(c), k, run)


def rescore(weights: ArrayLike, codes: ArrayLike, candidates: ArrayLike, k: int = 10) -> Ranking:
    """Order candidate rows (Q, C) by asymmetric score and keep the best k of each query.

    Together with `hamming_topk` on a prefix this is the funnel that a database runs.
    Raises BitsError where lengths differ, SearchError where k is larger than C.
    """
    c, rows = check_codes(codes), np.asarray(candidates, np.int64)
    w = _check_weights(weights, c)
    if rows.ndim != 2 or len(rows) != len(w):
        raise BitsError(f"candidates must have shape ({len(w)}, C), found {rows.shape}")
    if check_count(k, "k") > rows.shape[1]:
        raise SearchError(f"k must be between 1 and {rows.shape[1]} candidates, found {k}")
    if rows.size and not 0 <= rows.min() <= rows.max() < len(c):
        raise BitsError(
            f"candidates must be row numbers from 0 to {len(c) - 1}, "
            f"found {rows.min()} to {rows.max()}"
        )
    keys = np.empty(rows.shape, np.int64)
    for i, picked in enumerate(rows):
        keys[i] = _keys(_signs(c[picked], w.shape[1]) @ w[i], picked)
    best = np.sort(keys, axis=1)[:, :k]
    return Ranking(best & 0xFFFFFFFF, _scores(best))
