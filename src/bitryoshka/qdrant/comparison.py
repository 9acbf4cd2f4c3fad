"""The honest comparison: Qdrant's own quantizers and ours, on one's own vectors, in the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import Binarizer, Metric
from bitryoshka.errors import BitsError, SearchError, VectorsError
from bitryoshka.evaluation import bootstrap_interval, exact_topk, ndcg_at_k, recall_at_k
from bitryoshka.limits import MAX_COUNT, check_counts
from bitryoshka.progress import progress_bar
from bitryoshka.qdrant.choosing import choose_for_budget
from bitryoshka.qdrant.quantizers import (
    check_engine,
    code_quantizer,
    code_quantizers,
    qdrant_quantizers,
    try_quantizer,
)
from bitryoshka.vectors import normalized

_LEAST_BYTES = 16

__all__ = ["Advice", "ComparedQuantizer", "Comparison", "compare"]


@dataclass(frozen=True)
class ComparedQuantizer:
    """A quantizer of the vectors.

    ``bytes`` of a quantized vector in memory; ``recall`` of the exact first k and nDCG against
    judgements (None without any), by the quantized vectors alone and, ``rescored``, with the
    best candidates compared by their own vectors; milliseconds of a query for both.
    """

    label: str
    ours: bool
    bytes: float
    recall: float
    ndcg: float | None
    rescored_recall: float
    rescored_ndcg: float | None
    milliseconds: float
    rescored_milliseconds: float


@dataclass(frozen=True)
class Advice:
    """What to take within ``budget`` bytes.

    ``take``: the best of Qdrant's own, unless ours is better for sure: where the 95 % interval
    of the difference in recall, ``low`` to ``high`` around ``gain``, lies above 0.
    """

    budget: float
    take: str
    best_of_ours: str
    best_of_qdrant: str
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """All quantizers, and what to take at the bytes of each of TurboQuant's sizes."""

    k: int
    oversampling: float
    vectors: int
    queries: int
    held_out: bool
    rows: tuple[ComparedQuantizer, ...]
    advice: tuple[Advice, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON's own types."""
        return asdict(self)


def compare(
    vectors: ArrayLike,
    queries: ArrayLike | None = None,
    *,
    binarizer: Binarizer | None = None,
    judgements: Sequence[Mapping[int, float]] | None = None,
    budgets: Sequence[int] | None = None,
    metric: Metric = "cosine",
    k: int = 10,
    oversampling: float = 4.0,
    held_out: int = 500,
    hnsw_m: int = 0,
    seed: int = 0,
    progress: bool = False,
) -> Comparison:
    """Compare every quantizer of ``vectors`` (N, d) in the real engine, in process.

    ``queries`` (Q, d): None holds ``held_out`` random rows out. ``binarizer``: its code at every
    prefix and cut is among ours, next to the choices of `choose_for_budget` for ``budgets`` in
    bytes; None: d/8, d/4 and d/2, which TurboQuant needs with 1, 2 and 4 bits. ``judgements``
    map rows to grades, one for each query. ``hnsw_m``: 0 compares all quantized vectors, and so
    the quantizers alone.

    Raises VectorsError for unusable vectors, BitsError for another metric than the binarizer's,
    MissingExtraError without the engine in process.
    """
    check_engine()
    if binarizer is not None and binarizer.metric != metric:
        raise BitsError(f"the binarizer is for metric {binarizer.metric!r}, found {metric!r}")
    check_counts(k=k, held_out=held_out)
    if not 1 <= oversampling < MAX_COUNT:
        raise SearchError(f"oversampling must be at least 1, found {oversampling}")
    rows = normalized(vectors, metric)
    asked, rows = _queries(rows, queries, metric, held_out, seed)
    if judgements is not None and len(judgements) != len(asked):
        raise VectorsError(
            f"expected {len(asked)} judgements, one a query, found {len(judgements)}"
        )
    width = rows.shape[1]
    usual = sorted({max(_LEAST_BYTES, width // n) for n in (8, 4, 2)})
    quantizers = qdrant_quantizers()
    theirs = len(quantizers)
    quantizers += code_quantizers(binarizer) if binarizer else []
    for budget in usual if budgets is None else budgets:
        left_out = min(held_out, len(rows) // 5)
        choice = choose_for_budget(
            rows, budget, metric=metric, held_out=left_out, seed=seed, progress=progress
        )
        label = f"ours for {budget} bytes: {choice.binarizer.info['method']}"
        quantizers.append(code_quantizer(choice.binarizer, label, quantization=choice.quantization))
    exact = exact_topk(asked, rows, k, "inner_product").rows
    found, recalls = [], []
    with progress_bar(len(quantizers), "compare", progress) as advance:
        for n, quantizer in enumerate(quantizers):
            trial = try_quantizer(
                quantizer, rows, asked, k=k, oversampling=oversampling, hnsw_m=hnsw_m
            )
            recall = recall_at_k(trial.rows, exact, k)
            recalls.append(recall)
            found.append(
                ComparedQuantizer(
                    label=quantizer.label,
                    ours=n >= theirs,
                    bytes=trial.bytes,
                    recall=float(recall.mean()),
                    ndcg=_ndcg(trial.rows, judgements, k),
                    rescored_recall=float(recall_at_k(trial.rescored_rows, exact, k).mean()),
                    rescored_ndcg=_ndcg(trial.rescored_rows, judgements, k),
                    milliseconds=trial.milliseconds,
                    rescored_milliseconds=trial.rescored_milliseconds,
                )
            )
            advance(quantizer.label)
    return Comparison(
        k=k,
        oversampling=oversampling,
        vectors=len(rows),
        queries=len(asked),
        held_out=queries is None,
        rows=tuple(found),
        advice=_advice(found, recalls),
    )


def _queries(
    rows: NDArray[np.float32], queries: ArrayLike | None, metric: str, held_out: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if queries is not None:
        return normalized(queries, metric, rows.shape[1], "queries"), rows
    if not 0 < held_out < len(rows):
        raise VectorsError(f"cannot hold {held_out} of {len(rows)} rows out")
    picked = np.random.default_rng(seed).permutation(len(rows))
    return rows[picked[:held_out]], rows[picked[held_out:]]


def _ndcg(
    found: NDArray[np.int64], judgements: Sequence[Mapping[int, float]] | None, k: int
) -> float | None:
    return None if judgements is None else float(ndcg_at_k(found, judgements, k).mean())


def _advice(
    rows: Sequence[ComparedQuantizer], recalls: Sequence[NDArray[np.float64]]
) -> tuple[Advice, ...]:
    """At the bytes of every TurboQuant of the vectors themselves."""
    found = []
    budgets = sorted({r.bytes for r in rows if not r.ours and r.label.startswith("TurboQuant")})
    for budget in budgets:
        fitting = [i for i, row in enumerate(rows) if row.bytes <= budget]
        own = [i for i in fitting if rows[i].ours]
        theirs = [i for i in fitting if not rows[i].ours]
        if not own or not theirs:
            continue
        ours, qdrant = (max(group, key=lambda i: rows[i].recall) for group in (own, theirs))
        gain = bootstrap_interval(recalls[ours] - recalls[qdrant])
        found.append(
            Advice(
                budget=budget,
                take=rows[ours if gain.low > 0 else qdrant].label,
                best_of_ours=rows[ours].label,
                best_of_qdrant=rows[qdrant].label,
                gain=gain.mean,
                low=gain.low,
                high=gain.high,
            )
        )
    return tuple(found)
