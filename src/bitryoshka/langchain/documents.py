"""The part of the vector store that keeps documents: its table, writing and reading."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import VectorsError
from bitryoshka.langchain.engines import Engines, Work
from bitryoshka.langchain.rows import by_ids, deletion, document_ids, text_documents, upsert
from bitryoshka.langchain.searching import Searcher
from bitryoshka.langchain.table import (
    VectorType,
    check_functions,
    check_pgvector,
    check_table,
    create_table,
    define_index,
    define_table,
    table_exists,
)
from bitryoshka.limits import check_counts
from bitryoshka.search_parameters import CANDIDATES, Rescore, SearchParameters
from bitryoshka.vectors import check_vectors

T = TypeVar("T")


class DocumentStore(VectorStore):
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
        if rescore == "auto":
            rescore = "asymmetric" if vector_type is None else "exact"
        asked = SearchParameters(
            k=1,
            candidates=candidates,
            prefix_bits=prefix_bits,
            rescore=rescore,
            shortlist=shortlist,
        )
        self.binarizer = binarizer
        self.table = define_table(table_name, schema, binarizer, vector_type)
        self.index = define_index(self.table, binarizer, prefix_bits)
        self._searcher = Searcher(self.table, binarizer, asked)
        self._engines = Engines(engine, async_engine)
        self._embedding = embedding
        self._batch_size = batch_size
        self._checked = False

    @property
    def embeddings(self) -> Embeddings:
        """The model that texts and queries go through."""
        return self._embedding

    def create_table(self, *, index: bool = True) -> None:
        """Create the table and its indexes, and pgvector where it is missing.

        ``index=False`` leaves out ``store.index``: ``store.index.create(engine)`` after a large
        load is faster. A table that exists is checked and taken as it is. Raises as every use
        does, and PgvectorError where pgvector is missing or older than 0.8.4.
        """
        self._engines.run_making(lambda connection: self._create(connection, index))

    async def acreate_table(self, *, index: bool = True) -> None:
        """`create_table`, async."""
        await self._engines.run_making_async(lambda connection: self._create(connection, index))

    def _create(self, connection: Connection, index: bool) -> None:
        if not table_exists(connection, self.table):
            create_table(connection, self.table, without=None if index else self.index)
        self._check(connection)

    def check(self) -> None:
        """Check the table now, as the first use would, and raise what that would raise."""
        self._engines.run(self._check)

    async def acheck(self) -> None:
        """`check`, async."""
        await self._engines.run_async(self._check)

    def _check(self, connection: Connection) -> None:
        check_table(connection, self.table, self.binarizer)
        check_pgvector(connection)
        if self._searcher.uses_functions:
            check_functions(connection)
        self._checked = True

    def _use(self, work: Work[T]) -> Work[T]:
        """The work, after the check that is due before the first use."""

        def checked(connection: Connection) -> T:
            if not self._checked:
                self._check(connection)
            return work(connection)

        return checked

    def _run(self, work: Work[T]) -> T:
        return self._engines.run(self._use(work))

    async def _arun(self, work: Work[T]) -> T:
        return await self._engines.run_async(self._use(work))

    def add_documents(self, documents: list[Document], **options: Any) -> list[str]:
        """Add documents, or replace those of the same id; give the ids. All of them, or none.

        ``ids=``, a list of str, goes before the documents' own ids; those without one get a UUID.
        """
        ids = document_ids(documents, **options)
        embed = self._embedding.embed_documents
        parts = [self._vectors(texts, embed(texts)) for texts in self._batches(documents)]
        if parts:
            self._run(self._upsert(documents, ids, parts))
        return ids

    async def aadd_documents(self, documents: list[Document], **options: Any) -> list[str]:
        """`add_documents`, async."""
        ids = document_ids(documents, **options)
        embed = self._embedding.aembed_documents
        parts = [self._vectors(texts, await embed(texts)) for texts in self._batches(documents)]
        if parts:
            await self._arun(self._upsert(documents, ids, parts))
        return ids

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
        return check_vectors(found, self.binarizer.dimensions, "embeddings").astype(np.float32)

    def _upsert(
        self, documents: list[Document], ids: list[str], parts: list[NDArray[np.float32]]
    ) -> Work[None]:
        vectors = np.concatenate(parts)
        return upsert(self.table, documents, ids, self.binarizer.encode(vectors), vectors)

    def delete(self, ids: list[str] | None = None, **options: Any) -> bool:
        """Delete the documents of these ids, None: all; with ``filter=`` those that pass it.

        True: no such document is left. Whether there was one is not said, and that there was none
        is no error. SearchError for a filter that means nothing.
        """
        self._run(deletion(self.table, ids, **options))
        return True

    async def adelete(self, ids: list[str] | None = None, **options: Any) -> bool:
        """`delete`, async."""
        await self._arun(deletion(self.table, ids, **options))
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents of these ids that are there, each once, in the order of the ids."""
        return self._run(by_ids(self.table, ids))

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """`get_by_ids`, async."""
        return await self._arun(by_ids(self.table, ids))
