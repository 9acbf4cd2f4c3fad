"""Codes that the model fills from a vector attribute, on a real Postgres with every driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    create_engine,
    func,
    insert,
    inspect,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    registry,
)
from sqlalchemy.pool import NullPool
from tests.sessions import DRIVERS, Run, runner, url
from tests.synthetic import exact_binarizer, exact_signs, integer_rows

from bitryoshka.errors import BitsError, TableError, VectorsError
from bitryoshka.sqlalchemy import Code, fill_codes

BINARIZER = exact_binarizer(3)
BITS, DIMENSIONS = BINARIZER.bits, BINARIZER.dimensions
VECTORS = integer_rows(0, 40)
CODES = BINARIZER.encode(VECTORS)


class Base(DeclarativeBase):
    pass


class Item(Base):
    """Attributes and columns have different names."""

    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(default="")
    vector: Mapped[Any] = mapped_column("embedding", Vector(DIMENSIONS), nullable=True)
    code: Mapped[Any] = mapped_column("bits", Code(BITS), nullable=True)


class Plain(Base):
    __tablename__ = "plain"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[Any] = mapped_column(Code(BITS))


fill_codes(Item.code, Item.vector, BINARIZER)


@pytest.fixture
def tables(database: str) -> str:
    Base.metadata.create_all(create_engine(url(database, "psycopg"), poolclass=NullPool))
    return database


@pytest.fixture(params=DRIVERS)
def run(request: pytest.FixtureRequest, tables: str) -> Run:
    return runner(tables, request.param)


def codes_as_text(rows: NDArray[np.uint8]) -> list[str]:
    return ["".join(f"{byte:08b}" for byte in row) for row in rows]


def check_stored(session: Session, expected: dict[int, int | None]) -> None:
    """Which vector each row has, and that its code is that of this vector: the server's word."""
    found = session.execute(text("SELECT id, embedding::text, bits::text FROM items"))
    assert {i: (v, c) for i, v, c in found} == {
        i: (None, None)
        if n is None
        else (str(VECTORS[n].astype(int).tolist()).replace(" ", ""), codes_as_text(CODES)[n])
        for i, n in expected.items()
    }


def test_objects_are_encoded_when_they_are_flushed(run: Run) -> None:
    def work(session: Session) -> None:
        items = [Item(id=i, vector=VECTORS[i]) for i in range(5)]
        session.add_all([*items, Item(id=5), Item(id=6, vector=None)])
        session.flush()
        check_stored(session, {**{i: i for i in range(5)}, 5: None, 6: None})
        # on the object itself, so that an async Session need not wait for it
        assert "code" in inspect(items[0]).dict
        np.testing.assert_array_equal(items[0].code, CODES[0])
        items[0].vector = VECTORS[10]
        items[1].vector = None
        items[2].title = "another"
        session.flush()
        np.testing.assert_array_equal(items[0].code, CODES[10])
        assert items[1].code is None
        check_stored(session, {0: 10, 1: None, 2: 2, 3: 3, 4: 4, 5: None, 6: None})
        session.expire_all()
        session.get_one(Item, 5).vector = VECTORS[11].tolist()
        session.get_one(Item, 2).vector = VECTORS[12]
        session.merge(Item(id=3, vector=VECTORS[13]))
        session.flush()
        check_stored(session, {0: 10, 1: None, 2: 12, 3: 13, 4: 4, 5: 11, 6: None})

    run(work)


def rows(*numbers: int) -> list[dict[str, Any]]:
    return [{"id": n, "vector": VECTORS[n]} for n in numbers]


INSERTS: dict[str, Callable[[Session], Any]] = {
    "values": lambda s: [s.execute(insert(Item).values(row)) for row in rows(0, 1, 2)],
    "many values": lambda s: s.execute(insert(Item).values(rows(0, 1, 2))),
    "parameters": lambda s: s.execute(insert(Item), rows(0, 1, 2)),
    "one set of parameters": lambda s: [s.execute(insert(Item), row) for row in rows(0, 1, 2)],
    "attributes": lambda s: s.execute(
        insert(Item).values([{Item.id: n, Item.vector: VECTORS[n]} for n in range(3)])
    ),
    "core": lambda s: s.connection().execute(
        insert(Item.__table__),
        [{"id": n, "embedding": VECTORS[n], "title": ""} for n in range(3)],
    ),
    "core values": lambda s: s.connection().execute(
        insert(Item.__table__).values(
            [{"id": n, "embedding": VECTORS[n], "title": ""} for n in range(3)]
        )
    ),
    "mappings": lambda s: s.bulk_insert_mappings(inspect(Item), rows(0, 1, 2)),
    "saved objects": lambda s: s.bulk_save_objects(Item(**row) for row in rows(0, 1, 2)),
}


@pytest.mark.parametrize("way", INSERTS)
def test_every_kind_of_insert_is_encoded(run: Run, way: str) -> None:
    def work(session: Session) -> None:
        INSERTS[way](session)
        check_stored(session, {0: 0, 1: 1, 2: 2})

    run(work)


def test_inserts_can_return_their_codes(run: Run) -> None:
    def work(session: Session) -> None:
        made = session.scalars(insert(Item).returning(Item), rows(0, 1, 2))
        for item in made:
            np.testing.assert_array_equal(item.code, CODES[item.id])
        [[code]] = session.execute(insert(Item).values(rows(3)).returning(Item.code))
        np.testing.assert_array_equal(code, CODES[3])

    run(work)


UPDATES: dict[str, Callable[[Session], Any]] = {
    "values": lambda s: s.execute(update(Item).where(Item.id == 0).values(vector=VECTORS[9])),
    "attribute": lambda s: s.execute(
        update(Item).where(Item.id == 0).values({Item.vector: VECTORS[9], "title": "x"})
    ),
    "without loading": lambda s: s.execute(
        update(Item).where(Item.id == 0).values(vector=VECTORS[9]),
        execution_options={"synchronize_session": "fetch"},
    ),
    "by key": lambda s: s.execute(
        update(Item), [{"id": 0, "vector": VECTORS[9]}, {"id": 1, "title": "x"}]
    ),
    "one set of parameters": lambda s: s.execute(
        update(Item).where(Item.id == 0),
        {"embedding": VECTORS[9]},
        execution_options={"synchronize_session": False},
    ),
    "query": lambda s: s.query(Item).filter(Item.id == 0).update({"vector": VECTORS[9]}),
    "core": lambda s: s.execute(
        update(Item.__table__).where(Item.__table__.c.id == 0).values(embedding=VECTORS[9])
    ),
}


@pytest.mark.parametrize("way", UPDATES)
def test_every_kind_of_update_encodes_anew(run: Run, way: str) -> None:
    def work(session: Session) -> None:
        session.execute(insert(Item), rows(0, 1, 2))
        item = session.get_one(Item, 0)
        UPDATES[way](session)
        check_stored(session, {0: 9, 1: 1, 2: 2})
        if way in ("values", "attribute", "without loading", "query"):
            np.testing.assert_array_equal(item.code, CODES[9])
        session.execute(update(Item).where(Item.id == 1).values(vector=None))
        session.execute(update(Item).where(Item.id == 2).values(title="y"))
        session.execute(update(Plain).values(code=CODES[0]))
        check_stored(session, {0: 9, 1: None, 2: 2})

    run(work)


def test_a_code_that_is_given_is_written_as_it_is(run: Run) -> None:
    def work(session: Session) -> None:
        given = np.zeros(BITS // 8, np.uint8)
        session.add(Item(id=0, vector=VECTORS[0], code=given))
        session.execute(insert(Item), [{**rows(1)[0], "code": given}])
        session.add(Item(id=2, vector=VECTORS[2]))
        session.flush()
        item = session.get_one(Item, 2)
        item.vector, item.code = VECTORS[3], given
        session.flush()
        session.add(Item(id=3, vector=VECTORS[3]))
        session.flush()
        session.execute(
            update(Item).where(Item.id == 3).values(vector=VECTORS[4], code=given.tobytes())
        )
        session.execute(insert(Item), rows(4))
        session.execute(update(Item), [{"id": 4, "vector": VECTORS[5], "code": given}])
        assert set(session.scalars(text("SELECT bits::text FROM items"))) == {"0" * BITS}

    run(work)


def test_upserts_set_the_excluded_code(run: Run) -> None:
    def work(session: Session) -> None:
        session.execute(insert(Item), rows(0, 1))
        new = postgresql.insert(Item).values(
            [{"id": n, "vector": VECTORS[n + 20]} for n in range(3)]
        )
        both = {"vector": new.excluded.embedding, "code": new.excluded.bits}
        only = {Item.vector: both["vector"]}
        title = {"title": "met before"}
        session.execute(new.on_conflict_do_update(index_elements=["id"], set_=title))
        check_stored(session, {0: 0, 1: 1, 2: 22})
        columns = {"embedding": both["vector"], "bits": both["code"]}
        session.execute(new.on_conflict_do_update(index_elements=["id"], set_=columns))
        check_stored(session, {0: 20, 1: 21, 2: 22})
        for set_ in (only, {"embedding": both["vector"]}):
            with pytest.raises(VectorsError, match=r"Item\.code to its excluded value too"):
                session.execute(new.on_conflict_do_update(index_elements=["id"], set_=set_))

    run(work)


REFUSED: dict[str, Callable[[Session], Any]] = {
    "insert of an expression": lambda s: s.execute(
        insert(Item).values(id=1, vector=func.array_fill(1, [DIMENSIONS]))
    ),
    "insert of a select": lambda s: s.execute(
        insert(Item).from_select(["id", "embedding"], select(literal(1), Item.vector))
    ),
    "object with an expression": lambda s: s.add(Item(id=1, vector=func.array_fill(1, [1]))),
    "changed object": lambda s: setattr(s.get_one(Item, 0), "vector", func.array_fill(1, [1])),
    "update": lambda s: s.execute(update(Item).values(vector=Item.vector + Item.vector)),
    "ordered values": lambda s: s.execute(
        update(Item).ordered_values((Item.title, ""), (Item.vector, VECTORS[1]))
    ),
    "wrapped update": lambda s: s.execute(
        select(Item).from_statement(update(Item).values(vector=VECTORS[1]).returning(Item))
    ),
}


@pytest.mark.parametrize("way", REFUSED)
def test_what_cannot_be_encoded_here_is_refused(tables: str, way: str) -> None:
    engine = create_engine(url(tables, "psycopg"), poolclass=NullPool)
    with Session(engine) as session:
        session.execute(insert(Item), rows(0))
        with pytest.raises((VectorsError, StatementError), match="expected the vector itself"):  # noqa: PT012
            REFUSED[way](session)
            session.flush()


@pytest.mark.parametrize(
    ("vector", "found"),
    [
        (VECTORS[0][:3], r"16 numbers.* shape \(3,\)"),
        (VECTORS[:1], r"shape \(1, 16\)"),
        ("[1,2]", "found str"),
        (b"123", "16 numbers"),
        (bytes(12), r"64 bytes .*found bytes of shape \(3,\)"),
        ([[1], [1, 2]], "16 numbers"),
        (np.full(DIMENSIONS, np.nan), r"finite.* found nan in a value of Item\.vector, column 0"),
        (np.ones(DIMENSIONS, np.int8), "the vector must be floats, found int8"),
        (np.full(DIMENSIONS, 1e300), "finite"),
    ],
)
def test_what_is_no_vector_is_refused_with_what_was_expected(
    tables: str, vector: Any, found: str
) -> None:
    engine = create_engine(url(tables, "psycopg"), poolclass=NullPool)
    with Session(engine) as session:
        with pytest.raises((VectorsError, StatementError), match=found):
            session.execute(insert(Item).values(id=0, vector=vector))
        session.rollback()
        session.execute(insert(Item), rows(0))
        with pytest.raises(VectorsError, match=found):
            session.execute(update(Item).values(vector=vector))
        session.get_one(Item, 0).vector = vector
        with pytest.raises(VectorsError, match=found):
            session.flush()


def test_of_many_updates_the_bad_one_is_named(tables: str) -> None:
    engine = create_engine(url(tables, "psycopg"), poolclass=NullPool)
    changes: list[dict[str, Any]] = [
        {"id": 0, "vector": VECTORS[1]},
        {"id": 1, "title": "x"},
        {"id": 2, "vector": None},
        {"id": 3, "vector": np.full(DIMENSIONS, np.inf)},
    ]
    with Session(engine) as session:
        session.execute(insert(Item), rows(0, 1, 2, 3))
        with pytest.raises(VectorsError, match="found inf in row 3, column 0") as caught:
            session.execute(update(Item), changes)
    assert caught.value.row == 3


def test_a_class_that_was_in_use_before_is_filled_from_then_on(database: str) -> None:
    class Late:
        id: int

        def __init__(self, **values: Any) -> None:
            vars(self).update({})
            for name, value in values.items():
                setattr(self, name, value)

    from sqlalchemy import Column, Integer, MetaData, Table

    table = Table(
        "late",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("vector", Vector(DIMENSIONS)),
        Column("code", Code(BITS)),
    )
    registry().map_imperatively(Late, table)
    engine = create_engine(url(database, "psycopg"), poolclass=NullPool)
    table.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Late(id=0, vector=VECTORS[0]), Late(id=1, vector=VECTORS[1])])
        session.flush()
        fill_codes(Late.code, Late.vector, BINARIZER)  # type: ignore[attr-defined]
        session.add(Late(id=2, vector=VECTORS[2]))
        session.flush()
        session.execute(insert(Late), [{"id": 3, "vector": VECTORS[3]}])
        found = list(session.scalars(text("SELECT code::text FROM late ORDER BY id")))
    assert found == [None, None, *codes_as_text(CODES[2:4])]


def test_what_does_not_fit_is_refused_when_it_is_declared() -> None:
    with pytest.raises(TableError, match="filled by the model already"):
        fill_codes(Item.code, Item.vector, BINARIZER)
    with pytest.raises(TableError, match="one table"):
        fill_codes(Plain.code, Item.vector, BINARIZER)
    with pytest.raises(BitsError, match="of type Code"):
        fill_codes(Item.vector, Item.vector, BINARIZER)
    with pytest.raises(BitsError, match=rf"Code\({BITS - 8}\)"):
        fill_codes(Plain.code, Plain.id, exact_signs(BITS - 8))
    with pytest.raises(TableError, match="mapped class"):
        fill_codes(Plain.__table__.c.code, Plain.id, BINARIZER)  # type: ignore[arg-type]
