"""FAISS's quantizers at equal bytes a vector, fitted on the same documents (extra group bench)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from benchmarks.datasets import Floats
from benchmarks.judge import Search, score_search

_PLANES = (1, 2, 3, 4)
_CENTROIDS = 256
_LSQ_CODEBOOKS = 8
# FAISS's own 25 and 8 take six times as long: recall on WikiQA at 24 bytes is 0.797 and not 0.771,
# on unseen documents the same 0.647
_LSQ_ROUNDS = 3
_LSQ_SEARCHES = 4


class Variant(NamedTuple):
    """A trained and filled index: its ``family``, a ``label``, its bytes a vector.

    ``shared_bytes`` are what all vectors have in common, codebooks and rotations, in all.
    """

    family: str
    label: str
    code_bytes: int
    search: Search
    shared_bytes: int


def variants(
    documents: Floats, queries: Floats, code_bytes: int, seed: int = 0
) -> Iterator[Variant]:
    """OPQ+PQ, RaBitQ, EDEN, ITQ+LSH, RQ and LSQ with codes of at most ``code_bytes`` bytes.

    RaBitQ (Gao and Long, SIGMOD 2024) and EDEN (Vargaftik et al., ICML 2022) keep factors beside
    their bits, which count as bytes: they get the leading principal axes that fit, rotated at
    random, in every number of bits a dimension and by either scale of EDEN's, and whoever compares
    takes the best. Queries are floats for all but LSH, which has only signs.

    RQ and LSQ (FAISS's wiki, "Additive quantizers") add up one of 256 vectors for each byte and are
    searched by look-up table, without norms: RQ with FAISS's beam of 5, LSQ trained in 3 rounds of
    4 searches. Their codebooks can hold more numbers than a small set's floats, and then know its
    documents by heart: ``unseen documents`` has either half coded by what the other half fitted.
    That is no estimate for large sets: LSQ solves for 2,048 vectors a part, and is worst where a
    half has about as many rows.
    """
    import faiss

    def filled(family: str, label: str, quantizer: Any, transform: Any = None) -> Variant:
        index = faiss.IndexPreTransform(transform, quantizer) if transform else quantizer
        index.train(documents)
        index.add(documents)

        def search(n: int, owners: Any = (transform, quantizer)) -> Any:
            return index.search(queries, n)[1].astype(np.int64)

        shared = faiss.serialize_index(index).nbytes - len(documents) * quantizer.code_size
        return Variant(family, label, quantizer.code_size, search, shared)

    d = documents.shape[1]
    if kept := d // code_bytes * code_bytes:
        yield filled("OPQ+PQ", f"OPQ{code_bytes}x8", *_opq(faiss, d, kept, code_bytes))
    for family, kind, make in _scalar_quantizers(faiss):
        if kept := _most_dimensions(make, d, code_bytes):
            rotated = _rotated_axes(faiss, documents, kept, seed)
            yield filled(family, f"{kept} dimensions, {kind}", make(kept), rotated)
    bits = code_bytes * 8
    itq = faiss.ITQTransform(d, min(bits, d), True)
    # more bits than dimensions: random hyperplanes after the rotation
    lsh = faiss.IndexLSH(min(bits, d), bits, bits > d, False)
    yield filled("ITQ+LSH", f"{bits} bits", lsh, itq)
    for family, label, codebooks, make in _additive_quantizers(faiss, d, code_bytes):
        yield (seen := filled(family, label, make())._replace(shared_bytes=codebooks))
        if len(documents) >= 2 * _CENTROIDS:
            unseen = score_search(queries, _decoded_unseen(make, documents, seed))
            yield seen._replace(family=f"{family}, unseen documents", search=unseen)


def _opq(faiss: Any, d: int, kept: int, code_bytes: int) -> tuple[Any, Any]:
    quantizer = faiss.IndexPQ(kept, code_bytes, 8, faiss.METRIC_INNER_PRODUCT)
    inside = faiss.ProductQuantizer(kept, code_bytes, 8)
    for pq in (quantizer.pq, inside):
        # small sets have fewer points than FAISS likes for its 256 centroids, and it would say so
        pq.cp.min_points_per_centroid = 1
    matrix = faiss.OPQMatrix(d, code_bytes, kept)
    matrix.pq = inside
    return quantizer, matrix


def _scalar_quantizers(faiss: Any) -> Iterator[tuple[str, str, Callable[[int], Any]]]:
    """Family, kind, and a maker for a number of dimensions."""
    scales = {"biased": faiss.EDENScaleType_BIASED, "unbiased": faiss.EDENScaleType_UNBIASED}
    for planes in _PLANES:
        yield "RaBitQ", f"{planes} bits", partial(_rabitq, faiss, planes)
        for name, scale in scales.items():
            yield "EDEN", f"{planes} bits, {name}", partial(_eden, faiss, planes, scale)


def _rabitq(faiss: Any, planes: int, kept: int) -> Any:
    quantizer = faiss.IndexRaBitQ(kept, faiss.METRIC_INNER_PRODUCT, planes)
    quantizer.qb = 0
    return quantizer


def _eden(faiss: Any, planes: int, scale: int, kept: int) -> Any:
    return faiss.IndexEDEN(kept, faiss.METRIC_INNER_PRODUCT, planes, scale)


def _most_dimensions(make: Callable[[int], Any], d: int, code_bytes: int) -> int:
    """The most dimensions whose code fits, 0 where none does."""
    every = range(d // 8 * 8, 0, -8)
    return next((kept for kept in every if make(kept).code_size <= code_bytes), 0)


def _rotated_axes(faiss: Any, documents: Floats, kept: int, seed: int) -> Any:
    """Principal axes in random rotation, without a shift: a shift of the query would reorder."""
    centred = documents - documents.mean(axis=0)
    axes = np.linalg.svd(centred.T @ centred)[0][:, :kept]
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(kept, kept)))[0]
    transform = faiss.LinearTransform(documents.shape[1], kept, False)
    faiss.copy_array_to_vector((rotation @ axes.T).astype(np.float32).ravel(), transform.A)
    transform.is_trained = True
    return transform


def _additive_quantizers(
    faiss: Any, d: int, code_bytes: int
) -> Iterator[tuple[str, str, int, Callable[[], Any]]]:
    """Family, label, bytes of the codebooks, maker; no LSQ where its parts do not divide.

    LSQ solves for all codebooks of a part at once, 24,576 unknowns for 96 of them: hence FAISS's
    product of LSQs with 8 in a part.
    """
    one = _CENTROIDS * d * np.dtype(np.float32).itemsize
    yield "RQ", f"RQ{code_bytes}x8", code_bytes * one, partial(_rq, faiss, d, code_bytes)
    every = range(-(-code_bytes // _LSQ_CODEBOOKS), code_bytes + 1)
    parts = next((n for n in every if d % n == 0 and code_bytes % n == 0), None)
    if parts:
        each = code_bytes // parts
        yield "LSQ", f"PLSQ{parts}x{each}x8", each * one, partial(_lsq, faiss, d, parts, each)


def _rq(faiss: Any, d: int, code_bytes: int) -> Any:
    by_table = faiss.AdditiveQuantizer.ST_LUT_nonorm
    index = faiss.IndexResidualQuantizer(d, code_bytes, 8, faiss.METRIC_INNER_PRODUCT, by_table)
    kind = faiss.ResidualQuantizer
    index.rq.train_type = kind.Train_default | kind.Skip_codebook_tables
    index.rq.cp.min_points_per_centroid = 1
    return index


def _lsq(faiss: Any, d: int, parts: int, each: int) -> Any:
    index = faiss.IndexProductLocalSearchQuantizer(
        d, parts, each, 8, faiss.METRIC_INNER_PRODUCT, faiss.AdditiveQuantizer.ST_LUT_nonorm
    )
    for part in range(parts):
        quantizer = faiss.downcast_AdditiveQuantizer(index.plsq.subquantizer(part))
        quantizer.train_iters = _LSQ_ROUNDS
        quantizer.train_ils_iters = _LSQ_SEARCHES
    return index


def _decoded_unseen(make: Callable[[], Any], documents: Floats, seed: int) -> Floats:
    """Documents (N, d) as decoded, either half by what was fitted on the other."""
    half = np.random.default_rng(seed).permutation(len(documents)) % 2
    decoded = np.empty_like(documents)
    for side in (0, 1):
        index = make()
        index.train(documents[half != side])
        codes = index.sa_encode(documents[half == side])
        decoded[half == side] = index.sa_decode(codes)
    return decoded
