"""How queries are compared with documents that are codes, and what ranks them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from mteb.types import PromptType
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import Binarizer, check_binarizer
from bitryoshka.bits import prefix, unpack
from bitryoshka.errors import SearchError
from bitryoshka.evaluation import Ranking, asymmetric_topk, hamming_topk, rescore
from bitryoshka.search_parameters import CANDIDATES, Rescore, SearchParameters, check_prefix_bits
from bitryoshka.vectors import normalized

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


class Documents(NamedTuple):
    """Codes (N, bits/8) uint8, and unit vectors (N, d) float32 where a stage reads them."""

    codes: NDArray[np.uint8]
    vectors: Floats | None

    def taken(self, rows: Rows) -> Documents:
        """Some of them."""
        return Documents(self.codes[rows], None if self.vectors is None else self.vectors[rows])


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A binarizer, and the stages of a search by its codes; ``candidates`` None: one stage."""

    binarizer: Binarizer
    candidates: int | None
    prefix_bits: int
    rescore: Rescore | None
    shortlist: int | None

    @classmethod
    def of(
        cls,
        binarizer: Binarizer,
        candidates: int | None,
        prefix_bits: int | None,
        rescore: Rescore | None,
        shortlist: int | None,
    ) -> Comparison:
        """Check that the stages fit together and to the binarizer; SearchError otherwise.

        OptionError for what is no binarizer.
        """
        check_binarizer(binarizer)
        SearchParameters(
            k=1,
            candidates=CANDIDATES if candidates is None else candidates,
            prefix_bits=prefix_bits,
            rescore=rescore,
            shortlist=shortlist if candidates is not None else None,
        )
        if candidates is None and (rescore == "exact" or shortlist is not None):
            raise SearchError(
                "vectors rank the candidates of a search by codes: give candidates= as well, "
                f"found rescore={rescore!r}, shortlist={shortlist!r} and candidates=None"
            )
        if prefix_bits is not None:
            offered = [b for b in binarizer.nested_bits if b <= binarizer.hamming_bits]
            check_prefix_bits(prefix_bits, offered)
        return cls(
            binarizer=binarizer,
            candidates=candidates,
            prefix_bits=prefix_bits or binarizer.hamming_bits,
            rescore=rescore,
            shortlist=shortlist,
        )

    def as_dict(self) -> dict[str, Any]:
        """What tells this comparison from others, as plain data."""
        return {
            "bits": self.binarizer.bits,
            "fingerprint": self.binarizer.fingerprint,
            "candidates": self.candidates,
            "prefix_bits": self.prefix_bits,
            "rescore": self.rescore,
            "shortlist": self.shortlist,
        }

    def documents(self, vectors: ArrayLike) -> Documents:
        """Encode vectors (N, d)."""
        exact = self.rescore == "exact"
        return Documents(
            self.binarizer.encode(vectors),
            normalized(vectors, self.binarizer.metric) if exact else None,
        )

    def ranking(self, queries: ArrayLike, documents: Documents, k: int) -> Ranking:
        """The best k rows for queries (Q, d), fewer where the stages hand on fewer.

        The scores are those of every search, but for those of rows after one with an equal score:
        they are less by the least that float32 can hold, so that who sorts by score finds this
        order, in which the smaller row number wins.
        """
        rows = len(documents.codes)
        k = min(k, self.shortlist or self.candidates or rows, rows)
        found = self._ranked(queries, documents, k)
        return Ranking(found.rows, _falling(found.scores))

    def _ranked(self, queries: ArrayLike, documents: Documents, k: int) -> Ranking:
        b, rows = self.binarizer, len(documents.codes)

        def near(n: int) -> Ranking:
            asked = b.encode_queries(queries, self.prefix_bits)
            found = hamming_topk(asked, prefix(documents.codes, self.prefix_bits), n)
            return Ranking(found.rows, 1 + found.scores * np.float32(2 / self.prefix_bits))

        if self.rescore is None:
            return near(k)
        weights = b.query_weights(queries)

        def by_codes(n: int, listed: Rows | None) -> Ranking:
            codes = documents.codes
            if listed is None:
                found = asymmetric_topk(weights, codes, n)
            else:
                found = rescore(weights, codes, listed, n)
            return Ranking(found.rows, found.scores / _whole(weights))

        if self.candidates is None:
            return by_codes(k, None)
        listed = near(min(self.candidates, rows)).rows
        if documents.vectors is None:
            return by_codes(k, listed)
        if self.shortlist is not None:
            listed = by_codes(min(self.shortlist, rows), listed).rows
        return _by_vectors(normalized(queries, b.metric), documents.vectors, listed, k)

    def represented(self, vectors: ArrayLike, prompt_type: PromptType | None) -> Floats:
        """Queries or documents (N, d) as floats whose inner product is their score.

        Documents are the -1 and 1 of their codes, float queries their weights. Without a type both
        sides are documents, compared by Hamming distance.
        """
        b, bits = self.binarizer, self.prefix_bits
        if prompt_type is None:
            return _signs(prefix(b.encode(vectors), bits)) / np.float32(np.sqrt(bits))
        if self.candidates is not None:
            raise SearchError(
                "a search in stages looks through documents, found a single query or document to "
                f"encode: leave candidates={self.candidates} out for tasks that compare pairs"
            )
        if prompt_type == PromptType.document:
            return _signs(b.encode(vectors) if self.rescore else prefix(b.encode(vectors), bits))
        if self.rescore:
            weights = b.query_weights(vectors)
            return weights / _whole(weights)
        return _signs(b.encode_queries(vectors, bits)) / np.float32(bits)


def _signs(codes: NDArray[np.uint8]) -> Floats:
    """Bits as -1 and 1."""
    signs: Floats = 2 * unpack(codes).astype(np.float32) - 1
    return signs


def _whole(weights: Floats) -> Floats:
    """Each query's whole weight, (Q, 1): what a score is a share of."""
    whole: Floats = np.abs(weights).sum(axis=1, keepdims=True)
    return np.where(whole > 0, whole, np.float32(1))


def _by_vectors(unit: Floats, vectors: Floats, listed: Rows, k: int) -> Ranking:
    """The best k of each query's listed rows (Q, C) by its inner product with their vectors."""
    rows = np.sort(listed, axis=1)
    scores = np.empty(rows.shape, np.float32)
    for out, picked, query in zip(scores, rows, unit, strict=True):
        out[:] = vectors[picked] @ query
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Ranking(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))


def _falling(scores: Floats) -> Floats:
    """Scores (Q, k), best first, each less than the one before it."""
    found = scores.copy()
    for column in range(1, found.shape[1]):
        below = np.nextafter(found[:, column - 1], np.float32(-np.inf))
        np.minimum(found[:, column], below, out=found[:, column])
    return found
