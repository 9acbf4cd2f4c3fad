"""Documents as entries of a table, and rows as documents: ids and filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.documents import Document
from sqlalchemy import ColumnElement, Connection, Table

from bitryoshka.documents.engines import Work
from bitryoshka.documents.rows import Entry, deletion, has_id, reading
from bitryoshka.errors import SearchError, TableError
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


def document_entries(
    documents: Sequence[Document], ids: Sequence[str | None] | None = None
) -> list[Entry]:
    """Documents with the id of each: the given one, else its own, else a new UUID."""
    if ids is not None and len(ids) != len(documents):
        raise TableError(f"expected ids for {len(documents)} documents, found {len(ids)}")
    given = ids or [None] * len(documents)
    chosen = [own if id_ is None else id_ for id_, own in zip(given, _own(documents), strict=True)]
    wrong = [id_ for id_ in chosen if not isinstance(id_, str)]
    if wrong:
        raise TableError(f"ids must be str, found {wrong[0]!r}")
    return [
        Entry(id_, document.page_content, document.metadata)
        for id_, document in zip(chosen, documents, strict=True)
    ]


def _own(documents: Sequence[Document]) -> list[str]:
    return [str(uuid4()) if document.id is None else document.id for document in documents]


def deletion_of(
    table: Table,
    ids: Sequence[str] | None = None,
    filter: Filter | None = None,  # noqa: A002
) -> Work[None]:
    """Delete the rows of these ids, None: of all, that the filter lets through."""
    where = conditions(table, filter)
    if ids is not None:
        where.append(has_id(table, ids))
    return deletion(table, where)


def reading_of(table: Table, ids: Sequence[str]) -> Work[list[Document]]:
    """Read the documents of these ids that are there, each once, in the order of the ids."""
    rows = reading(table, [has_id(table, ids)])

    def work(connection: Connection) -> list[Document]:
        found = {row.id: row_document(row) for row in rows(connection)}
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
