"""Held-out comparison of candidate binarizers, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.evaluation import (
    EncodedSearch,
    Interval,
    Ranking,
    SearchKind,
    bootstrap_interval,
    exact_topk,
    order_at_k,
    recall_at_k,
)

__all__ = ["Candidate", "Comparison", "HeldOut", "Outcome"]

# of mean utility, which is between 0 and 1
CLEAR = 0.01
# Plainest first: a method must be beaten to lose to a later one.
PLAINNESS = ("sign", "centred", "rotation", "itq", "progressive", "additive", "learned")
CHECKED = 200


class Candidate(NamedTuple):
    """A fitted binarizer, the ``method`` it came from, and a ``label`` for its variant.

    ``guard``: label of the same variant without labelled pairs, if this one learned from some. It
    stands only if it finds more labelled answers than that one, and no fewer float neighbours.
    """

    method: str
    label: str
    binarizer: Binarizer
    guard: str | None = None


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Queries (Q, d) kept out of the fit, the rows (N, d) they search, and the exact ranking.

    ``answers`` (Q,): the row that is labelled as each query's answer, -1 for none.
    """

    queries: NDArray[np.float32]
    vectors: NDArray[np.float32]
    exact: Ranking
    answers: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        queries: NDArray[np.float32],
        vectors: NDArray[np.float32],
        k: int = 10,
        answers: NDArray[np.int64] | None = None,
    ) -> HeldOut:
        """Search exactly once; both arrays are normalised already where the metric asks for it."""
        found = exact_topk(queries, vectors, min(k, len(vectors)), metric="inner_product")
        none = np.full(len(queries), -1, np.int64)
        return cls(queries, vectors, found, none if answers is None else answers)

    @property
    def k(self) -> int:
        """How many neighbours are compared."""
        return int(self.exact.rows.shape[1])


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one candidate reached on the held-out queries.

    ``hamming``, ``asymmetric``: by code length, ``(recall, order)`` of each query, each (Q,).
    ``funnel``: the same for the whole code searched as a database does: Hamming for a
    shortlist of 100 on all Hamming bits, then asymmetric. ``answered``: 1 / rank of each labelled
    answer in that funnel, 0 beyond k, one for each query that has a label.
    """

    candidate: Candidate
    hamming: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]
    asymmetric: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]
    funnel: tuple[NDArray[np.float64], NDArray[np.float64]]
    answered: NDArray[np.float64]

    def utility(self, lengths: Sequence[int]) -> NDArray[np.float64]:
        """One figure per query, (Q,), in [0, 1]: what the choice is made by.

        The mean of recall and order, a third of it from the funnel on the whole code, a third
        from the asymmetric cuts, a third from the Hamming prefixes at ``lengths``. Beyond its
        Hamming bits a candidate's Hamming part is what it is at all of them.
        """

        def level(pair: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.float64]:
            return (pair[0] + pair[1]) / 2

        m = self.candidate.binarizer.hamming_bits
        cuts = np.mean([level(self.asymmetric[b]) for b in lengths], axis=0)
        prefixes = np.mean([level(self.hamming[min(b, m)]) for b in lengths], axis=0)
        result: NDArray[np.float64] = (level(self.funnel) + cuts + prefixes) / 3
        return result


def measure_candidate(candidate: Candidate, held_out: HeldOut) -> Outcome:
    """Search the held-out queries with a candidate's codes at every length."""
    k, exact = held_out.k, held_out.exact.rows
    encoded = EncodedSearch.of(candidate.binarizer, held_out.vectors, held_out.queries)
    found = encoded.rankings(k)
    judged = {key: (recall_at_k(f, exact, k), order_at_k(f, exact, k)) for key, f in found.items()}
    whole: tuple[SearchKind, int] = "funnel", candidate.binarizer.bits
    labelled = held_out.answers >= 0
    hits = found[whole][labelled] == held_out.answers[labelled, None]
    return Outcome(
        candidate=candidate,
        hamming={bits: pair for (kind, bits), pair in judged.items() if kind == "hamming"},
        asymmetric={bits: pair for (kind, bits), pair in judged.items() if kind == "asymmetric"},
        funnel=judged[whole],
        answered=(hits / np.arange(1, hits.shape[1] + 1)).sum(axis=1),
    )


def quick_recall(binarizer: Binarizer, held_out: HeldOut) -> float:
    """Mean recall over all prefixes and cuts, for checks while training."""
    exact, k = held_out.exact.rows[:CHECKED], held_out.k
    encoded = EncodedSearch.of(binarizer, held_out.vectors, held_out.queries[:CHECKED])
    recalls: dict[str, list[float]] = {"hamming": [], "asymmetric": []}
    for (kind, _), found in encoded.rankings(k, candidates=None).items():
        recalls[kind].append(float(recall_at_k(found, exact, k).mean()))
    return float(np.mean([np.mean(values) for values in recalls.values()]))


@dataclass(frozen=True, eq=False)
class Comparison:
    """All candidates of a fit on its held-out queries, and which one was chosen, why.

    ``outcomes``: in the order of plainness. ``chosen``: index among them. ``skipped``: methods
    that could not be tried, with the reason.
    """

    outcomes: tuple[Outcome, ...]
    chosen: int
    lengths: tuple[int, ...]
    k: int
    queries: int
    rows: int
    skipped: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        label = self.outcomes[self.chosen].candidate.label
        return (
            f"Comparison({len(self.outcomes)} candidates, {self.queries} queries over {self.rows} "
            f"rows, chosen: {label}; to_markdown() shows all)"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: every candidate's means at every length, with intervals."""

        def both(pair: tuple[NDArray[np.float64], NDArray[np.float64]]) -> dict[str, Any]:
            recall = bootstrap_interval(pair[0])
            return {
                "recall": round(recall.mean, 4),
                "recall_interval": [round(recall.low, 4), round(recall.high, 4)],
                "order": round(float(pair[1].mean()), 4),
            }

        return {
            "k": self.k,
            "held_out_queries": self.queries,
            "rows": self.rows,
            "chosen": self.outcomes[self.chosen].candidate.label,
            "skipped": self.skipped,
            "candidates": [
                {
                    "method": o.candidate.method,
                    "label": o.candidate.label,
                    "hamming_bits": o.candidate.binarizer.hamming_bits,
                    "utility": round(float(o.utility(self.lengths).mean()), 4),
                    "hamming": {str(b): both(pair) for b, pair in o.hamming.items()},
                    "asymmetric": {str(b): both(pair) for b, pair in o.asymmetric.items()},
                    "funnel": both(o.funnel),
                    **({"answered": round(float(o.answered.mean()), 4)} if o.answered.size else {}),
                }
                for o in self.outcomes
            ],
        }

    def to_markdown(self) -> str:
        """A table of recall, one line a candidate, the chosen one in bold."""
        lengths = self.lengths
        head = ["candidate"]
        head += [f"Hamming {b}" for b in lengths] + [f"asymmetric {b}" for b in lengths]
        lines = [[*head, "funnel", "utility"], ["---"] * (2 * len(lengths) + 3)]
        for i, o in enumerate(self.outcomes):
            name = o.candidate.label
            cells = [f"**{name}**" if i == self.chosen else name]
            cells += [f"{o.hamming[b][0].mean():.3f}" if b in o.hamming else "" for b in lengths]
            cells += [f"{o.asymmetric[b][0].mean():.3f}" for b in lengths]
            cells += [f"{o.funnel[0].mean():.3f}", f"{o.utility(lengths).mean():.3f}"]
            lines.append(cells)
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def compare(
    candidates: Sequence[Candidate], held_out: HeldOut, skipped: dict[str, str] | None = None
) -> Comparison:
    """Measure every candidate, and choose the plainest that is not beaten.

    A method is beaten by a later one whose utility is higher with 95 % confidence (paired
    bootstrap over the held-out queries), or by more than `CLEAR` with 80 %: with few queries
    confidence is hard to come by, and what looks clearly better is the better bet. Of a method's
    variants that beat the best plainer method for sure, or of all if none does, the one with the
    highest mean utility stands for it, or one that learned from labelled pairs if that passes its
    guard.
    """
    outcomes = sorted(
        (measure_candidate(c, held_out) for c in candidates),
        key=lambda o: PLAINNESS.index(o.candidate.method),
    )
    lengths = tuple(
        sorted(set.intersection(*(set(o.candidate.binarizer.nested_bits) for o in outcomes)))
    )
    utilities = [o.utility(lengths) for o in outcomes]
    means = [float(u.mean()) for u in utilities]
    order: list[int] = []
    for _, group in groupby(range(len(outcomes)), lambda i: outcomes[i].candidate.method):
        variants = [i for i in group if _guarded(outcomes[i], outcomes, lengths)]
        if order:
            plainer = utilities[max(order, key=means.__getitem__)]
            better = [i for i in variants if _advantage(utilities[i], plainer).low > 0]
            variants = better or variants
        labelled = [i for i in variants if outcomes[i].candidate.guard]
        order.append(max(labelled or variants, key=means.__getitem__))

    def beaten(i: int) -> bool:
        later = order[order.index(i) + 1 :]
        return any(beats(utilities[j], utilities[i]) for j in later)

    chosen = next(i for i in order if not beaten(i))
    return Comparison(
        outcomes=tuple(outcomes),
        chosen=chosen,
        lengths=lengths,
        k=held_out.k,
        queries=len(held_out.queries),
        rows=len(held_out.vectors),
        skipped=skipped or {},
    )


def _guarded(outcome: Outcome, outcomes: Sequence[Outcome], lengths: Sequence[int]) -> bool:
    """Whether a candidate that learned from labels is better for them, and not worse without."""
    guard = outcome.candidate.guard
    if guard is None:
        return True
    [other] = [o for o in outcomes if o.candidate.label == guard]
    neighbours = _advantage(outcome.utility(lengths), other.utility(lengths))
    return _advantage(outcome.answered, other.answered).low > 0 and neighbours.high >= 0


def beats(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether utilities a are higher than b for sure, or clearly higher and quite likely so."""
    if _advantage(a, b).low > 0:
        return True
    likely = bootstrap_interval(a - b, level=0.8)
    return likely.mean > CLEAR and likely.low > 0


def _advantage(a: NDArray[np.float64], b: NDArray[np.float64]) -> Interval:
    """Confidence interval of the mean difference a - b over the same queries."""
    return bootstrap_interval(a - b)
