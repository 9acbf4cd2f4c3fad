"""Batches of anchors and rows for training, from the float neighbourhood of a sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitryoshka.evaluation import exact_topk

Floats = NDArray[np.float32]

MAX_ANCHORS = 8_000


class Batch(NamedTuple):
    """Anchors (A, d), row numbers (R,), and an (A, R) mask of rows that are the anchor itself.

    ``answers`` (A,): which of the R rows is labelled as the anchor's answer, -1 for none.
    """

    anchors: Floats
    rows: NDArray[np.int64]
    same: NDArray[np.bool_]
    answers: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Anchors that search the rows of a sample, and the rows nearest to each by float search.

    ``rows`` (N, d), ``anchors`` (A, d), ``near`` (A, k) row numbers, best first, ``own`` (A,) the
    row that an anchor is, -1 for queries, ``answer`` (A,) the row labelled as a query's answer, -1
    for none.
    """

    rows: Floats
    anchors: Floats
    near: NDArray[np.int64]
    own: NDArray[np.int64]
    answer: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        rows: Floats,
        queries: Floats,
        seed: int,
        neighbours: int,
        answers: NDArray[np.int64] | None = None,
    ) -> Neighbourhood:
        """Every row is an anchor (a random part of them in large samples), and every query.

        ``answers``: for each query the row labelled as its answer, -1 for none.
        """
        own = np.arange(len(rows))
        if len(rows) > MAX_ANCHORS:
            generator = np.random.default_rng(seed)
            own = np.sort(generator.choice(own, MAX_ANCHORS, replace=False))
        anchors = np.concatenate([rows[own], queries])
        k = min(neighbours + 1, len(rows))
        near = exact_topk(anchors, rows, k, metric="inner_product").rows
        none = np.full(len(queries), -1)
        answer = np.concatenate([np.full(len(own), -1), none if answers is None else answers])
        return cls(rows, anchors, near, np.concatenate([own, none]), answer)

    def batches(self, steps: int, anchors: int, rows: int, hard: int, seed: int) -> Iterator[Batch]:
        """Anchors, ``hard`` of the neighbours of each, labelled answers, and random rows.

        Half of the anchors are queries where there are any. Near neighbours come more often:
        their ranks are squares of uniform numbers.
        """
        generator = np.random.default_rng(seed)
        documents = np.flatnonzero(self.own >= 0)
        queries = np.flatnonzero(self.own < 0)
        for _ in range(steps):
            picked = generator.choice(documents, anchors)
            if len(queries):
                picked[: anchors // 2] = generator.choice(queries, anchors // 2)
            ranks = generator.random((anchors, hard)) ** 2 * self.near.shape[1]
            near = np.take_along_axis(self.near[picked], ranks.astype(np.int64), axis=1)
            spread = generator.integers(0, len(self.rows), max(0, rows - near.size))
            answer = self.answer[picked]
            found = np.unique(np.concatenate([near.ravel(), spread, answer[answer >= 0]]))
            place = np.where(answer >= 0, np.searchsorted(found, answer), -1)
            yield Batch(self.anchors[picked], found, self.own[picked, None] == found, place)
