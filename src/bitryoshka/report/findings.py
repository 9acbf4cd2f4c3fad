"""What the report says, measured: every method on queries that no fit has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import Binarizer, Metric
from bitryoshka.bits import unpack
from bitryoshka.errors import PlanError, VectorsError
from bitryoshka.evaluation import (
    EncodedSearch,
    Evaluation,
    Interval,
    bootstrap_interval,
    evaluate,
    exact_topk,
    recall_at_k,
    recalls_by_parameters,
    vectors_read,
)
from bitryoshka.planning import Plan, plan_among
from bitryoshka.progress import progress_bar, tell
from bitryoshka.report.advice import (
    Memory,
    Option,
    SwitchAdvice,
    advise,
    advise_on_size,
    cheapest,
    memory,
)
from bitryoshka.search_parameters import CANDIDATES, TARGET_RECALL, SearchParameters, check_share
from bitryoshka.training import FitResult, fit
from bitryoshka.vectors import check_values, check_vectors, normalized

__all__ = ["Curve", "Findings", "Method", "Worst", "measure_codes"]

Rows = NDArray[np.int64]
Recalls = Mapping[SearchParameters, NDArray[np.float64]]

HELD_OUT = 500
WORST = 5
SHOWN_NEIGHBOURS = 3


class Curve(NamedTuple):
    """A line of a chart: values of x, and an interval at each."""

    name: str
    x: tuple[int, ...]
    y: tuple[Interval, ...]


class Method(NamedTuple):
    """One method: its recall by bits, by candidates, and its nDCG retention by bits."""

    name: str
    label: str
    hamming: Curve
    asymmetric: Curve
    candidates: Curve
    ndcg: Curve | None


class Worst(NamedTuple):
    """A query with low recall: its number or text, what it should find first, what it found."""

    query: str
    recall: float
    expected: tuple[str, ...]
    found: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that the report shows.

    ``rows``: those to plan for, ``sampled``: those measured on. ``chosen``: what `fit` takes,
    ``advised``: the method of the cheapest plan, or the chosen one where no plan is made. The
    ``plan`` is the advised one's, and so are ``bits``, ``balance``, ``entropy`` and ``worst``.
    """

    source: str
    rows: int
    sampled: int
    dimensions: int
    queries: int
    queries_are_rows: bool
    k: int
    target_recall: float
    chosen: str
    advised: str
    bits: int
    hamming_bits: int
    float_ndcg: float | None
    methods: tuple[Method, ...]
    memory: tuple[Memory, ...]
    balance: tuple[float, ...]
    entropy: float
    spectrum: tuple[float, ...]
    worst: tuple[Worst, ...]
    options: tuple[Option, ...]
    plan: Plan | None
    advice: SwitchAdvice
    skipped: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def measure_codes(
    vectors: ArrayLike,
    queries: ArrayLike | None = None,
    judgements: Sequence[Mapping[int, float]] | None = None,
    *,
    bits: int = 384,
    k: int = 10,
    target_recall: float = TARGET_RECALL,
    rows: int | None = None,
    metric: Metric = "cosine",
    method: str = "auto",
    source: str = "vectors",
    texts: Sequence[str] | None = None,
    query_texts: Sequence[str] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> tuple[Findings, FitResult]:
    """Fit all methods to vectors (N, d), and measure them on queries that no fit has seen.

    ``queries`` (Q, d) judge and are never learned from; None holds up to 500 rows out, or a fifth.
    ``judgements``: as for `bitryoshka.evaluate`. ``rows``: how many there will be, N if
    None. ``texts``, ``query_texts``: one for each row and query, to show the worst queries by.

    The FitResult is the advised method's. Raises as `bitryoshka.fit` does, VectorsError where texts
    and rows differ in number, and SearchError for a target that is no share.
    """
    check_share(target_recall, "target_recall")
    array = check_vectors(vectors)
    check_values(array, metric)
    _check_texts(texts, len(array), "texts")
    names = [f"row {i}" for i in range(len(array))] if texts is None else list(texts)
    if queries is None:
        held = min(HELD_OUT, len(array) // 5)
        order = np.random.default_rng(seed).permutation(len(array))
        asked, array = array[order[:held]], array[order[held:]]
        query_names = [names[i] for i in order[:held]]
        names = [names[i] for i in order[held:]]
    else:
        asked = check_vectors(queries, array.shape[1], "queries")
        check_values(asked, metric, "queries")
        _check_texts(query_texts, len(asked), "query_texts")
        query_names = list(query_texts or [f"query {i}" for i in range(len(asked))])
    total = len(array) if rows is None else rows
    cheap = advise_on_size(array.shape[1], total)
    if cheap is not None:
        tell(f"{cheap.headline}. {cheap.reasons[0]} The report goes on.", progress)
    result = fit(array, bits=bits, method=method, seed=seed, metric=metric, progress=progress)
    chosen = str(result.binarizer.info["method"])
    unit = normalized(asked, metric, array.shape[1], "queries")
    exact = exact_topk(unit, array, k, metric).rows
    evaluations: dict[str, tuple[str, Binarizer, Evaluation]] = {}
    measured: dict[str, Recalls] = {}
    representatives = _representatives(result)
    with progress_bar(len(representatives), "measure", progress, "methods") as advance:
        for label, name, binarizer in representatives:
            found = evaluate(binarizer, array, unit, judgements, k=k)
            evaluations[label] = name, binarizer, found
            measured[label] = recalls_by_parameters(binarizer, array, unit, k)
            advance(label)
    plans = partial(_options, rows=len(array), k=k, target=target_recall, seed=seed)
    options = [
        option
        for label, (name, binarizer, _) in evaluations.items()
        for option in plans(name, label, binarizer, measured[label])
    ]
    # what is chosen has its failure told, if all fail
    options.sort(key=lambda option: option.label != chosen)
    best = cheapest(options)
    if best is not None:
        if best.label != chosen:
            # to all rows, and with all that a file of it needs
            again = fit(
                array, bits=bits, method=best.method, seed=seed, metric=metric, progress=progress
            )
            result = FitResult(again.binarizer, result.comparison)
        label = str(result.binarizer.info["method"])
        recalls = recalls_by_parameters(result.binarizer, array, unit, k)
        fitted = plans(best.method, label, result.binarizer, recalls)
        if fitted[0].plan is not None:
            options = [*fitted, *(o for o in options if o.label != best.label)]
            best = fitted[0]
    b = result.binarizer
    made = None if best is None else best.plan
    balance = unpack(b.encode(array)).mean(axis=0)
    float_ndcg = next(iter(evaluations.values()))[2].float_ndcg
    findings = Findings(
        source=source,
        rows=total,
        sampled=len(array),
        dimensions=b.dimensions,
        queries=len(unit),
        queries_are_rows=queries is None,
        k=k,
        target_recall=target_recall,
        chosen=chosen,
        advised=str(b.info["method"]),
        bits=b.bits,
        hamming_bits=b.hamming_bits,
        float_ndcg=float_ndcg,
        methods=tuple(
            _method(name, label, binarizer, found, measured[label])
            for label, (name, binarizer, found) in evaluations.items()
        ),
        memory=tuple(memory(b.dimensions, b.nested_bits, total)),
        balance=tuple(np.round(balance, 4).tolist()),
        entropy=float(_entropy(balance).mean()),
        spectrum=_spectrum(array, metric),
        worst=_worst(b, array, unit, exact, made, names, query_names),
        options=tuple(options),
        plan=made,
        advice=advise(best, options, b.dimensions, total),
        skipped=result.comparison.skipped,
    )
    return findings, result


def _check_texts(texts: Sequence[str] | None, rows: int, name: str) -> None:
    if texts is not None and len(texts) != rows:
        raise VectorsError(f"{name} must be as many as the {rows} vectors, found {len(texts)}")


def _representatives(result: FitResult) -> list[tuple[str, str, Binarizer]]:
    """Label, method and binarizer: the chosen one, and the best of every other method."""
    comparison = result.comparison
    best: dict[str, tuple[float, int]] = {}
    for i, outcome in enumerate(comparison.outcomes):
        utility = float(outcome.utility(comparison.lengths).mean())
        utility = 2.0 if i == comparison.chosen else utility
        name = outcome.candidate.method
        best[name] = max(best.get(name, (-1.0, i)), (utility, i))
    candidates = [comparison.outcomes[i].candidate for _, i in best.values()]
    return [(c.label, c.method, c.binarizer) for c in candidates]


def _options(
    name: str,
    label: str,
    b: Binarizer,
    recalls: Recalls,
    rows: int,
    k: int,
    target: float,
    seed: int,
) -> list[Option]:
    """The cheapest plan, and where that reads stored vectors, the cheapest by codes alone."""
    by_codes = {choice: each for choice, each in recalls.items() if vectors_read(choice) == 0}
    found: list[Option] = []
    for offered in recalls, by_codes:
        try:
            made = plan_among(offered, b, rows, k, target, seed=seed)
        except (PlanError, VectorsError) as error:
            return found or [Option(name, label, b.bits, None, str(error))]
        found.append(Option(name, label, b.bits, made, ""))
        if not found[0].reads_vectors:
            break
    return found


def _method(name: str, label: str, b: Binarizer, found: Evaluation, recalls: Recalls) -> Method:
    def curve(search: str) -> Curve:
        picked = [row for row in found.rows if row.search == search]
        return Curve(label, tuple(r.bits for r in picked), tuple(r.codes.recall for r in picked))

    listed = {
        choice.candidates: recall
        for choice, recall in recalls.items()
        if choice.rescore == "exact" and choice.prefix_bits == b.hamming_bits
    }
    judged = [
        (row.bits, row.codes.ndcg_retention)
        for row in found.rows
        if row.search == "asymmetric" and row.codes.ndcg_retention is not None
    ]
    return Method(
        name=name,
        label=label,
        hamming=curve("hamming"),
        asymmetric=curve("asymmetric"),
        candidates=Curve(label, tuple(listed), tuple(map(bootstrap_interval, listed.values()))),
        ndcg=Curve(label, *map(tuple, zip(*judged, strict=True))) if judged else None,
    )


def _entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bits of information in a bit that is 1 with each share."""
    p = np.clip(shares, 1e-12, 1 - 1e-12)
    result: NDArray[np.float64] = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return result


def _spectrum(vectors: NDArray[np.number], metric: str) -> tuple[float, ...]:
    """Share of the variance in the first 1, 2, ... principal axes."""
    x = normalized(vectors, metric).astype(np.float64)
    values = np.linalg.eigvalsh(np.cov(x, rowvar=False))[::-1].clip(0)
    return tuple(np.round(np.cumsum(values) / values.sum(), 4).tolist())


def _worst(
    b: Binarizer,
    vectors: NDArray[np.number],
    unit: NDArray[np.float32],
    exact: Rows,
    made: Plan | None,
    names: list[str],
    query_names: list[str],
) -> tuple[Worst, ...]:
    """Queries of the lowest recall, by the codes alone."""
    k = exact.shape[1]
    width = b.hamming_bits if made is None else made.prefix_bits
    candidates = CANDIDATES if made is None else max(made.candidates, k)
    found = EncodedSearch.of(b, vectors, unit).funnel(k, candidates, prefix_bits=width)
    recall = recall_at_k(found, exact, k)

    def shown(rows: NDArray[np.int64]) -> tuple[str, ...]:
        return tuple(names[i] for i in rows[:SHOWN_NEIGHBOURS])

    return tuple(
        Worst(query_names[i], float(recall[i]), shown(exact[i]), shown(found[i]))
        for i in np.argsort(recall, kind="stable")[:WORST]
    )


def _plain(value: Any) -> Any:
    """JSON's own types; intervals as objects, floats rounded."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value
