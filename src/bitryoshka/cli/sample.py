"""Vectors that commands look at: all of a file, or a sample of it or of a database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitryoshka.errors import DatabaseError, OptionError, TableError, VectorsError
from bitryoshka.evaluation import read_judgements
from bitryoshka.limits import check_counts
from bitryoshka.vector_files import read_vectors
from bitryoshka.vectors import check_values, renumbered


class Sampled(NamedTuple):
    """Random vectors ``(N, d)``, how many there are in all, where, and what each is called there.

    A vector's name is the ``word`` and its number, or its id: "row 12", "point 7".
    """

    vectors: NDArray[np.number]
    rows: int
    place: str
    word: str
    numbers: Sequence[Any] | NDArray[np.int64]

    @property
    def names(self) -> list[str]:
        """One for each vector."""
        return [f"{self.word} {number}" for number in self.numbers]

    def check(self, metric: str) -> None:
        """VectorsError names a vector that is unusable as its source does."""
        with renumbered(self.numbers, self.word):
            check_values(self.vectors, metric, self.place)


def sample_of(
    vectors: Path | None,
    table: tuple[str, str, str] | None,
    collection: tuple[str, str] | None,
    column: str | None,
    limit: int,
    seed: int,
) -> Sampled:
    """Up to ``limit`` random vectors of the one source that was named, as yet unchecked."""
    if sum(source is not None for source in (vectors, table, collection)) != 1:
        raise OptionError("expected one of VECTORS, --from-postgres and --from-qdrant")
    if table is not None:
        return from_postgres(*table, limit, seed)
    if collection is not None:
        return from_qdrant(*collection, limit)
    assert vectors is not None  # noqa: S101
    array = read_vectors(vectors, column)
    rows = len(array)
    if rows <= limit:
        return Sampled(array, rows, vectors.name, "row", range(rows))
    picked = np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))
    return Sampled(array[picked], rows, vectors.name, "row", picked)


@contextmanager
def named(file: Path) -> Iterator[None]:
    """Let errors about vectors within name the file."""
    try:
        yield
    except VectorsError as error:
        raise VectorsError(f"{file}: {error}", error.row) from error


def read_beside(path: Path | None, column: str | None) -> NDArray[np.number] | None:
    """Queries, say: a .npy has no columns, so the column's name is for the file of the rows."""
    if path is None:
        return None
    return read_vectors(path, None if path.suffix.lower() == ".npy" else column)


def check_judging(qrels: Path | None, ids: Path | None, queries: Path | None) -> None:
    """OptionError for judgements of queries that are not given, before anything is read."""
    if qrels is not None and queries is None:
        raise OptionError("--qrels needs --queries: held-out rows have no judgements")
    if ids is not None and qrels is None:
        raise OptionError("--ids needs --qrels")


def judgements_of(
    qrels: Path | None, ids: Path | None, queries: NDArray[np.number] | None, rows: int
) -> list[dict[int, float]] | None:
    """Grades by row number for each query, None without --qrels."""
    if qrels is None or queries is None:
        return None
    return read_judgements(qrels, ids, len(queries), rows)


def from_postgres(dsn: str, table: str, column: str, limit: int, seed: int = 0) -> Sampled:
    """Vectors of a table, ``schema.table`` where it is not in ``public``."""
    import psycopg

    from bitryoshka.postgres import connect
    from bitryoshka.postgres.sampling import sample_vectors
    from bitryoshka.postgres.statements import refused_as

    schema, _, name = table.rpartition(".")
    with connect(dsn) as connection, refused_as(DatabaseError, psycopg.Error):
        found, rows = sample_vectors(
            connection, name, column, limit, schema=schema or "public", seed=seed
        )
    return Sampled(found, rows, f"{table}.{column}", "sampled row", range(len(found)))


def from_qdrant(location: str, collection: str, limit: int) -> Sampled:
    """Vectors of a collection at a server's URL, or of a shard in a folder (Qdrant Edge).

    ``collection``: its name, and after a slash that of a named vector; of a shard that vector's
    name alone counts. Raises TableError where there is no such vector.
    """
    check_counts(limit=limit)
    name, _, vector = collection.partition("/")
    remote = "://" in location
    read = _from_server if remote else _from_shard
    points, rows = read(location, name, limit)
    found = [_vector(point.vector, vector, collection) for point in points]
    if not found:
        raise TableError(f"{location} holds no points in {collection}")
    ids = [point.id for point in points]
    return Sampled(np.array(found, np.float32), rows, collection, "point", ids)


def _from_server(location: str, collection: str, limit: int) -> tuple[list[Any], int]:
    from qdrant_client import QdrantClient, models

    from bitryoshka.qdrant.server import server_errors

    sample = models.SampleQuery(sample=models.Sample.RANDOM)
    with (
        server_errors(f"{collection} at {location}"),
        closing(QdrantClient(location, check_compatibility=False)) as client,
    ):
        rows = client.count(collection).count
        found = client.query_points(collection, sample, limit=limit, with_vectors=True)
    return list(found.points), rows


def _from_shard(location: str, _: str, limit: int) -> tuple[list[Any], int]:
    import qdrant_edge

    from bitryoshka.qdrant.edge import read_shard

    if not Path(location).is_dir():
        raise FileNotFoundError(f"{location}: no such folder, and no URL of a server")
    random = qdrant_edge.QueryRequest(
        limit=limit, query=qdrant_edge.Sample.Random, with_vector=True
    )
    with read_shard(location) as engine:
        return engine.shard.query(random), engine.count()


def _vector(stored: Any, name: str, collection: str) -> Any:
    """One dense vector of a point."""
    if isinstance(stored, dict):
        usable = [key for key, value in stored.items() if isinstance(value, list)]
        if not name and len(usable) == 1:
            [name] = usable
        if name not in usable:
            raise TableError(
                f"{collection} needs the name of a dense vector after a slash: found {usable}"
            )
        return stored[name]
    if name or not isinstance(stored, list):
        raise TableError(f"{collection}: the points have no vector called {name!r}")
    return stored
