"""A query of LlamaIndex as a search of the table, and what it finds as LlamaIndex's result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.vector_stores import (
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from sqlalchemy import ColumnElement, Connection, Table

from bitryoshka.documents.document_table import DocumentTable
from bitryoshka.documents.engines import Work
from bitryoshka.documents.metadata import Place
from bitryoshka.documents.rows import has_id
from bitryoshka.errors import SearchError
from bitryoshka.limits import check_counts
from bitryoshka.llama_index.filters import metadata_condition
from bitryoshka.llama_index.nodes import REF_DOC_ID, row_node

Condition = ColumnElement[bool]


def search(
    documents: DocumentTable,
    asked: VectorStoreQuery,
    *,
    where: Condition | None = None,
    mmr_threshold: float | None = None,
    mmr_prefetch_factor: float = 4.0,
    mmr_prefetch_k: int | None = None,
    **options: Any,
) -> Work[VectorStoreQueryResult]:
    """The best nodes, best first; of mode MMR those that are not like each other.

    ``options``: those of `SearchParameters`. Raises SearchError for other modes, for a query
    without an embedding, and for numbers that do not fit.
    """
    diverse = asked.mode == VectorStoreQueryMode.MMR
    if not diverse and asked.mode != VectorStoreQueryMode.DEFAULT:
        raise SearchError(f"expected the mode 'default' or 'mmr', found {asked.mode.value!r}")
    query, k = asked.query_embedding, asked.similarity_top_k
    if query is None:
        raise SearchError("expected a query_embedding, found None")
    most = k
    if diverse:
        mmr_threshold = asked.mmr_threshold if mmr_threshold is None else mmr_threshold
        mmr_threshold = 0.5 if mmr_threshold is None else mmr_threshold
        if not 0 <= mmr_threshold <= 1:
            raise SearchError(f"mmr_threshold must be from 0 to 1, found {mmr_threshold}")
        if mmr_prefetch_k is None:
            candidates = options.get("candidates", documents.searcher.asked.candidates)
            mmr_prefetch_k = min(int(k * mmr_prefetch_factor), candidates)
        check_counts(similarity_top_k=k, mmr_prefetch_k=mmr_prefetch_k)
        most = max(k, mmr_prefetch_k)
    conditions = restrictions(documents.table, asked.node_ids or None, asked.filters)
    if asked.doc_ids:
        place = Place(documents.table.c.metadata, (REF_DOC_ID,))
        conditions.append(place.contains_any(asked.doc_ids))
    if where is not None:
        conditions.append(where)
    searched = documents.searcher.search(query, most, where=conditions, likeness=diverse, **options)

    def work(connection: Connection) -> VectorStoreQueryResult:
        hits = searched(connection)
        if mmr_threshold is not None and diverse:
            hits = documents.searcher.diverse(query, hits, k, mmr_threshold)
        return VectorStoreQueryResult(
            nodes=[row_node(hit.row) for hit in hits],
            similarities=[hit.score for hit in hits],
            ids=[hit.row.id for hit in hits],
        )

    return work


def restrictions(
    table: Table, node_ids: Sequence[str] | None, filters: MetadataFilters | None
) -> list[Condition]:
    """What rows of these ids that pass the filters meet; None: all of them."""
    found = [] if node_ids is None else [has_id(table, node_ids)]
    return found if filters is None else [*found, metadata_condition(table.c.metadata, filters)]
