"""The vector store: LangChain's interface, sync and async."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from bitryoshka.documents.engines import Work
from bitryoshka.documents.searching import Hit
from bitryoshka.errors import SearchError
from bitryoshka.langchain.documents import DocumentStore
from bitryoshka.langchain.rows import Filter, conditions, row_document
from bitryoshka.limits import check_counts


class CodeVectorStore(DocumentStore):
    """Documents in a Postgres table, with codes that a `Binarizer` makes of their embeddings.

    ``engine`` serves the sync methods, ``async_engine`` the async ones with its driver's own
    async I/O; with ``engine`` alone the async methods run in threads. psycopg, asyncpg and
    psycopg2. The constructor connects to nothing: `create_table` makes the table, and the first
    use of a store checks it.

    * ``vector_type``: keep the embeddings too, as "vector" or "halfvec"; None keeps codes alone.
    * ``candidates``, ``prefix_bits``, ``rescore``, ``shortlist``: the stages of a search, as in
      `bitryoshka.SearchParameters`. "auto" rescores by the vectors where they are kept, else
      asymmetrically. An asymmetric score needs schema ``bitryoshka`` in the database.
    * ``batch_size``: texts that are embedded and encoded at once.

    Searches take these four for one call, and ``filter``: an expression of SQLAlchemy over
    ``store.table``, or a dict that the metadata must contain (``@>`` of jsonb), in which
    ``{"year": {"$gt": 2000}}`` and the other operators of langchain-postgres are understood: on a
    key ``$eq $ne $gt $gte $lt $lte $between $in $nin $like $ilike $exists``, and around dicts
    ``$and $or $not``. Fewer than ``k`` documents are found only where fewer pass.

    Scores: larger is better. By vectors, cosine similarity, or the inner product where that is
    the binarizer's metric. By codes an estimate of it, a little nearer to 0; of plain sign codes
    the share of the query's weight on which query and code agree, less the share on which they do
    not, from -1 to 1; and without rescoring that share of the compared bits.

    Raises BitsError, SearchError and TableError for settings that do not fit together. Uses raise
    TableError where the table is missing or has another shape, FingerprintError where its codes are
    another binarizer's, PgvectorError where pgvector is missing or older than 0.8.4, VectorsError
    for embeddings of another dimension or not finite, SearchError for a filter that means nothing,
    and SQLAlchemy's errors for what the server refuses.

    Example::

        store = CodeVectorStore(embedding, binarizer, "docs", engine=create_engine(url))
        store.create_table()
        store.add_texts(["Codes are bits."], [{"chapter": 1}])
        store.similarity_search("What are codes?", k=1, filter={"chapter": 1})
    """

    def _hits(
        self,
        query: list[float],
        k: int,
        *,
        filter: Filter | None = None,  # noqa: A002 - LangChain's name for it
        **options: Any,
    ) -> Work[list[Hit]]:
        where = conditions(self.table, filter)
        return self._documents.searcher.search(query, k, where=where, **options)

    def _found(self, query: list[float], k: int, **options: Any) -> list[Hit]:
        return self._documents.run(self._hits(query, k, **options))

    async def _afound(self, query: list[float], k: int, **options: Any) -> list[Hit]:
        return await self._documents.run_async(self._hits(query, k, **options))

    def _diverse(
        self, query: list[float], hits: list[Hit], k: int, lambda_mult: float
    ) -> list[Document]:
        chosen = self._documents.searcher.diverse(query, hits, k, lambda_mult)
        return [row_document(hit.row) for hit in chosen]

    def similarity_search_with_score(
        self, query: str, k: int = 4, **options: Any
    ) -> list[tuple[Document, float]]:
        """The best ``k`` documents with their scores, best first: larger is better."""
        vector = self._embedding.embed_query(query)
        hits = self._found(vector, k, **options)
        return [(row_document(hit.row), hit.score) for hit in hits]

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **options: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search_with_score`, async."""
        vector = await self._embedding.aembed_query(query)
        hits = await self._afound(vector, k, **options)
        return [(row_document(hit.row), hit.score) for hit in hits]

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
        return [row_document(hit.row) for hit in self._found(embedding, k, **options)]

    async def asimilarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **options: Any
    ) -> list[Document]:
        """`similarity_search_by_vector`, async."""
        return [row_document(hit.row) for hit in await self._afound(embedding, k, **options)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **options: Any,
    ) -> list[Document]:
        """Of the best ``fetch_k`` documents the ``k`` of maximal marginal relevance.

        Likeness is the cosine of the vectors where they are kept, else that of the Hamming bits, as
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
        hits = self._found(embedding, _most(k, fetch_k), likeness=True, **options)
        return self._diverse(embedding, hits, k, lambda_mult)

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **options: Any,
    ) -> list[Document]:
        """`max_marginal_relevance_search_by_vector`, async."""
        hits = await self._afound(embedding, _most(k, fetch_k), likeness=True, **options)
        return self._diverse(embedding, hits, k, lambda_mult)

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


def _most(k: int, fetch_k: int) -> int:
    check_counts(k=k, fetch_k=fetch_k)
    return max(k, fetch_k)
