"""Moving what a collection or shard holds over to one with codes, while it stays in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from bitryoshka.errors import CollectionError
from bitryoshka.limits import check_counts
from bitryoshka.progress import progress_bar
from bitryoshka.qdrant.collection import Collection
from bitryoshka.qdrant.hits import Engine, Page
from bitryoshka.qdrant.representation import stored_vectors
from bitryoshka.qdrant.searching import SearchPlan, search
from bitryoshka.qdrant.server import refuse_local, server_errors
from bitryoshka.vectors import renumbered

__all__ = ["Checked", "Moved", "move", "point_alias", "verify_move"]


class Moved(NamedTuple):
    """Numbers of points: ``written``, there already and so ``skipped``, and ``without_vector``."""

    written: int
    skipped: int
    without_vector: int


def move(
    source: Engine,
    target: Collection[Engine],
    vector: str = "",
    *,
    batch_rows: int = 500,
    progress: bool = False,
) -> Moved:
    """Copy points with their payloads from ``source`` into ``target``, and make their codes.

    ``source``: a `Server` or a `Shard`, which is only read; ``vector``: the name of the vectors
    that the binarizer was fitted to, "" for an unnamed one. Points that ``target`` has already are
    left alone, so that the same call goes on after a kill, and another call brings over what was
    added in between.

    Raises CollectionError where no point has such a vector, VectorsError for vectors of another
    dimension.
    """
    check_counts(batch_rows=batch_rows)
    moved = Moved(0, 0, 0)
    with progress_bar(source.count(), "move", progress, "points") as advance:
        for page in pages(source, vector, batch_rows):
            part = _move_page(page, target, vector)
            moved = Moved(*(a + b for a, b in zip(moved, part, strict=True)))
            advance(by=len(page.ids))
    if moved.without_vector and not (moved.written or moved.skipped):
        raise CollectionError(f"no point of {source.place} has a vector {vector!r}")
    return moved


def pages(source: Engine, vector: str, rows: int) -> Any:
    """All points of the source in the order of their ids."""
    offset = None
    while True:
        page = source.scroll(rows, offset, (vector,), payloads=True)
        if page.ids:
            yield page
        if page.next is None:
            return
        offset = page.next


def _move_page(page: Page, target: Collection[Engine], vector: str) -> Moved:
    existing = target.engine.existing(page.ids)
    new = [i for i, known in enumerate(page.ids) if known not in existing]
    given = [i for i in new if page.vectors[vector][i] is not None]
    if given:
        rows = np.array([page.vectors[vector][i] for i in given], np.float32)
        ids = [page.ids[i] for i in given]
        with renumbered(ids, "point"):
            stored = stored_vectors(target.binarizer, target.settings, rows)
        target.engine.write(ids, stored, [page.payloads[i] for i in given])
    return Moved(len(given), len(page.ids) - len(new), len(new) - len(given))


@dataclass(frozen=True)
class Checked:
    """What became of a move.

    ``recall``: share of the first k that the source finds by exact search which the target finds
    too, mean over sampled points as queries; each query's own point is among both.
    """

    source_points: int
    target_points: int
    sampled: int
    recall: float
    least_recall: float

    @property
    def good(self) -> bool:
        """Whether all points are there, and found well enough."""
        return self.target_points >= self.source_points and self.recall >= self.least_recall


def verify_move(
    source: Engine,
    target: Collection[Engine],
    vector: str = "",
    plan: SearchPlan | None = None,
    *,
    sample: int = 50,
    k: int = 10,
    least_recall: float = 0.9,
) -> Checked:
    """Compare counts, and what both find for the vectors of ``sample`` points of the source.

    ``plan``: of the target's searches, None: its default.
    """
    check_counts(sample=sample, k=k)
    points, queries = source.count(), _sample(source, vector, sample)
    exact = models.SearchParams(exact=True)
    asked = [
        models.QueryRequest(query=q, using=vector or None, limit=k, params=exact)
        for q in queries.tolist()
    ]
    old = [[hit.id for hit in hits] for hits in source.query(asked)]
    new = [[hit.id for hit in hits][:k] for hits in search(target, queries, plan)]
    shares = [len(set(a) & set(b)) / len(a) for a, b in zip(old, new, strict=True)]
    return Checked(
        points, target.engine.count(), len(queries), float(np.mean(shares)), least_recall
    )


def _sample(source: Engine, vector: str, wanted: int) -> NDArray[np.float32]:
    """Vectors of the first points: ids say nothing about where a point lies."""
    found: list[list[float]] = []
    for page in pages(source, vector, wanted):
        found += [v for v in page.vectors[vector] if v is not None]
        if len(found) >= wanted:
            break
    if not found:
        raise CollectionError(f"no point of {source.place} has a vector {vector!r}")
    return np.array(found[:wanted], np.float32)


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
