"""The vector store: LlamaIndex's interface, sync and async."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores import (
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.types import BasePydanticVectorStore
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from bitryoshka.binarizer import Binarizer
from bitryoshka.documents.document_table import DocumentTable, StoreMethods
from bitryoshka.documents.engines import Work
from bitryoshka.documents.metadata import Place
from bitryoshka.documents.rows import deletion, reading
from bitryoshka.documents.table import VectorType
from bitryoshka.errors import SearchError
from bitryoshka.llama_index.filters import asks_nothing
from bitryoshka.llama_index.nodes import REF_DOC_ID, embedded_node, node_entry, row_node
from bitryoshka.llama_index.searching import restrictions, search
from bitryoshka.search_parameters import CANDIDATES, Rescore


class CodeVectorStore(StoreMethods, BasePydanticVectorStore):
    """Nodes in a Postgres table, with codes that a `Binarizer` makes of their embeddings.

    ``engine`` serves the sync methods, ``async_engine`` the async ones with its driver's own
    async I/O; with ``engine`` alone the async methods run in threads. psycopg, asyncpg and
    psycopg2. The constructor connects to nothing: `create_table` makes the table, and the first
    use of a store checks it. LangChain's store reads the same table, and this one reads its.

    * ``vector_type``: keep the embeddings too, as "vector" or "halfvec"; None keeps codes alone.
    * ``candidates``, ``prefix_bits``, ``rescore``, ``shortlist``: the stages of a search, as in
      `bitryoshka.SearchParameters`. "auto" rescores by the vectors where they are kept, else
      asymmetrically. An asymmetric score needs schema ``bitryoshka`` in the database.
    * ``flat_metadata``: refuse nodes whose metadata is not flat, as other stores do.

    Similarities: larger is better. By vectors, cosine similarity, or the inner product where that
    is the binarizer's metric. By codes an estimate of it, a little nearer to 0; of plain sign codes
    the share of the query's weight on which query and code agree, less the share on which they do
    not, from -1 to 1; and without rescoring that share of the compared bits.

    Raises BitsError, SearchError and TableError for settings that do not fit together. Uses raise
    TableError where the table is missing or has another shape, FingerprintError where its codes are
    another binarizer's, PgvectorError where pgvector is missing or older than 0.8.4, VectorsError
    for embeddings of another dimension or not finite, SearchError for a filter that means nothing,
    and SQLAlchemy's errors for what the server refuses.

    Example::

        store = CodeVectorStore(binarizer, "docs", engine=create_engine(url))
        store.create_table()
        storage = StorageContext.from_defaults(vector_store=store)
        index = VectorStoreIndex.from_documents(documents, storage, embed_model=embed_model)
        index.as_retriever(similarity_top_k=1).retrieve("What are codes?")
    """

    stores_text: bool = True
    flat_metadata: bool = False
    _documents: DocumentTable = PrivateAttr()

    def __init__(
        self,
        binarizer: Binarizer,
        table_name: str,
        *,
        engine: Engine | None = None,
        async_engine: AsyncEngine | None = None,
        schema: str = "public",
        vector_type: VectorType | None = "vector",
        candidates: int = CANDIDATES,
        prefix_bits: int | None = None,
        rescore: Rescore | Literal["auto"] | None = "auto",
        shortlist: int | None = None,
        flat_metadata: bool = False,
    ) -> None:
        super().__init__(stores_text=True)
        self.flat_metadata = flat_metadata
        self._documents = DocumentTable(
            binarizer,
            table_name,
            engine=engine,
            async_engine=async_engine,
            schema=schema,
            vector_type=vector_type,
            candidates=candidates,
            prefix_bits=prefix_bits,
            rescore=rescore,
            shortlist=shortlist,
        )

    @classmethod
    def class_name(cls) -> str:
        """What LlamaIndex calls it."""
        return "CodeVectorStore"

    @property
    def client(self) -> Engine | AsyncEngine | None:
        """The engine, or the async one where there is no other."""
        return self._documents.engines.sync or self._documents.engines.asynchronous

    def add(self, nodes: Sequence[BaseNode], **add_kwargs: Any) -> list[str]:
        """Add nodes with their embeddings, or replace those of the same id; give the ids.

        All of them, or none. ValueError for a node without an embedding.
        """
        return self._documents.run(self._addition(nodes, **add_kwargs)) if nodes else []

    async def async_add(self, nodes: Sequence[BaseNode], **add_kwargs: Any) -> list[str]:
        """`add`, async."""
        return await self._documents.run_async(self._addition(nodes, **add_kwargs)) if nodes else []

    def _addition(self, nodes: Sequence[BaseNode]) -> Work[list[str]]:
        entries = [node_entry(node, flat_metadata=self.flat_metadata) for node in nodes]
        vectors = self._documents.embedded([node.get_embedding() for node in nodes])
        write = self._documents.upsert(entries, vectors)

        def work(connection: Connection) -> list[str]:
            write(connection)
            return [entry.id for entry in entries]

        return work

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document; that there are none is no error."""
        self._documents.run(self._deletion_of_document(ref_doc_id, **delete_kwargs))

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """`delete`, async."""
        await self._documents.run_async(self._deletion_of_document(ref_doc_id, **delete_kwargs))

    def _deletion_of_document(self, ref_doc_id: str) -> Work[None]:
        place = Place(self.table.c.metadata, (REF_DOC_ID,))
        return deletion(self.table, [place.contains(ref_doc_id)])

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Delete the nodes of these ids that pass the filters, of which one has to be given.

        SearchError where neither is, and for filters that are empty: `clear` deletes all.
        """
        self._documents.run(self._deletion(node_ids, filters, **delete_kwargs))

    async def adelete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """`delete_nodes`, async."""
        await self._documents.run_async(self._deletion(node_ids, filters, **delete_kwargs))

    def _deletion(self, node_ids: list[str] | None, filters: MetadataFilters | None) -> Work[None]:
        if node_ids is None and (filters is None or asks_nothing(filters)):
            raise SearchError(
                "expected node_ids, filters that ask for something, or both, found neither: clear "
                "deletes all"
            )
        return deletion(self.table, restrictions(self.table, node_ids, filters))

    def clear(self) -> None:
        """Delete all nodes; the table stays."""
        self._documents.run(deletion(self.table, []))

    async def aclear(self) -> None:
        """`clear`, async."""
        await self._documents.run_async(deletion(self.table, []))

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """The nodes of these ids that pass the filters, ordered by id; None: all of them.

        With their embeddings, where vectors are kept.
        """
        return self._documents.run(self._reading(node_ids, filters))

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """`get_nodes`, async."""
        return await self._documents.run_async(self._reading(node_ids, filters))

    def _reading(
        self, node_ids: list[str] | None, filters: MetadataFilters | None
    ) -> Work[list[BaseNode]]:
        vectors = self._documents.searcher.keeps_vectors
        rows = reading(self.table, restrictions(self.table, node_ids, filters), vectors=vectors)
        node = embedded_node if vectors else row_node
        return lambda connection: [node(row) for row in rows(connection)]

    def query(self, query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
        """The nodes that are nearest to the query's embedding, best first, and similarities.

        Of the query are read ``query_embedding`` (d,), ``similarity_top_k``, ``node_ids``,
        ``doc_ids``, ``filters``, ``mode``, which is DEFAULT or MMR, and ``mmr_threshold``. Ids that
        are None or empty restrict nothing. Fewer nodes than asked for are found only where fewer
        pass.

        ``options``, which retrievers and query engines take as ``vector_store_kwargs``:
        ``candidates``, ``prefix_bits``, ``rescore`` and ``shortlist`` for this search, and
        ``where``, an expression of SQLAlchemy over ``store.table``. MMR takes ``mmr_threshold``, 1
        for likeness to the query alone, 0 for diversity alone, and ``mmr_prefetch_k`` or
        ``mmr_prefetch_factor``, which say of how many nodes it chooses: of 4 times as many as asked
        for, unless said otherwise, but of no more than the candidates. Likeness of nodes is the
        cosine of their vectors where they are kept, else that of their Hamming bits; similarities
        stay what they are without MMR.
        """
        return self._documents.run(search(self._documents, query, **options))

    async def aquery(self, query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
        """`query`, async."""
        return await self._documents.run_async(search(self._documents, query, **options))
