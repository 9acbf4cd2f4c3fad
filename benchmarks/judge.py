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
from bitryoshka.evaluation import EncodedSearch, ndcg_at_k, recall_at_k

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
        return recall_at_k(found, self.exact, K)

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
    """A set encoded once by a binarizer."""

    judge: Judge
    binarizer: Binarizer
    encoded: EncodedSearch

    @classmethod
    def of(cls, judge: Judge, binarizer: Binarizer) -> Coded:
        """Encode the set's documents and queries."""
        data = judge.data
        return cls(judge, binarizer, EncodedSearch.of(binarizer, data.documents, data.queries))

    def hamming(self, bits: int) -> Search:
        """Bits against bits on a prefix; all sign bits where there are fewer."""
        return lambda n: self.encoded.hamming(min(bits, self.binarizer.hamming_bits), n)

    def asymmetric(self, bits: int) -> Search:
        """Float query against a cut, every row scored."""
        return lambda n: self.encoded.asymmetric(bits, n)

    def funnel(self, bits: int) -> Search:
        """Hamming top 100 on the cut's sign bits, then asymmetric on the cut."""
        most = min(CANDIDATES + self.judge.spare, len(self.judge.data.documents))
        width = min(bits, self.binarizer.hamming_bits)
        return lambda n: self.encoded.funnel(min(n, most), most, prefix_bits=width, bits=bits)
