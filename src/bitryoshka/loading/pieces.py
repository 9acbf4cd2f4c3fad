"""What a load is divided into: row groups of Parquet files."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

PIECES = pa.schema({"file": pa.string(), "row_group": pa.int32(), "rows": pa.int64()})
"""The columns of `pieces`: a file's path, the number of a row group in it, its rows."""


def pieces(files: Iterable[str | os.PathLike[str]]) -> pa.Table:
    """Every row group of the files that has rows, a row each (`PIECES`); reads their footers alone.

    The same files give the same pieces: that is what lets a load be resumed.
    """
    found = []
    for file in files:
        path = os.fspath(file)
        metadata = pq.read_metadata(path)
        for number in range(metadata.num_row_groups):
            if rows := metadata.row_group(number).num_rows:
                found.append({"file": path, "row_group": number, "rows": rows})
    return pa.Table.from_pylist(found, PIECES)
