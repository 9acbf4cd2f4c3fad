"""The ways of keeping vectors that are compared: Qdrant's own quantizers, and ours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from bitryoshka.binarizer import Binarizer
from bitryoshka.qdrant.config import TURBO, quantization_config
from bitryoshka.qdrant.measuring import Way
from bitryoshka.qdrant.representation import query_vector, stored_vectors
from bitryoshka.qdrant.settings import BITS, Quantization, Settings

__all__ = ["our_way", "our_ways", "plain_ways", "turbo_way"]

Floats = NDArray[np.float32]

_ENCODINGS = models.BinaryQuantizationEncoding
_QUERIES = models.BinaryQuantizationQueryEncoding
_BINARY = {
    "1-bit BQ": (_ENCODINGS.ONE_BIT, _QUERIES.BINARY),
    "1-bit BQ, 8-bit query": (_ENCODINGS.ONE_BIT, _QUERIES.SCALAR8BITS),
    "1.5-bit BQ, 8-bit query": (_ENCODINGS.ONE_AND_HALF_BITS, _QUERIES.SCALAR8BITS),
    "2-bit BQ, 8-bit query": (_ENCODINGS.TWO_BITS, _QUERIES.SCALAR8BITS),
}
_TURBO_NAMES = {"turbo1": "1", "turbo1_5": "1.5", "turbo2": "2", "turbo4": "4", "turbo8": "8"}


def plain_ways() -> list[Way]:
    """Qdrant's quantizers on the vectors as they are."""
    ways = []
    for label, (encoding, asked) in _BINARY.items():
        chosen = models.BinaryQuantizationConfig(
            encoding=encoding, query_encoding=asked, memory=models.Memory.PINNED
        )
        ways.append(Way(label, models.BinaryQuantization(binary=chosen), _same, _same))
    return ways + [turbo_way(name) for name in ("turbo1", "turbo1_5", "turbo2", "turbo4")]


def turbo_way(name: str) -> Way:
    """One of `TURBO` on the vectors as they are."""
    turbo = models.TurboQuantQuantizationConfig(bits=TURBO[name], memory=models.Memory.PINNED)
    quantization = models.TurboQuantization(turbo=turbo)
    return Way(f"TurboQuant {_TURBO_NAMES[name]} bits", quantization, _same, _same)


def _same(vectors: Floats) -> Floats:
    return vectors


def our_way(binarizer: Binarizer, label: str = "", **chosen: Any) -> Way:
    """A binarizer's codes, kept as `collection_config` with these choices would keep them."""
    settings = Settings.of(binarizer, exact=False, **chosen)
    return Way(
        label or our_label(binarizer, settings),
        quantization_config(settings),
        lambda rows: stored_vectors(binarizer, settings, rows)[BITS],
        lambda queries: query_vector(binarizer, settings, queries, BITS),
    )


def our_label(binarizer: Binarizer, settings: Settings) -> str:
    """Which of a binarizer's codes this is, and how it is asked."""
    kind: Quantization = settings.quantization
    if kind in _TURBO_NAMES:
        return f"projected to {binarizer.hamming_bits}, TurboQuant {_TURBO_NAMES[kind]} bits"
    asked = "Hamming" if settings.query_encoding == "binary" else "8-bit query"
    return f"ours {settings.width} bits, {asked}"


def our_ways(binarizer: Binarizer) -> list[Way]:
    """A binarizer's code at every prefix of Hamming bits, and at every longer cut."""
    ways = []
    for bits in binarizer.nested_bits:
        cut = binarizer.truncate(bits)
        if bits <= binarizer.hamming_bits:
            ways.append(our_way(cut, query_encoding="binary"))
            ways.append(our_way(cut))
        else:
            ways.append(our_way(cut, quantization="code"))
    return ways
