"""The part of the vector store that keeps documents: its table, writing and reading."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from numpy.typing import NDArray
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from bitryoshka.binarizer import Binarizer
from bitryoshka.documents.document_table import DocumentTable, StoreMethods
from bitryoshka.documents.table import VectorType
from bitryoshka.errors import VectorsError
from bitryoshka.langchain.rows import deletion_of, document_entries, reading_of, text_documents
from bitryoshka.limits import check_counts
from bitryoshka.search_parameters import CANDIDATES, Rescore


class DocumentStore(StoreMethods, VectorStore):
    """Everything of `CodeVectorStore` but its searches; see there for the settings."""

    def __init__(
        self,
        embedding: Embeddings,
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
        batch_size: int = 500,
    ) -> None:
        check_counts(batch_size=batch_size)
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
        self._embedding = embedding
        self._batch_size = batch_size

    @property
    def embeddings(self) -> Embeddings:
        """The model that texts and queries go through."""
        return self._embedding

    def add_documents(self, documents: list[Document], **options: Any) -> list[str]:
        """Add documents, or replace those of the same id; give the ids. All of them, or none.

        ``ids=``, a list of str, goes before the documents' own ids; those without one get a UUID.
        """
        entries = document_entries(documents, **options)
        embed = self._embedding.embed_documents
        parts = [self._vectors(texts, embed(texts)) for texts in self._batches(documents)]
        if parts:
            self._documents.run(self._documents.upsert(entries, np.concatenate(parts)))
        return [entry.id for entry in entries]

    async def aadd_documents(self, documents: list[Document], **options: Any) -> list[str]:
        """`add_documents`, async."""
        entries = document_entries(documents, **options)
        embed = self._embedding.aembed_documents
        parts = [self._vectors(texts, await embed(texts)) for texts in self._batches(documents)]
        if parts:
            await self._documents.run_async(self._documents.upsert(entries, np.concatenate(parts)))
        return [entry.id for entry in entries]

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **options: Any,
    ) -> list[str]:
        """`add_documents` for texts, with a dict of metadata for each of them or for none."""
        return self.add_documents(text_documents(texts, metadatas), ids=ids, **options)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **options: Any,
    ) -> list[str]:
        """`add_texts`, async."""
        return await self.aadd_documents(text_documents(texts, metadatas), ids=ids, **options)

    def _batches(self, documents: Sequence[Document]) -> list[list[str]]:
        texts = [document.page_content for document in documents]
        return [texts[i : i + self._batch_size] for i in range(0, len(texts), self._batch_size)]

    def _vectors(self, texts: list[str], found: Any) -> NDArray[np.float32]:
        if len(found) != len(texts):
            raise VectorsError(f"expected embeddings of {len(texts)} texts, found {len(found)}")
        return self._documents.embedded(found)

    def delete(self, ids: list[str] | None = None, **options: Any) -> bool:
        """Delete the documents of these ids, None: all; with ``filter=`` those that pass it.

        True: no such document is left. Whether there was one is not said, and that there was none
        is no error. SearchError for a filter that means nothing.
        """
        self._documents.run(deletion_of(self.table, ids, **options))
        return True

    async def adelete(self, ids: list[str] | None = None, **options: Any) -> bool:
        """`delete`, async."""
        await self._documents.run_async(deletion_of(self.table, ids, **options))
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents of these ids that are there, each once, in the order of the ids."""
        return self._documents.run(reading_of(self.table, ids))

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """`get_by_ids`, async."""
        return await self._documents.run_async(reading_of(self.table, ids))
