"""Codes of other libraries at equal bytes a vector, on the same documents (extra group bench).

Each searches all of its codes for a float query by its own code, and keeps no floats. Not here:
LVQ of scalable-vs (0.5.0), which ends the process with "LVQ and Leanvec functionality of SVS is
not supported on non-Intel hardware", and whose exhaustive index has no code below 8 bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from benchmarks.datasets import Floats, Rows
from benchmarks.faiss_codes import Variant

_THRESHOLDS = (math.nan, 0.1, 0.2)
_RABITQ_BITS = range(1, 10)
_TURBOQUANT_BITS = (2, 3, 4)
_FLOAT = 4


def variants(documents: Floats, queries: Floats, code_bytes: int) -> Iterator[Variant]:
    """Codes of at most ``code_bytes`` bytes; of several settings whoever compares takes the best.

    Bytes are those that a library's search keeps for each vector: codes, norms and factors.
    """
    yield from scann_variants(documents, queries, code_bytes)
    yield from rabitqlib_variants(documents, queries, code_bytes)
    yield from turboquant_variants(documents, queries, code_bytes)


def scann_variants(documents: Floats, queries: Floats, code_bytes: int) -> Iterator[Variant]:
    """Asymmetric hashing of 4 and 8 bits a block, plain and anisotropic (Guo et al., ICML 2020).

    Not partitioned, as its docs/algorithms.md has it for less than 100,000 rows, and not reordered
    by floats. TensorFlow's reference of `ScoreAH` recommends the threshold 0.2. Tables of the query
    hold 8-bit numbers. A saved searcher takes a byte for a block of 4 bits, twice what counts here.
    """
    from scann.scann_ops.py import scann_ops_pybind as scann

    d = documents.shape[1]
    for table, clusters, blocks in (("lut16", 16, 2 * code_bytes), ("lut256", 256, code_bytes)):
        width = -(-d // blocks)
        bits = -(-d // width) * (clusters.bit_length() - 1)
        for threshold in _THRESHOLDS:
            searcher = (
                scann.builder(documents, 10, "dot_product")
                .set_n_training_threads(1)
                .score_ah(width, threshold, hash_type=table)
                .build()
            )

            def search(n: int, searcher: scann.ScannSearcher = searcher) -> Rows:
                return searcher.search_batched(queries, n)[0].astype(np.int64)

            label = f"{table}, blocks of {width}, threshold {threshold}"
            yield Variant("ScaNN AH", label, -(-bits // 8), search, clusters * d * _FLOAT)


def rabitqlib_variants(documents: Floats, queries: Floats, code_bytes: int) -> Iterator[Variant]:
    """RaBitQ of 1 to 9 bits (Gao et al., SIGMOD 2025) by its authors, as many axes as fit.

    The index has one cluster, so that all codes are scanned. It rotates by itself, and differently
    each time: the seed cannot be set, and on a set of 1,400 rows recall moves by up to 0.03.
    """
    import rabitqlib

    mean = documents.mean(axis=0)
    axes = np.linalg.svd((documents - mean).T @ (documents - mean))[0]
    for bits in _RABITQ_BITS:
        kept = _rabitq_dimensions(documents.shape[1], code_bytes, bits)
        if not kept:
            continue
        cut, asked = (np.ascontiguousarray(x @ axes[:, :kept]) for x in (documents, queries))
        index = rabitqlib.IvfIndex(kept, len(cut), 1, bits, metric="ip")
        index.build(cut, cut.mean(axis=0, keepdims=True), np.zeros(len(cut), np.uint32))

        def search(n: int, index: rabitqlib.IvfIndex = index, asked: Floats = asked) -> Rows:
            return index.search(asked, n, nprobe=1, high_accuracy=True)[0].astype(np.int64)

        size = rabitqlib_bytes(kept, bits)
        label = f"{kept} dimensions, {bits} bits"
        yield Variant("rabitqlib", label, size, search, (axes.shape[0] + 1) * kept * _FLOAT)


def rabitqlib_bytes(dimensions: int, bits: int) -> int:
    """Bytes a vector in its file, without the row number: three factors, five for several bits.

    It rounds up to 32 dimensions.
    """
    rounded = -(-dimensions // 32) * 32
    return rounded * bits // 8 + (3 if bits == 1 else 5) * _FLOAT


def _rabitq_dimensions(d: int, code_bytes: int, bits: int) -> int:
    """The most dimensions whose code fits, 0 where none does: it has no rotation below 64."""
    for kept in (d, *range(d // 32 * 32, 0, -32)):
        if kept >= 64 and rabitqlib_bytes(kept, bits) <= code_bytes:
            return kept
    return 0


def turboquant_variants(documents: Floats, queries: Floats, code_bytes: int) -> Iterator[Variant]:
    """turboquant-pro's principal components in 2 to 4 bits, after a random rotation.

    Its ``size_bytes`` are the packed codes and a norm; its search keeps another float, the inverse
    norm of what it decodes, which counts here. Neither its memory, a byte a code, nor its file,
    4 bits for a code of 3, does.
    """
    from turboquant_pro import ADCIndex, PCAMatryoshka

    d = documents.shape[1]
    for bits in _TURBOQUANT_BITS:
        # it packs codes of 3 bits by eights
        kept = min(d, (code_bytes - 2 * _FLOAT) * 8 // bits) // 8 * 8
        if kept < 8:
            continue
        principal = PCAMatryoshka(d, kept)
        principal.fit(documents)
        index = ADCIndex(principal.with_quantizer(bits)).add(documents)

        def search(n: int, index: ADCIndex = index) -> Rows:
            return index.search(queries, n)[0].astype(np.int64)

        size = kept * bits // 8 + 2 * _FLOAT
        label = f"{kept} dimensions, {bits} bits"
        yield Variant("turboquant-pro", label, size, search, (kept + 1) * d * _FLOAT)
