"""What others offer at some number of bytes: sentence-transformers, Qdrant, fewer floats.

Each `Peer` is fitted on documents alone, and searched by the peer's own code where it has any.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from benchmarks.datasets import Dataset, Floats, Rows
from benchmarks.judge import OVERSAMPLING, Judge, K, Search, score_search
from bitryoshka.qdrant import choose_for_budget
from bitryoshka.qdrant.quantizers import (
    Quantizer,
    code_quantizer,
    qdrant_quantizers,
    try_quantizer,
)

TRUNCATED_BYTES = (24, 48, 96, 192)
BUDGETS = (48, 96, 192)

Precision = Literal["ubinary", "int8"]
Kind = Literal["float32", "float16", "int8"]


class Peer(NamedTuple):
    """One way to keep vectors: its ``family``, bytes a vector, and how it searches."""

    family: str
    code_bytes: int
    search: Search


def sentence_transformers_peers(data: Dataset) -> Iterator[Peer]:
    """Codes of ``quantize_embeddings``, by its own search without and with its own rescoring.

    That rescoring is by a float query: with the unpacked bits, or the int8 numbers decoded by
    ranges that are calibrated on the documents. The original floats have no part in it.
    """
    from sentence_transformers.util.quantization import quantize_embeddings

    kinds: tuple[tuple[Precision, str], ...] = (("ubinary", "binary"), ("int8", "int8"))
    for precision, name in kinds:
        codes = quantize_embeddings(
            data.documents, precision, calibration_embeddings=data.documents
        )
        for rescore, label in ((False, "alone"), (True, "own rescoring")):
            search = _library_search(data, codes, precision, rescore)
            yield Peer(f"{name}, {label}", codes.shape[1], search)


def _library_search(data: Dataset, codes: Any, precision: Precision, rescore: bool) -> Search:
    from sentence_transformers.util.quantization import semantic_search_usearch

    def search(n: int) -> Rows:
        found, _ = semantic_search_usearch(
            data.queries,
            codes,
            corpus_precision=precision,
            top_k=n,
            calibration_embeddings=data.documents,
            rescore=rescore,
            rescore_multiplier=OVERSAMPLING,
            exact=True,
        )
        return np.array([[hit["corpus_id"] for hit in hits] for hits in found], np.int64)

    return search


def truncated_peers(data: Dataset) -> Iterator[Peer]:
    """As many floats as the bytes hold: the first dimensions, or the leading principal axes."""
    d = data.documents.shape[1]
    for code_bytes in TRUNCATED_BYTES:
        for kind, size in (("float32", 4), ("float16", 2), ("int8", 1)):
            kept = min(d, code_bytes // size)
            for label, (documents, queries) in (
                ("first", first_dimensions(data.documents, data.queries, kept)),
                ("principal", principal_components(data.documents, data.queries, kept)),
            ):
                search = score_search(queries, stored_as(documents, kind))
                yield Peer(f"{label} {kind}", kept * size, search)


def first_dimensions(documents: Floats, queries: Floats, kept: int) -> tuple[Floats, Floats]:
    """The first dimensions (N, kept) and (Q, kept), of unit length again, as Matryoshka models do.

    Kusupati et al., "Matryoshka representation learning", NeurIPS 2022.
    """
    cut = (documents[:, :kept], queries[:, :kept])
    first, second = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in cut)
    return first, second


def principal_components(documents: Floats, queries: Floats, kept: int) -> tuple[Floats, Floats]:
    """Centred documents (N, kept) and queries (Q, kept), not centred, on the principal axes."""
    centred = documents - documents.mean(axis=0)
    axes = np.linalg.svd(centred.T @ centred)[0][:, :kept]
    return centred @ axes, queries @ axes


def stored_as(x: Floats, kind: str) -> Floats:
    """The numbers that are left after storing: int8 in 255 steps between each column's ends."""
    if kind == "int8":
        low = x.min(axis=0)
        step = np.maximum((x.max(axis=0) - low) / 255, np.float32(1e-12))
        return (np.round((x - low) / step) * step + low).astype(np.float32)
    return x.astype(kind).astype(np.float32)


def peer_rows(judge: Judge, peers: Iterator[Peer]) -> dict[str, Any]:
    """Figures by family and bytes, each also with exact rescoring."""
    rows: dict[str, Any] = {}
    for peer in peers:
        figures = {**judge.with_rescoring(peer.search), "code_bytes": peer.code_bytes}
        rows.setdefault(peer.family, {})[str(peer.code_bytes)] = figures
    return rows


def qdrant_rows(judge: Judge) -> dict[str, Any]:
    """Qdrant's quantizers in the real engine, and the best of ours there for some bytes.

    Ours are chosen by `choose_for_budget` on documents that it holds out. The engine's own float16
    copies serve the rescoring.
    """
    rows: dict[str, Any] = {}
    for quantizer in qdrant_quantizers():
        figures = engine_figures(judge, quantizer)
        rows.setdefault(quantizer.label, {})[str(figures["code_bytes"])] = figures
    for budget in BUDGETS:
        choice = choose_for_budget(judge.data.documents, budget)
        quantizer = code_quantizer(choice.binarizer, quantization=choice.quantization)
        chosen = {"chosen": str(choice.binarizer.info["method"])}
        rows.setdefault("ours for one size", {})[str(budget)] = {
            **engine_figures(judge, quantizer),
            **chosen,
        }
    return rows


def engine_figures(judge: Judge, quantizer: Quantizer) -> dict[str, Any]:
    """Figures of one quantizer in a shard without a graph."""
    data = judge.data
    found = try_quantizer(
        quantizer,
        data.documents,
        data.queries,
        k=K + judge.spare,
        oversampling=OVERSAMPLING,
        repeats=1,
    )
    return {
        **judge.figures(lambda n: found.rows[:, :n]),
        "rescored": judge.figures(lambda n: found.rescored_rows[:, :n]),
        "code_bytes": round(found.bytes),
    }
