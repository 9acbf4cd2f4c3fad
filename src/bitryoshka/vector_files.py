"""Embeddings from files: .npy, .npz, .parquet, .jsonl and .jsonl.gz."""

from __future__ import annotations

import gzip
import json
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitryoshka.errors import FileFormatError, MissingExtraError, VectorsError
from bitryoshka.limits import UNPACKED_BYTES, UNPACKED_TIMES
from bitryoshka.vectors import check_vectors, choose

__all__ = ["read_vectors"]

Vectors = NDArray[np.number]

DEFAULT_KEYS = ("vector", "embedding")


def read_vectors(
    path: str | os.PathLike[str], column: str | None = None, *, max_bytes: int | None = None
) -> Vectors:
    """Read vectors ``(N, d)`` from a file; the extension says what it is.

    * ``.npy``: memory-mapped, so that a file larger than memory can be streamed. While it is in
      use it may be replaced by another file of its name, but not be overwritten: the operating
      system ends a process that reads what is no longer there.
    * ``.npz``: the array called ``column``, or the only one.
    * ``.parquet``: the list or fixed-size-list column called ``column``, or the only one of floats
      or, where there is none, of integers. Needs pyarrow, which the extra ``arrow`` brings.
    * ``.jsonl``, ``.jsonl.gz``: one JSON value a line, either a list of numbers or an object that
      has one under the key ``column`` ("vector" or "embedding" if None). Blank lines are skipped.

    The dtype is the file's, float32 for JSON, whose integers are numbers as others are. int8, uint8
    and bool are refused: they are what quantizers make of embeddings; ``numpy.load(path)`` and
    ``.astype("float32")`` take them as they stand. Values are not looked at: NaN and infinity are
    found where the vectors are used. Nothing in a file is ever executed: pickled objects are
    refused.

    ``max_bytes``: what a compressed file may unpack to; None: 1 GiB, or 20 times the file's size
    where that is more.

    Raises:
        FileNotFoundError: no such file.
        FileFormatError: another extension, a damaged file, rows of different lengths, no such
            column, a compressed file that unpacks to more than it may.
        VectorsError: the array is not ``(N, d)`` or does not hold floats or wider integers.
        MissingExtraError: a parquet file without pyarrow.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such file")
    reader = next((read for end, read in _READERS.items() if file.name.lower().endswith(end)), None)
    if reader is None:
        raise FileFormatError(f"{file}: expected a file called {', '.join(_READERS)}")
    if not file.is_file():
        raise FileFormatError(f"{file}: expected a file, found a directory or device")
    file.open("rb").close()  # a file that may not be read is not a damaged one
    room = _Room(file, max_bytes)
    return check_vectors(reader(file, column, room), name=str(file))


class _Room:
    """What a file may unpack to: checked before it is unpacked where its header tells."""

    def __init__(self, file: Path, limit: int | None) -> None:
        self.file = file
        size = file.stat().st_size
        self.limit = max(UNPACKED_BYTES, UNPACKED_TIMES * size) if limit is None else limit

    def check(self, found: int) -> None:
        """Raise FileFormatError where that many bytes are too many."""
        if found > self.limit:
            raise FileFormatError(
                f"{self.file} unpacks to {found} bytes or more, expected at most {self.limit}: "
                "max_bytes of read_vectors allows more, and a .npy needs no unpacking"
            )


# all that NumPy lets out of a header that is not one
_HEADER_ERRORS = (
    EOFError,
    OverflowError,
    RecursionError,
    SyntaxError,
    TokenError,
    TypeError,
    ValueError,
)


def _read_npy(file: Path, column: str | None, _: _Room) -> Vectors:
    """Header and numbers come from one opened file: it may be replaced meanwhile."""
    if column is not None:
        raise FileFormatError(f"{file}: a .npy file has no columns, found column={column!r}")
    try:
        with file.open("rb") as stream:
            shape, fortran, dtype = _npy_header(stream, os.fstat(stream.fileno()).st_size)
            array: Vectors = np.memmap(
                stream, dtype, "r", stream.tell(), shape, "F" if fortran else "C"
            )
    except _HEADER_ERRORS as error:
        raise FileFormatError(
            f"{file} is truncated, holds objects or is no .npy file: {error}"
        ) from error
    return array


def _npy_header(stream: Any, size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and dtype; the numbers are what follows, ``size`` in all."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its format version is {version}")
    # 3 is 2 but for the names of fields, which vectors do not have
    read = np.lib.format
    header = read.read_array_header_1_0 if version == (1, 0) else read.read_array_header_2_0
    shape, fortran, dtype = header(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    needed = stream.tell() + math.prod(shape) * dtype.itemsize
    if size < needed:
        raise ValueError(f"expected {needed} bytes by its header, found {size}")
    return shape, fortran, dtype


_ZIP_ERRORS = (
    *_HEADER_ERRORS,
    OSError,  # a seek to nowhere
    RuntimeError,  # encrypted, or a zip feature that is not known
    zipfile.BadZipFile,
    zlib.error,
)


def _read_npz(file: Path, column: str | None, room: _Room) -> Vectors:
    try:
        with file.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            names = {name.removesuffix(".npy"): name for name in archive.namelist()}
            found = list(names)
            member = names[choose(column, found, found, "array")]
            size = archive.getinfo(member).file_size
            room.check(size)
            with archive.open(member) as content:
                _npy_header(content, size)
                content.seek(0)
                array: Vectors = np.lib.format.read_array(content, allow_pickle=False)
    except FileFormatError:
        raise
    except VectorsError as error:
        raise FileFormatError(f"{file}: {error}") from error
    except _ZIP_ERRORS as error:
        raise FileFormatError(
            f"{file} is truncated, holds objects or is no .npz file: {error}"
        ) from error
    return array


def _read_parquet(file: Path, column: str | None, room: _Room) -> Vectors:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("a .parquet file", "arrow") from error
    from bitryoshka.arrow_lists import is_null, rows_of_lists, storage_type, vector_column

    try:
        with pq.ParquetFile(file) as parquet:
            name = vector_column(parquet.schema_arrow, column)
            kind = storage_type(parquet.schema_arrow.field(name).type)
            room.check(_parquet_bytes(parquet.metadata, name, kind.value_type.bit_width))
            parts: list[Vectors] = []
            rows = size = 0
            for batch in parquet.iter_batches(columns=[name]):
                lists = batch.column(0)
                if lists.null_count:
                    missing = rows + int(np.argmax(is_null(lists)))
                    raise FileFormatError(f"{file}: row {missing} has no vector (null)")
                width = parts[0].shape[1] if parts else None
                parts.append(rows_of_lists(lists, width, rows))
                rows += len(parts[-1])
                size += parts[-1].nbytes
                room.check(size)
    except FileFormatError:
        raise
    except VectorsError as error:
        raise FileFormatError(f"{file}: {error}") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FileFormatError(f"{file} is truncated or no .parquet file: {error}") from error
    return np.concatenate(parts) if parts else np.empty((0, 1), np.float32)


def _parquet_bytes(metadata: Any, name: str, number_bits: int) -> int:
    """What a column of lists takes in memory, by the file's own account."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    chunks = [group.column(j) for group in groups for j in range(group.num_columns)]
    values = sum(c.num_values for c in chunks if c.path_in_schema.startswith(f"{name}."))
    return int(values * number_bits // 8)


def _read_jsonl(file: Path, column: str | None, room: _Room) -> Vectors:
    rows: list[NDArray[np.float32]] = []
    for number, line in _lines(file, room):
        vector = _json_vector(f"{file}, line {number}", line, column)
        if rows and len(vector) != len(rows[0]):
            raise FileFormatError(
                f"{file}, line {number}: found {len(vector)} numbers, "
                f"expected {len(rows[0])} as in the lines before"
            )
        rows.append(vector)
    return np.stack(rows) if rows else np.empty((0, 1), np.float32)


def _lines(file: Path, room: _Room) -> Iterator[tuple[int, str]]:
    """Numbered lines, from 1, that are not blank."""
    zipped = file.name.lower().endswith(".gz")
    number = size = 0
    try:
        with gzip.open(file, "rb") if zipped else file.open("rb") as stream:
            while line := stream.readline(room.limit + 1 - size if zipped else -1):
                number, size = number + 1, size + len(line)
                if zipped:
                    room.check(size)
                if line.strip():
                    yield number, line.decode()
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{file}, line {number} is no UTF-8 text: {error}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FileFormatError(
            f"{file} is truncated or no gzip file, after line {number}: {error}"
        ) from error


def unzipped(file: Path) -> bytes:
    """The content of a gzip file, as long as it is not more than one may unpack to."""
    room = _Room(file, None)
    with gzip.open(file, "rb") as stream:
        content = stream.read(room.limit + 1)
    room.check(len(content))
    return content


def _json_vector(place: str, line: str, column: str | None) -> NDArray[np.float32]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{place} is no JSON: {error}") from error
    if isinstance(value, dict):
        keys = DEFAULT_KEYS if column is None else (column,)
        key = next((key for key in keys if key in value), None)
        if key is None:
            wanted = " or ".join(repr(key) for key in keys)
            raise FileFormatError(f"{place} has no key {wanted}, found: {', '.join(value)}")
        value = value[key]
    elif column is not None:
        raise FileFormatError(f"{place}: expected an object with the key {column!r}, found a list")
    try:
        array = np.asarray(value) if isinstance(value, list) else np.empty(0, np.object_)
    except ValueError:
        array = np.empty(0, np.object_)
    if array.dtype.kind not in "fiu" or array.ndim != 1 or not len(array):
        raise FileFormatError(f"{place}: expected a list of numbers, found {str(value)[:40]}")
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


_READERS: dict[str, Callable[[Path, str | None, _Room], Vectors]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".jsonl.gz": _read_jsonl,
}
