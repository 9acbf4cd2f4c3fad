"""The best code for a number of bytes: ours or TurboQuant of projections, on held-out rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import MAX_PLANES, Binarizer, Metric
from bitryoshka.errors import BitsError, VectorsError
from bitryoshka.evaluation import exact_topk, recall_at_k
from bitryoshka.limits import check_counts
from bitryoshka.progress import progress_bar
from bitryoshka.qdrant.quantizers import check_engine, code_quantizer, try_quantizer
from bitryoshka.qdrant.settings import Quantization
from bitryoshka.training.additive import additive_codes, usual_settings
from bitryoshka.training.closed_form import Goal, progressive_codes
from bitryoshka.training.fitting import SAMPLE_ROWS
from bitryoshka.training.variants import MOST_ADDITIVE_BITS, hamming_sizes
from bitryoshka.vectors import normalized

__all__ = ["Choice", "additive_code", "choose_for_budget"]

Floats = NDArray[np.float32]

# the engine pads one-bit vectors to 16 bytes, and TurboQuant keeps 8 bytes more than its bits
_PADDING = 16
_TURBO_EXTRA = 8
_TURBO_BITS: dict[Quantization, float] = {"turbo1": 1, "turbo2": 2, "turbo4": 4, "turbo8": 8}


@dataclass(frozen=True)
class Choice:
    """What to keep within a budget: ``binarizer`` and ``quantization`` go to `collection_config`.

    ``bytes``: of a quantized vector in memory, as measured; ``recall``: of the exact first ten
    among held-out documents' neighbours, without rescoring; ``tried``: recall of all candidates.
    """

    binarizer: Binarizer
    quantization: Quantization
    bytes: float
    recall: float
    tried: dict[str, float]


def additive_code(rows: Floats, bits: int, metric: Metric = "cosine", seed: int = 0) -> Binarizer:
    """The additive code of unit rows (N, d) that is tried for its number of bits."""
    hamming_bits = min(bits, rows.shape[1] // 8 * 8)
    settings = usual_settings(bits, rows.shape[1])
    goal = Goal(bits, (bits,), metric, seed)  # no other cut will be asked for
    return additive_codes(rows, rows[:0], goal, hamming_bits, settings)


@dataclass(frozen=True)
class _Candidate:
    """``bits``: of a code, or the dimensions of a projection for TurboQuant.

    ``hamming_bits``: of a progressive code; None: the code is additive.
    """

    label: str
    quantization: Quantization
    bits: int
    hamming_bits: int | None

    def fit(self, rows: Floats, metric: Metric, seed: int) -> Binarizer:
        if self.hamming_bits is None:
            return additive_code(rows, self.bits, metric, seed)
        return progressive_codes(
            rows, Goal(self.bits, (self.bits,), metric, seed), self.hamming_bits
        )


def choose_for_budget(
    vectors: ArrayLike,
    budget: int,
    *,
    metric: Metric = "cosine",
    held_out: int = 500,
    seed: int = 0,
    progress: bool = False,
) -> Choice:
    """The best code of at most ``budget`` bytes a vector in memory, for vectors (N, d).

    Tried are an additive and a progressive code of as many bits, and TurboQuant on projections cut
    to the dimensions that its bits leave room for. Each is fitted without ``held_out`` random rows
    and judged by them as queries, in the real engine; the best is fitted again with them. Of many
    rows a sample of 20,000 is taken.

    Raises BitsError for a budget below 16 bytes or where nothing fits, VectorsError for unusable
    vectors, MissingExtraError without the engine in process.
    """
    check_engine()
    check_counts(held_out=held_out)
    rows = normalized(vectors, metric)
    if not 0 < held_out < len(rows) - 10:
        raise VectorsError(f"cannot hold {held_out} of {len(rows)} rows out and search the others")
    candidates = _candidates(budget, rows.shape[1])
    sample = rows[np.random.default_rng(seed).permutation(len(rows))[: SAMPLE_ROWS + held_out]]
    queries, judged = sample[:held_out], sample[held_out:]
    exact = exact_topk(queries, judged, 10, "inner_product").rows
    tried: dict[str, tuple[float, float, _Candidate]] = {}
    with progress_bar(len(candidates), "codes for a budget", progress) as advance:
        for candidate in candidates:
            fitted = candidate.fit(judged, metric, seed)
            quantizer = code_quantizer(fitted, quantization=candidate.quantization)
            trial = try_quantizer(quantizer, judged, queries, repeats=1, with_rescoring=False)
            if trial.bytes <= budget:
                recall = float(recall_at_k(trial.rows, exact).mean())
                tried[candidate.label] = recall, trial.bytes, candidate
            advance(candidate.label)
    if not tried:
        raise BitsError(f"no code of {rows.shape[1]} dimensions fits in {budget} bytes")
    recall, size, best = max(tried.values(), key=lambda t: t[0])
    info: dict[str, Any] = {"method": best.label, "budget_bytes": budget, "seed": seed}
    return Choice(
        binarizer=replace(best.fit(sample, metric, seed), info=info),
        quantization=best.quantization,
        bytes=size,
        recall=recall,
        tried={label: found[0] for label, found in tried.items()},
    )


def _candidates(budget: int, dimensions: int) -> list[_Candidate]:
    if budget < _PADDING:
        raise BitsError(f"a budget must be at least {_PADDING} bytes, found {budget}")
    most = dimensions // 8 * 8
    bits = min(budget // _PADDING * _PADDING * 8, most * MAX_PLANES)
    found = []
    if 0 < bits <= MOST_ADDITIVE_BITS:
        found.append(_Candidate(f"additive, {bits} bits", "code", bits, None))
    if sizes := hamming_sizes(bits, dimensions) if bits else []:
        m = sizes[len(sizes) // 2]
        found.append(_Candidate(f"progressive, {m} dimensions, {bits} bits", "code", bits, m))
    for name, each in _TURBO_BITS.items():
        m = min(most, int((budget - _TURBO_EXTRA) * 8 / each) // 32 * 32)
        if m > 0:
            label = f"{m} dimensions, TurboQuant {each} bits"
            found.append(_Candidate(label, name, m, m))
    return found
