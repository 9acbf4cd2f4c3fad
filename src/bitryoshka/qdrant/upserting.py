"""Writing vectors into a collection: projected, in batches, safe to repeat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import compress
from typing import Literal, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qdrant_client import models

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import BitryoshkaError, CollectionError, VectorsError
from bitryoshka.limits import check_counts
from bitryoshka.progress import progress_bar
from bitryoshka.qdrant.collection import AsyncCollection, Collection
from bitryoshka.qdrant.engine import Engine, Payload, PointId, plain_id
from bitryoshka.qdrant.nodes import asked
from bitryoshka.qdrant.representation import stored_vectors
from bitryoshka.qdrant.settings import BITS
from bitryoshka.qdrant.threads import in_threads
from bitryoshka.vectors import check_values, check_vectors

__all__ = ["Upserted", "point_ids", "upsert", "upsert_async"]

Ordering = Literal["weak", "medium", "strong"] | models.WriteOrdering

_BIGGEST_ID = 2**64 - 1


class Upserted(NamedTuple):
    """Numbers of points that were ``written``, and that were there already and ``skipped``."""

    written: int
    skipped: int


class _Points(NamedTuple):
    """Points to write: ids (N,), vectors (N, d), payloads (N,) or None."""

    ids: list[PointId]
    vectors: NDArray[np.number]
    payloads: Sequence[Payload | None] | None

    def part(self, start: int, stop: int) -> _Points:
        payloads = self.payloads and self.payloads[start:stop]
        return _Points(self.ids[start:stop], self.vectors[start:stop], payloads)

    def without(self, existing: set[PointId]) -> _Points:
        new = [i not in existing for i in self.ids]
        payloads = self.payloads and list(compress(self.payloads, new))
        return _Points(list(compress(self.ids, new)), self.vectors[np.array(new)], payloads)


def upsert(
    collection: Collection[Engine],
    ids: Sequence[int | str | UUID],
    vectors: ArrayLike,
    payloads: Sequence[Payload | None] | None = None,
    *,
    batch_rows: int = 500,
    parallel: int = 1,
    resume: bool = False,
    shard_key_selector: models.ShardKeySelector | None = None,
    ordering: Ordering | None = None,
    wait: bool = True,
    progress: bool = False,
) -> Upserted:
    """Insert or replace points with the vectors (N, d) and what is made of them.

    ``ids``: non-negative integers or UUIDs, each once. A point is replaced as a whole, with its
    payload and with named vectors that are none of ours. Each batch is on the engine's disk when
    it is done, and the same call can be repeated: after a kill, ``resume=True`` leaves out the
    points that have codes already, be they of other vectors. ``parallel`` batches are under way at
    once. A transient failure of a server is retried. A progress bar needs tqdm.

    On servers alone, as qdrant-client has them: ``shard_key_selector``: the shard keys whose shards
    the points go to, in a collection that has some; ``ordering`` of writes on several nodes;
    ``wait=False``: a batch is done when it is in the server's log, and can be found a little later.

    Raises, before anything is written, VectorsError for unusable vectors, CollectionError for ids
    that repeat or are none, SearchError for numbers below 1; and ServerUnreachableError where a
    server stays away, with the rows that were written by then in its notes.
    """
    check_counts(batch_rows=batch_rows, parallel=parallel)
    engine = asked(
        collection.engine, shard_key_selector=shard_key_selector, ordering=ordering, wait=wait
    )
    points = _checked(collection.binarizer, ids, vectors, payloads)

    def write(start: int) -> Iterator[tuple[int, Upserted]]:
        part = points.part(start, start + batch_rows)
        given = len(part.ids)
        if resume:
            part = part.without(engine.existing(part.ids, BITS))
        if part.ids:
            stored = stored_vectors(collection.binarizer, collection.settings, part.vectors)
            engine.write(part.ids, stored, part.payloads)
        yield start, Upserted(len(part.ids), given - len(part.ids))

    starts = range(0, len(points.ids), batch_rows)
    done: dict[int, Upserted] = {}
    with (
        progress_bar(len(points.ids), "upsert", progress, "rows") as advance,
        _noting(done, len(points.ids)),
        closing(in_threads(write, starts, parallel)) as found,
    ):
        for start, part in found:
            done[start] = part
            advance(by=sum(part))
    return _sum(done)


def _sum(done: Mapping[int, Upserted]) -> Upserted:
    written, skipped = (sum(counts) for counts in zip((0, 0), *done.values(), strict=True))
    return Upserted(written, skipped)


@contextmanager
def _noting(done: Mapping[int, Upserted], rows: int) -> Iterator[None]:
    """An error gets a note of the rows that are done: batches by their first row."""
    try:
        yield
    except BitryoshkaError as error:
        spans: list[list[int]] = []
        for start in sorted(done):
            stop = start + sum(done[start])
            if spans and spans[-1][1] == start:
                spans[-1][1] = stop
            else:
                spans.append([start, stop])
        told = " and ".join(f"{start} to {stop - 1}" for start, stop in spans) or "none"
        error.add_note(f"of rows 0 to {rows - 1} these are written: {told}; to repeat all is safe")
        raise


async def upsert_async(
    collection: AsyncCollection,
    ids: Sequence[int | str | UUID],
    vectors: ArrayLike,
    payloads: Sequence[Payload | None] | None = None,
    *,
    batch_rows: int = 500,
    resume: bool = False,
    shard_key_selector: models.ShardKeySelector | None = None,
    ordering: Ordering | None = None,
    wait: bool = True,
) -> Upserted:
    """`upsert` over an AsyncQdrantClient, one batch after the other."""
    check_counts(batch_rows=batch_rows)
    engine = asked(
        collection.engine, shard_key_selector=shard_key_selector, ordering=ordering, wait=wait
    )
    points = _checked(collection.binarizer, ids, vectors, payloads)
    done: dict[int, Upserted] = {}
    with _noting(done, len(points.ids)):
        for start in range(0, len(points.ids), batch_rows):
            part = points.part(start, start + batch_rows)
            given = len(part.ids)
            if resume:
                part = part.without(await engine.existing(part.ids, BITS))
            if part.ids:
                stored = stored_vectors(collection.binarizer, collection.settings, part.vectors)
                await engine.write(part.ids, stored, part.payloads)
            done[start] = Upserted(len(part.ids), given - len(part.ids))
    return _sum(done)


def _checked(
    binarizer: Binarizer,
    ids: Sequence[int | str | UUID],
    vectors: ArrayLike,
    payloads: Sequence[Payload | None] | None,
) -> _Points:
    array = check_vectors(vectors, binarizer.dimensions)
    for what, given in (("ids", ids), ("payloads", payloads)):
        if given is not None and len(given) != len(array):
            raise VectorsError(f"expected {len(array)} {what}, one a vector, found {len(given)}")
    known = point_ids(ids)
    check_values(array, binarizer.metric)
    return _Points(known, array, payloads)


def point_ids(ids: Sequence[int | str | UUID]) -> list[PointId]:
    """The ids as Qdrant takes them; CollectionError for one that it would not, or that repeats."""
    found: dict[PointId, None] = {}
    for given in ids:
        known = _point_id(given)
        if known in found:
            raise CollectionError(f"ids must be given once each, found {given!r} twice")
        found[known] = None
    return list(found)


def _point_id(given: int | str | UUID) -> PointId:
    if isinstance(given, (int, np.integer)) and not isinstance(given, bool):
        if 0 <= given <= _BIGGEST_ID:
            return int(given)
    elif isinstance(given, (str, UUID)):
        try:
            return plain_id(given)
        except ValueError:
            pass
    raise CollectionError(f"an id must be an integer from 0 to 2^64 - 1 or a UUID, found {given!r}")
