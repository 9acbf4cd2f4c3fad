"""Tenants, their documents, and the tags of these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import Column, ForeignKey, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from bitryoshka.sqlalchemy import Code, leave_to_trigger, prefix_index

VERSION = 1

DIMENSIONS = 384
BITS = 256
PREFIX_BITS = 128
BINARIZERS = Path(__file__).with_name("migrations")


class Base(DeclarativeBase):
    """The tables of this application."""


class Tenant(Base):
    """Who owns documents; nobody sees those of another."""

    __tablename__ = "tenants"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


document_tags = Table(
    "document_tags",
    Base.metadata,
    Column("document_id", ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey("tags.id", ondelete="CASCADE"), primary_key=True, index=True),
)


class Tag(Base):
    """A word that documents are filtered by."""

    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Document(Base):
    """A text with its embedding, and the code that a trigger makes of it."""

    __tablename__ = "documents"
    # the database alone reads the code: it is not fetched after an INSERT
    __mapper_args__ = {"eager_defaults": False}
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenants.id"), index=True)
    title: Mapped[str]
    text: Mapped[str]
    embedding: Mapped[Any] = mapped_column(HALFVEC(DIMENSIONS), deferred=True)
    code: Mapped[Any] = mapped_column(f"code_{VERSION}", Code(BITS), deferred=True)
    tenant: Mapped[Tenant] = relationship()
    tags: Mapped[list[Tag]] = relationship(secondary=document_tags, order_by=Tag.name)


leave_to_trigger(Document.code, Document.embedding, f"documents@{VERSION}")
prefix_index(f"documents_code_{VERSION}", Document.code, PREFIX_BITS)


def binarizer_file(version: int = VERSION) -> Path:
    """Where the binarizer of a codec is kept: beside the migrations, which read it."""
    return BINARIZERS / f"documents_{version}.safetensors"
