"""Whether new vectors are still like those that a binarizer was fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import unpack
from bitryoshka.errors import VectorsError
from bitryoshka.evaluation import EncodedSearch, exact_topk, recall_at_k, without_own
from bitryoshka.vectors import check_values, check_vectors, renumbered

__all__ = ["Drift", "Reference", "check_drift", "recalibrate"]

Floats = NDArray[np.float64]
DriftAdvice = Literal["keep", "recalibrate", "refit"]

MIN_ROWS = 100
SAMPLE = 4000
RESAMPLES = 200
K = 10
# rows of a small world in which each row looks for its neighbours, and how many worlds at most
WORLDS = (500, 200, 100)
MOST_WORLDS = 8

# What is worth acting on, beyond what chance explains. A mean shift of 0.15 standard deviations
# moves 6 % of the values past a threshold; 0.03 of recall is what a refit is worth elsewhere.
MATTERS = {"shift": 0.15, "spread": 0.15, "balance": 0.05}
RECALL = 0.03
# of the resamples' mean and deviation: fewer than 1 in 1,000 where they are near normal
DEVIATIONS = 4.0


@dataclass(frozen=True, eq=False)
class Reference:
    """What a sample looks like through a binarizer.

    ``mean``, ``variance``: of the projected values, ``(m,)``. ``balance``: share of ones
    of each bit, ``(bits,)``. ``recall``: by number of rows, how much of the exact 10 neighbours the
    codes find among that many rows, the mean of Hamming and asymmetric search.
    """

    rows: int
    mean: Floats
    variance: Floats
    balance: Floats
    recall: Mapping[int, float]

    @classmethod
    def of(cls, binarizer: Binarizer, vectors: ArrayLike) -> Reference:
        """Measure vectors (N, d), in random order."""
        array = check_vectors(vectors, binarizer.dimensions)
        z = binarizer.project(array).astype(np.float64)
        return cls(
            rows=len(array),
            mean=z.mean(axis=0),
            variance=z.var(axis=0),
            balance=_ones(binarizer, array).mean(axis=0),
            recall=_recalls(binarizer, array),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a binarizer's ``info``."""
        return {
            "rows": self.rows,
            "mean": [float(f"{x:.5g}") for x in self.mean],
            "variance": [float(f"{x:.5g}") for x in self.variance],
            "balance": [round(float(x), 4) for x in self.balance],
            "recall": {str(n): round(x, 4) for n, x in self.recall.items()},
        }

    @classmethod
    def kept_by(cls, binarizer: Binarizer) -> Reference:
        """What the fit left in ``info``; VectorsError where there is none."""
        kept = binarizer.info.get("reference")
        if not isinstance(kept, Mapping):
            raise VectorsError(
                "this binarizer keeps no statistics of the vectors it was fitted to: "
                "give a sample of them as reference= (--reference)"
            )
        m, bits = len(binarizer.projection), binarizer.bits
        # of a truncated binarizer the whole code's recall says nothing
        whole = len(kept["balance"]) == bits
        return cls(
            rows=kept["rows"],
            mean=np.array(kept["mean"][:m]),
            variance=np.array(kept["variance"][:m]),
            balance=np.array(kept["balance"][:bits]),
            recall={int(n): x for n, x in kept["recall"].items()} if whole else {},
        )


@dataclass(frozen=True)
class Drift:
    """How far new vectors are from the reference, and what to do.

    Each figure stands beside its limit: what chance explains for this many rows, and what is worth
    acting on. ``shift``: of the means of the projected values, in standard deviations; ``spread``:
    of their standard deviations, as a logarithm; ``balance``: of the bits' share of ones: root mean
    squares over dimensions or bits. ``recall``: found in small worlds of new rows, beside the
    reference's and that with thresholds moved to the new vectors; None where not comparable.
    ``moved``: whether the shift is beyond chance, if only a little. Spreads cannot be compared so
    closely, because a projection is fitted to those of its own rows.
    """

    advice: DriftAdvice
    moved: bool
    rows: int
    shift: float
    shift_limit: float
    spread: float
    spread_limit: float
    balance: float
    balance_limit: float
    recall: float | None
    recall_recalibrated: float | None
    recall_reference: float | None
    recall_limit: float | None

    def text(self) -> str:
        """The advice and its reasons in a few words."""
        figures = [
            f"{name} {value:.3f} (limit {limit:.3f})"
            for name, value, limit in (
                ("shift", self.shift, self.shift_limit),
                ("spread", self.spread, self.spread_limit),
                ("bit balance", self.balance, self.balance_limit),
            )
        ]
        if self.recall is not None and self.recall_reference is not None:
            figures.append(
                f"recall@{K} {self.recall:.3f}, {self.recall_recalibrated:.3f} recalibrated, "
                f"{self.recall_reference:.3f} at the fit"
            )
        advice = "recalibrate thresholds" if self.advice == "recalibrate" else self.advice
        if self.advice == "keep" and self.moved:
            figures.append("moved beyond chance, but too little to matter")
        return f"{advice}: {self.rows} rows, {', '.join(figures)}"


def check_drift(
    binarizer: Binarizer,
    vectors: ArrayLike,
    *,
    reference: ArrayLike | None = None,
    seed: int = 0,
) -> Drift:
    """Compare new vectors (N, d), N >= 100, with what the binarizer was fitted to.

    "keep": no difference beyond chance that matters. "recalibrate": thresholds stand wrong, and
    moving them is enough (see `recalibrate`). "refit": the vectors spread otherwise than they did,
    or codes find fewer neighbours even with thresholds moved.

    ``reference``: a sample of what it was fitted to, where the binarizer keeps no statistics of its
    own. At most 4,000 random rows are looked at. What chance explains is measured by resampling
    the new vectors: give a random sample of them, not the first rows of a sorted table.

    Raises VectorsError for unusable vectors, too few rows, or no reference.
    """
    before = _before(binarizer, reference)
    sample = _sample(binarizer, vectors, seed)
    after = Reference.of(binarizer, sample)
    found = _differences(before, after)
    chance = _chance(binarizer, sample, before, after, seed)
    limits = {name: float(np.hypot(chance[name], MATTERS[name])) for name in chance}
    moved = _moved(binarizer, after.mean - before.mean)
    size = max(set(before.recall) & set(after.recall), default=None)
    old = new = kept = limit = None
    lost = False
    if size is not None:
        old, kept = after.recall[size], before.recall[size]
        new = _recalls(moved, sample)[size]
        # a world's recall varies from one to the next by about 0.02 at 500 rows
        limit = RECALL + 0.04 * (500 / size) ** 0.5 / min(MOST_WORLDS, len(sample) // size) ** 0.5
        lost = max(old, new) < kept - limit
    wrong = [found[name] > limits[name] for name in ("shift", "spread", "balance")]
    below = old is not None and kept is not None and limit is not None and old < kept - limit
    advice: DriftAdvice = "keep"
    if any(wrong) or below:
        advice = "refit" if wrong[1] or lost else "recalibrate"
    return Drift(
        advice=advice,
        moved=found["shift"] > chance["shift"],
        rows=len(sample),
        **found,
        **{f"{name}_limit": value for name, value in limits.items()},
        recall=old,
        recall_recalibrated=new,
        recall_reference=kept,
        recall_limit=limit,
    )


def recalibrate(
    binarizer: Binarizer, vectors: ArrayLike, *, reference: ArrayLike | None = None, seed: int = 0
) -> Binarizer:
    """The binarizer with its thresholds moved as far as the vectors (N, d) have moved.

    The projection stays, the fingerprint is a new one: rows must be encoded again. Arguments and
    errors as of `check_drift`.
    """
    before = _before(binarizer, reference)
    sample = _sample(binarizer, vectors, seed)
    z = binarizer.project(sample).astype(np.float64)
    moved = _moved(binarizer, z.mean(axis=0) - before.mean)
    info = dict(binarizer.info) | {
        "recalibrated_from": binarizer.fingerprint,
        "recalibration_rows": len(sample),
        "reference": Reference.of(moved, sample).as_dict(),
    }
    return replace(moved, info=info)


def _moved(b: Binarizer, by: Floats) -> Binarizer:
    """Thresholds moved; those of queries by the share at which they followed the rows' before.

    Of additive codes the centres move as well, along the directions that the projection sees.
    """
    own = b.hamming_offset
    if own is not None:
        share = float(own @ b.offset) / max(float(b.offset @ b.offset), 1e-12)
        own = (own + share * by).astype(np.float32)
    additive = b.additive
    if additive is not None:
        whole = np.linalg.lstsq(b.projection.astype(np.float64), by, rcond=1e-3)[0]
        additive = replace(additive, centre=additive.centre + whole.astype(np.float32))
    offset = (b.offset + by).astype(np.float32)
    return replace(b, offset=offset, hamming_offset=own, additive=additive)


def _before(binarizer: Binarizer, reference: ArrayLike | None) -> Reference:
    if reference is None:
        return Reference.kept_by(binarizer)
    given = check_vectors(reference, binarizer.dimensions, "reference")
    check_values(given, binarizer.metric, "reference")
    return Reference.of(binarizer, given)


def _sample(binarizer: Binarizer, vectors: ArrayLike, seed: int) -> NDArray[np.number]:
    """Random rows in random order, each of which can be encoded."""
    array = check_vectors(vectors, binarizer.dimensions)
    if len(array) < MIN_ROWS:
        raise VectorsError(f"a check needs at least {MIN_ROWS} vectors, found {len(array)}")
    generator = np.random.default_rng(seed)
    size = min(SAMPLE, len(array))
    picked = np.sort(generator.choice(len(array), size, replace=False))
    found: NDArray[np.number] = np.asarray(array[picked])
    with renumbered(picked):
        check_values(found, binarizer.metric)
    return found[generator.permutation(size)]


def _ones(binarizer: Binarizer, vectors: NDArray[np.number]) -> Floats:
    return unpack(binarizer.encode(vectors)).astype(np.float64)


def _recalls(b: Binarizer, vectors: NDArray[np.number]) -> dict[int, float]:
    """Recall of each row's neighbours in worlds of each size that there are rows for."""
    found = {}
    for size in (n for n in WORLDS if n <= len(vectors)):
        starts = range(0, min(len(vectors) // size, MOST_WORLDS) * size, size)
        found[size] = float(np.mean([_world(b, vectors[i : i + size]) for i in starts]))
    return found


def _world(b: Binarizer, rows: NDArray[np.number]) -> float:
    """Mean recall of the exact neighbours of every row among the other rows."""
    own = np.arange(len(rows))
    exact = without_own(lambda n: exact_topk(rows, rows, n, b.metric), K, own)
    encoded = EncodedSearch.of(b, rows, rows, own)
    found = encoded.hamming(b.hamming_bits, K), encoded.asymmetric(b.bits, K)
    return float(np.mean([recall_at_k(each, exact, K) for each in found]))


def _rms(values: Floats) -> Floats:
    result: Floats = np.sqrt((values**2).mean(axis=-1))
    return result


def _floor(variance: Floats) -> Floats:
    """Dimensions without any variance are not compared in units of it."""
    result: Floats = np.maximum(variance, 1e-6 * variance.mean() + 1e-30)
    return result


def _differences(before: Reference, after: Reference) -> dict[str, float]:
    old, new = _floor(before.variance), _floor(after.variance)
    return {
        "shift": float(_rms((after.mean - before.mean) / np.sqrt(old))),
        "spread": float(_rms(np.log(new / old) / 2)),
        "balance": float(_rms(after.balance - before.balance)),
    }


def _chance(
    b: Binarizer, sample: NDArray[np.number], before: Reference, after: Reference, seed: int
) -> dict[str, float]:
    """What resamples of the new vectors hardly ever differ by, for both sample sizes."""
    n = len(sample)
    shares = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
    z = b.project(sample).astype(np.float64)
    mean = shares @ z
    variance = np.maximum(shares @ z**2 - mean**2, 0)
    ones = shares @ _ones(b, sample)
    scale, floor = np.sqrt(_floor(before.variance)), _floor(after.variance)
    spreads = np.log(np.maximum(variance, 1e-3 * floor) / floor) / 2
    differences = {
        "shift": _rms((mean - after.mean) / scale),
        "spread": _rms(spreads),
        "balance": _rms(ones - after.balance),
    }
    both = (1 + n / before.rows) ** 0.5
    return {
        name: float(both * (x.mean() + DEVIATIONS * x.std())) for name, x in differences.items()
    }
