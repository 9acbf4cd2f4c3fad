"""What a load is divided into: row groups of Parquet files, fragments of Lance data sets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from bitryoshka.errors import BitryoshkaError, MissingExtraError, VectorsError
from bitryoshka.vectors import renumbered

BATCH_ROWS = 8192
# batches that Lance reads ahead; many workers share a machine
_AHEAD = 2

PIECES = pa.schema({"file": pa.string(), "number": pa.int32(), "rows": pa.int64()})
"""The columns of `pieces`: a path, the number of a row group or fragment in it, its rows."""


def pieces(files: Iterable[str | os.PathLike[str]]) -> pa.Table:
    """Every row group of Parquet files, every fragment of Lance data sets, a row each (`PIECES`).

    A path that ends in ``.lance`` is that of a data set, as LanceDB keeps each table in one; it
    needs the extra ``lance``. Of files the footers alone are read. What has no rows is left out.
    The same files give the same pieces: that is what lets a load be resumed.
    """
    found = [
        {"file": path, "number": number, "rows": rows}
        for path in [os.fspath(file) for file in files]
        for number, rows in (_fragments(path) if _is_lance(path) else _row_groups(path))
        if rows
    ]
    return pa.Table.from_pylist(found, PIECES)


class Opened(NamedTuple):
    """A piece that can be read: what columns there are, and ``read(columns)``, its batches."""

    schema: pa.Schema
    read: Callable[[list[str]], Iterator[pa.RecordBatch]]

    def batches(self, columns: Iterable[str]) -> Iterator[pa.RecordBatch]:
        """Batches of these columns; VectorsError for one that is not there."""
        wanted = list(dict.fromkeys(columns))
        for column in wanted:
            if column not in self.schema.names:
                raise VectorsError(f"no column {column!r}, found: {', '.join(self.schema.names)}")
        return self.read(wanted)


@contextmanager
def opened(piece: Mapping[str, Any]) -> Iterator[Opened]:
    """Open a piece; VectorsError where it has not the rows that it was listed with."""
    file, number = piece["file"], piece["number"]
    if _is_lance(file):
        data = _dataset(file)
        fragment = data.get_fragment(number)
        _check_rows(piece, 0 if fragment is None else fragment.count_rows())
        yield Opened(
            data.schema,
            lambda columns: fragment.to_batches(
                columns=columns, batch_size=BATCH_ROWS, batch_readahead=_AHEAD
            ),
        )
        return
    with pq.ParquetFile(file) as parquet:
        metadata = parquet.metadata
        known = number < metadata.num_row_groups
        _check_rows(piece, metadata.row_group(number).num_rows if known else 0)
        yield Opened(
            parquet.schema_arrow,
            lambda columns: parquet.iter_batches(BATCH_ROWS, [number], columns),
        )


def name_of(piece: Mapping[str, Any]) -> str:
    """What ledgers and errors call it."""
    return f"{piece['file']}#{piece['number']}"


@contextmanager
def named(piece: str, rows: Any) -> Iterator[None]:
    """Let errors within name the piece; those about vectors also their row, ``rows[row]``."""
    try:
        with renumbered(rows):
            yield
    except VectorsError as error:
        raise VectorsError(f"{piece}: {error}", error.row) from error
    except BitryoshkaError as error:
        error.add_note(f"while piece {piece} was loaded")
        raise


def _check_rows(piece: Mapping[str, Any], found: int) -> None:
    if found != piece["rows"]:
        raise VectorsError(f"piece {name_of(piece)} has {found} rows, expected {piece['rows']}")


def _row_groups(path: str) -> Iterator[tuple[int, int]]:
    metadata = pq.read_metadata(path)
    for number in range(metadata.num_row_groups):
        yield number, metadata.row_group(number).num_rows


def _fragments(path: str) -> Iterator[tuple[int, int]]:
    for fragment in _dataset(path).get_fragments():
        yield fragment.fragment_id, fragment.count_rows()


def _is_lance(path: str) -> bool:
    return path.rstrip("/").endswith(".lance")


def _dataset(path: str) -> Any:
    try:
        import lance
    except ImportError as error:
        raise MissingExtraError(f"reading {path}", "lance") from error
    return lance.dataset(path)
