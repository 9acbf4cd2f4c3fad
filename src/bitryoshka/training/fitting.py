"""`fit`: from vectors to the binarizer that held-out retrieval prefers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import Binarizer, Metric
from bitryoshka.drift import Reference
from bitryoshka.errors import MissingExtraError, VectorsError
from bitryoshka.progress import progress_bar
from bitryoshka.training.checks import (
    MIN_ROWS,
    check_distinct,
    check_pairs,
    check_request,
    check_size,
    check_unit,
)
from bitryoshka.training.comparison import Candidate, Comparison, HeldOut, compare
from bitryoshka.training.variants import (
    MIN_QUERIES,
    Material,
    Report,
    Rows,
    Watch,
    torch_installed,
    variants_for,
    with_labels,
)
from bitryoshka.vectors import check_vectors, normalized, renumbered

__all__ = ["FitResult", "fit"]

Floats = NDArray[np.float32]

SAMPLE_ROWS = 20_000
HELD_OUT_QUERIES = 500
WORLD_ROWS = 2000
# what candidates are judged on: rows to search, and those of them that they are fitted to
SEARCHED_ROWS = 10_000
FITTED_ROWS = 5000
FITTED_SHARE = 0.8


class FitResult(NamedTuple):
    """``binarizer``: the chosen one. ``comparison``: all candidates on held-out queries."""

    binarizer: Binarizer
    comparison: Comparison


def fit(
    vectors: ArrayLike,
    queries: ArrayLike | None = None,
    *,
    bits: int = 384,
    nested_bits: Sequence[int] | None = None,
    method: str = "auto",
    seed: int = 0,
    progress: bool = False,
    hamming_bits: int | None = None,
    metric: Metric = "cosine",
    pairs: tuple[ArrayLike, ArrayLike] | None = None,
    source_model: str | None = None,
    callback: Report | None = None,
) -> FitResult:
    """Fit a binarizer to vectors ``(N, d)`` and choose the best method on held-out retrieval.

    Args:
        vectors: the embeddings to be stored, any real dtype but int8, uint8 and bool, N >= 50, at
            least 50 of them distinct, d from 8 to 16,384. Memory-mapped arrays are sampled, not
            read whole.
        queries: unlabelled query embeddings ``(Q, d)``: half of them judge the candidates, the
            others are learned from. None, or fewer than 40: vectors are held out as queries.
        bits: length of the whole code, a multiple of 8; may exceed d (at most 8 bits for each
            dimension and 32,768 in all; additive codes have at most 2,048).
        nested_bits: up to 64 lengths at which the code will be cut, multiples of 8, for which
            its bits are chosen and the methods judged as well. None: for the whole code alone, and
            32, 64, 96, 128, 192, 256, 384, ... are offered as they come. The number of Hamming bits
            and ``bits`` are added.
        method: "sign", "centred", "rotation", "itq", "progressive", "additive", "learned" (additive
            codes whose query weights are trained; needs the extra ``train``), or "auto": all but
            the last, unless there are enough labelled pairs to learn from; the plainest that is not
            beaten wins.
        seed: of every random choice.
        progress: show a progress bar on standard error (needs tqdm).
        hamming_bits: number of Hamming bits of progressive and additive codes, a multiple of 8;
            None tries several, up to one for each dimension. Additive codes may have as many as
            ``bits``, more than d: lists by Hamming distance are then far shorter, and a float query
            over all codes finds a little less.
        metric: "cosine" or "inner_product".
        pairs: labelled queries ``(P, d)`` and, for each, the row of ``vectors`` that answers it,
            ``(P,)`` integers. They serve as queries; labels are learned from where there are 80
            or more, and kept only if held-out ones then find more answers and no fewer neighbours.
        source_model: name of the embedding model, kept in the file.
        callback: called after every step of the learned method with a dict of ``stage``
            ("weights"), ``step``, ``steps``, ``loss``, and at times ``held_out_recall``.

    Raises:
        VectorsError: too few rows or distinct ones, wrong shape, NaN, infinity, zero vectors under
            cosine. Where few are distinct, a warning says how many.
        BitsError: lengths that are not multiples of 8 or that the method cannot reach.
        OptionError: another method or metric, a seed, a name or a callback that is none.
        MissingExtraError: method "learned" without torch.
    """
    request = check_request(
        bits, hamming_bits, nested_bits, method, metric, seed, source_model, callback
    )
    array = check_vectors(vectors)
    if len(array) < MIN_ROWS:
        raise VectorsError(f"fit needs at least {MIN_ROWS} vectors, found {len(array)}")
    if array.shape[1] < 8:
        raise VectorsError(f"fit needs at least 8 dimensions, found {array.shape[1]}")
    check_size(bits, array.shape[1])
    if method == "learned" and not torch_installed():
        raise MissingExtraError("method='learned'", "train")

    generator = np.random.default_rng(seed)
    asked, answers = check_pairs(pairs, len(array), array.shape[1], metric)
    picked = _pick(len(array), SAMPLE_ROWS, answers, generator)
    with renumbered(picked):
        sample = normalized(array[picked], metric)
    check_unit(sample)
    check_distinct(sample, seed)
    unit = asked
    if queries is not None:
        plain = normalized(queries, metric, sample.shape[1], "queries")
        unit = np.concatenate([asked, plain])
    whole = Material(sample, unit, _places(answers, picked, len(unit)))
    material, held_out, unseen, labelled = _split(whole, generator)
    skipped: dict[str, str] = {}
    cuts = request.goal.nested_bits or (bits,)
    judged = request._replace(goal=request.goal._replace(nested_bits=cuts))
    variants = variants_for(judged, array.shape[1], method, skipped, len(asked) > 0)
    if len(asked):
        variants = with_labels(variants, labelled, skipped)
    candidates = []
    work = sum(v.work for v in variants) + len(variants)
    with progress_bar(work, "fit", progress) as advance:
        for variant in variants:
            built = variant.build(material, Watch(_reporter(advance, callback), held_out))
            candidates.append(Candidate(variant.method, variant.label, built, variant.guard))
            advance(variant.label)
        comparison = compare(candidates, held_out, skipped)
        advance("compared", len(variants))
    chosen = comparison.outcomes[comparison.chosen].candidate
    # rows that the decoder has not seen show what new ones will
    fresh = unseen[generator.permutation(len(unseen))[:WORLD_ROWS]]
    recall = Reference.of(chosen.binarizer, fresh).recall
    whole_ones = variants_for(request, array.shape[1], method, {}, len(asked) > 0)
    if len(asked):
        whole_ones = with_labels(whole_ones, labelled, {})
    [again] = [v for v in whole_ones if v.label == chosen.label]
    with progress_bar(again.work, f"fit {again.label} to all rows", progress) as advance:
        binarizer = again.build(whole, Watch(_reporter(advance, callback), None))
    info = {
        "method": chosen.label,
        "source_model": source_model,
        "rows": len(array),
        "sample_rows": len(sample),
        "sample_sha256": hashlib.sha256(sample.tobytes()).hexdigest(),
        "seed": int(seed),
        "library_version": version("bitryoshka"),
        "held_out": comparison.as_dict()["candidates"][comparison.chosen],
        "reference": replace(Reference.of(binarizer, sample), recall=recall).as_dict(),
    }
    return FitResult(replace(binarizer, info=info), comparison)


def _pick(rows: int, limit: int, wanted: Rows, generator: np.random.Generator) -> Rows:
    """Up to ``limit`` rows and all wanted ones, rising: kind to memory-mapped files."""
    if rows <= limit:
        return np.arange(rows)
    picked: Rows = np.union1d(generator.choice(rows, limit, replace=False), wanted)
    return picked


def _places(answers: Rows, picked: Rows, queries: int) -> Rows:
    """Where each query's answer is among the picked rows; -1 for queries without one."""
    found = np.full(queries, -1, np.int64)
    found[: len(answers)] = np.searchsorted(picked, answers)
    return found


def _reporter(advance: Callable[..., None], callback: Report | None) -> Report:
    recall = ""

    def report(event: dict[str, Any]) -> None:
        nonlocal recall
        if "held_out_recall" in event:
            recall = f", held-out recall {event['held_out_recall']:.3f}"
        advance(f"{event['stage']}, loss {event['loss']:.3f}{recall}")
        if callback is not None:
            callback(event)

    return report


class _Split(NamedTuple):
    """What candidates are fitted to, what judges them, and rows that they have not seen.

    ``labelled``: how many labels there are on the smaller side.
    """

    material: Material
    held_out: HeldOut
    unseen: Floats
    labelled: int


def _split(whole: Material, generator: np.random.Generator) -> _Split:
    """Hold queries out, and rows.

    Held out as queries are half of those given, or documents. They search rows of which the
    candidates have seen a part: a code fitted to few rows flatters itself on those.
    """
    rows, queries, answers = whole
    if len(queries) >= MIN_QUERIES:
        # a query that comes with several labels stays on one side
        _, same = np.unique(queries, axis=0, return_inverse=True)
        shuffled = np.argsort(generator.permutation(len(queries))[same.ravel()], kind="stable")
        judges = min(HELD_OUT_QUERIES, len(queries) // 2)
        judging, learning = shuffled[:judges], shuffled[judges:]
        learning = learning[~np.isin(same.ravel()[learning], same.ravel()[judging])]
        left, judging_queries = np.arange(len(rows)), queries[judging]
    else:
        # too few labels to learn from, and some of their rows may be gone
        answers = np.full(len(queries), -1)
        judging, learning = np.arange(0), np.arange(len(queries))
        order = generator.permutation(len(rows))
        judges = min(HELD_OUT_QUERIES, len(rows) // 5)
        left, judging_queries = np.sort(order[judges:]), rows[order[:judges]]
    wanted = answers[answers >= 0]
    searched = left[_pick(len(left), SEARCHED_ROWS, np.searchsorted(left, wanted), generator)]
    size = min(FITTED_ROWS, max(MIN_ROWS // 2, int(FITTED_SHARE * len(searched))))
    fitted = np.sort(generator.choice(len(searched), size, replace=False))
    seen = np.zeros(len(searched), np.bool_)
    seen[fitted] = True

    def places(of: Rows, among: Rows) -> Rows:
        """Where answers are among row numbers; -1 for those without one."""
        found = np.searchsorted(among, of)
        known = (of >= 0) & (among[np.minimum(found, len(among) - 1)] == of)
        return np.where(known, found, -1)

    material = Material(
        rows[searched[fitted]], queries[learning], places(answers[learning], searched[fitted])
    )
    judged = places(answers[judging], searched) if len(judging) else None
    held_out = HeldOut.of(judging_queries, rows[searched], answers=judged)
    labelled = min(int((found >= 0).sum()) for found in (answers[learning], held_out.answers))
    return _Split(material, held_out, rows[searched[~seen]], labelled)
