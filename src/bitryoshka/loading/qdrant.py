"""The function that workers run for Qdrant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from bitryoshka.arrow_lists import rows_of_lists, vector_column
from bitryoshka.errors import CollectionError
from bitryoshka.loading.loader import cached_binarizer, report
from bitryoshka.loading.pieces import Opened, name_of, named, opened
from bitryoshka.qdrant import Collection, Server, open_collection, upsert
from bitryoshka.qdrant.nodes import asked
from bitryoshka.qdrant.settings import BITS
from bitryoshka.qdrant.upserting import point_ids

__all__ = ["CollectionLoader"]

Rows = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class CollectionLoader:
    """Encodes `pieces` and upserts them into a collection of a Qdrant server.

    It is sent to workers and called as a `PieceLoader` is. There is no ledger, since the points
    tell what has arrived: a piece all of whose ids have codes is skipped before any vector of it is
    read, and of another the rows that have none are written. So a worker that is killed doubles
    nothing, and the same call again finishes what is left. Rows whose vector is null are left out;
    a piece with such rows is read again by every call.

    * ``url``, ``api_key``, ``timeout`` in seconds: of the server, as QdrantClient takes them.
    * ``collection``: its name; made by `create_collection` for the same binarizer, before all.
    * ``binarizer``: path of the file, which every worker can read, as it can the pieces' files.
    * ``id_column`` has integers from 0 or UUIDs, each once in all files; ``column`` has the
      vectors, None: the only one of float lists or, where there is none, of integer lists.
      ``payload``: columns that become payload.
    * ``shard_key``: in a collection that has shard keys, the column of each row's. Where the table
      of pieces has that column, it is each piece's; else it is one of the files'.
    * ``resume``: False writes the rows that have codes too, after their vectors changed.
      ``batch_rows``: points in one request.
    """

    url: str
    collection: str
    binarizer: str
    api_key: str | None = field(default=None, repr=False)  # workers write logs
    timeout: int = 60
    id_column: str = "id"
    column: str | None = None
    payload: tuple[str, ...] = ()
    shard_key: str | None = None
    resume: bool = True
    batch_rows: int = 500

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Load the pieces that batches of `PIECES` name; give one batch of `LOADED` for each.

        Raises as `upsert` does, naming the piece, VectorsError where it has not its rows any more,
        and CollectionError for what is no shard key.
        """
        client = QdrantClient(
            self.url,
            api_key=self.api_key,
            timeout=self.timeout,
            check_compatibility=False,  # a thread, whose warnings nobody reads on a worker
        )
        with closing(client):
            binarizer = cached_binarizer(self.binarizer)
            collection = open_collection(client, self.collection, binarizer)
            for batch in batches:
                for piece in batch.to_pylist():
                    yield report(piece, self._load(collection, piece))

    def _load(self, collection: Collection[Server], piece: dict[str, Any]) -> bool:
        name, written, start = name_of(piece), 0, 0
        keys = [self.shard_key] if self.shard_key and self.shard_key not in piece else []
        with opened(piece) as given:
            column = vector_column(given.schema, self.column)
            if self.resume and self._has_arrived(collection, given, piece, keys):
                return False
            for batch in given.batches([self.id_column, column, *self.payload, *keys]):
                present = np.flatnonzero(batch.column(column).is_valid())
                for key, rows in self._by_key(batch, piece, present):
                    with named(name, start + rows):
                        written += self._write(collection, batch.take(rows), column, key)
                start += len(batch)
        return written > 0

    def _has_arrived(
        self,
        collection: Collection[Server],
        given: Opened,
        piece: dict[str, Any],
        keys: Iterable[str],
    ) -> bool:
        """Whether every row of a piece has a code where it belongs."""
        for batch in given.batches([self.id_column, *keys]):
            for key, rows in self._by_key(batch, piece, np.arange(len(batch))):
                engine = asked(collection.engine, shard_key_selector=key)
                with named(name_of(piece), rows):
                    ids = point_ids(batch.column(self.id_column).take(rows).to_pylist())
                    if len(engine.existing(ids, BITS)) < len(ids):
                        return False
        return True

    def _write(
        self,
        collection: Collection[Server],
        part: pa.RecordBatch,
        column: str,
        key: models.ShardKey | None,
    ) -> int:
        """Upsert rows that have a vector and one shard key; give how many were written."""
        return upsert(
            collection,
            part.column(self.id_column).to_pylist(),
            rows_of_lists(part.column(column)),
            part.select([*self.payload]).to_pylist() if self.payload else None,
            batch_rows=self.batch_rows,
            resume=self.resume,
            shard_key_selector=key,
        ).written

    def _by_key(
        self, batch: pa.RecordBatch, piece: dict[str, Any], rows: Rows
    ) -> Iterator[tuple[models.ShardKey | None, Rows]]:
        """Each shard key of these rows, None where there are none, with those that have it."""
        if self.shard_key is None or self.shard_key in piece:
            if len(rows):
                yield self.shard_key and self._checked(piece[self.shard_key], piece), rows
            return
        found: dict[models.ShardKey, list[int]] = {}
        for row, key in zip(rows, batch.column(self.shard_key).take(rows).to_pylist(), strict=True):
            found.setdefault(self._checked(key, piece), []).append(row)
        for key, with_it in found.items():
            yield key, np.array(with_it)

    def _checked(self, key: Any, piece: dict[str, Any]) -> models.ShardKey:
        if isinstance(key, (int, str)) and not isinstance(key, bool):
            return key
        raise CollectionError(
            f"piece {name_of(piece)} has {key!r} in column {self.shard_key!r}, expected a shard "
            "key: an integer or text"
        )
