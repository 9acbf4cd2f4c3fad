"""Whether a collection with codes has all that another one has, and finds what it finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection as Names
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bitryoshka.errors import CollectionError
from bitryoshka.limits import check_counts
from bitryoshka.progress import progress_bar
from bitryoshka.qdrant.collection import Collection
from bitryoshka.qdrant.copying import Copy, Pair
from bitryoshka.qdrant.engine import Engine, PointId
from bitryoshka.qdrant.searching import exact_search, mean_recall, search
from bitryoshka.qdrant.taking_over import check_vector, losses, other_settings

__all__ = ["MoveCheck", "verify_move"]

_EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class MoveCheck:
    """What became of a move.

    * ``missing``, ``extra``, ``changed``: points that only the source has, that only the target
      has, and that are not the same in both; ``examples``: ids of each, five at most.
    * ``differing``: how many of the changed have another "payload", and how many another vector,
      by name; of several the first.
    * ``lost``: what of the source the target as a whole lacks, and what was not to be dropped.
    * ``settings``: those that are others than in the source; they decide over speed and place.
    * ``recall``: share of the first k that the source finds by exact search which the target finds
      too, mean over ``sampled`` points as queries; each query's own point is among both.
    """

    source_points: int
    target_points: int
    missing: int
    extra: int
    changed: int
    examples: Mapping[str, Sequence[PointId]]
    differing: Mapping[str, int]
    lost: Sequence[str]
    settings: Sequence[str]
    sampled: int
    recall: float
    least_recall: float

    @property
    def good(self) -> bool:
        """Whether both have the same, and it is found well enough."""
        unlike = self.missing or self.extra or self.changed or self.lost
        return not unlike and self.recall >= self.least_recall


def verify_move(
    source: Engine,
    target: Collection[Engine],
    vector: str = "",
    *,
    search_arguments: Mapping[str, Any] | None = None,
    drop: Names[str] = (),
    sample: int = 50,
    k: int = 10,
    least_recall: float = 0.9,
    seed: int = 0,
    batch_rows: int = 500,
    progress: bool = False,
) -> MoveCheck:
    """Compare all points, and what both find for the vectors of ``sample`` random ones.

    ``vector`` and ``drop``: as `move` had them; ``search_arguments``: further words for `search` in
    the target; ``seed``: of the sample. Both are read as a whole, a page at a time; points that are
    written meanwhile may be told as differing. Raises as `move` does, but for what is lost.
    """
    check_counts(sample=sample, k=k, batch_rows=batch_rows)
    check_vector(source.config(), vector, target.settings.dimensions, source.place)
    lost = losses(source, target.engine, target.settings, vector, drop)
    there = target.engine.indexes()
    for name in source.indexes():
        if name not in there and name not in drop:
            lost[name] = f"payload index {name!r}"
    tally, sampled = _Tally(), _Sample(sample, seed)
    copy = Copy.between(source, target, vector, {*drop, *lost})
    with progress_bar(source.count(), "verify", progress, "points") as advance:
        for batch in copy.pairs(source, batch_rows):
            tally.add(copy, batch)
            for given, _ in batch:
                if given is not None and vector in given.vectors:
                    sampled.add(given.vectors[vector])
            advance(by=sum(given is not None for given, _ in batch))
    if tally.source and not sampled.rows:
        raise CollectionError(f"no point of {source.place} has a vector {vector!r}")
    queries = np.array(sampled.rows, np.float32)
    recall = 1.0
    if len(queries):
        found = search(target, queries, **{"k": k, **(search_arguments or {})})
        recall = mean_recall(found, exact_search(source, vector, queries, k))
    return MoveCheck(
        source_points=tally.source,
        target_points=tally.target,
        **{what: tally.counts[what] for what in ("missing", "extra", "changed")},
        examples=tally.examples,
        differing=dict(tally.differing),
        lost=list(lost.values()),
        settings=other_settings(source, target.engine, vector),
        sampled=len(sampled.rows),
        recall=recall,
        least_recall=least_recall,
    )


@dataclass
class _Tally:
    source: int = 0
    target: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[PointId]] = field(default_factory=dict)
    differing: Counter[str] = field(default_factory=Counter)

    def add(self, copy: Copy, batch: Sequence[Pair]) -> None:
        both = [(a, b) for a, b in batch if a is not None and b is not None]
        for wanted, (_, there) in zip(copy.wanted([a for a, _ in both]), both, strict=True):
            if (what := copy.difference(wanted, there)) is not None:
                self.differing[what] += 1
                self._count("changed", there.id)
        for given, found in batch:
            self.source += given is not None
            self.target += found is not None
            if found is None and given is not None:
                self._count("missing", given.id)
            if given is None and found is not None:
                self._count("extra", found.id)

    def _count(self, what: str, known: PointId) -> None:
        self.counts[what] += 1
        if self.counts[what] <= _EXAMPLES:
            self.examples.setdefault(what, []).append(known)


class _Sample:
    """A uniform sample of vectors that come one after the other (Vitter's algorithm R)."""

    def __init__(self, wanted: int, seed: int) -> None:
        self.wanted = wanted
        self.random = np.random.default_rng(seed)
        self.seen = 0
        self.rows: list[Any] = []

    def add(self, row: Any) -> None:
        self.seen += 1
        if len(self.rows) < self.wanted:
            self.rows.append(row)
        elif (place := self.random.integers(self.seen)) < self.wanted:
            self.rows[place] = row
