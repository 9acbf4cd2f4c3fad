"""The demo's figures: how well codes of every length find what exact float search finds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.evaluation import (
    asymmetric_topk,
    exact_topk,
    hamming_topk,
    ndcg_at_k,
    recall_at_k,
    rescore,
)

K = 10
SHORTLIST = 100

Rows = NDArray[np.int64]


class Judge(NamedTuple):
    """The exact ranking of the questions, and the one document that answers each."""

    exact: Rows
    answers: list[dict[int, float]]

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
    codes, signs = binarizer.encode(texts), binarizer.encode_queries(questions)
    found: dict[str, Any] = {"hamming": {}, "asymmetric": {}}
    for bits in binarizer.nested_bits:
        part = codes[:, : bits // 8]
        if bits <= binarizer.hamming_bits:
            rows = hamming_topk(signs[:, : bits // 8], part, K).rows
            found["hamming"][bits] = by.figures(rows)
        weights = binarizer.query_weights(questions, bits)
        found["asymmetric"][bits] = by.figures(asymmetric_topk(weights, part, K).rows)
    shortlist = hamming_topk(signs, codes[:, : binarizer.hamming_bits // 8], SHORTLIST).rows
    weights = binarizer.query_weights(questions)
    found["funnel"] = by.figures(rescore(weights, codes, shortlist, K).rows)
    return found
