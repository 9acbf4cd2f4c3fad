"""The best code for a number of bytes: dimensions and bits chosen together, on held-out rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import MAX_PLANES, Binarizer, Metric
from bitryoshka.errors import BitsError, VectorsError
from bitryoshka.evaluation import exact_topk, recall_at_k
from bitryoshka.progress import progress_bar
from bitryoshka.qdrant.measuring import measure
from bitryoshka.qdrant.settings import Quantization
from bitryoshka.qdrant.ways import our_way
from bitryoshka.training.closed_form import Goal, progressive_codes
from bitryoshka.training.decoding import regressed_weights
from bitryoshka.vectors import normalized

__all__ = ["Choice", "choose_for_budget"]

Floats = NDArray[np.float32]

# the engine pads one-bit vectors to 16 bytes, and TurboQuant keeps 8 bytes more than its bits
_PADDING = 16
_TURBO_EXTRA = 8
_TURBO_BITS: dict[Quantization, float] = {"turbo1": 1, "turbo2": 2, "turbo4": 4, "turbo8": 8}
_SHARES = (1 / 4, 1 / 3, 5 / 12, 1 / 2)
# larger blocks are weaker codes, whose weights lie closer together: 8-bit queries lose less
_BLOCKS = (64, 128, 192, 384)
_ROWS = 20_000


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


@dataclass(frozen=True)
class _Candidate:
    label: str
    quantization: Quantization
    bits: int
    blocks: tuple[int, ...]
    regressed: bool = False

    def fit(self, sample: Floats, metric: Metric, seed: int, plain: Binarizer | None) -> Binarizer:
        """``plain``: the same code with plain weights, if it is at hand."""
        if plain is None:
            fitted = progressive_codes(sample, Goal(self.bits, None, metric, seed), *self.blocks)
            # no other cut will be asked for
            lengths = tuple(sorted({fitted.hamming_bits, fitted.bits}))
            kept = [fitted.nested_bits.index(length) for length in lengths]
            plain = replace(fitted, nested_bits=lengths, levels=fitted.levels[kept])
        return regressed_weights(plain, sample) if self.regressed else plain


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

    Progressive codes of several numbers of dimensions, with plain and with regressed weights,
    and TurboQuant on projections cut to the dimensions that its bits leave room for. Each is
    fitted without ``held_out`` random rows and judged by them as queries, in the real engine; the
    best is fitted again to all rows. Of many rows a sample of 20,000 is judged.

    Raises BitsError for a budget below 16 bytes or where nothing fits, VectorsError for unusable
    vectors.
    """
    rows = normalized(vectors, metric)
    if not 0 < held_out < len(rows) - 10:
        raise VectorsError(f"cannot hold {held_out} of {len(rows)} rows out and search the others")
    candidates = _candidates(budget, rows.shape[1])
    picked = np.random.default_rng(seed).permutation(len(rows))[: _ROWS + held_out]
    queries, judged = rows[picked[:held_out]], rows[picked[held_out:]]
    exact = exact_topk(queries, judged, 10, "inner_product").rows
    tried: dict[str, tuple[float, float, _Candidate]] = {}
    with progress_bar(len(candidates), "codes for a budget", progress) as advance:
        plain = None
        for candidate in candidates:
            fitted = candidate.fit(judged, metric, seed, plain if candidate.regressed else None)
            plain = fitted
            way = our_way(fitted, candidate.label, quantization=candidate.quantization)
            found = measure(way, judged, queries, repeats=1, with_rescoring=False)
            if found.bytes <= budget:
                recall = float(recall_at_k(found.found, exact).mean())
                tried[candidate.label] = recall, found.bytes, candidate
            advance(candidate.label)
    if not tried:
        raise BitsError(f"no code of {rows.shape[1]} dimensions fits in {budget} bytes")
    recall, size, best = max(tried.values(), key=lambda t: t[0])
    return Choice(
        binarizer=replace(best.fit(rows, metric, seed, None), info=_info(best, budget, seed)),
        quantization=best.quantization,
        bytes=size,
        recall=recall,
        tried={label: found[0] for label, found in tried.items()},
    )


def _info(best: _Candidate, budget: int, seed: int) -> dict[str, Any]:
    return {"method": best.label, "budget_bytes": budget, "seed": seed}


def _candidates(budget: int, dimensions: int) -> list[_Candidate]:
    bits = budget // _PADDING * _PADDING * 8
    if bits == 0:
        raise BitsError(f"a budget must be at least {_PADDING} bytes, found {budget}")
    found = []
    for block in sorted({min(block, dimensions // 8 * 8) for block in _BLOCKS} - {0}):
        most = dimensions // block
        for count in sorted({min(most, max(1, round(bits * share / block))) for share in _SHARES}):
            m = count * block
            length = min(bits, m * MAX_PLANES // (8 * _PADDING) * 8 * _PADDING)
            if m <= length:
                label = f"code of {count} x {block} dimensions"
                layout = (block,) * count
                found.append(_Candidate(label, "code", length, layout))
                found.append(
                    _Candidate(f"{label}, regressed weights", "code", length, layout, True)
                )
    for name, each in _TURBO_BITS.items():
        m = min(dimensions // 8 * 8, int((budget - _TURBO_EXTRA) * 8 / each) // 32 * 32)
        if m > 0:
            label = f"{m} dimensions, TurboQuant {each} bits"
            found.append(_Candidate(label, name, m, (m,)))
    return found
