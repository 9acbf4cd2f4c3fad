"""Files of vectors to load, loaders that are killed in the middle, and what must have arrived."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql
from synthetic import clustered, exact_binarizer

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import unpack
from bitryoshka.loading import PieceLoader
from bitryoshka.loading.qdrant import CollectionLoader
from bitryoshka.postgres.server import Connection
from bitryoshka.qdrant import Collection, Server

ROWS, GROUP, FILES = 1200, 150, 2
PER_FILE = ROWS // FILES


def write_files(folder: Path, dimensions: int = 16) -> tuple[list[str], str, Binarizer]:
    """Two files of four row groups each, and a binarizer's file."""
    rows = clustered(0, ROWS, dimensions)
    files = []
    for number in range(FILES):
        part = slice(number * PER_FILE, (number + 1) * PER_FILE)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(rows[part].reshape(-1)), dimensions)
        files.append(str(folder / f"part-{number}.parquet"))
        table = pa.table({"id": np.arange(part.start, part.stop), "emb": lists})
        pq.write_table(table, files[-1], row_group_size=GROUP)
    binarizer = exact_binarizer(1)
    binarizer.save(folder / "b.safetensors")
    return files, str(folder / "b.safetensors"), binarizer


@dataclass(frozen=True, kw_only=True)
class KilledOnce(PieceLoader):
    """Kills its process in the middle of the victim's piece, unless the marker is there."""

    marker: str
    victim: int

    def _copy(self, connection: Connection, table: Any, batch: pa.RecordBatch, column: str) -> None:
        super()._copy(connection, table, batch, column)
        kill_once(self, batch)


@dataclass(frozen=True, kw_only=True)
class CollectionKilledOnce(CollectionLoader):
    """The same, when half of the victim's piece is written."""

    marker: str
    victim: int

    def _write(self, collection: Any, part: pa.RecordBatch, column: str, key: Any) -> int:
        written = 0
        for half in (part.slice(0, len(part) // 2), part.slice(len(part) // 2)):
            written += super()._write(collection, half, column, key)
            kill_once(self, half)
        return written


def kill_once(loader: KilledOnce | CollectionKilledOnce, batch: pa.RecordBatch) -> None:
    if loader.victim in batch.column("id").to_pylist() and not os.path.exists(loader.marker):
        Path(loader.marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)


def check_arrived(connection: Connection, table: str, binarizer: Binarizer) -> None:
    """Every row is there, once, with its code."""
    query = sql.SQL("SELECT id, code::text FROM {} ORDER BY id").format(sql.Identifier(table))
    found = connection.execute(query).fetchall()
    assert [key for key, _ in found] == list(range(ROWS))
    bits = np.unpackbits(binarizer.encode(clustered(0, ROWS, binarizer.dimensions)), axis=1)
    assert [code for _, code in found] == ["".join(map(str, row)) for row in bits]


def check_upserted(collection: Collection[Server]) -> None:
    """Every row is a point with the row's code, once."""
    found = collection.engine.scroll(2 * ROWS, vectors=("bits",))
    assert found.ids == list(range(ROWS))
    codes = collection.binarizer.encode(clustered(0, ROWS, collection.binarizer.dimensions))
    np.testing.assert_array_equal(np.array(found.vectors["bits"]) > 0, unpack(codes))
