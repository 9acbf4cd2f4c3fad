"""How good rankings are, query by query, and how sure their means are.

Rankings are arrays of row numbers ``(Q, k)``, best first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.errors import BitsError, OptionError, VectorsError
from bitryoshka.limits import check_count

__all__ = [
    "Interval",
    "bootstrap_interval",
    "ndcg_at_k",
    "order_at_k",
    "ratio_interval",
    "recall_at_k",
]

_BLOCK_VALUES = 4_000_000


class Interval(NamedTuple):
    """A mean with the ends of its confidence interval."""

    mean: float
    low: float
    high: float


def _check_ranking(found: ArrayLike, k: int) -> NDArray[np.int64]:
    array = np.asarray(found, np.int64)
    if array.ndim != 2 or check_count(k, "k") > array.shape[1]:
        raise BitsError(f"expected row numbers (Q, at least {k}), found shape {array.shape}")
    return array[:, :k]


def recall_at_k(found: ArrayLike, exact: ArrayLike, k: int = 10) -> NDArray[np.float64]:
    """Share of each query's exact first k rows that are among its found first k: ``(Q,)``.

    >>> recall_at_k([[1, 2, 3]], [[3, 2, 9]], k=3).round(3)
    array([0.667])
    """
    a, b = _check_ranking(found, k), _check_ranking(exact, k)
    if len(a) != len(b):
        raise BitsError(f"expected rankings of the same queries, found {len(a)} and {len(b)}")
    shares: NDArray[np.float64] = (a[:, :, None] == b[:, None, :]).any(axis=1).mean(axis=1)
    return shares


def _discounts(k: int) -> NDArray[np.float64]:
    return 1 / np.log2(np.arange(k) + 2)


def order_at_k(found: ArrayLike, exact: ArrayLike, k: int = 10) -> NDArray[np.float64]:
    """How well the order of the exact first k rows is kept, ``(Q,)`` between 0 and 1.

    nDCG@k with the exact ranking as the judgement: the exact first row gains k, the second
    k - 1, and so on. Recall counts all k rows alike; this one looks at the very top.
    """
    a, b = _check_ranking(found, k), _check_ranking(exact, k)
    gains = np.where(a[:, :, None] == b[:, None, :], np.arange(k, 0, -1), 0).sum(axis=2)
    ideal = np.arange(k, 0, -1) @ _discounts(k)
    result: NDArray[np.float64] = gains @ _discounts(k) / ideal
    return result


def ndcg_at_k(
    found: ArrayLike, judgements: Sequence[Mapping[int, float]], k: int = 10
) -> NDArray[np.float64]:
    """nDCG@k against relevance judgements, one value for each judged query.

    ``judgements[i]`` maps row numbers to grades for query i; grades <= 0 are not relevant and
    queries without a relevant row are skipped. Linear gains and a log2 discount, as in
    trec_eval (Järvelin and Kekäläinen, ACM TOIS 2002).

    >>> ndcg_at_k([[5, 6]], [{6: 1}], k=2).round(4)
    array([0.6309])
    """
    array = _check_ranking(found, k)
    if len(array) != len(judgements):
        raise BitsError(f"expected {len(array)} judgements, one a query, found {len(judgements)}")
    values = []
    for rows, grades in zip(array.tolist(), judgements, strict=True):
        relevant = {row: grade for row, grade in grades.items() if grade > 0}
        if relevant:
            ideal = np.array(sorted(relevant.values(), reverse=True)[:k])
            gains = np.array([relevant.get(row, 0.0) for row in rows])
            values.append(gains @ _discounts(k) / (ideal @ _discounts(len(ideal))))
    return np.array(values, np.float64)


def bootstrap_interval(
    values: ArrayLike, level: float = 0.95, samples: int = 2000, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of the mean (Efron 1979) of per-query values ``(Q,)``.

    For the difference of two methods pass the differences query by query.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise VectorsError(f"expected finite values (Q,) with Q > 0, found shape {array.shape}")
    if not 0 < level < 1:
        raise OptionError(f"level must lie between 0 and 1, found {level}")
    generator = np.random.default_rng(seed)
    size = max(1, _BLOCK_VALUES // len(array))
    drawn = (
        generator.integers(0, len(array), (min(size, samples - start), len(array)))
        for start in range(0, samples, size)
    )
    means = np.concatenate([array[rows].mean(axis=1) for rows in drawn])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(array.mean()), float(low), float(high))


def ratio_interval(
    values: NDArray[np.float64], reference: NDArray[np.float64], samples: int = 2000, seed: int = 0
) -> Interval | None:
    """95 % percentile bootstrap interval of the ratio of two means over the same queries.

    None where the mean of ``reference`` is 0.
    """
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
