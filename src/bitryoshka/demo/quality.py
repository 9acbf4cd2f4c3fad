"""The demo's figures: how well codes of every length find what exact float search finds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.evaluation import EncodedSearch, exact_topk, ndcg_at_k, recall_at_k
from bitryoshka.search_parameters import K

Rows = NDArray[np.int64]


class Judge(NamedTuple):
    """The exact ranking of the questions, and the one document that answers each."""

    exact: Rows
    answers: list[dict[int, float]]

    def found_within(self, hits: int) -> list[int]:
        """The questions whose answer exact search has among its first ``hits``."""
        pairs = zip(self.exact[:, :hits].tolist(), self.answers, strict=True)
        return [i for i, (rows, answer) in enumerate(pairs) if not answer.keys().isdisjoint(rows)]

    def figures(self, found: Rows) -> dict[str, float]:
        """Recall of the exact top 10, and nDCG@10 as a share of exact search's."""
        whole = ndcg_at_k(self.exact, self.answers, K).mean()
        return {
            "recall": float(recall_at_k(found, self.exact, K).mean()),
            "retention": float(ndcg_at_k(found, self.answers, K).mean() / whole),
        }


def judge(questions: NDArray[np.float32], texts: NDArray[np.float32], answers: list[int]) -> Judge:
    """Search exactly once, for everything that is compared."""
    return Judge(exact_topk(questions, texts, K).rows, [{row: 1.0} for row in answers])


def figures(
    binarizer: Binarizer, texts: NDArray[np.float32], questions: NDArray[np.float32], by: Judge
) -> dict[str, Any]:
    """Hamming figures at every prefix, asymmetric ones at every cut, and the funnel's."""
    found: dict[str, Any] = {"hamming": {}, "asymmetric": {}, "funnel": {}}
    for (kind, bits), rows in EncodedSearch.of(binarizer, texts, questions).rankings(K).items():
        found[kind][bits] = by.figures(rows)
    return found | {"funnel": found["funnel"][binarizer.bits]}
