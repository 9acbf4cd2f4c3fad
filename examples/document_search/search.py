"""Searches: pages of one tenant's documents, those nearest to a query first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from models import PREFIX_BITS, Document, Tag, Tenant
from numpy.typing import NDArray
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, selectinload

from bitryoshka import Binarizer
from bitryoshka.sqlalchemy import funnel

PAGE = 5
CANDIDATES = 60


class Page(NamedTuple):
    """``more``: whether another page follows."""

    documents: Sequence[Document]
    more: bool


def documents_of(tenant: str, tags: Iterable[str] = ()) -> Select[tuple[Document]]:
    """A tenant's documents that have all of the tags, in no order."""
    statement = select(Document).join(Document.tenant).where(Tenant.name == tenant)
    for tag in tags:
        # a join would repeat documents
        statement = statement.where(Document.tags.any(Tag.name == tag))
    return statement.options(selectinload(Document.tags))


def search(
    session: Session,
    binarizer: Binarizer,
    query: NDArray[np.float32],
    tenant: str,
    tags: Iterable[str] = (),
    page: int = 1,
) -> Page:
    """The page of the documents nearest to ``query`` (d,): shortlist by codes, order by vectors."""
    # one more than is shown: it tells whether there is a next page
    wanted = documents_of(tenant, tags).limit(PAGE + 1).offset(PAGE * (page - 1))
    found = funnel(
        wanted,
        Document.code,
        query,
        binarizer,
        candidates=CANDIDATES,
        prefix_bits=PREFIX_BITS,
        rescore=Document.embedding.cosine_distance(query),
    )
    session.execute(
        select(
            func.set_config("hnsw.ef_search", str(CANDIDATES), True),
            # goes on until enough documents have passed the filter, however few do
            func.set_config("hnsw.iterative_scan", "relaxed_order", True),
            func.set_config("hnsw.max_scan_tuples", str(2**31 - 1), True),
            func.set_config("hnsw.scan_mem_multiplier", "1000", True),
        )
    )
    documents = session.scalars(found).all()
    return Page(documents[:PAGE], len(documents) > PAGE)
