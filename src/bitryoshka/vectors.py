"""Vectors as they come in: checked, and read block by block so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from mmap import ALLOCATIONGRANULARITY
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.errors import VectorsError

__all__ = [
    "as_vector",
    "blocks",
    "check_values",
    "check_vectors",
    "choose",
    "normalized",
    "renumbered",
]

Floats = NDArray[np.float32]

BLOCK_BYTES = 4 * 2**20
# of a row's length: float32 holds its squares, their sums, and their reciprocals
_SAFE_SQUARES = (np.float32(1e-30), np.float32(1e30))
SHORTEST, LONGEST = 1e-15, 1e15
# what embeddings become in quantizers, by what these call it
_QUANTIZED = {
    "int8": "sentence-transformers' precision='int8' or 'binary', Cohere's int8 or binary",
    "uint8": "sentence-transformers' precision='uint8' or 'ubinary', Cohere's uint8 or ubinary",
    "bool": "the bits of a binary code",
}


def check_vectors(
    vectors: ArrayLike, dimensions: int | None = None, name: str = "vectors"
) -> NDArray[np.number]:
    """Return the input as a two-dimensional numeric array without copying or converting it.

    Integers of 16 bits or more are numbers, as those in Python's lists are. Raises VectorsError if
    it is not ``(N, d)`` with N and d > 0, is not real-valued, is of int8, uint8 or bool, which are
    what quantizers make of embeddings, or d is not ``dimensions``. Values are looked at later,
    block by block.
    """
    array = _as_array(vectors, name)
    _check_mapped(array, name)
    if array.dtype.kind not in "fiub":
        raise VectorsError(f"{name} must hold real numbers, found dtype {array.dtype}")
    if array.dtype.name in _QUANTIZED:
        raise VectorsError(
            f"{name} must be floats, found {array.dtype}, which looks like "
            f"{_QUANTIZED[array.dtype.name]}: give the floats that they were made of, or convert "
            'them with .astype("float32") where each number is meant as it stands'
        )
    if array.ndim != 2:
        raise VectorsError(
            f"{name} must have shape (N, d), found shape {array.shape}"
            + (" (a single vector? pass vector[None])" if array.ndim == 1 else "")
        )
    if array.shape[0] == 0:
        raise VectorsError(f"{name} has no rows, expected at least one")
    if array.shape[1] == 0:
        raise VectorsError(f"{name} has no columns, expected at least one dimension")
    if dimensions is not None and array.shape[1] != dimensions:
        raise VectorsError(f"{name} must have {dimensions} dimensions, found {array.shape[1]}")
    return array


def _as_array(vectors: ArrayLike, name: str) -> NDArray[Any]:
    if np.ma.is_masked(vectors):
        raise VectorsError(f"{name} must have a value everywhere, found a masked array with gaps")
    if isinstance(vectors, np.ndarray):
        return vectors
    if hasattr(vectors, "toarray"):  # SciPy's sparse kinds
        raise VectorsError(f"{name} must be dense, found {type(vectors).__name__}: use toarray()")
    try:
        return np.asarray(vectors)
    except (TypeError, ValueError, RuntimeError) as error:  # tensors without values, or sparse
        raise VectorsError(f"{name} must be a rectangular array of numbers: {error}") from None


def _check_mapped(array: NDArray[Any], name: str = "vectors") -> None:
    """Raise VectorsError for a memory-mapped array whose file has become too short.

    Reading it would end the process.
    """
    mapped = getattr(array, "_mmap", None)
    if not isinstance(array, np.memmap) or mapped is None:
        return
    needed, found = array.offset // ALLOCATIONGRANULARITY * ALLOCATIONGRANULARITY, mapped.size()
    needed += len(mapped)
    if found < needed:
        raise VectorsError(
            f"{name}: the file of this memory-mapped array was cut short while it is read, "
            f"expected {needed} bytes, found {found}"
        )


def _squared_norms(block: Floats, start: int, name: str) -> NDArray[np.floating]:
    """Squared norms of the rows; finds NaN and infinity on the way, at the price of one pass."""
    squares: NDArray[np.floating] = np.einsum("ij,ij->i", block, block)
    low, high = _SAFE_SQUARES
    if not (squares.min() > low and squares.max() < high):  # false for NaN
        finite = np.isfinite(block)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise VectorsError(
                f"{name} must be finite in float32, found {block[row, column]} "
                f"in row {start + row}, column {column}",
                row=int(start + row),
            )
        squares = np.einsum("ij,ij->i", block, block, dtype=np.float64)
    return squares


def _rescale(
    block: Floats, given: NDArray[np.number], squares: NDArray[np.floating]
) -> tuple[Floats, NDArray[np.floating]]:
    """Give rows so long or short that float32 loses them another length; their direction stays."""
    low, high = _SAFE_SQUARES
    odd = np.flatnonzero((squares <= low) | (squares >= high))
    if not len(odd):
        return block, squares
    wide = given[odd].astype(np.float64)
    exponent = np.frexp(np.abs(wide).max(axis=1))[1]
    block, squares = block.copy(), squares.astype(np.float64)
    block[odd] = np.ldexp(wide, -exponent[:, None])
    squares[odd] = np.einsum("ij,ij->i", block[odd], block[odd])
    return block, squares


def blocks(
    vectors: ArrayLike,
    dimensions: int | None = None,
    *,
    norms: bool,
    bounded: bool = False,
    name: str = "vectors",
    block_rows: int | None = None,
) -> Iterator[tuple[slice, Floats, Floats | None]]:
    """Read ``(N, d)`` vectors as float32 blocks: ``(rows, block, norms of the rows or None)``.

    Any dtype that `check_vectors` takes, non-contiguous and memory-mapped arrays are accepted; only
    one block is ever converted. Where ``norms`` are asked for, very long and very short rows come
    with another length, which their norm is. Raises VectorsError at the first NaN or infinity;
    where ``norms`` are asked for, at the first zero vector; where ``bounded``, at the first one
    longer than LONGEST.
    """
    array = check_vectors(vectors, dimensions, name)
    step = block_rows or max(256, BLOCK_BYTES // (4 * array.shape[1]))
    for start in range(0, len(array), step):
        _check_mapped(array, name)
        rows = slice(start, min(start + step, len(array)))
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite: refused below
            block = np.ascontiguousarray(array[rows], np.float32)
        squares = _squared_norms(block, start, name)
        if bounded and squares.max() > LONGEST**2:
            row = int(np.argmax(squares))
            raise VectorsError(
                f"{name} must have a length of at most {LONGEST:g} to be compared by inner "
                f"product, found {np.sqrt(squares[row]):.3g} in row {start + row}",
                row=start + row,
            )
        if not norms:
            yield rows, block, None
            continue
        block, squares = _rescale(block, array[rows], squares)
        if squares.min() == 0:
            row = start + int(np.argmin(squares))
            raise VectorsError(
                f"{name} must be non-zero to be compared by cosine, row {row} is zero", row=row
            )
        yield rows, block, np.sqrt(squares).astype(np.float32, copy=False)


def check_values(vectors: ArrayLike, metric: str, name: str = "vectors") -> None:
    """Raise VectorsError at the first row of ``(N, d)`` that the metric cannot compare."""
    cosine = metric == "cosine"
    for _ in blocks(vectors, norms=cosine, bounded=not cosine, name=name):
        pass


def choose(wanted: str | None, usable: list[str], found: list[str], kind: str) -> str:
    """The one of ``usable`` that is wanted, or the only one; ``found`` describes all in messages.

    Raises VectorsError where there is none, or more than one to choose from.
    """
    described = ", ".join(found) or "none"
    if wanted is not None and wanted not in usable:
        raise VectorsError(f"no {kind} {wanted!r}, found: {described}")
    if wanted is None and len(usable) != 1:
        raise VectorsError(
            f"expected one {kind}, or the name of the one to read, found: {described}"
        )
    return usable[0] if wanted is None else wanted


@contextmanager
def renumbered(numbers: Sequence[Any] | NDArray[np.integer], word: str = "row") -> Iterator[None]:
    """Let errors about rows within name them as ``word`` and ``numbers[row]``.

    For rows that were taken from others, whose own numbers would lead nowhere.
    """
    try:
        yield
    except VectorsError as error:
        if error.row is not None:
            number = numbers[error.row]
            before, _, after = str(error).rpartition(f"row {error.row}")
            error.args = (f"{before}{word} {number}{after}",)
            error.row = int(number) if word == "row" else None
        raise


def normalized(
    vectors: ArrayLike, metric: str, dimensions: int | None = None, name: str = "vectors"
) -> Floats:
    """All rows as one float32 array, each of unit length where the metric is "cosine"."""
    array = check_vectors(vectors, dimensions, name)
    out = np.empty(array.shape, np.float32)
    cosine = metric == "cosine"
    for rows, block, norms in blocks(array, norms=cosine, bounded=not cosine, name=name):
        if norms is None:
            out[rows] = block
        else:
            np.divide(block, norms[:, None], out=out[rows])
    return out


def as_vector(value: Any, dimensions: int) -> NDArray[np.float32]:
    """One vector ``(d,)`` float32 from an array, a list, float32 bytes or pgvector's objects.

    VectorsError for anything else.
    """
    try:
        if isinstance(value, (bytes, bytearray, memoryview)):
            found = np.frombuffer(value, np.float32)
        elif hasattr(value, "to_numpy"):
            found = value.to_numpy()
        else:
            found = np.asarray(value)
    except ValueError as error:
        raise VectorsError(f"expected a vector of {dimensions} numbers: {error}") from error
    if found.shape != (dimensions,) or found.dtype.kind not in "fiu":
        raise VectorsError(
            f"expected a vector of {dimensions} numbers, or {4 * dimensions} bytes of float32, "
            f"found {type(value).__name__} of shape {found.shape} and dtype {found.dtype}"
        )
    check_vectors(found[None], name="the vector")
    with np.errstate(over="ignore"):  # becomes infinite, which encode refuses
        return found.astype(np.float32)
