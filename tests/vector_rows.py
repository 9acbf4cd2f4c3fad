"""Mapped classes of every kind with vectors and codes, their rows, and a check of all codes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from pgvector.sqlalchemy import Vector
from sqlalchemy import REAL, Column, ForeignKeyConstraint, create_engine, inspect, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.mutable import MutableList
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    mapped_column,
    synonym,
)
from sqlalchemy.pool import NullPool
from tests.sessions import url
from tests.synthetic import exact_binarizer, integer_rows

from bitryoshka.sqlalchemy import Code, fill_codes

BINARIZER, OTHER = exact_binarizer(3), exact_binarizer(4)
DIMENSIONS = BINARIZER.dimensions
VECTORS = integer_rows(0, 40)
NEW, NEWER = VECTORS[9], VECTORS[10]


class Base(DeclarativeBase):
    pass


class Item(Base):
    """A key of two columns; attributes and columns have different names."""

    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True, default=7)
    kind: Mapped[str] = mapped_column(default="item")
    title: Mapped[str] = mapped_column(default="")
    vector: Mapped[Any] = mapped_column("embedding", Vector(DIMENSIONS), nullable=True)
    code: Mapped[Any] = mapped_column("bits", Code(BINARIZER.bits), nullable=True)
    same: Mapped[Any] = synonym("vector")
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "item"}  # noqa: RUF012


class Single(Item):
    __mapper_args__ = {"polymorphic_identity": "single"}  # noqa: RUF012


class Joined(Item):
    """The vector is in the table of its base."""

    __tablename__ = "joined"
    id: Mapped[int] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True, default=7)
    note: Mapped[str] = mapped_column(default="")
    __table_args__ = (ForeignKeyConstraint(["id", "part"], ["items.id", "items.part"]),)
    __mapper_args__ = {"polymorphic_identity": "joined"}  # noqa: RUF012


class Pair(Base):
    """Two codes of one vector, in attributes that are loaded late, and a counter of versions."""

    __tablename__ = "pairs"
    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column()
    vector = column_property(Column("embedding", Vector(DIMENSIONS)))
    code: Mapped[Any] = mapped_column("bits", Code(BINARIZER.bits), deferred=True)
    second: Mapped[Any] = mapped_column("more", Code(OTHER.bits), deferred=True)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Mixin:
    id: Mapped[int] = mapped_column(primary_key=True)
    vector: Mapped[Any] = mapped_column("embedding", Vector(DIMENSIONS))


class Mixed(Mixin, Base):
    __tablename__ = "mixed"
    code: Mapped[Any] = mapped_column("bits", Code(BINARIZER.bits))


class Concrete(Mixed):
    """A table of its own, with another codec."""

    __tablename__ = "concrete"
    id: Mapped[int] = mapped_column(primary_key=True)
    vector: Mapped[Any] = mapped_column("embedding", Vector(DIMENSIONS))
    code: Mapped[Any] = mapped_column("bits", Code(OTHER.bits))
    __mapper_args__ = {"concrete": True}  # noqa: RUF012


class Numbers(Base):
    __tablename__ = "numbers"
    id: Mapped[int] = mapped_column(primary_key=True)
    vector: Mapped[Any] = mapped_column("embedding", MutableList.as_mutable(ARRAY(REAL)))
    code: Mapped[Any] = mapped_column("bits", Code(BINARIZER.bits))


fill_codes(Item.code, Item.vector, BINARIZER)
fill_codes(Pair.code, Pair.vector, BINARIZER)
fill_codes(Pair.second, Pair.vector, OTHER)
fill_codes(Mixed.code, Mixed.vector, BINARIZER)
fill_codes(Concrete.code, Concrete.vector, OTHER)
fill_codes(Numbers.code, Numbers.vector, BINARIZER)


class Late(Item):
    """Declared after the codes of its base."""

    __mapper_args__ = {"polymorphic_identity": "late"}  # noqa: RUF012


TABLE: Any = Item.__table__
HERE = TABLE.c.id == 0
# of each table: its columns of codes, and who encodes
CODES = {
    "items": {"bits": BINARIZER},
    "pairs": {"bits": BINARIZER, "more": OTHER},
    "mixed": {"bits": BINARIZER},
    "concrete": {"bits": OTHER},
    "numbers": {"bits": BINARIZER},
}
# which vector each row has
ROWS = {
    "items": {0: 0, 1: 1, 2: 2, 3: 3},
    "pairs": {0: 4},
    "mixed": {0: 5},
    "concrete": {1: 6},
    "numbers": {0: 7},
}


def make_rows(dsn: str) -> None:
    """Tables and rows."""
    engine = create_engine(url(dsn, "psycopg"), poolclass=NullPool)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        v = VECTORS
        session.add_all([Item(id=0, vector=v[0]), Joined(id=1, vector=v[1])])
        session.add_all([Single(id=2, vector=v[2]), Late(id=3, vector=v[3])])
        session.add_all([Pair(id=0, vector=v[4]), Mixed(id=0, vector=v[5])])
        session.add_all([Concrete(id=1, vector=v[6]), Numbers(id=0, vector=v[7].tolist())])
        session.commit()


def check(session: Session, changed: dict[str, dict[int, Any]] | None = None) -> None:
    """The vectors that the tables have, and that each code is that of its row's vector."""
    session.flush()
    for table, codes in CODES.items():
        expected = {
            **{i: VECTORS[n] for i, n in ROWS[table].items()},
            **(changed or {}).get(table, {}),
        }
        found = session.execute(
            text(f"SELECT id, embedding::vector::text, {', '.join(codes)} FROM {table}")
        )
        stored = {i: (None if v is None else json.loads(v), *given) for i, v, *given in found}
        assert {i: v for i, (v, *_) in stored.items()} == {
            i: None if v is None else v.tolist() for i, v in expected.items()
        }
        for i, vector in expected.items():
            for code, binarizer in zip(stored[i][1:], codes.values(), strict=True):
                if vector is None:
                    assert code is None
                    continue
                [right] = binarizer.encode(vector[None])
                # str, or the bit string of asyncpg
                assert code is not None
                digits = code if isinstance(code, str) else code.as_string().replace(" ", "")
                assert digits == "".join(f"{byte:08b}" for byte in right), (table, i)


def got(session: Session, entity: Any, key: int, **values: Any) -> Any:
    """An object of the Session with other values."""
    found = session.get_one(entity, (key, 7) if issubclass(entity, Item) else key)
    for name, value in values.items():
        setattr(found, name, value)
    return found


def detached(session: Session, entity: Any, key: int, **values: Any) -> Any:
    """The same, of no Session."""
    found = got(session, entity, key)
    session.expunge(found)
    for name, value in values.items():
        setattr(found, name, value)
    return found


def flushed(session: Session, found: Any) -> None:
    session.flush()
    state = inspect(found)
    codes = {"code": OTHER if isinstance(found, Concrete) else BINARIZER}
    codes |= {"second": OTHER} if isinstance(found, Pair) else {}
    for name, binarizer in codes.items():
        # there, so that an async Session need not wait for it
        assert name in state.dict
        [right] = binarizer.encode(np.array([found.vector], np.float32))
        np.testing.assert_array_equal(getattr(found, name), right)


def by_key(*ids: int, **values: Any) -> list[dict[str, Any]]:
    return [{"id": i, "part": 7, **values} for i in ids]
