"""Codes beside vectors of every kind of column, and in SQLModel's classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pgvector import HalfVector, Vector
from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import (
    REAL,
    Column,
    LargeBinary,
    TypeDecorator,
    create_engine,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool
from sqlmodel import Field, SQLModel
from sqlmodel import Session as ModelSession
from sqlmodel import select as select_models
from tests.sessions import DRIVERS, runner, url
from tests.synthetic import exact_binarizer, integer_rows

from bitryoshka.postgres import register
from bitryoshka.postgres.server import Connection
from bitryoshka.sqlalchemy import Code, fill_codes, funnel, prefix_index

BINARIZER = exact_binarizer(3)
BITS, DIMENSIONS = BINARIZER.bits, BINARIZER.dimensions
VECTORS = integer_rows(0, 12)
CODES = BINARIZER.encode(VECTORS)


class Wrapped(TypeDecorator[Any]):
    """A user's own type on top of pgvector's."""

    impl = HALFVEC(DIMENSIONS)
    cache_ok = True


KINDS: dict[str, Any] = {
    "vector": VECTOR(DIMENSIONS),
    "halfvec": HALFVEC(DIMENSIONS),
    "wrapped_halfvec": Wrapped(),
    "float_bytes": LargeBinary(),
    "real_array": ARRAY(REAL),
}

FORMS: dict[str, Callable[[NDArray[np.float32]], Any]] = {
    "array": lambda v: v,
    "float64": lambda v: v.astype(np.float64),
    "integers": lambda v: v.astype(int),
    "list": lambda v: v.tolist(),
    "tuple": lambda v: tuple(v.tolist()),
    "bytes": lambda v: v.tobytes(),
    "memoryview": lambda v: memoryview(v.tobytes()),
    "Vector": Vector,
    "HalfVector": HalfVector,
}
TAKEN = {
    **dict.fromkeys(("vector", "halfvec", "wrapped_halfvec"), ("array", "list", "float64")),
    "float_bytes": ("bytes", "memoryview"),
    "real_array": ("list",),
}


class Base(DeclarativeBase):
    pass


def classes() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, kind in KINDS.items():
        columns = {
            "__tablename__": f"with_{name}",
            "id": mapped_column(primary_key=True),
            "vector": mapped_column("vector", kind),
            "code": mapped_column("code", Code(BITS), nullable=True),
            "__annotations__": {"id": Mapped[int], "vector": Mapped[Any], "code": Mapped[Any]},
        }
        made: Any = type(name, (Base,), columns)
        fill_codes(made.code, made.vector, BINARIZER)
        found[name] = made
    return found


CLASSES = classes()
CASES = [(name, form) for name, forms in TAKEN.items() for form in forms]
CASES += [("vector", "Vector"), ("halfvec", "HalfVector")]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(("name", "form"), CASES)
def test_every_vector_column_fills_a_code(database: str, driver: str, name: str, form: str) -> None:
    Base.metadata.create_all(create_engine(url(database, "psycopg"), poolclass=NullPool))
    made, shaped = CLASSES[name], FORMS[form]

    def work(session: Session) -> None:
        session.add(made(id=0, vector=shaped(VECTORS[0])))
        session.execute(insert(made), [{"id": 1, "vector": shaped(VECTORS[1])}])
        session.execute(insert(made).values(id=2, vector=shaped(VECTORS[9])))
        session.execute(update(made).where(made.id == 2).values(vector=shaped(VECTORS[2])))
        session.flush()
        session.expire_all()
        found = list(session.scalars(select(made).order_by(made.id)))
        np.testing.assert_array_equal([one.code for one in found], CODES[:3])
        # what was read may be written to another row
        found[0].vector = found[1].vector
        session.flush()
        np.testing.assert_array_equal(found[0].code, CODES[1])

    runner(database, driver)(work)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_vector_has_the_same_code(form: str) -> None:
    from bitryoshka.vectors import as_vector

    found = as_vector(FORMS[form](VECTORS[0]), DIMENSIONS)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, VECTORS[0])


def test_halfvecs_have_the_codes_of_what_is_stored(
    installed: Connection, installed_database: str
) -> None:
    """As the functions of the database encode them, which see the rounded numbers."""
    register(installed, "docs", BINARIZER)
    engine = create_engine(url(installed_database, "psycopg"), poolclass=NullPool)
    Base.metadata.create_all(engine)
    near = VECTORS + np.float32(1e-4) * np.where(BINARIZER.projection[0] > 0, 1, -1)
    assert (BINARIZER.encode(near) != CODES).any()
    with Session(engine) as session:
        for name in ("halfvec", "wrapped_halfvec"):
            session.execute(
                insert(CLASSES[name]), [{"id": i, "vector": v} for i, v in enumerate(near)]
            )
            same = text(
                f"SELECT bool_and(code = bitryoshka.encode('docs@1', vector)) FROM with_{name}"
            )
            assert session.scalar(same)


class Note(SQLModel, table=True):
    """The model and its columns as SQLModel's users write them."""

    model_config = {"arbitrary_types_allowed": True}
    id: int | None = Field(default=None, primary_key=True)
    title: str
    embedding: Any = Field(sa_column=Column(VECTOR(DIMENSIONS)))
    code: Any = Field(default=None, sa_column=Column(Code(BITS)))


fill_codes(Note.code, Note.embedding, BINARIZER)
prefix_index("note_code_8", Note.code, 8, m=4)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_models_of_sqlmodel(installed_database: str, driver: str) -> None:
    engine = create_engine(url(installed_database, driver), poolclass=NullPool)
    SQLModel.metadata.create_all(engine)
    with ModelSession(engine) as session:
        notes = [Note(title=f"note {i}", embedding=v) for i, v in enumerate(VECTORS)]
        session.add_all(notes)
        session.commit()
        np.testing.assert_array_equal([note.code for note in notes], CODES)
        notes[0].embedding = VECTORS[5]
        session.commit()
        np.testing.assert_array_equal(notes[0].code, CODES[5])
        some = select_models(Note).where(Note.title != "note 5")
        found = session.exec(funnel(some, Note.code, VECTORS[5], BINARIZER, k=3, rescore=None))
        # the two rows whose vectors are the query's differ in their titles alone
        assert next(note.title for note in found) == "note 0"
