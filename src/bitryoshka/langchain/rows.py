"""Documents as rows of a store's table: ids, upserts, deletions, filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import numpy as np
from langchain_core.documents import Document
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Table, Text, any_, delete, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from bitryoshka.errors import SearchError, TableError
from bitryoshka.langchain.engines import Work
from bitryoshka.langchain.filters import metadata_condition

Filter = Mapping[str, Any] | ColumnElement[bool]


def text_documents(
    texts: Iterable[str], metadatas: Sequence[dict[str, Any]] | None
) -> list[Document]:
    """Texts and their metadata as documents; TableError where the numbers differ."""
    texts = list(texts)
    metadatas = [{} for _ in texts] if metadatas is None else list(metadatas)
    if len(metadatas) != len(texts):
        raise TableError(f"expected metadatas for {len(texts)} texts, found {len(metadatas)}")
    return [
        Document(page_content=text, metadata=metadata or {})
        for text, metadata in zip(texts, metadatas, strict=True)
    ]


def document_ids(
    documents: Sequence[Document], ids: Sequence[str | None] | None = None
) -> list[str]:
    """The id of each document: the given one, else its own, else a new UUID."""
    if ids is not None and len(ids) != len(documents):
        raise TableError(f"expected ids for {len(documents)} documents, found {len(ids)}")
    given = ids or [None] * len(documents)
    chosen = [own if id_ is None else id_ for id_, own in zip(given, _own(documents), strict=True)]
    wrong = [id_ for id_ in chosen if not isinstance(id_, str)]
    if wrong:
        raise TableError(f"ids must be str, found {wrong[0]!r}")
    return chosen


def _own(documents: Sequence[Document]) -> list[str]:
    return [str(uuid4()) if document.id is None else document.id for document in documents]


def upsert(
    table: Table,
    documents: Sequence[Document],
    ids: Sequence[str],
    codes: NDArray[np.uint8],
    vectors: NDArray[np.float32],
) -> Work[None]:
    """Insert rows, or replace those of the same id; of an id that comes twice the last stays."""
    rows: list[dict[str, Any]] = [
        {"id": id_, "content": document.page_content, "metadata": document.metadata, "code": code}
        for id_, document, code in zip(ids, documents, codes, strict=True)
    ]
    if "vector" in table.c:
        for row, vector in zip(rows, vectors, strict=True):
            row["vector"] = vector
    new = insert(table)
    names = ["content", "metadata", "code", *(["vector"] if "vector" in table.c else [])]
    statement = new.on_conflict_do_update(
        index_elements=[table.c.id], set_={name: new.excluded[name] for name in names}
    )
    return lambda connection: connection.execute(statement, rows).close()


def deletion(
    table: Table,
    ids: Sequence[str] | None = None,
    filter: Filter | None = None,  # noqa: A002
) -> Work[None]:
    """Delete the rows of these ids, None: of all, that the filter lets through."""
    where = conditions(table, filter)
    if ids is not None:
        where.append(_has_id(table, ids))
    return lambda connection: connection.execute(delete(table).where(*where)).close()


def by_ids(table: Table, ids: Sequence[str]) -> Work[list[Document]]:
    """Read the documents of these ids that are there, each once, in the order of the ids."""
    columns = table.c
    statement = select(columns.id, columns.content, columns.metadata).where(_has_id(table, ids))

    def work(connection: Connection) -> list[Document]:
        found = {row.id: row_document(row) for row in connection.execute(statement)}
        return [found[id_] for id_ in dict.fromkeys(ids) if id_ in found]

    return work


def row_document(row: Any) -> Document:
    """The document of a row."""
    return Document(id=row.id, page_content=row.content, metadata=row.metadata)


def conditions(table: Table, filter: Filter | None) -> list[ColumnElement[bool]]:  # noqa: A002
    """A filter as SQL: none, what a dict asks of the metadata, or an expression of the caller's."""
    if filter is None:
        return []
    if isinstance(filter, ColumnElement):
        return [filter]
    if isinstance(filter, Mapping):
        return [metadata_condition(table.c.metadata, filter)]
    raise SearchError(
        "expected a filter that is a dict of metadata or an expression of SQLAlchemy, "
        f"found {type(filter).__name__}"
    )


def _has_id(table: Table, ids: Sequence[str]) -> ColumnElement[bool]:
    # one parameter, however many ids
    return table.c.id == any_(literal(list(ids), ARRAY(Text)))
