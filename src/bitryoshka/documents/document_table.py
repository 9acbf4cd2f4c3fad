"""A table of documents with codes, and the methods that every store over one has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sqlalchemy import Connection, Engine, Index, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from bitryoshka.binarizer import Binarizer
from bitryoshka.documents.engines import Engines, Work
from bitryoshka.documents.rows import Entry, upsert
from bitryoshka.documents.searching import Searcher
from bitryoshka.documents.table import (
    VectorType,
    check_functions,
    check_pgvector,
    check_table,
    create_table,
    define_index,
    define_table,
    table_exists,
)
from bitryoshka.search_parameters import CANDIDATES, Rescore, SearchParameters
from bitryoshka.vectors import check_vectors

T = TypeVar("T")


class DocumentTable:
    """A Postgres table with a document in each row, its code and, if kept, its vector.

    What the stores of LangChain and LlamaIndex are made of, each of which says what the settings
    mean. The columns are the same, so that one reads what the other has written.
    """

    def __init__(
        self,
        binarizer: Binarizer,
        name: str,
        *,
        engine: Engine | None = None,
        async_engine: AsyncEngine | None = None,
        schema: str = "public",
        vector_type: VectorType | None = "vector",
        candidates: int = CANDIDATES,
        prefix_bits: int | None = None,
        rescore: Rescore | Literal["auto"] | None = "auto",
        shortlist: int | None = None,
    ) -> None:
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
        self.table = define_table(name, schema, binarizer, vector_type)
        self.index = define_index(self.table, binarizer, prefix_bits)
        self.searcher = Searcher(self.table, binarizer, asked)
        self.engines = Engines(engine, async_engine)
        self._checked = False

    def creation(self, index: bool) -> Work[None]:
        """Make the table where it is missing, and check it."""

        def work(connection: Connection) -> None:
            if not table_exists(connection, self.table):
                create_table(connection, self.table, without=None if index else self.index)
            self.check(connection)

        return work

    def check(self, connection: Connection) -> None:
        """Raise what the first use raises of a table, or of a database, that does not fit."""
        check_table(connection, self.table, self.binarizer)
        check_pgvector(connection)
        if self.searcher.uses_functions:
            check_functions(connection)
        self._checked = True

    def run(self, work: Work[T]) -> T:
        """Do the work in a transaction, after the check that is due before the first use."""
        return self.engines.run(self._use(work))

    async def run_async(self, work: Work[T]) -> T:
        """`run`, async."""
        return await self.engines.run_async(self._use(work))

    def _use(self, work: Work[T]) -> Work[T]:
        def checked(connection: Connection) -> T:
            if not self._checked:
                self.check(connection)
            return work(connection)

        return checked

    def embedded(self, found: ArrayLike) -> NDArray[np.float32]:
        """Embeddings (N, d) as vectors; VectorsError where they do not fit the binarizer."""
        return check_vectors(found, self.binarizer.dimensions, "embeddings").astype(np.float32)

    def upsert(self, entries: Sequence[Entry], vectors: NDArray[np.float32]) -> Work[None]:
        """Write entries with their vectors, and the codes of these."""
        return upsert(self.table, entries, self.binarizer.encode(vectors), vectors)


class StoreMethods:
    """What every store offers of its table."""

    _documents: DocumentTable

    @property
    def binarizer(self) -> Binarizer:
        """What makes the codes."""
        return self._documents.binarizer

    @property
    def table(self) -> Table:
        """The table, for statements and conditions of one's own."""
        return self._documents.table

    @property
    def index(self) -> Index:
        """The HNSW index that searches use."""
        return self._documents.index

    def create_table(self, *, index: bool = True) -> None:
        """Create the table and its indexes, and pgvector where it is missing.

        ``index=False`` leaves out ``store.index``: ``store.index.create(engine)`` after a large
        load is faster. A table that exists is checked and taken as it is. Raises as every use
        does, and PgvectorError where pgvector is missing or older than 0.8.4.
        """
        self._documents.engines.run_making(self._documents.creation(index))

    async def acreate_table(self, *, index: bool = True) -> None:
        """`create_table`, async."""
        await self._documents.engines.run_making_async(self._documents.creation(index))

    def check(self) -> None:
        """Check the table now, as the first use would, and raise what that would raise."""
        self._documents.engines.run(self._documents.check)

    async def acheck(self) -> None:
        """`check`, async."""
        await self._documents.engines.run_async(self._documents.check)
