"""From vectors and queries to the floats that the engine stores and is asked with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import unpack
from bitryoshka.qdrant.engine import PointId
from bitryoshka.qdrant.settings import BITS, Settings, prefix_name
from bitryoshka.vectors import check_vectors, normalized, renumbered

__all__ = ["query_vectors", "stored_points", "stored_vectors"]

Floats = NDArray[np.float32]

_SMALLEST_FLOAT16 = np.float32(2.0**-24)


def stored_vectors(
    binarizer: Binarizer, settings: Settings, vectors: ArrayLike
) -> dict[str, Floats]:
    """The named vectors ``(N, width)`` float32 of ``vectors`` (N, d).

    The engine's bit is 1 where a stored number is > 0: exactly where the code's is. Raises
    VectorsError as `Binarizer.encode` does.
    """
    array = check_vectors(vectors, binarizer.dimensions)
    stored: dict[str, Floats] = {}
    if settings.quantization == "code":
        stored[BITS] = _signs(binarizer.encode(array))
        projected = stored[BITS]
    else:
        projected = stored[BITS] = binarizer.project(array)
        if settings.datatype == "float16":
            # a positive number that float16 rounds to 0 would lose its bit
            np.copyto(projected, _SMALLEST_FLOAT16, where=(projected > 0) & (projected < 2e-7))
    for bits in settings.prefixes:
        stored[prefix_name(bits)] = projected[:, :bits]
    if settings.keep_vectors:
        stored[settings.original] = array.astype(np.float32, copy=False)
    return stored


def stored_points(
    binarizer: Binarizer, settings: Settings, ids: Sequence[PointId], vectors: ArrayLike
) -> dict[str, Floats]:
    """`stored_vectors` of points; a VectorsError names the first whose vector has no code."""
    with renumbered(ids, "point"):
        return stored_vectors(binarizer, settings, np.asarray(vectors, np.float32))


def query_vectors(
    binarizer: Binarizer,
    settings: Settings,
    queries: ArrayLike,
    name: str,
    *,
    quantized: bool = True,
) -> Floats:
    """What vector ``name`` is asked with, ``(Q, width)`` float32, for queries (Q, d).

    Signs for Hamming distance, the weight of each bit for asymmetric scores; for projections ``W
    q``, not centred, whose product with a projected row ranks as <q, x> does. ``quantized``:
    whether the engine compares the quantized vectors, or the floats that it stores.
    """
    if name == settings.original:
        return normalized(queries, binarizer.metric, binarizer.dimensions, "queries")
    if name != BITS:
        return _signs(binarizer.encode_queries(queries))[:, : int(name.rpartition("_")[2])]
    if settings.quantization not in ("binary", "code") or (
        settings.quantization == "binary" and not quantized
    ):
        unit = normalized(queries, binarizer.metric, binarizer.dimensions, "queries")
        projected: Floats = unit @ binarizer.projection.T
        return projected
    if quantized and settings.compares_signs:
        return _signs(binarizer.encode_queries(queries))
    return binarizer.query_weights(queries, settings.width)


def _signs(codes: NDArray[np.uint8]) -> Floats:
    signs = unpack(codes).astype(np.float32)
    signs *= 2
    signs -= 1
    return signs
