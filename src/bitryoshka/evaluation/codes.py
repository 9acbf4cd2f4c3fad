"""The one way to rank rows by their codes: at prefixes, at cuts, and by a funnel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import prefix
from bitryoshka.evaluation.ranking import Ranking, asymmetric_topk, hamming_topk, rescore
from bitryoshka.search_parameters import CANDIDATES

__all__ = ["EncodedSearch", "SearchKind", "without_own"]

Rows = NDArray[np.int64]
SearchKind = Literal["hamming", "asymmetric", "funnel"]


@dataclass(frozen=True, eq=False, kw_only=True)
class EncodedSearch:
    """Rows and queries encoded once, and every search of them by codes.

    * ``codes``: of the rows, (N, bits/8) uint8. ``query_codes``: (Q, at most bits/8) uint8.
    * ``weights``: of the queries for a cut of the codes, by its bits: (Q, bits) float32.
    * ``prefixes``: bits that Hamming distance compares. ``cuts``: bits that float queries compare.
      Both rise.
    * ``own``: (Q,), which row each query is, and must not find; None: queries are no rows.
    """

    codes: NDArray[np.uint8]
    query_codes: NDArray[np.uint8]
    weights: Callable[[int], NDArray[np.float32]]
    prefixes: tuple[int, ...]
    cuts: tuple[int, ...]
    own: Rows | None = None

    @classmethod
    def of(
        cls, binarizer: Binarizer, vectors: ArrayLike, queries: ArrayLike, own: Rows | None = None
    ) -> EncodedSearch:
        """Encode vectors (N, d) and queries (Q, d)."""
        return cls(
            codes=binarizer.encode(vectors),
            query_codes=binarizer.encode_queries(queries),
            weights=lambda bits: binarizer.query_weights(queries, bits),
            prefixes=tuple(b for b in binarizer.nested_bits if b <= binarizer.hamming_bits),
            cuts=binarizer.nested_bits,
            own=own,
        )

    def hamming(self, bits: int, k: int) -> Rows:
        """The k nearest rows (Q, k) by Hamming distance on the first bits."""
        asked, kept = prefix(self.query_codes, bits), prefix(self.codes, bits)
        return without_own(lambda n: hamming_topk(asked, kept, n), k, self.own)

    def asymmetric(self, bits: int, k: int) -> Rows:
        """The best k rows (Q, k) by the float query against the first bits."""
        weights, kept = self.weights(bits), prefix(self.codes, bits)
        return without_own(lambda n: asymmetric_topk(weights, kept, n), k, self.own)

    def rescored(self, candidates: Rows, k: int, bits: int | None = None) -> Rows:
        """The best k (Q, k) of candidate rows (Q, C) by the float query; ``bits``: of a cut."""
        cut = bits or self.cuts[-1]
        return rescore(self.weights(cut), prefix(self.codes, cut), candidates, k).rows

    def funnel(
        self,
        k: int,
        candidates: int = CANDIDATES,
        *,
        prefix_bits: int | None = None,
        bits: int | None = None,
    ) -> Rows:
        """What a database does: a Hamming list of candidates, then the float query on them.

        ``prefix_bits``: that the list is made by; None: all Hamming bits. ``bits``: of a cut that
        the float query sees; None: the whole codes. Lists are no longer than there are rows.
        """
        searched = len(self.codes) - (self.own is not None)
        listed = self.hamming(prefix_bits or self.prefixes[-1], min(candidates, searched))
        return self.rescored(listed, k, bits)

    def rankings(
        self, k: int, candidates: int | None = CANDIDATES
    ) -> dict[tuple[SearchKind, int], Rows]:
        """The best k rows by each kind of search at each of its bits; no funnel if None."""
        found: dict[tuple[SearchKind, int], Rows] = {}
        for bits in self.prefixes:
            found["hamming", bits] = self.hamming(bits, k)
        for bits in self.cuts:
            found["asymmetric", bits] = self.asymmetric(bits, k)
        if candidates is not None:
            found["funnel", self.cuts[-1]] = self.funnel(k, candidates)
        return found


def without_own(search: Callable[[int], Ranking], k: int, own: Rows | None) -> Rows:
    """The best k rows (Q, k) of a search for n, without the row ``own`` (Q,) that each query is."""
    if own is None:
        return search(k).rows
    rows = search(k + 1).rows
    keep = rows != own[:, None]
    keep[keep.all(axis=1), -1] = False
    others: Rows = rows[keep].reshape(len(rows), k)
    return others
