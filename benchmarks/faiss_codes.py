"""FAISS's quantizers at equal bytes a vector, fitted on the same documents (extra group bench)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.datasets import Floats
from benchmarks.judge import Search

_RABITQ_PLANES = (1, 2, 3, 4)


class Variant(NamedTuple):
    """A trained and filled index: its ``family``, a ``label``, its bytes a vector."""

    family: str
    label: str
    code_bytes: int
    search: Search


def variants(
    documents: Floats, queries: Floats, code_bytes: int, seed: int = 0
) -> Iterator[Variant]:
    """OPQ+PQ, RaBitQ and ITQ+LSH with codes of at most ``code_bytes`` bytes.

    RaBitQ keeps correction factors beside its bits (Gao and Long, SIGMOD 2024), which count as
    bytes: it gets the leading principal axes that fit, rotated at random, in every number of bits a
    dimension, and whoever compares takes the best. Queries are floats for OPQ+PQ and RaBitQ,
    signs for LSH, which is all that it has.
    """
    import faiss

    def filled(family: str, label: str, transform: Any, quantizer: Any) -> Variant:
        index = faiss.IndexPreTransform(transform, quantizer)
        index.train(documents)
        index.add(documents)

        def search(n: int, owners: Any = (transform, quantizer)) -> Any:
            return index.search(queries, n)[1].astype(np.int64)

        return Variant(family, label, quantizer.code_size, search)

    d = documents.shape[1]
    if kept := d // code_bytes * code_bytes:
        yield filled("OPQ+PQ", f"OPQ{code_bytes}x8", *_opq(faiss, d, kept, code_bytes))
    for planes in _RABITQ_PLANES:
        kept = _rabitq_dimensions(faiss, d, code_bytes, planes)
        if kept:
            quantizer = faiss.IndexRaBitQ(kept, faiss.METRIC_INNER_PRODUCT, planes)
            quantizer.qb = 0
            rotated = _rotated_axes(faiss, documents, kept, seed)
            yield filled("RaBitQ", f"{kept} dimensions, {planes} bits", rotated, quantizer)
    bits = code_bytes * 8
    itq = faiss.ITQTransform(d, min(bits, d), True)
    # more bits than dimensions: random hyperplanes after the rotation
    lsh = faiss.IndexLSH(min(bits, d), bits, bits > d, False)
    yield filled("ITQ+LSH", f"{bits} bits", itq, lsh)


def _opq(faiss: Any, d: int, kept: int, code_bytes: int) -> tuple[Any, Any]:
    quantizer = faiss.IndexPQ(kept, code_bytes, 8, faiss.METRIC_INNER_PRODUCT)
    inside = faiss.ProductQuantizer(kept, code_bytes, 8)
    for pq in (quantizer.pq, inside):
        # small sets have fewer points than FAISS likes for its 256 centroids, and it would say so
        pq.cp.min_points_per_centroid = 1
    matrix = faiss.OPQMatrix(d, code_bytes, kept)
    matrix.pq = inside
    return matrix, quantizer


def _rabitq_dimensions(faiss: Any, d: int, code_bytes: int, planes: int) -> int:
    """The most dimensions whose code fits, 0 where none does."""
    for kept in range(d // 8 * 8, 0, -8):
        size = faiss.IndexRaBitQ(kept, faiss.METRIC_INNER_PRODUCT, planes).code_size
        if size <= code_bytes:
            return kept
    return 0


def _rotated_axes(faiss: Any, documents: Floats, kept: int, seed: int) -> Any:
    """Principal axes in random rotation, without a shift: a shift of the query would reorder."""
    centred = documents - documents.mean(axis=0)
    axes = np.linalg.svd(centred.T @ centred)[0][:, :kept]
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(kept, kept)))[0]
    transform = faiss.LinearTransform(documents.shape[1], kept, False)
    faiss.copy_array_to_vector((rotation @ axes.T).astype(np.float32).ravel(), transform.A)
    transform.is_trained = True
    return transform
