"""The index that mteb's search asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bitryoshka.mteb.comparison import Comparison, Documents

if TYPE_CHECKING:
    from collections.abc import Callable

    from mteb.types import Array, TopRankedDocumentsType


class CodeIndex:
    """An index in the sense of mteb's ``IndexEncoderSearchProtocol``, whose documents are codes."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._ids: list[str] = []
        self._parts: list[Documents] = []

    def add_documents(self, embeddings: Array, idxs: list[str]) -> None:
        """Encode documents (N, d)."""
        self._parts.append(self._comparison.documents(floats(embeddings)))
        self._ids.extend(idxs)

    def search(
        self,
        embeddings: Array,
        top_k: int,
        similarity_fn: Callable[[Array, Array], Array],
        top_ranked: TopRankedDocumentsType | None = None,
        query_idx_to_id: dict[int, str] | None = None,
    ) -> tuple[list[list[float]], list[list[int]]]:
        """Scores and row numbers of the best documents of each query (Q, d).

        With ``top_ranked`` only those are searched that it names for the query, and numbers are
        places in its list. Equal scores are in the order of the corpus all the same.
        """
        queries, documents = floats(embeddings), self._documents()
        if top_ranked is None:
            found = self._comparison.ranking(queries, documents, top_k)
            return found.scores.tolist(), found.rows.tolist()
        numbers = {name: row for row, name in enumerate(self._ids)}
        scores: list[list[float]] = []
        places: list[list[int]] = []
        for i, query in enumerate(queries):
            named = np.array([numbers[n] for n in top_ranked[(query_idx_to_id or {})[i]]], np.int64)
            if not len(named):
                scores.append([])
                places.append([])
                continue
            order = np.argsort(named)
            best = self._comparison.ranking(query[None], documents.taken(named[order]), top_k)
            scores.append(best.scores[0].tolist())
            places.append(order[best.rows[0]].tolist())
        return scores, places

    def _documents(self) -> Documents:
        codes, vectors = zip(*self._parts, strict=True)
        kept = None if vectors[0] is None else np.concatenate(vectors)
        return Documents(np.concatenate(codes), kept)

    def clear(self) -> None:
        """Forget all documents."""
        self._ids, self._parts = [], []


def floats(embeddings: Any) -> Any:
    """Embeddings (N, d) as NumPy can read them: tensors on the CPU, and no shorter floats."""
    if hasattr(embeddings, "detach"):
        embeddings = embeddings.detach().cpu()
        if embeddings.is_floating_point():
            embeddings = embeddings.float()
    return embeddings
