"""Two collections side by side, in the order of ids, a page of each in memory."""

from __future__ import annotations

import math
from collections.abc import Collection as Names
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from qdrant_client import models

from bitryoshka.errors import CollectionError
from bitryoshka.qdrant.collection import Collection
from bitryoshka.qdrant.engine import Engine, Point, PointId, slices
from bitryoshka.qdrant.nodes import asked, shard_keys
from bitryoshka.qdrant.representation import stored_points
from bitryoshka.qdrant.taking_over import Params, all_vectors, other_vectors

__all__ = ["Copy", "Pair", "Part", "order", "same_vector"]

# the largest error of a number, as a share of a vector's largest, from storing it in that type
_ROUNDING = {"float32": 1e-5, "float16": 1e-3, "turbo16": 1e-3, "turbo8": 2e-2, "turbo4": 0.3}


class Pair(NamedTuple):
    """What the source and the target have under one id; None where one has nothing."""

    source: Point | None
    target: Point | None


class Part(NamedTuple):
    """Points of both that no other part has; ``where``: a condition on their ids, or None."""

    source: Engine
    target: Engine
    where: models.Filter | None


def points(
    engine: Engine, vectors: Sequence[str], rows: int, where: models.Filter | None
) -> Iterator[Point]:
    """Points with their payloads and those vectors, in the order of their ids."""
    offset: PointId | None = None
    before: tuple[bool, PointId] | None = None
    while True:
        page = engine.scroll(rows, offset, vectors, payloads=True, where=where)
        for i, known in enumerate(page.ids):
            if before is not None and order(known) <= before:
                raise CollectionError(f"{engine.place} gives its points in another order than ids")
            before = order(known)
            given = {name: column[i] for name, column in page.vectors.items()}
            present = {name: vector for name, vector in given.items() if vector is not None}
            yield Point(known, page.payloads[i] or {}, present)
        if page.next is None:
            return
        offset = page.next


def order(known: PointId) -> tuple[bool, PointId]:
    """What ids are ordered by: integers first, then UUIDs."""
    return isinstance(known, str), known


def _side_by_side(left: Iterator[Point], right: Iterator[Point]) -> Iterator[Pair]:
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        first = b is None or (a is not None and order(a.id) < order(b.id))
        second = a is None or (b is not None and order(b.id) < order(a.id))
        yield Pair(None if second else a, None if first else b)
        if not second:
            a = next(left, None)
        if not first:
            b = next(right, None)


@dataclass(frozen=True)
class Copy:
    """What is copied into ``target``, and how it is told whether that is there already.

    ``vector``: what codes are made of; ``partial``: whether points without it are copied;
    ``others``: the vectors that are copied as they are; ``kept``: those of the target's own, which
    a point keeps when it is written anew.
    """

    target: Collection[Engine]
    vector: str
    partial: bool
    others: Sequence[str]
    kept: Sequence[str]
    params: Mapping[str, Params]

    @classmethod
    def between(
        cls, source: Engine, target: Collection[Engine], vector: str, drop: Names[str]
    ) -> Copy:
        """The copy of all that both can have, but for what is in ``drop``."""
        params = all_vectors(target.engine.config())
        others = [
            name
            for name in other_vectors(source.config(), vector)
            if name in params and name not in drop and name not in target.settings.sizes
        ]
        ours = {*target.settings.sizes, *others}
        kept = [name for name in params if name not in ours]
        return cls(target, vector, vector not in drop, others, kept, params)

    def parts(self, source: Engine, parallel: int) -> list[Part]:
        """What is copied one apart from the other: slices of all, or of each shard key's points.

        CollectionError where the target does not have the source's shard keys.
        """
        target = self.target.engine
        given, there = shard_keys(source), shard_keys(target)
        if there is None:
            return [Part(source, target, where) for where in slices(parallel)]
        if given is None or {*given} != {*there}:
            raise CollectionError(
                f"{target.place} must have just the shard keys of {source.place}: "
                f"expected {given or 'none'}, found {there or 'none'}"
            )
        return [
            Part(
                asked(source, shard_key_selector=key),
                asked(target, shard_key_selector=key),
                where,
            )
            for key in given
            for where in slices(parallel)
        ]

    def pairs(self, part: Part, rows: int) -> Iterator[list[Pair]]:
        """The ids of the source and the target, in their order, ``rows`` at once."""
        there = [*self.target.settings.sizes, *self.others, *self.kept]
        left = points(part.source, [self.vector, *self.others], rows, part.where)
        right = points(part.target, there, rows, part.where)
        if not self.partial:
            left = (p for p in left if self.vector in p.vectors)
        found = _side_by_side(left, right)
        while batch := list(islice(found, rows)):
            yield batch

    def wanted(self, given: Sequence[Point]) -> list[Point]:
        """Points of the source as the target should have them; what we make of them as arrays."""
        found: list[dict[str, Any]] = [
            {name: p.vectors[name] for name in self.others if name in p.vectors} for p in given
        ]
        coded = [i for i, p in enumerate(given) if self.vector in p.vectors]
        if coded:
            stored = stored_points(
                self.target.binarizer,
                self.target.settings,
                [given[i].id for i in coded],
                [given[i].vectors[self.vector] for i in coded],
            )
            for name, rows in stored.items():
                for i, row in zip(coded, rows, strict=True):
                    found[i][name] = row
        return [Point(p.id, p.payload, v) for p, v in zip(given, found, strict=True)]

    def difference(self, wanted: Point, there: Point) -> str | None:
        """The first of what differs, "payload" or a vector's name; None where nothing does."""
        if not _equal(wanted.payload, there.payload):
            return "payload"
        for name in (*self.target.settings.sizes, *self.others):
            a, b = wanted.vectors.get(name), there.vectors.get(name)
            if (a is None) != (b is None) or not (
                a is None or same_vector(a, b, self.params[name])
            ):
                return name
        return None


def _equal(a: Any, b: Any) -> bool:
    """Whether two values of payloads are the same.

    Unlike Python, JSON tells 1, 1.0 and true apart. The engine keeps a float as text, and may lose
    its last digit whenever it reads it.
    """
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(math.isclose(a, b, rel_tol=1e-12) if isinstance(a, float) else a == b)


def same_vector(wanted: Any, there: Any, params: Params) -> bool:
    """Whether ``there`` is what became of a vector that was stored, but for its rounding."""
    if isinstance(params, models.SparseVectorParams):
        (a, first), (b, second) = _sorted(wanted), _sorted(there)
        return bool(np.array_equal(a, b)) and _near(first, second, _ROUNDING["float32"])
    a, b = np.asarray(wanted, np.float32), np.asarray(there, np.float32)
    datatype = "float32" if params.datatype is None else params.datatype.value
    if params.distance == models.Distance.COSINE and datatype != "uint8":
        a = a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), 1e-30)
    return a.shape == b.shape and _near(a, b, _ROUNDING.get(datatype, 0.0))


def _sorted(vector: Any) -> tuple[Any, Any]:
    rising = np.argsort(vector.indices)
    return np.array(vector.indices)[rising], np.array(vector.values, np.float32)[rising]


def _near(a: Any, b: Any, share: float) -> bool:
    largest = np.abs(b).max(initial=0.0)
    return bool((np.abs(a - b) <= share * largest).all())
