"""`fit`: from vectors to the binarizer that held-out retrieval prefers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import MAX_PLANES, Binarizer, Metric
from bitryoshka.bits import check_bits
from bitryoshka.errors import BitsError, MissingExtraError, VectorsError
from bitryoshka.progress import progress_bar
from bitryoshka.training import closed_form
from bitryoshka.training.comparison import PLAINNESS, Candidate, Comparison, HeldOut, compare
from bitryoshka.vectors import check_vectors, normalized

__all__ = ["FitResult", "fit"]

Floats = NDArray[np.float32]

MIN_ROWS = 50
SAMPLE_ROWS = 20_000
HELD_OUT_QUERIES = 500
MIN_QUERIES = 40
METHODS = ("auto", *PLAINNESS)


class FitResult(NamedTuple):
    """``binarizer``: the chosen one. ``comparison``: all candidates on held-out queries."""

    binarizer: Binarizer
    comparison: Comparison


class Request(NamedTuple):
    """What the candidates are fitted for; ``hamming_bits`` None tries several."""

    goal: closed_form.Goal
    hamming_bits: int | None


class Variant(NamedTuple):
    """A closed form that can be fitted: its method, its name in tables, and how."""

    method: str
    label: str
    build: Callable[[Floats], Binarizer]


class Split(NamedTuple):
    """Rows to fit on, further unlabelled queries to learn from, and what judges the result."""

    train: Floats
    anchors: Floats
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
) -> FitResult:
    """Fit a binarizer to vectors ``(N, d)`` and choose the best method on held-out retrieval.

    Args:
        vectors: the embeddings to be stored, any real dtype, N >= 50, d >= 8. Memory-mapped
            arrays are sampled, not read whole.
        queries: unlabelled query embeddings ``(Q, d)``; half of them judge the candidates, the
            others help the learned method. None: documents are held out as queries.
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
    split = _split(sample, queries, metric, generator)
    skipped: dict[str, str] = {}
    variants = _closed_forms(request, array.shape[1], method, skipped)
    candidates = []
    with progress_bar(len(variants) + 2, "fit", progress) as advance:
        for variant in variants:
            built = variant.build(split.train)
            candidates.append(Candidate(variant.method, variant.label, built))
            advance(variant.label)
        if method in ("auto", "learned"):
            candidates += _learn(request, split, candidates, skipped, progress)
            advance("learned")
        if method == "learned":
            candidates = [c for c in candidates if c.method == "learned"]
        comparison = compare(candidates, split.held_out, skipped)
        advance("compared")
    chosen = comparison.outcomes[comparison.chosen].candidate
    rebuild = {v.label: v.build for v in variants}
    # a closed form gains from the held-out rows; the learned one has stopped by them
    binarizer = rebuild[chosen.label](sample) if chosen.label in rebuild else chosen.binarizer
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
    return Request(closed_form.Goal(bits, nested, metric, seed), hamming_bits)


def _pick(rows: int, limit: int, generator: np.random.Generator) -> slice | NDArray[np.int64]:
    """Up to ``limit`` rows in rising order, which is kind to memory-mapped files."""
    if rows <= limit:
        return slice(None)
    picked: NDArray[np.int64] = np.sort(generator.choice(rows, limit, replace=False))
    return picked


def _split(
    sample: Floats, queries: ArrayLike | None, metric: Metric, generator: np.random.Generator
) -> Split:
    """Hold out queries: half of those given, or documents that then leave the searched rows."""
    if queries is not None:
        unit = normalized(queries, metric, sample.shape[1], "queries")
        unit = unit[generator.permutation(len(unit))]
        if len(unit) >= MIN_QUERIES:
            judges = min(HELD_OUT_QUERIES, len(unit) // 2)
            return Split(sample, unit[judges:], HeldOut.of(unit[:judges], sample))
    order = generator.permutation(len(sample))
    judges = min(HELD_OUT_QUERIES, len(sample) // 5)
    train = sample[np.sort(order[judges:])]
    anchors = unit if queries is not None else sample[:0]
    return Split(train, anchors, HeldOut.of(sample[order[:judges]], train))


def _closed_forms(
    request: Request, dimensions: int, method: str, skipped: dict[str, str]
) -> list[Variant]:
    """Every closed form that the method asks for and the length allows."""
    goal, most = request.goal, dimensions // 8 * 8
    found = [
        Variant("sign", "sign", partial(closed_form.sign_codes, goal=goal, centre="zero")),
        Variant(
            "centred", "centred (mean)", partial(closed_form.sign_codes, goal=goal, centre="mean")
        ),
        Variant(
            "centred",
            "centred (median)",
            partial(closed_form.sign_codes, goal=goal, centre="median"),
        ),
        Variant("rotation", "rotation", partial(closed_form.rotation_codes, goal=goal)),
        Variant("itq", "itq", partial(closed_form.itq_codes, goal=goal)),
    ]
    sizes = [request.hamming_bits] if request.hamming_bits else hamming_sizes(goal.bits, dimensions)
    for m in sizes:
        if m <= most and goal.bits <= m * MAX_PLANES:
            build = partial(closed_form.progressive_codes, goal=goal, hamming_bits=m)
            found.append(Variant("progressive", f"progressive ({m} Hamming bits)", build))
    if method == "auto" and goal.bits > dimensions:
        for kind in ("sign", "centred", "itq"):
            skipped[kind] = f"at most {most} bits from {dimensions} dimensions"
    wanted = "progressive" if method == "learned" else method
    usable = [v for v in found if wanted in ("auto", v.method) and v.method not in skipped]
    if not usable:
        raise BitsError(
            f"no code of {goal.bits} bits and hamming_bits={request.hamming_bits} can be made "
            f"from {dimensions} dimensions: expected at most {most} Hamming bits, and at most "
            f"{MAX_PLANES} bits for each"
        )
    return usable


def hamming_sizes(bits: int, dimensions: int) -> list[int]:
    """Numbers of sign bits worth trying for a progressive code of ``bits`` bits."""
    most = min(dimensions, bits) // 8 * 8
    sizes = {round(bits * share / 8) * 8 for share in (1 / 3, 5 / 12, 1 / 2, 2 / 3)}
    return sorted({min(most, max(8, -(-bits // MAX_PLANES // 8) * 8, m)) for m in sizes})


def _torch_installed() -> bool:
    return find_spec("torch") is not None


def _learn(
    request: Request,
    split: Split,
    candidates: list[Candidate],
    skipped: dict[str, str],
    progress: bool,
) -> list[Candidate]:
    """The learned candidate, started from the progressive code with half its bits for signs."""
    if not _torch_installed():
        skipped["learned"] = str(MissingExtraError("it", "train"))
        return []
    starts = [c for c in candidates if c.method == "progressive"]
    if not starts:
        skipped["learned"] = "no progressive code of this length to start from"
        return []
    from bitryoshka.training.learned import learn

    half = request.goal.bits / 2
    start = min((c.binarizer for c in starts), key=lambda b: abs(b.hamming_bits - half))
    learned = learn(start, split.train, split.anchors, split.held_out, request.goal.seed, progress)
    return [Candidate("learned", f"learned ({learned.hamming_bits} Hamming bits)", learned)]
