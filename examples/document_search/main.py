"""Document search on the command line: load, fit, add and search."""

from __future__ import annotations

import argparse
import os
from typing import TypeVar

import numpy as np
from embedding import embed
from library import Entry, entries
from models import BITS, Base, Document, Tag, Tenant, binarizer_file
from numpy.typing import NDArray
from search import search
from sqlalchemy import ARRAY, REAL, cast, create_engine, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

import bitryoshka
from bitryoshka import Binarizer
from bitryoshka.sqlalchemy import check_codecs

T = TypeVar("T", Tenant, Tag)


def load(session: Session) -> None:
    """Add the documents of the library."""
    found = list(entries())
    vectors = embed([f"{entry.title}: {entry.text}" for entry in found])
    for entry, vector in zip(found, vectors, strict=True):
        _add(session, entry, vector)
    print(f"{len(found)} documents")


def fit(session: Session, version: int, hamming_bits: int) -> None:
    """Fit a binarizer to the documents that are there."""
    embeddings = select(cast(Document.embedding, ARRAY(REAL)))
    vectors = np.array(session.scalars(embeddings).all(), np.float32)
    found = bitryoshka.fit(vectors, bits=BITS, hamming_bits=hamming_bits, method="progressive")
    found.binarizer.save(binarizer_file(version))
    print(binarizer_file(version).name, found.binarizer)


def show(session: Session, text: str, tenant: str, tags: list[str], page: int) -> None:
    """Print one page of results."""
    binarizer = Binarizer.load(binarizer_file())
    found = search(session, binarizer, embed([text])[0], tenant, tags, page)
    for document in found.documents:
        tagged = ", ".join(tag.name for tag in document.tags)
        print(f"{document.title} [{tagged}]\n    {document.text[:90]}")
    if found.more:
        print(f"more: --page {page + 1}")


def add(session: Session, tenant: str, title: str, text: str, tags: list[str]) -> None:
    """Add one document; the trigger makes its code."""
    _add(session, Entry(tenant, title, text, tuple(tags)), embed([f"{title}: {text}"])[0])


def _add(session: Session, entry: Entry, vector: NDArray[np.float32]) -> None:
    session.add(
        Document(
            tenant=_named(session, Tenant, entry.tenant),
            title=entry.title,
            text=entry.text,
            tags=[_named(session, Tag, tag) for tag in entry.tags],
            embedding=vector,
        )
    )


def _named(session: Session, kind: type[T], name: str) -> T:
    """The tenant or tag of that name, made where there is none."""
    found = session.scalar(select(kind).where(kind.name == name))
    if found is None:
        found = kind(name=name)
        session.add(found)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Run one command, in one transaction."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("load", help="add documents")
    one = commands.add_parser("fit", help="fit a binarizer to the documents")
    one.add_argument("--version", type=int, default=1)
    one.add_argument("--hamming-bits", type=int, default=128)
    one = commands.add_parser("add", help="add one document")
    one.add_argument("title")
    one.add_argument("text")
    one = commands.add_parser("search", help="search a tenant's documents")
    one.add_argument("text")
    one.add_argument("--page", type=int, default=1)
    for name in ("add", "search"):
        commands.choices[name].add_argument("--tenant", required=True)
        commands.choices[name].add_argument("--tag", action="append", default=[], dest="tags")
    given = vars(parser.parse_args(arguments))
    work = {"load": load, "fit": fit, "add": add, "search": show}[given.pop("command")]
    engine = create_engine(os.environ["DATABASE_URL"], poolclass=NullPool)
    if work in (add, show):
        with engine.connect() as connection:
            check_codecs(connection, Base.metadata)
    with Session(engine) as session, session.begin():
        work(session, **given)


if __name__ == "__main__":
    main()
