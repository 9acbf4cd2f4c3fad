"""`fit`: from vectors to the binarizer that held-out retrieval prefers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import MAX_PLANES, Binarizer, Metric
from bitryoshka.bits import check_bits
from bitryoshka.errors import BitsError, MissingExtraError, VectorsError
from bitryoshka.progress import progress_bar
from bitryoshka.training.closed_form import (
    Goal,
    itq_codes,
    nested_start,
    progressive_codes,
    rotation_codes,
    sign_codes,
)
from bitryoshka.training.comparison import PLAINNESS, Candidate, Comparison, HeldOut, compare
from bitryoshka.vectors import check_vectors, normalized

__all__ = ["FitResult", "fit"]

Floats = NDArray[np.float32]
Report = Callable[[dict[str, Any]], None]

MIN_ROWS = 50
SAMPLE_ROWS = 20_000
HELD_OUT_QUERIES = 500
MIN_QUERIES = 40
SHORT_BITS = 64
# a learned code takes long to fit: not again for a few more rows than it has seen
REFIT_BELOW = 0.85
METHODS = ("auto", *PLAINNESS)


class FitResult(NamedTuple):
    """``binarizer``: the chosen one. ``comparison``: all candidates on held-out queries."""

    binarizer: Binarizer
    comparison: Comparison


class Request(NamedTuple):
    """What the candidates are fitted for; ``hamming_bits`` None tries several."""

    goal: Goal
    hamming_bits: int | None


class Variant(NamedTuple):
    """A way to fit: its method, its name in tables, how, and its part of the progress bar.

    ``build`` takes rows, unlabelled queries, and what to call after each step.
    """

    method: str
    label: str
    build: Callable[[Floats, Floats, Report], Binarizer]
    work: int


class Split(NamedTuple):
    """Rows and unlabelled queries to fit on, and the held-out queries that judge the result."""

    rows: Floats
    queries: Floats
    held_out: HeldOut


def fit(
    vectors: ArrayLike,
    queries: ArrayLike | None = None,
    bits: int = 384,
    nested_bits: Sequence[int] | None = None,
    method: str = "auto",
    seed: int = 0,
    progress: bool = False,
    *,
    hamming_bits: int | None = None,
    metric: Metric = "cosine",
    source_model: str | None = None,
    callback: Report | None = None,
) -> FitResult:
    """Fit a binarizer to vectors ``(N, d)`` and choose the best method on held-out retrieval.

    Args:
        vectors: the embeddings to be stored, any real dtype, N >= 50, d >= 8. Memory-mapped
            arrays are sampled, not read whole.
        queries: unlabelled query embeddings ``(Q, d)``: half of them judge the candidates, the
            others are learned from. None, or fewer than 40: vectors are held out as queries.
        bits: length of the whole code, a multiple of 8; may exceed d (at most 8 bits for each
            dimension).
        nested_bits: lengths at which the code may be cut, multiples of 8 up to ``bits``. None:
            32, 64, 96, 128, 192, 256, 384, ... The number of sign bits and ``bits`` are added.
        method: "sign", "centred", "rotation", "itq", "progressive", "learned" (needs the extra
            ``train``), or "auto": all that can be tried, the plainest that is not beaten wins.
        seed: of every random choice.
        progress: show a progress bar on standard error (needs tqdm).
        hamming_bits: number of sign bits of progressive and learned codes, a multiple of 8; None
            tries several.
        metric: "cosine" or "inner_product".
        source_model: name of the embedding model, kept in the file.
        callback: called after every step of the learned method with a dict of ``stage``
            ("signs" or "weights"), ``step``, ``steps`` and ``loss``.

    Raises:
        VectorsError: too few rows, wrong shape, NaN, infinity, zero vectors under cosine.
        BitsError: lengths that are not multiples of 8 or that the method cannot reach.
        MissingExtraError: method "learned" without torch.
    """
    request = _check_request(bits, hamming_bits, nested_bits, method, metric, seed)
    array = check_vectors(vectors)
    if len(array) < MIN_ROWS:
        raise VectorsError(f"fit needs at least {MIN_ROWS} vectors, found {len(array)}")
    if array.shape[1] < 8:
        raise VectorsError(f"fit needs at least 8 dimensions, found {array.shape[1]}")
    if method == "learned" and not _torch_installed():
        raise MissingExtraError("method='learned'", "train")

    generator = np.random.default_rng(seed)
    sample = normalized(array[_pick(len(array), SAMPLE_ROWS, generator)], metric)
    unit = (
        sample[:0] if queries is None else normalized(queries, metric, sample.shape[1], "queries")
    )
    split = _split(sample, unit, generator)
    skipped: dict[str, str] = {}
    variants = _variants(request, array.shape[1], method, skipped)
    candidates = []
    work = sum(v.work for v in variants) + len(variants)
    with progress_bar(work, "fit", progress) as advance:
        for variant in variants:
            built = variant.build(split.rows, split.queries, _reporter(advance, callback))
            candidates.append(Candidate(variant.method, variant.label, built))
            advance(variant.label)
        comparison = compare(candidates, split.held_out, skipped)
        advance("compared", len(variants))
    chosen = comparison.outcomes[comparison.chosen].candidate
    binarizer = chosen.binarizer
    if chosen.method != "learned" or len(split.rows) < REFIT_BELOW * len(sample):
        [again] = [v for v in variants if v.label == chosen.label]
        with progress_bar(again.work, f"fit {again.label} to all rows", progress) as advance:
            binarizer = again.build(sample, unit, _reporter(advance, callback))
    info = {
        "method": chosen.label,
        "source_model": source_model,
        "rows": len(array),
        "sample_rows": len(sample),
        "sample_sha256": hashlib.sha256(sample.tobytes()).hexdigest(),
        "seed": int(seed),
        "library_version": version("bitryoshka"),
        "held_out": comparison.as_dict()["candidates"][comparison.chosen],
    }
    return FitResult(replace(binarizer, info=info), comparison)


def _check_request(
    bits: int,
    hamming_bits: int | None,
    nested_bits: Sequence[int] | None,
    method: str,
    metric: Metric,
    seed: int,
) -> Request:
    check_bits(bits)
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, found {method!r}")
    if metric not in get_args(Metric):
        raise ValueError(f"metric must be one of {get_args(Metric)}, found {metric!r}")
    if hamming_bits is not None and check_bits(hamming_bits, "hamming_bits") > bits:
        raise BitsError(f"hamming_bits must be at most bits = {bits}, found {hamming_bits}")
    nested = None
    if nested_bits is not None:
        nested = tuple(sorted({check_bits(b, "each of nested_bits") for b in nested_bits}))
        if nested and nested[-1] > bits:
            raise BitsError(f"nested_bits must be at most bits = {bits}, found {nested[-1]}")
    return Request(Goal(bits, nested, metric, seed), hamming_bits)


def _pick(rows: int, limit: int, generator: np.random.Generator) -> slice | NDArray[np.int64]:
    """Up to ``limit`` rows in rising order, which is kind to memory-mapped files."""
    if rows <= limit:
        return slice(None)
    picked: NDArray[np.int64] = np.sort(generator.choice(rows, limit, replace=False))
    return picked


def _reporter(advance: Callable[..., None], callback: Report | None) -> Report:
    def report(event: dict[str, Any]) -> None:
        advance(f"{event['stage']}, loss {event['loss']:.3f}")
        if callback is not None:
            callback(event)

    return report


def _split(sample: Floats, queries: Floats, generator: np.random.Generator) -> Split:
    """Hold out queries: half of those given, or documents that then leave the searched rows."""
    queries = queries[generator.permutation(len(queries))]
    if len(queries) >= MIN_QUERIES:
        judges = min(HELD_OUT_QUERIES, len(queries) // 2)
        return Split(sample, queries[judges:], HeldOut.of(queries[:judges], sample))
    order = generator.permutation(len(sample))
    judges = min(HELD_OUT_QUERIES, len(sample) // 5)
    rows = sample[np.sort(order[judges:])]
    return Split(rows, queries, HeldOut.of(sample[order[:judges]], rows))


def _variants(
    request: Request, dimensions: int, method: str, skipped: dict[str, str]
) -> list[Variant]:
    """Every way to fit that the method asks for and the length allows."""
    goal, most = request.goal, dimensions // 8 * 8
    sizes = [request.hamming_bits] if request.hamming_bits else hamming_sizes(goal.bits, dimensions)
    sizes = [m for m in sizes if m <= most and goal.bits <= m * MAX_PLANES]
    found = [
        _closed("sign", "sign", sign_codes, goal, "zero"),
        _closed("centred", "centred (mean)", sign_codes, goal, "mean"),
        _closed("centred", "centred (median)", sign_codes, goal, "median"),
        _closed("rotation", "rotation", rotation_codes, goal),
        _closed("itq", "itq", itq_codes, goal),
        *(
            _closed("progressive", f"progressive ({m} Hamming bits)", progressive_codes, goal, m)
            for m in sizes
        ),
    ]
    if method == "auto" and goal.bits > dimensions:
        for kind in ("sign", "centred", "itq"):
            skipped[kind] = f"at most {most} bits from {dimensions} dimensions"
    if method not in ("auto", "learned"):
        pass  # torch stays unloaded
    elif not _torch_installed():
        skipped["learned"] = str(MissingExtraError("it", "train"))
    elif not sizes:
        skipped["learned"] = "no progressive code of this length to start from"
    else:
        wanted = min(goal.bits / 2, dimensions * 2 / 3)
        found += _learned(goal, min(sizes, key=lambda m: abs(m - wanted)))
    usable = [v for v in found if method in ("auto", v.method) and v.method not in skipped]
    if not usable:
        raise BitsError(
            f"no code of {goal.bits} bits and hamming_bits={request.hamming_bits} can be made "
            f"from {dimensions} dimensions: expected at most {most} Hamming bits, and at most "
            f"{MAX_PLANES} bits for each"
        )
    return usable


def _closed(method: str, label: str, make: Callable[..., Binarizer], *settings: Any) -> Variant:
    return Variant(method, label, lambda rows, queries, report: make(rows, *settings), 1)


def _learned(goal: Goal, hamming_bits: int) -> list[Variant]:
    """Learned query weights over closed-form codes, and learned signs with learned weights."""
    from bitryoshka.training.learned import (
        NEIGHBOURS,
        Recipe,
        learn_signs,
        learn_weights,
    )
    from bitryoshka.training.neighbourhood import Neighbourhood

    recipe = Recipe()

    def weights(rows: Floats, queries: Floats, report: Report) -> Binarizer:
        around = Neighbourhood.of(rows, queries, goal.seed, NEIGHBOURS)
        start = progressive_codes(rows, goal, hamming_bits)
        return learn_weights(start, around, goal.seed, recipe, report)

    def signs(rows: Floats, queries: Floats, report: Report) -> Binarizer:
        around = Neighbourhood.of(rows, queries, goal.seed, NEIGHBOURS)
        start = nested_start(rows, goal, hamming_bits, SHORT_BITS)
        learned = learn_signs(start, around, goal.seed, recipe, report)
        return learn_weights(learned, around, goal.seed, recipe, report)

    size = f"{hamming_bits} Hamming bits"
    both = recipe.sign_steps + recipe.weight_steps
    return [
        Variant("learned", f"learned weights ({size})", weights, recipe.weight_steps),
        Variant("learned", f"learned ({size})", signs, both),
    ]


def hamming_sizes(bits: int, dimensions: int) -> list[int]:
    """Numbers of sign bits worth trying for a progressive code of ``bits`` bits."""
    most = min(dimensions, bits) // 8 * 8
    sizes = {round(bits * share / 8) * 8 for share in (1 / 3, 5 / 12, 1 / 2, 2 / 3)}
    return sorted({min(most, max(8, -(-bits // MAX_PLANES // 8) * 8, m)) for m in sizes})


def _torch_installed() -> bool:
    return find_spec("torch") is not None
