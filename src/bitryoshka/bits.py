"""Packed binary codes: the one format used inside this package.

A code of ``bits`` bits is a row of ``bits / 8`` bytes, dtype uint8, most significant
bit first: what ``numpy.packbits`` makes and what a Postgres ``bit(n)`` holds on the wire.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.errors import BitsError
from bitryoshka.limits import MAX_BITS

__all__ = ["QueryPlanes", "bit_text", "hamming", "pack", "prefix", "query_planes", "unpack"]


def check_bits(bits: int, name: str = "bits") -> int:
    """Return ``bits`` as an int if it is a multiple of 8 up to MAX_BITS; BitsError otherwise."""
    if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)):
        raise BitsError(f"{name} must be an integer, found {bits!r}")
    if bits <= 0 or bits % 8:
        raise BitsError(f"{name} must be a positive multiple of 8, found {bits}")
    if bits > MAX_BITS:
        raise BitsError(f"{name} must be at most {MAX_BITS}, found {bits}")
    return int(bits)


def check_codes(codes: ArrayLike, name: str = "codes") -> NDArray[np.uint8]:
    """Return ``codes`` as a two-dimensional uint8 array; raise BitsError for anything else."""
    array = np.asarray(codes)
    if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] == 0:
        raise BitsError(
            f"{name} must be packed codes of shape (N, bits/8) and dtype uint8, "
            f"found shape {array.shape} and dtype {array.dtype}"
        )
    return array


def pack(values: ArrayLike) -> NDArray[np.uint8]:
    """Pack booleans ``(N, bits)`` into codes ``(N, bits/8)``, most significant bit first.

    Raises BitsError if the array is not boolean (or 0/1 integers), not two-dimensional,
    or its width is not a multiple of 8.

    >>> pack([[1, 0, 0, 0, 0, 0, 0, 1]])
    array([[129]], dtype=uint8)
    """
    array = np.asarray(values)
    if array.ndim != 2:
        raise BitsError(f"expected a two-dimensional array of booleans, found {array.ndim} axes")
    if array.dtype != np.bool_:
        if array.dtype.kind not in "iu" or np.any((array != 0) & (array != 1)):
            raise BitsError(f"expected booleans or the integers 0 and 1, found {array.dtype}")
        array = array.astype(np.bool_)
    check_bits(array.shape[1], "the number of columns")
    return np.packbits(array, axis=1)


def unpack(codes: ArrayLike) -> NDArray[np.bool_]:
    """Unpack codes ``(N, bits/8)`` into booleans ``(N, bits)``: the inverse of `pack`.

    >>> unpack(np.array([[129]], dtype=np.uint8)).astype(int)
    array([[1, 0, 0, 0, 0, 0, 0, 1]])
    """
    return np.unpackbits(check_codes(codes), axis=1).view(np.bool_)


def bit_text(code: NDArray[np.uint8]) -> str:
    """One code ``(bits/8,)`` as its characters 0 and 1, which Postgres reads.

    >>> bit_text(np.array([129], dtype=np.uint8))
    '10000001'
    """
    digits: NDArray[np.uint8] = np.unpackbits(code) + np.uint8(ord("0"))
    return digits.tobytes().decode("ascii")


def packed_row(value: Any, bits: int) -> NDArray[np.uint8]:
    """One code as a read-only packed row; BitsError where it is no code of so many bits."""
    if isinstance(value, str):
        if set(value) <= {"0", "1"} and len(value) == bits:
            return _from_bytes(int(value, 2).to_bytes(bits // 8, "big"))
        raise BitsError(f"expected {bits} characters 0 or 1, found {len(value)}: {value[:40]!r}")
    if hasattr(value, "to_binary"):  # pgvector.Bit: its length, then its bytes
        return packed_row(value.to_text(), bits)
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = np.frombuffer(value, np.uint8)
    if isinstance(value, np.ndarray) and value.ndim == 1:
        if value.dtype == np.bool_ and len(value) == bits:
            return _from_bytes(pack(value[None]).tobytes())
        if value.dtype == np.uint8 and len(value) == bits // 8:
            return _from_bytes(value.tobytes())
        found = f"{value.dtype} of shape {value.shape}"
    else:
        found = f"{type(value).__name__} of shape {np.shape(value)}"
    raise BitsError(
        f"expected a code of {bits} bits, which is {bits // 8} bytes, uint8 ({bits // 8},) or bool "
        f"({bits},), found {found}"
    )


def _from_bytes(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


def prefix(codes: ArrayLike, bits: int) -> NDArray[np.uint8]:
    """The first ``bits`` bits of each code, as a view where NumPy can give one.

    Raises BitsError if ``bits`` is not a multiple of 8 or longer than the codes.

    >>> prefix(np.array([[1, 2, 3]], dtype=np.uint8), 16)
    array([[1, 2]], dtype=uint8)
    """
    array = check_codes(codes)
    width = check_bits(bits) // 8
    if width > array.shape[1]:
        raise BitsError(f"codes have {array.shape[1] * 8} bits, found a request for {bits}")
    return array[:, :width]


def words(codes: NDArray[np.uint8]) -> list[NDArray[Any]]:
    """Columns of the codes as the widest unsigned integers that fit, for popcounts."""
    columns: list[NDArray[Any]] = []
    start, width = 0, codes.shape[1]
    for size, dtype in ((8, np.uint64), (4, np.uint32), (2, np.uint16), (1, np.uint8)):
        while width - start >= size:
            chunk = np.ascontiguousarray(codes[:, start : start + size])
            columns.append(chunk.view(dtype)[:, 0])
            start += size
    return columns


def hamming(a: ArrayLike, b: ArrayLike) -> NDArray[np.int32]:
    """Hamming distances ``(len(a), len(b))`` between two sets of codes, in differing bits.

    The whole matrix is made: for the nearest rows of a large set use
    `bitryoshka.evaluation.hamming_topk`, which works block by block.

    >>> hamming(np.array([[0b1100]], dtype=np.uint8), np.array([[0b1010]], dtype=np.uint8))
    array([[2]], dtype=int32)
    """
    left, right = check_codes(a, "a"), check_codes(b, "b")
    if left.shape[1] != right.shape[1]:
        raise BitsError(
            f"codes must have equal lengths, found {left.shape[1] * 8} and "
            f"{right.shape[1] * 8} bits"
        )
    total = np.zeros((len(left), len(right)), np.int32)
    for x, y in zip(words(left), words(right), strict=True):
        total += np.bitwise_count(x[:, None] ^ y[None, :])
    return total


class QueryPlanes(NamedTuple):
    """Integer query weights as packed bit planes, see `query_planes`.

    ``planes``: ``(Q, P, bits/8)`` uint8, the most significant plane first.
    ``scale``: ``(Q,)`` float32, the weight of one unit.
    """

    planes: NDArray[np.uint8]
    scale: NDArray[np.float32]


def query_planes(weights: ArrayLike, planes: int = 8) -> QueryPlanes:
    """Round query weights ``(Q, bits)`` to odd integers and split those into bit planes.

    Weight ``w_i`` becomes ``scale * sum_p 2^(P-1-p) * (2 c_pi - 1)``, so the score of a row
    with bits ``b`` is, up to rounding, ``scale * sum_p 2^(P-1-p) * (bits - 2 * H(b, c_p))`` with
    the Hamming distance H. A database that has a Hamming operator for bit strings can thus
    score a float query against stored bits with no other arithmetic: the smaller
    ``sum_p 2^(P-1-p) * H(b, c_p)``, the better the row. (The query is split into bit planes as
    for bit-serial dot products in RaBitQ, Gao and Long, SIGMOD 2024, section 3.3.)

    The rounding error of a weight is at most ``max(abs(w)) / (2^P - 1)``.
    """
    array = np.asarray(weights, np.float32)
    if array.ndim != 2:
        raise BitsError(f"expected weights of shape (Q, bits), found shape {array.shape}")
    check_bits(array.shape[1], "the number of weights")
    if not 1 <= planes <= 16:
        raise BitsError(f"the number of planes must be between 1 and 16, found {planes}")
    top = 2**planes - 1
    scale = np.abs(array).max(axis=1, keepdims=True) / np.float32(top)
    unit = np.where(scale > 0, scale, np.float32(1))
    # odd integers in [-top, top] as levels 0 .. top
    level = np.clip(np.floor(array / (2 * unit) + 2 ** (planes - 1)), 0, top).astype(np.uint16)
    shifts = np.arange(planes - 1, -1, -1, dtype=np.uint16)
    spread = (level[:, None, :] >> shifts[None, :, None]) & 1
    return QueryPlanes(np.packbits(spread.astype(np.bool_), axis=2), scale[:, 0])


def largest_scores(planes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The largest score ``(Q,)`` that any code has for `query_planes` (Q, P, bits/8), in units.

    It is the score of the first plane as a code: the sum of the absolute integer weights.
    """
    steps = 1 << np.arange(planes.shape[1], dtype=np.int64)[::-1]
    signs = 2 * np.unpackbits(planes, axis=2).astype(np.int64) - 1
    found: NDArray[np.int64] = np.abs(np.einsum("p,qpb->qb", steps, signs)).sum(axis=1)
    return found
