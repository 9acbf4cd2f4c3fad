"""The vector store: LangChain's interface, sync and async."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, TypeVar

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import SearchError, VectorsError
from bitryoshka.langchain.engines import Engines, Work
from bitryoshka.langchain.rows import by_ids, deletion, document_ids, text_documents, upsert
from bitryoshka.langchain.searching import Hit, Searcher
from bitryoshka.langchain.table import (
    VectorType,
    check_functions,
    check_table,
    create_table,
    define_index,
    define_table,
    table_exists,
)
from bitryoshka.vectors import check_vectors

T = TypeVar("T")


class CodeVectorStore(VectorStore):
    """Documents in a Postgres table, with codes that a `Binarizer` makes of their embeddings.

    ``engine`` serves the sync methods, ``async_engine`` the async ones with its driver's own
    async I/O; with ``engine`` alone the async methods run in threads. psycopg, asyncpg and
    psycopg2. The constructor connects to nothing: `create_table` makes the table, and the first
    use of a store checks it.

    * ``vector_type``: keep the embeddings too, as "vector" or "halfvec"; None keeps codes alone.
    * ``candidates``: rows that Hamming distance on the first ``prefix_bits`` (None: all sign bits)
      hands on. Kept vectors rank all of them; with ``exact``, only so many, which the float query
      has chosen by their whole codes. Without vectors the float query against the codes ranks.
      That asymmetric score needs schema ``bitryoshka`` in the database.
    * ``batch_size``: texts that are embedded and encoded at once.

    Searches take ``candidates`` for one call, and ``filter``: a dict that the metadata must contain
    (``@>`` of jsonb), or an expression of SQLAlchemy over ``store.table``.

    Scores: larger is better. With vectors, cosine similarity, or the inner product where that is
    the binarizer's metric. With codes alone an estimate of it, a little nearer to 0; with sign
    codes alone, the share of the query's weight on which query and code agree, less the share on
    which they do not: between -1 and 1, but no cosine.

    Raises BitsError, SearchError and TableError for settings that do not fit together. Uses raise
    TableError where the table is missing or has another shape, FingerprintError where its codes are
    another binarizer's, VectorsError for embeddings of another dimension or not finite, and
    SQLAlchemy's errors for what the server refuses.

    Example::

        store = CodeVectorStore(embedding, binarizer, "docs", engine=create_engine(url))
        store.create_table()
        store.add_texts(["Codes are bits."], [{"chapter": 1}])
        store.similarity_search("What are codes?", k=1, filter={"chapter": 1})
    """

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
        candidates: int = 200,
        prefix_bits: int | None = None,
        exact: int | None = None,
        batch_size: int = 500,
    ) -> None:
        if batch_size < 1:
            raise SearchError(f"batch_size must be at least 1, found {batch_size}")
        self.binarizer = binarizer
        self.table = define_table(table_name, schema, binarizer, vector_type)
        self.index = define_index(self.table, binarizer, prefix_bits)
        self._searcher = Searcher(self.table, binarizer, candidates, prefix_bits, exact)
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
        self._engines.run(lambda connection: self._create(connection, index))

    async def acreate_table(self, *, index: bool = True) -> None:
        """`create_table`, async."""
        await self._engines.run_async(lambda connection: self._create(connection, index))

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

        Ids that are not there are no error. Always True.
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

    def _hits(self, query: list[float], k: int, **options: Any) -> Work[list[Hit]]:
        return lambda connection: self._searcher.search(connection, query, k, **options)

    def similarity_search_with_score(
        self, query: str, k: int = 4, **options: Any
    ) -> list[tuple[Document, float]]:
        """The best ``k`` documents with their scores, best first: larger is better."""
        vector = self._embedding.embed_query(query)
        return [(hit.document, hit.score) for hit in self._run(self._hits(vector, k, **options))]

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **options: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search_with_score`, async."""
        vector = await self._embedding.aembed_query(query)
        hits = await self._arun(self._hits(vector, k, **options))
        return [(hit.document, hit.score) for hit in hits]

    def similarity_search(self, query: str, k: int = 4, **options: Any) -> list[Document]:
        """The best ``k`` documents, best first."""
        return self.similarity_search_by_vector(self._embedding.embed_query(query), k, **options)

    async def asimilarity_search(self, query: str, k: int = 4, **options: Any) -> list[Document]:
        """`similarity_search`, async."""
        vector = await self._embedding.aembed_query(query)
        return await self.asimilarity_search_by_vector(vector, k, **options)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **options: Any
    ) -> list[Document]:
        """The best ``k`` documents for an embedding of (d,), best first."""
        return [hit.document for hit in self._run(self._hits(embedding, k, **options))]

    async def asimilarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **options: Any
    ) -> list[Document]:
        """`similarity_search_by_vector`, async."""
        return [hit.document for hit in await self._arun(self._hits(embedding, k, **options))]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **options: Any,
    ) -> list[Document]:
        """Of the best ``fetch_k`` documents the ``k`` of maximal marginal relevance.

        Likeness is the cosine of the vectors where they are kept, else that of the sign bits, as
        -1 and 1. ``lambda_mult``: 1 for likeness to the query alone, 0 for diversity alone.
        """
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(
            vector, k, fetch_k, lambda_mult, **options
        )

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **options: Any,
    ) -> list[Document]:
        """`max_marginal_relevance_search`, async."""
        vector = await self._embedding.aembed_query(query)
        return await self.amax_marginal_relevance_search_by_vector(
            vector, k, fetch_k, lambda_mult, **options
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **options: Any,
    ) -> list[Document]:
        """`max_marginal_relevance_search` for an embedding of (d,)."""
        hits = self._run(self._hits(embedding, max(k, fetch_k), likeness=True, **options))
        return self._searcher.diverse(embedding, hits, k, lambda_mult)

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **options: Any,
    ) -> list[Document]:
        """`max_marginal_relevance_search_by_vector`, async."""
        hits = await self._arun(self._hits(embedding, max(k, fetch_k), likeness=True, **options))
        return self._searcher.diverse(embedding, hits, k, lambda_mult)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """The score itself, those below 0 as 0; SearchError for an inner product."""
        if self.binarizer.metric != "cosine":
            raise SearchError(
                "relevance between 0 and 1 needs the metric 'cosine', found "
                f"{self.binarizer.metric!r}: use similarity_search_with_score"
            )
        return lambda score: min(max(score, 0.0), 1.0)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **settings: Any,
    ) -> Self:
        """A store with these texts, whose table is created where it is missing.

        ``settings`` are those of the constructor: ``binarizer``, ``table_name``, ``engine`` ...
        """
        store = cls(embedding, **settings)
        store.create_table()
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **settings: Any,
    ) -> Self:
        """`from_texts`, async."""
        store = cls(embedding, **settings)
        await store.acreate_table()
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store
