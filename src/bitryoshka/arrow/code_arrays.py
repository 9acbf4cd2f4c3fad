"""Packed codes as Arrow arrays, and back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from bitryoshka.arrow_lists import is_null, rows_of_lists
from bitryoshka.bits import check_codes
from bitryoshka.errors import BitsError, VectorsError
from bitryoshka.kinds import check_kind


def code_array(codes: ArrayLike) -> pa.FixedSizeBinaryArray:
    """Codes ``(N, bits/8)`` uint8 as ``fixed_size_binary(bits/8)``, over the same memory.

    Codes that do not lie row after row in memory are copied. Raises BitsError for what is no
    array of codes.

    >>> code_array(np.array([[66, 49]], np.uint8)).to_pylist()
    [b'B1']
    """
    rows = np.ascontiguousarray(check_codes(codes))
    kind = pa.binary(rows.shape[1])
    return pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(rows)])


def codes_of(column: pa.Array | pa.ChunkedArray) -> NDArray[np.uint8]:
    """The codes ``(N, bits/8)`` uint8 of a column: a view of its memory.

    The column is ``fixed_size_binary``, binary whose values have one length, which is how DuckDB
    gives codes back, or lists of uint8 (LanceDB). Only where a chunked array has several chunks are
    they copied, into one array. Raises BitsError for other types, other lengths and nulls, and
    OptionError for what is no array of Arrow's.

    >>> codes_of(code_array(np.array([[129, 7]], np.uint8)))
    array([[129,   7]], dtype=uint8)
    """
    check_kind(column, (pa.Array, pa.ChunkedArray), "a pyarrow Array or ChunkedArray of codes")
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks != 1:
            return np.concatenate([_codes(a) for a in column.chunks or [_empty(column.type)]])
        column = column.chunk(0)
    return _codes(column)


def byte_lists(column: pa.Array) -> pa.FixedSizeListArray:
    """Codes of any such column as lists of uint8, over the same memory: what LanceDB compares."""
    codes = codes_of(column)
    return pa.FixedSizeListArray.from_arrays(pa.array(codes.reshape(-1)), codes.shape[1])


def _empty(kind: pa.DataType) -> pa.Array:
    return pa.array([], kind)


def _codes(column: pa.Array) -> NDArray[np.uint8]:
    if column.null_count:
        row = int(np.argmax(is_null(column)))
        raise BitsError(f"row {row} has no code (null): leave such rows out before")
    kind = column.type
    if pa.types.is_fixed_size_binary(kind):
        width = kind.byte_width
        return _bytes_from(column.buffers()[1], width * column.offset, width, len(column))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        offset_type = np.dtype(np.int32 if pa.types.is_binary(kind) else np.int64)
        _, places, data = column.buffers()
        if not len(column):
            raise BitsError("binary of any length tells no number of bits where it has no rows")
        starts = np.frombuffer(places, offset_type)[column.offset :][: len(column) + 1]
        lengths = np.diff(starts)
        if (lengths != lengths[0]).any():
            row = int(np.argmax(lengths != lengths[0]))
            raise BitsError(f"row {row} has {lengths[row]} bytes, expected {lengths[0]}")
        return _bytes_from(data, int(starts[0]), int(lengths[0]), len(column))
    if pa.types.is_fixed_size_list(kind) and pa.types.is_uint8(kind.value_type):
        try:
            return check_codes(rows_of_lists(column, kind.list_size).reshape(-1, kind.list_size))
        except VectorsError as error:
            raise BitsError(str(error)) from error
    raise BitsError(
        f"expected codes as fixed_size_binary, binary or lists of uint8 of one length, found {kind}"
    )


def _bytes_from(buffer: pa.Buffer, start: int, width: int, rows: int) -> NDArray[np.uint8]:
    if not width:
        raise BitsError("expected codes of at least one byte, found empty ones")
    if not rows:
        return np.empty((0, width), np.uint8)
    return np.frombuffer(buffer, np.uint8, rows * width, start).reshape(rows, width)
