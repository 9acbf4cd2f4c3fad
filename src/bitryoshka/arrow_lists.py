"""Columns of vectors in Arrow as matrices of NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bitryoshka.errors import VectorsError
from bitryoshka.vectors import choose

_KINDS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def storage_type(kind: pa.DataType) -> pa.DataType:
    """What an extension type, such as a tensor, is stored as; other types as they are."""
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def is_vectors(kind: pa.DataType) -> bool:
    """Whether a column's type is one of lists of numbers."""
    stored = storage_type(kind)
    if not any(is_kind(stored) for is_kind in _KINDS):
        return False
    return bool(pa.types.is_floating(stored.value_type) or pa.types.is_integer(stored.value_type))


def vector_column(schema: pa.Schema, column: str | None) -> str:
    """The column asked for, or the only one of vectors; VectorsError where there is none.

    Lists of integers, which may be tokens, are vectors where there are none of floats.
    """
    lists = [field for field in schema if is_vectors(field.type)]
    floats = [f for f in lists if pa.types.is_floating(storage_type(f.type).value_type)]
    usable = [f.name for f in (lists if column is not None else floats or lists)]
    found = [f"{field.name} ({field.type})" for field in schema]
    return choose(column, usable, found, "column of number lists")


def is_null(array: pa.Array) -> NDArray[np.bool_]:
    """Which values are null, ``(N,)``."""
    found: NDArray[np.bool_] = array.is_null().to_numpy(zero_copy_only=False)
    return found


def rows_of_lists(lists: pa.Array, width: int | None = None, start: int = 0) -> NDArray[Any]:
    """The lists that are no null as rows ``(N, width)``: a view of the buffer where none is null.

    ``width``: what every list must hold; None: as many numbers as the first. ``start`` counts the
    rows before, for errors. Raises VectorsError for lists of another length and for nulls within.
    """
    if isinstance(lists, pa.ExtensionArray):
        lists = lists.storage
    present = np.flatnonzero(~is_null(lists)) if lists.null_count else None

    def number(row: int) -> int:
        return start + int(row if present is None else present[row])

    width = _checked_width(lists, width, number)
    values = lists.flatten()  # leaves out what lies under nulls, and outside of a slice
    if values.null_count:
        row = number(int(np.argmax(is_null(values))) // width)
        raise VectorsError(f"row {row} has a null in its vector", row=row)
    matrix: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return matrix.reshape(-1, width) if width else matrix.reshape(0, 0)


def _checked_width(lists: pa.Array, width: int | None, number: Callable[[int], int]) -> int:
    if pa.types.is_fixed_size_list(lists.type):
        lengths = np.full(min(1, len(lists) - lists.null_count), lists.type.list_size)
    else:
        lengths = lists.value_lengths().drop_null().to_numpy()
    if not len(lengths):
        return width or 0
    expected = int(lengths[0]) if width is None else width
    if (lengths != expected).any():
        place = int(np.argmax(lengths != expected))
        row = number(place)
        message = f"row {row} has {lengths[place]} numbers, expected {expected}"
        raise VectorsError(message, row=row)
    return expected
