"""Judging a search: recall of the exact float top 10, and the nDCG@10 that it keeps.

Each is judged as it is, and with exact rescoring: its first 40 rows, ordered by their floats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import Dataset, Floats, Rows, leave_out
from bitryoshka.binarizer import Binarizer
from bitryoshka.evaluation import asymmetric_topk, hamming_topk, ndcg_at_k, rescore

K = 10
CANDIDATES = 100
OVERSAMPLING = 4

Search = Callable[[int], Rows]
"""The best n rows of each query, best first, (Q, n)."""


def best_rows(scores: NDArray[np.number], n: int) -> Rows:
    """Rows of the n highest scores (Q, N), equal ones by row number."""
    n = min(n, scores.shape[1])
    order = np.argsort(-scores, axis=1, kind="stable")
    return order[:, :n].astype(np.int64)


def score_search(queries: Floats, documents: Floats) -> Search:
    """Search by inner product, every row scored, in batches of queries."""

    def search(n: int) -> Rows:
        parts = [
            best_rows(queries[i : i + 256] @ documents.T, n) for i in range(0, len(queries), 256)
        ]
        return np.concatenate(parts)

    return search


class Judge(NamedTuple):
    """A set, its exact ranking by float search, and that ranking's nDCG@10 if it is judged."""

    data: Dataset
    exact: Rows
    ndcg: float | None

    @classmethod
    def of(cls, data: Dataset) -> Judge:
        """Search exactly once."""
        judge = cls(data, np.empty((0, K), np.int64), None)
        exact = judge.found(score_search(data.queries, data.documents))
        ndcg = None
        if data.judgements is not None:
            ndcg = float(ndcg_at_k(exact, data.judgements, K).mean())
        return cls(data, exact, ndcg)

    @property
    def spare(self) -> int:
        """Rows to ask for beyond those wanted, because some may be excluded."""
        return max(map(len, self.data.excluded), default=0)

    def found(self, search: Search, k: int = K) -> Rows:
        """The first k rows that a search finds among those that are not excluded."""
        wanted = min(k + self.spare, len(self.data.documents))
        return leave_out(search(wanted), self.data.excluded, k)

    def rescored(self, search: Search) -> Search:
        """The same search, finding four times as many rows and ordering them by exact scores."""

        def again(n: int) -> Rows:
            rows = search(min(OVERSAMPLING * n, len(self.data.documents)))
            parts = []
            for start in range(0, len(rows), 256):
                part = rows[start : start + 256]
                queries = self.data.queries[start : start + 256]
                scores = np.einsum("qd,qnd->qn", queries, self.data.documents[part])
                parts.append(np.take_along_axis(part, best_rows(scores, n), axis=1))
            return np.concatenate(parts)

        return again

    def recalls(self, found: Rows) -> NDArray[np.float64]:
        """Share of each query's exact first 10 rows among its found ones, (Q,)."""
        return np.array(
            [
                len(set(a) & set(b)) / K
                for a, b in zip(found.tolist(), self.exact.tolist(), strict=True)
            ]
        )

    def figures(self, search: Search) -> dict[str, float]:
        """``recall`` and, where the set is judged, nDCG ``retention``."""
        found = self.found(search)
        result = {"recall": float(self.recalls(found).mean())}
        if self.data.judgements is not None and self.ndcg:
            kept = float(ndcg_at_k(found, self.data.judgements, K).mean())
            result["retention"] = kept / self.ndcg
        return result

    def with_rescoring(self, search: Search) -> dict[str, Any]:
        """`figures`, and under ``rescored`` those with exact rescoring."""
        return {**self.figures(search), "rescored": self.figures(self.rescored(search))}


class Coded(NamedTuple):
    """A set encoded once by a binarizer: codes (N, bits/8), query signs (Q, hamming_bits/8)."""

    judge: Judge
    binarizer: Binarizer
    codes: NDArray[np.uint8]
    signs: NDArray[np.uint8]

    @classmethod
    def of(cls, judge: Judge, binarizer: Binarizer) -> Coded:
        """Encode the set's documents and queries."""
        codes = binarizer.encode(judge.data.documents)
        return cls(judge, binarizer, codes, binarizer.encode_queries(judge.data.queries))

    def hamming(self, bits: int) -> Search:
        """Bits against bits on a prefix; all sign bits where there are fewer."""
        width = min(bits, self.binarizer.hamming_bits) // 8
        return lambda n: hamming_topk(self.signs[:, :width], self.codes[:, :width], n).rows

    def asymmetric(self, bits: int) -> Search:
        """Float query against a cut, every row scored."""
        weights = self.binarizer.query_weights(self.judge.data.queries, bits)
        return lambda n: asymmetric_topk(weights, self.codes[:, : bits // 8], n).rows

    def funnel(self, bits: int) -> Search:
        """Hamming top 100 on the cut's sign bits, then asymmetric on the cut."""
        weights = self.binarizer.query_weights(self.judge.data.queries, bits)
        codes, candidates = self.codes[:, : bits // 8], CANDIDATES + self.judge.spare

        def search(n: int) -> Rows:
            shortlist = self.hamming(bits)(min(candidates, len(codes)))
            return rescore(weights, codes, shortlist, min(n, shortlist.shape[1])).rows

        return search
