"""Whether a collection with codes has all that another one has, and finds what it finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection as Names
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import nsmallest
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from bitryoshka.errors import CollectionError
from bitryoshka.limits import check_counts
from bitryoshka.progress import progress_bar
from bitryoshka.qdrant.collection import Collection
from bitryoshka.qdrant.copying import Copy, Pair, Part, order
from bitryoshka.qdrant.engine import Engine, PointId
from bitryoshka.qdrant.nodes import check_slices
from bitryoshka.qdrant.searching import exact_search, mean_recall, search
from bitryoshka.qdrant.taking_over import check_vector, losses, other_settings
from bitryoshka.qdrant.threads import in_threads

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
    parallel: int = 1,
    progress: bool = False,
) -> MoveCheck:
    """Compare all points, and what both find for the vectors of ``sample`` random ones.

    ``vector``, ``drop`` and ``parallel``: as in `move`; ``search_arguments``: further words for
    `search` in the target; ``seed``: of the sample, which depends on it and on the ids alone. Both
    are read as a whole, a page at a time; points that are written meanwhile may be told as
    differing. Raises as `move` does, but for what is lost.
    """
    check_counts(sample=sample, k=k, batch_rows=batch_rows, parallel=parallel)
    check_vector(source.config(), vector, target.settings.dimensions, source.place)
    lost = losses(source, target.engine, target.settings, vector, drop)
    there = target.engine.indexes()
    for name in source.indexes():
        if name not in there and name not in drop:
            lost[name] = f"payload index {name!r}"
    check_slices(parallel, source, target.engine)
    tally, drawn = _Tally(), _Draw(sample, seed)
    copy = Copy.between(source, target, vector, {*drop, *lost})

    def compare(part: Part) -> Iterator[tuple[_Tally, list[_Drawn]]]:
        for batch in copy.pairs(part, batch_rows):
            given = [a for a, _ in batch if a is not None and vector in a.vectors]
            drawn_here = drawn.first((drawn.place(p.id), p.vectors[vector]) for p in given)
            yield _Tally.of(copy, batch), drawn_here

    sampled: list[_Drawn] = []
    with (
        progress_bar(source.count(), "verify", progress, "points") as advance,
        closing(in_threads(compare, copy.parts(source, parallel), parallel)) as found_of,
    ):
        for counted, some in found_of:
            tally.add(counted)
            sampled = drawn.first([*sampled, *some])
            advance(by=counted.source)
    if tally.source and not sampled:
        raise CollectionError(f"no point of {source.place} has a vector {vector!r}")
    queries = np.array([row for _, row in sampled], np.float32)
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
        sampled=len(sampled),
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

    @classmethod
    def of(cls, copy: Copy, batch: Sequence[Pair]) -> _Tally:
        found = cls()
        both = [(a, b) for a, b in batch if a is not None and b is not None]
        for wanted, (_, known) in zip(copy.wanted([a for a, _ in both]), both, strict=True):
            if (what := copy.difference(wanted, known)) is not None:
                found.differing[what] += 1
                found._count("changed", known.id)
        found.source = sum(a is not None for a, _ in batch)
        found.target = sum(b is not None for _, b in batch)
        for here, there in batch:
            if there is None and here is not None:
                found._count("missing", here.id)
            if here is None and there is not None:
                found._count("extra", there.id)
        return found

    def _count(self, what: str, known: PointId) -> None:
        self.counts[what] += 1
        self.examples.setdefault(what, []).append(known)

    def add(self, other: _Tally) -> None:
        self.source += other.source
        self.target += other.target
        self.counts += other.counts
        self.differing += other.differing
        for what, ids in other.examples.items():
            known = [*self.examples.get(what, ()), *ids]
            self.examples[what] = nsmallest(_EXAMPLES, known, key=order)


_Drawn = tuple[bytes, Any]


class _Draw(NamedTuple):
    """A uniform sample: the points whose ids hash lowest, in whatever order they come."""

    wanted: int
    seed: int

    def place(self, known: PointId) -> bytes:
        return blake2b(f"{self.seed} {known}".encode(), digest_size=8).digest()

    def first(self, drawn: Iterable[_Drawn]) -> list[_Drawn]:
        return nsmallest(self.wanted, drawn, key=itemgetter(0))
