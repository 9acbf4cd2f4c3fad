"""Moving what a collection or shard holds over to one with codes, while it stays in use."""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
from qdrant_client import QdrantClient, models

from bitryoshka.errors import CollectionError
from bitryoshka.limits import check_counts
from bitryoshka.progress import progress_bar
from bitryoshka.qdrant.collection import Collection
from bitryoshka.qdrant.copying import Copy, Part
from bitryoshka.qdrant.engine import Engine, Point, PointId, having
from bitryoshka.qdrant.nodes import check_slices, shard_keys
from bitryoshka.qdrant.server import Server, refuse_local, server_errors
from bitryoshka.qdrant.taking_over import check_vector, losses
from bitryoshka.qdrant.threads import in_threads

__all__ = ["Moved", "move", "point_alias"]


class Moved(NamedTuple):
    """Numbers of points.

    ``written``: new in the target; ``updated``: there, but other than in the source, and so
    replaced; ``skipped``: there and the same; ``deleted``: taken away, as the source does not have
    them; ``extra``: not in the source either, but left; ``without_vector``: points of the source
    that have nothing to make a code of.
    """

    written: int
    updated: int
    skipped: int
    deleted: int
    extra: int
    without_vector: int


def move(
    source: Engine,
    target: Collection[Engine],
    vector: str = "",
    *,
    drop: Names[str] = (),
    delete_extra: bool = False,
    batch_rows: int = 500,
    parallel: int = 1,
    progress: bool = False,
) -> Moved:
    """Make the points of ``target`` those of ``source``, and the codes of their vectors.

    ``source``: a `Server` or a `Shard`, which is only read; ``vector``: the name of the vectors
    that the binarizer was fitted to, "" for an unnamed one. Payloads are copied, the other named
    vectors too (a target of ``collection_config(like=)`` has them), and payload indexes and shard
    keys that the target lacks are created. Points without ``vector`` are copied without a code,
    and all stay with their shard key.

    Both are compared page by page: the same call goes on after a kill, and another one brings over
    what was added or changed in between, over what was changed in the target. ``delete_extra``
    deletes points that the source does not have (any more). ``parallel``: into so many slices both
    are cut by a hash of the ids, each brought over by a thread of its own; a server needs Qdrant
    1.19 for that. Another number goes on with the same work as well.

    Raises CollectionError, before anything is written, for what the target cannot be given: other
    vectors, payload indexes of another type, metadata, shard keys. ``drop`` names what to leave
    out; the name ``vector`` itself stands for the points that lack it. VectorsError for vectors of
    another dimension.
    """
    check_counts(batch_rows=batch_rows, parallel=parallel)
    check_vector(source.config(), vector, target.settings.dimensions, source.place)
    if lost := losses(source, target.engine, target.settings, vector, drop):
        raise CollectionError(
            f"{target.engine.place} cannot be given all of {source.place}: it would lose "
            f"{', '.join(lost.values())}; create the target with like= (--like), or leave them out "
            f"with drop={tuple(lost)} ({' '.join(f'--drop {name}' for name in lost)})"
        )
    points = source.count()
    without = points - source.count(having(vector))
    if points and without == points:
        raise CollectionError(f"no point of {source.place} has a vector {vector!r}")
    if delete_extra and not points:
        raise CollectionError(
            f"{source.place} has no points: this would delete all of {target.engine.place}"
        )
    check_slices(parallel, source, target.engine)
    _create_shard_keys(source, target.engine)
    copy = Copy.between(source, target, vector, drop)
    parts = copy.parts(source, parallel)
    missing = {f: s for f, s in source.indexes().items() if f not in target.engine.indexes()}
    target.engine.create_indexes({f: s for f, s in missing.items() if f not in drop})
    moved = Moved(0, 0, 0, 0, 0, without)

    def bring_over(part: Part) -> Iterator[Moved]:
        for batch in copy.pairs(part, batch_rows):
            given = [(a, b) for a, b in batch if a is not None]
            written, updated = _write(copy, part.target, given)
            extra = [b.id for a, b in batch if a is None and b is not None]
            deleted = _delete(part, extra) if delete_extra else 0
            skipped = len(given) - written - updated
            yield Moved(written, updated, skipped, deleted, len(extra) - deleted, 0)

    with (
        progress_bar(points, "move", progress, "points") as advance,
        closing(in_threads(bring_over, parts, parallel)) as found,
    ):
        for some in found:
            moved = Moved(*(a + b for a, b in zip(moved, some, strict=True)))
            advance(by=some.written + some.updated + some.skipped)
    return moved


def _create_shard_keys(source: Engine, target: Engine) -> None:
    """Create those that the target lacks, unless it has others, with which it is refused."""
    given, there = shard_keys(source) or (), shard_keys(target)
    if isinstance(target, Server) and there is not None and {*there} < {*given}:
        for key in given:
            if key not in there:
                target.create_shard_key(key)


def _write(
    copy: Copy, target: Engine, pairs: Sequence[tuple[Point, Point | None]]
) -> tuple[int, int]:
    """Write what is new or differs; give their numbers."""
    if not pairs:
        return 0, 0
    new, changed = [], []
    wanted = copy.wanted([given for given, _ in pairs])
    for point, (_, there) in zip(wanted, pairs, strict=True):
        if there is None:
            new.append(point)
        elif copy.difference(point, there) is not None:
            kept = {n: there.vectors[n] for n in copy.kept if n in there.vectors}
            changed.append(point._replace(vectors=kept | point.vectors))
    if new or changed:
        target.write_points([_with_lists(point) for point in new + changed])
    return len(new), len(changed)


def _with_lists(point: Point) -> Point:
    plain = {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in point.vectors.items()}
    return point._replace(vectors=plain)


def _delete(part: Part, ids: Sequence[PointId]) -> int:
    """Delete what the source still does not have: a writer may have added it to both meanwhile."""
    if not ids:
        return 0
    came = part.source.existing(ids)
    gone = [known for known in ids if known not in came]
    if gone:
        part.target.delete(gone)
    return len(gone)


def point_alias(client: QdrantClient, alias: str, name: str) -> str | None:
    """Let ``alias`` mean collection ``name`` from now on, at once; give what it meant before.

    The old collection is left as it is: calling this with its name again rolls back. Raises
    CollectionError where ``name`` is missing.
    """
    refuse_local(client)
    with server_errors(f"alias {alias!r}"):
        if not client.collection_exists(name):
            raise CollectionError(f"alias {alias!r} cannot mean {name!r}: no such collection")
        known = {a.alias_name: a.collection_name for a in client.get_aliases().aliases}
        changes: list[Any] = []
        if alias in known:
            gone = models.DeleteAlias(alias_name=alias)
            changes.append(models.DeleteAliasOperation(delete_alias=gone))
        new = models.CreateAlias(collection_name=name, alias_name=alias)
        changes.append(models.CreateAliasOperation(create_alias=new))
        client.update_collection_aliases(changes)
    return known.get(alias)
