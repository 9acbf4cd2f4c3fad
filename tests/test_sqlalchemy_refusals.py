"""Vectors that SQLAlchemy cannot write with their codes: refused, or documented."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    Column,
    Computed,
    Integer,
    MetaData,
    Table,
    create_engine,
    func,
    insert,
    inspect,
    literal,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import CompileError
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, Session, mapped_column
from sqlalchemy.pool import NullPool
from tests.conftest import fresh_database
from tests.sessions import url
from tests.vector_rows import (
    BINARIZER,
    DIMENSIONS,
    HERE,
    NEW,
    NEWER,
    TABLE,
    VECTORS,
    Item,
    Joined,
    by_key,
    check,
    flushed,
    got,
    make_rows,
)

from bitryoshka.errors import TableError, VectorsError
from bitryoshka.postgres import attach, register
from bitryoshka.postgres.server import Connection
from bitryoshka.sqlalchemy import Code, fill_codes, leave_to_trigger


@pytest.fixture(scope="module")
def rows(dsn: str, template: str) -> Iterator[str]:
    """A database with those rows, in which no test may commit."""
    with fresh_database(dsn, template) as address:
        make_rows(address)
        yield address


def upsert(values: dict[str, Any], **set_: Any) -> Any:
    new = postgresql.insert(Item).values(id=0, part=7, **values)
    set_ = {name: getattr(new.excluded, part) for name, part in set_.items()}
    return new.on_conflict_do_update(index_elements=["id", "part"], set_=set_)


ONE_CODE = BINARIZER.encode(NEW[None])[0]
SOME = update(Item).where(Item.id == 0)
VECTOR_OF_ANOTHER = select(Item.vector).where(Item.id == 1).scalar_subquery()
REFUSED: dict[str, tuple[Callable[[Session], Any], str]] = {
    "another column": (
        lambda s: s.execute(SOME.values(vector=Item.vector + Item.vector)),
        "found an SQL expression",
    ),
    "function": (
        lambda s: s.execute(SOME.values({Item.vector: func.array_fill(1, [DIMENSIONS])})),
        "found an SQL expression",
    ),
    "subquery": (
        lambda s: s.execute(SOME.values(vector=VECTOR_OF_ANOTHER)),
        "found an SQL expression",
    ),
    "text": (lambda s: s.execute(SOME.values(vector=text("NULL"))), "found an SQL expression"),
    "expression on a connection": (
        lambda s: s.connection().execute(update(TABLE).values(embedding=TABLE.c.embedding)),
        "found an SQL expression",
    ),
    "attribute of an object": (
        lambda s: got(s, Item, 0, vector=Item.vector),
        "found an SQL expression",
    ),
    "expression of an object": (
        lambda s: got(s, Item, 0, vector=func.array_fill(1, [DIMENSIONS])),
        "found an SQL expression",
    ),
    "expression in a parameter": (
        lambda s: s.execute(update(Item), by_key(0, vector=Item.vector)),
        "found an SQL expression",
    ),
    "expression in a mapping": (
        lambda s: s.bulk_update_mappings(inspect(Item), by_key(0, vector=null() + null())),
        "found an SQL expression",
    ),
    "ordered values": (
        lambda s: s.connection().execute(
            update(TABLE).ordered_values((TABLE.c.title, "x"), (TABLE.c.embedding, NEW))
        ),
        "found ordered_values",
    ),
    "wrapped update": (
        lambda s: s.scalars(
            select(Item).from_statement(SOME.values(vector=NEW).returning(Item))
        ).all(),
        "found from_statement",
    ),
    "update in a CTE": (
        lambda s: s.execute(select(SOME.values(vector=NEW).returning(Item.id).cte())),
        "found a statement within a CTE",
    ),
    "update beside a select": (
        lambda s: s.connection().execute(
            select(literal(1)).add_cte(update(TABLE).where(HERE).values(embedding=NEW).cte())
        ),
        "found a statement within a CTE",
    ),
    "insert in a CTE": (
        lambda s: s.execute(
            select(insert(Item).values(id=20, vector=NEW).returning(Item.id).cte())
        ),
        "found a statement within a CTE",
    ),
    "inserts in a CTE": (
        lambda s: s.execute(
            select(
                insert(TABLE)
                .values([{"id": n, "embedding": NEW} for n in (20, 21)])
                .returning(TABLE.c.id)
                .cte()
            )
        ),
        "found a statement within a CTE",
    ),
    "insert of a select": (
        lambda s: s.execute(
            insert(Item).from_select(
                ["id", "kind", "title", "embedding"],
                select(literal(20), literal("item"), literal("x"), Item.vector),
            )
        ),
        r"found INSERT \.\.\. FROM SELECT",
    ),
    "insert of a select, without defaults": (
        lambda s: s.connection().execute(
            insert(TABLE).from_select(
                ["id", "part", "kind", "title", "embedding"],
                select(literal(20), literal(7), literal("item"), literal("x"), Item.vector),
                include_defaults=False,
            )
        ),
        r"found INSERT \.\.\. FROM SELECT",
    ),
    "upsert": (
        lambda s: s.execute(upsert({"vector": NEW}, embedding="embedding")),
        r"set Item\.code to its excluded value too",
    ),
    "upsert with a code": (
        lambda s: s.execute(upsert({"vector": NEW, "code": ONE_CODE}, embedding="embedding")),
        r"set Item\.code to its excluded value too",
    ),
    "upsert of parameters": (
        lambda s: s.connection().execute(
            (new := postgresql.insert(TABLE)).on_conflict_do_update(
                index_elements=["id", "part"], set_={"embedding": new.excluded.embedding}
            ),
            by_key(0, embedding=NEW, bits=ONE_CODE, kind="item", title=""),
        ),
        r"set Item\.code to its excluded value too",
    ),
    "upsert of a vector alone": (
        lambda s: s.execute(
            postgresql.insert(Item)
            .values(id=0, part=7)
            .on_conflict_do_update(index_elements=["id", "part"], set_={"embedding": NEW})
        ),
        r"set Item\.code to its excluded value too",
    ),
}


@pytest.mark.parametrize("way", REFUSED)
def test_what_cannot_have_its_code_is_refused(rows: str, way: str) -> None:
    write, expected = REFUSED[way]
    with Session(create_engine(url(rows, "psycopg"), poolclass=NullPool)) as session:
        for _ in range(2):  # compiled, and from the cache
            with session.begin_nested() as inside:
                with pytest.raises(VectorsError, match=expected):  # noqa: PT012
                    write(session)
                    session.flush()
                inside.rollback()
            session.expunge_all()
        check(session)


def test_the_same_with_a_code_is_written_as_it_is(rows: str) -> None:
    """Each refusal's remedy."""
    code = ONE_CODE
    given: list[Callable[[Session], Any]] = [
        lambda s: s.execute(SOME.values(vector=VECTOR_OF_ANOTHER, code=code)),
        lambda s: s.connection().execute(
            update(TABLE).ordered_values((TABLE.c.embedding, NEW), (TABLE.c.bits, code))
        ),
        lambda s: s.scalars(
            select(Item).from_statement(SOME.values(vector=NEW, code=code).returning(Item))
        ).all(),
        lambda s: s.execute(select(SOME.values(vector=NEW, code=code).returning(Item.id).cte())),
        lambda s: s.execute(upsert({"vector": NEW}, embedding="embedding", bits="bits")),
        lambda s: got(s, Item, 0, vector=VECTOR_OF_ANOTHER, code=code),
        lambda s: got(s, Item, 0, code=code, vector=NEW),
        lambda s: s.expire(one := got(s, Item, 0)) or setattr(one, "code", code),
        lambda s: s.bulk_update_mappings(inspect(Item), by_key(0, vector=NEW, code=code)),
    ]
    with Session(create_engine(url(rows, "psycopg"), poolclass=NullPool)) as session:
        for write in given:
            with session.begin_nested() as inside:
                write(session)
                session.flush()
                found = session.scalar(text("SELECT bits::text FROM items WHERE id = 0"))
                assert found == "".join(f"{byte:08b}" for byte in code)
                inside.rollback()


def test_the_table_of_a_subclass_has_no_vector_to_set(rows: str) -> None:
    with Session(create_engine(url(rows, "psycopg"), poolclass=NullPool)) as session:
        with pytest.raises(CompileError, match="items"):
            session.execute(update(Joined).values(vector=NEW))
        session.rollback()
        check(session)


# what no listener of SQLAlchemy's can tell from another statement, or sees at all
UNSEEN: dict[str, Callable[[Session], Any]] = {
    "SQL as text": lambda s: s.execute(
        text("UPDATE docs SET embedding = :v"), {"v": str(NEW.tolist())}
    ),
    "another `Table` object": lambda s: s.execute(
        update(Table("docs", MetaData(), Column("embedding", Vector(DIMENSIONS)))).values(
            embedding=NEW
        )
    ),
}


@pytest.mark.parametrize("way", UNSEEN)
def test_what_is_not_seen_is_documented_and_a_trigger_sees_it(
    installed: Connection, installed_database: str, way: str
) -> None:
    class Models(DeclarativeBase):
        pass

    class Filled(Models):
        __tablename__ = "docs"
        id: Mapped[int] = mapped_column(primary_key=True)
        embedding: Mapped[Any] = mapped_column(Vector(DIMENSIONS))
        code: Mapped[Any] = mapped_column(Code(BINARIZER.bits))

    fill_codes(Filled.code, Filled.embedding, BINARIZER)
    engine = create_engine(url(installed_database, "psycopg"), poolclass=NullPool)
    Models.metadata.create_all(engine)
    first, new = ("".join(f"{b:08b}" for b in c) for c in BINARIZER.encode(VECTORS[[0, 9]]))
    stored = text("SELECT code::text FROM docs")
    with Session(engine) as session:
        session.add(Filled(id=0, embedding=VECTORS[0]))
        session.flush()
        UNSEEN[way](session)
        assert session.scalars(stored).all() == [first]
        session.commit()
    assert way in (Path(__file__).parents[1] / "docs" / "sqlalchemy.md").read_text("utf-8")

    register(installed, "docs", BINARIZER)
    installed.execute("ALTER TABLE docs DROP COLUMN code")
    attach(installed, "docs", "embedding", "docs@1", index=False, queries=0)

    class Left(DeclarativeBase):
        pass

    class Doc(Left):
        __tablename__ = "docs"
        id: Mapped[int] = mapped_column(primary_key=True)
        embedding: Mapped[Any] = mapped_column(Vector(DIMENSIONS))
        code: Mapped[Any] = mapped_column(Code(BINARIZER.bits))

    leave_to_trigger(Doc.code, Doc.embedding, "docs@1")
    with Session(engine) as session:
        session.execute(update(Doc).values(embedding=VECTORS[0]))
        assert session.scalars(stored).all() == [first]
        UNSEEN[way](session)
        assert session.scalars(stored).all() == [new]


def test_a_vector_changed_in_place_is_not_written_at_all(rows: str) -> None:
    with Session(create_engine(url(rows, "psycopg"), poolclass=NullPool)) as session:
        found = got(session, Item, 0, vector=NEW.copy())
        session.flush()
        found.vector[:] = NEWER
        session.flush()
        check(session, {"items": {0: NEW}})


def test_vectors_that_a_default_makes_are_refused_when_declared() -> None:
    class Models(DeclarativeBase):
        pass

    made = {
        "default": lambda: NEW,
        "onupdate": lambda: NEW,
        "server_default": text("NULL"),
    }
    kinds = [mapped_column(Vector(DIMENSIONS), **{name: how}) for name, how in made.items()]  # type: ignore[arg-type]
    kinds.append(mapped_column(Vector(DIMENSIONS), Computed("other")))
    for i, vector in enumerate(kinds):
        columns = {
            "__tablename__": f"made_{i}",
            "id": mapped_column(Integer, primary_key=True),
            "vector": vector,
            "code": mapped_column(Code(BINARIZER.bits)),
        }
        item: Any = type(f"Made{i}", (Models,), columns)
        with pytest.raises(TableError, match=rf"Made{i}\.vector to be given by whoever writes"):
            fill_codes(item.code, item.vector, BINARIZER)


def test_dataclasses_have_no_default_in_the_way(rows: str) -> None:
    class Models(MappedAsDataclass, DeclarativeBase):
        pass

    class Data(Models):
        __tablename__ = "mixed"
        id: Mapped[int] = mapped_column(primary_key=True)
        vector: Mapped[Any] = mapped_column("embedding", Vector(DIMENSIONS), default=None)
        code: Mapped[Any] = mapped_column("bits", Code(BINARIZER.bits), default=None)

    fill_codes(Data.code, Data.vector, BINARIZER)
    with Session(create_engine(url(rows, "psycopg"), poolclass=NullPool)) as session:
        made = Data(id=20, vector=NEWER)
        session.add(made)
        session.flush()
        check(session, {"mixed": {20: NEWER}})
        made.vector = NEW
        flushed(session, made)
        check(session, {"mixed": {20: NEW}})
