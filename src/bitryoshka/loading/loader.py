"""The function that workers run for Postgres."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from bitryoshka.arrow import codes_of, encode_array
from bitryoshka.arrow_lists import rows_of_lists, vector_column
from bitryoshka.binarizer import Binarizer
from bitryoshka.loading.pieces import PIECES, name_of, named, opened
from bitryoshka.postgres import CodeTable, connect, create_table, load, open_table
from bitryoshka.postgres.chunks import chunk_once, create_ledger, loaded_chunks
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.table import VectorType

LOADED = pa.schema([*PIECES, pa.field("loaded", pa.bool_())])
"""What a loader gives for each piece: the piece, and whether this call loaded any of it."""


@dataclass(frozen=True, kw_only=True)
class PieceLoader:
    """Encodes `pieces` and copies them into a table of codes, each in one transaction.

    Plain strings and numbers, so that it can be sent to any worker; calling it connects, and loads
    one piece after the other. A piece that was loaded before, under the same name of a ``load``, is
    skipped before anything of it is read: a worker that is killed loses its last piece and doubles
    none, and the same call again finishes what is left. Rows whose vector is null are left out.

    * ``dsn``: the database. ``table``, ``schema``, ``vector_type``: see `postgres.create_table`.
    * ``binarizer``: path of the file, which every worker can read, as it can the pieces' files.
    * ``load``: a name for this load. ``id_column`` has unique integers; ``column`` has the vectors,
      None: the only one of float lists or, where there is none, of integer lists.
    """

    dsn: str = field(repr=False)  # may hold a password, and workers write logs
    table: str
    binarizer: str
    load: str
    schema: str = "public"
    vector_type: VectorType | None = None
    id_column: str = "id"
    column: str | None = None

    def prepare(self) -> None:
        """Create the table of codes and the load's ledger, ``<table>_loads``: once, before all."""
        with connect(self.dsn) as connection:
            created = create_table(
                connection, self.table, self._binarizer, self.vector_type, self.schema
            )
            create_ledger(connection, created)

    def remaining(self, pieces: pa.Table) -> pa.Table:
        """The pieces that have not arrived yet."""
        with connect(self.dsn) as connection:
            done = loaded_chunks(connection, self._open(connection), self.load)
        return pieces.filter(
            pa.array([name_of(p) not in done for p in pieces.to_pylist()], pa.bool_())
        )

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Load the pieces that batches of `PIECES` name; give one batch of `LOADED` for each.

        Raises as `encode_array` and `postgres.load` do, naming the piece, VectorsError where it has
        not its rows any more, and TableError where its name was that of other data.
        """
        with connect(self.dsn) as connection:
            table = self._open(connection)
            for batch in batches:
                for piece in batch.to_pylist():
                    yield report(piece, self._load(connection, table, piece))

    @property
    def _binarizer(self) -> Binarizer:
        return cached_binarizer(self.binarizer)

    def _open(self, connection: Connection) -> CodeTable:
        return open_table(connection, self.table, self._binarizer, self.vector_type, self.schema)

    def _load(self, connection: Connection, table: CodeTable, piece: dict[str, Any]) -> bool:
        name = name_of(piece)
        with chunk_once(connection, table, self.load, name, piece["rows"]) as due:
            if not due:
                return False
            with opened(piece) as given:
                column = vector_column(given.schema, self.column)
                start = 0
                for batch in given.batches([self.id_column, column]):
                    with named(name, range(start, start + len(batch))):
                        self._copy(connection, table, batch, column)
                    start += len(batch)
        return True

    def _copy(
        self, connection: Connection, table: CodeTable, batch: pa.RecordBatch, column: str
    ) -> None:
        codes = encode_array(batch.column(column), self._binarizer)
        present = codes.is_valid()
        if not present.true_count:
            return
        vectors = batch.column(column).filter(present) if codes.null_count else batch.column(column)
        floats = None if table.vector_type is None else rows_of_lists(vectors)
        ids = np.asarray(batch.column(self.id_column).filter(present))
        load(connection, table, ids, codes_of(codes.drop_null()), floats)


def report(piece: dict[str, Any], loaded: bool) -> pa.RecordBatch:
    """A batch of `LOADED` with one piece."""
    row = {name: piece[name] for name in PIECES.names} | {"loaded": loaded}
    return pa.RecordBatch.from_pylist([row], LOADED)


@cache
def cached_binarizer(path: str) -> Binarizer:
    """The binarizer of a file, which one worker reads once."""
    return Binarizer.load(path)
