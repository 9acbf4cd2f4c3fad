"""Models and catalogue must agree on who fills a column; columns that a trigger fills."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from pgvector.sqlalchemy import Vector
from sqlalchemy import Engine, create_engine, insert, inspect, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, make_transient, mapped_column
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.pool import NullPool
from tests.sessions import DRIVERS, runner, url
from tests.synthetic import exact_binarizer, exact_signs, integer_rows

from bitryoshka.errors import BitsError, CodecError, DatabaseError, FingerprintError, TableError
from bitryoshka.postgres import adopt, attach, register
from bitryoshka.postgres.server import Connection
from bitryoshka.sqlalchemy import Code, check_codecs, fill_codes, leave_to_trigger

BINARIZER = exact_binarizer(3)
VECTORS = integer_rows(0, 10)
CODES = BINARIZER.encode(VECTORS)
LABEL = "docs@1"


def model(
    filled_by: Literal["model", "trigger"] | None,
    codec: Any = None,
    name: str = "items",
    schema: str | None = None,
    bits: int = BINARIZER.bits,
) -> Any:
    """A class of a MetaData of its own, declared as the test wants it."""

    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = name
        __table_args__ = {"schema": schema}  # noqa: RUF012
        __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str] = mapped_column(default="")
        embedding: Mapped[Any] = mapped_column(Vector(BINARIZER.dimensions), nullable=True)
        code: Mapped[Any] = mapped_column(Code(bits), nullable=True)

    if filled_by == "model":
        fill_codes(Item.code, Item.embedding, codec or BINARIZER)
    elif filled_by == "trigger":
        leave_to_trigger(Item.code, Item.embedding, codec or LABEL)
    return Item


@pytest.fixture
def engine(installed_database: str) -> Engine:
    return create_engine(url(installed_database, "psycopg"), poolclass=NullPool)


def with_codes(connection: Connection, name: str = "items") -> None:
    """A table whose codes come from its clients."""
    without_codes(connection, name)
    connection.execute(f"ALTER TABLE {name} ADD code bit({BINARIZER.bits})".encode())


def without_codes(connection: Connection, name: str = "items") -> None:
    connection.execute(
        f"CREATE TABLE {name} (id int PRIMARY KEY, title text, "
        f"embedding vector({BINARIZER.dimensions}))".encode()
    )


def check(engine: Engine, models: Any) -> None:
    with engine.connect() as connection:
        check_codecs(connection, models)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("filled_by", ["model", "trigger"])
def test_what_agrees_passes(
    installed: Connection, installed_database: str, driver: str, filled_by: str
) -> None:
    register(installed, "docs", BINARIZER)
    if filled_by == "model":
        with_codes(installed)
        adopt(installed, "items", LABEL)
        item = model("model")
    else:
        without_codes(installed)
        attach(installed, "items", "embedding", LABEL, index=False, queries=0)
        item = model("trigger")
    run = runner(installed_database, driver)
    run(lambda session: check_codecs(session.connection(), item.metadata))
    run(lambda session: check_codecs(session.connection(), item))


def test_a_database_without_the_schema(database: str) -> None:
    engine = create_engine(url(database, "psycopg"), poolclass=NullPool)
    with pytest.raises(DatabaseError, match="expected schema bitryoshka"):
        check(engine, model("model"))


def test_tables_and_columns_that_are_not_there(installed: Connection, engine: Engine) -> None:
    for there in (False, True):
        with pytest.raises(TableError, match=r"a column items\.code in the database, found none"):
            check(engine, model("model"))
        if not there:
            without_codes(installed)


def test_another_length(installed: Connection, engine: Engine) -> None:
    with_codes(installed)
    signs = exact_signs(16)
    expected = rf"items\.code to be bit\(16\), found bit\({BINARIZER.bits}\)"
    with pytest.raises(BitsError, match=expected):
        check(engine, model("model", signs, bits=16))
    installed.execute("ALTER TABLE items ALTER code TYPE bytea USING NULL")
    with pytest.raises(BitsError, match="found bytea"):
        check(engine, model("model"))


def test_a_codec_that_is_not_registered(installed: Connection, engine: Engine) -> None:
    with_codes(installed)
    title = f"the binarizer {BINARIZER.fingerprint[:12]}"
    with pytest.raises(CodecError, match=rf"{title}, to be registered, found no codec"):
        check(engine, model("model"))
    register(installed, "docs", exact_binarizer(4))
    with pytest.raises(CodecError, match=rf"{title}, to be registered, found docs@1"):
        check(engine, model("model"))
    with pytest.raises(CodecError, match=r"docs@2, to be registered, found docs@1"):
        check(engine, model("trigger", "docs@2"))


@pytest.mark.parametrize(("filled_by", "call"), [("model", "adopt"), ("trigger", "attach")])
def test_a_column_that_is_not_attached(
    installed: Connection, engine: Engine, filled_by: Any, call: str
) -> None:
    with_codes(installed)
    register(installed, "docs", BINARIZER)
    with pytest.raises(TableError, match=rf"found it unattached: bitryoshka\.postgres\.{call}"):
        check(engine, model(filled_by))


def test_another_fingerprint(installed: Connection, engine: Engine) -> None:
    # as long, and yet another codec
    other = exact_signs(BINARIZER.bits)
    register(installed, "docs", BINARIZER)
    register(installed, "other", other)
    with_codes(installed)
    adopt(installed, "items", LABEL)
    expected = (
        rf"expected codes of the binarizer {other.fingerprint[:12]} in items\.code, fingerprint "
        rf"{other.fingerprint}, found codes of docs@1, fingerprint {BINARIZER.fingerprint}"
    )
    with pytest.raises(FingerprintError, match=expected):
        check(engine, model("model", other))


def test_the_fingerprint_of_another_label(installed: Connection, engine: Engine) -> None:
    register(installed, "docs", BINARIZER)
    register(installed, "other", exact_signs(BINARIZER.bits))
    without_codes(installed)
    attach(installed, "items", "embedding", LABEL, index=False, queries=0)
    with pytest.raises(FingerprintError, match=r"expected codes of other@1 .* codes of docs@1"):
        check(engine, model("trigger", "other@1"))


def test_codes_of_another_vector_column(installed: Connection, engine: Engine) -> None:
    register(installed, "docs", BINARIZER)
    without_codes(installed)
    installed.execute(f"ALTER TABLE items ADD other vector({BINARIZER.dimensions})".encode())
    attach(installed, "items", "other", LABEL, index=False, queries=0)
    expected = r"items\.code to hold codes of column embedding, found those of other"
    with pytest.raises(TableError, match=expected):
        check(engine, model("trigger"))


def test_a_column_that_both_fill(installed: Connection, engine: Engine) -> None:
    register(installed, "docs", BINARIZER)
    without_codes(installed)
    attach(installed, "items", "embedding", LABEL, index=False, queries=0)
    with pytest.raises(TableError, match=r"expected one to fill items\.code, found fill_codes"):
        check(engine, model("model"))


def test_a_column_that_nobody_fills(installed: Connection, engine: Engine) -> None:
    register(installed, "docs", BINARIZER)
    with_codes(installed, "adopted")
    adopt(installed, "adopted", LABEL)
    with pytest.raises(TableError, match="expected a trigger that fills adopted"):
        check(engine, model("trigger", name="adopted"))
    without_codes(installed)
    attach(installed, "items", "embedding", LABEL, index=False, queries=0)
    check(engine, model("trigger"))
    with pytest.raises(TableError, match=r"fill_codes or leave_to_trigger for items\.code"):
        check(engine, model(None))
    installed.execute("ALTER TABLE items DISABLE TRIGGER USER")
    with pytest.raises(TableError, match="found none that is enabled"):
        check(engine, model("trigger"))


def test_names_are_quoted_and_schemas_translated(installed: Connection, engine: Engine) -> None:
    register(installed, "docs", BINARIZER)
    installed.execute('CREATE SCHEMA "Tenant 1"')
    with_codes(installed, '"Tenant 1"."Some ""Items"""')
    adopt(installed, 'Some "Items"', LABEL, schema="Tenant 1")
    check(engine, model("model", name='Some "Items"', schema="Tenant 1"))
    translated = engine.execution_options(schema_translate_map={None: "Tenant 1"})
    check(translated, model("model", name='Some "Items"'))
    with pytest.raises(TableError, match="found none"):
        check(engine, model("model", name='Some "Items"'))


def test_what_is_no_model(installed: Connection, engine: Engine) -> None:
    with pytest.raises(TableError, match="expected a MetaData or a mapped class"):
        check(engine, int)


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_orm_reads_what_the_trigger_wrote(
    installed: Connection, installed_database: str, driver: str
) -> None:
    register(installed, "docs", BINARIZER)
    without_codes(installed)
    attach(installed, "items", "embedding", LABEL, index=False, queries=0)
    item = model("trigger")

    def work(session: Any) -> None:
        one = item(id=1, embedding=VECTORS[1])
        session.add_all([one, item(id=2, embedding=VECTORS[2])])
        session.flush()
        assert "code" in inspect(one).dict  # an async Session could not load it later
        np.testing.assert_array_equal(one.code, CODES[1])
        one.embedding = VECTORS[3]
        session.flush()
        assert "code" in inspect(one).dict
        np.testing.assert_array_equal(one.code, CODES[3])
        session.execute(insert(item), [{"id": 3, "embedding": VECTORS[4]}])
        stored = dict(session.execute(text("SELECT id, code::text FROM items")).all())
        assert stored == {
            i: "".join(f"{byte:08b}" for byte in CODES[n]) for i, n in ((1, 3), (2, 2), (3, 4))
        }

    runner(installed_database, driver)(work)


@pytest.mark.parametrize("driver", DRIVERS)
def test_objects_left_to_the_trigger_are_merged_and_copied(
    installed: Connection, installed_database: str, driver: str
) -> None:
    register(installed, "docs", BINARIZER)
    without_codes(installed)
    attach(installed, "items", "embedding", LABEL, index=False, queries=0)
    item = model("trigger")

    def check_code(session: Any, one: Any, number: int) -> None:
        session.flush()
        session.refresh(one)
        np.testing.assert_array_equal(one.embedding, VECTORS[number])
        np.testing.assert_array_equal(one.code, CODES[number])

    def work(session: Any) -> None:
        session.add(item(id=1, embedding=VECTORS[1]))
        session.flush()
        one = session.get_one(item, 1)
        session.expunge(one)
        one.title = "as it is"
        check_code(session, session.merge(one), 1)
        one.embedding = VECTORS[2]
        check_code(session, session.merge(one), 2)
        # another writer in between
        session.execute(update(item).values(embedding=VECTORS[3]))
        session.expire_all()
        check_code(session, session.merge(one), 2)
        session.refresh(session.get_one(item, 1))
        one = session.get_one(item, 1)
        session.expunge(one)
        make_transient(one)
        one.id, one.embedding = 2, VECTORS[4]
        session.add(one)
        session.flush()
        assert "code" in inspect(one).dict
        np.testing.assert_array_equal(one.code, CODES[4])
        check_code(session, one, 4)
        # from a cache, where an array may be written to again
        session.expunge(one)
        set_committed_value(one, "code", one.code.copy())
        check_code(session, session.merge(one), 4)

    runner(installed_database, driver)(work)


def test_a_column_left_to_the_trigger_takes_no_values() -> None:
    item = model("trigger")
    with pytest.raises(TableError, match=r"Item\.code is left to the database's trigger"):
        item(code=CODES[0])
    assert item(code=None).code is None
    one = item(embedding=VECTORS[0])
    set_committed_value(one, "code", CODES[0])
    with pytest.raises(TableError, match=r"Item\.code is left to the database's trigger"):
        one.code = CODES[1]
    with pytest.raises(TableError, match="filled by the trigger already"):
        fill_codes(item.code, item.embedding, BINARIZER)


def test_what_cannot_be_left_to_a_trigger() -> None:
    item, other = model(None), model(None)
    with pytest.raises(CodecError, match=r"label of a codec, name@version, found Binarizer"):
        leave_to_trigger(item.code, item.embedding, BINARIZER)  # type: ignore[arg-type]
    with pytest.raises(CodecError, match="found 'docs'"):
        leave_to_trigger(item.code, item.embedding, "docs")
    with pytest.raises(TableError, match=r"Item\.code and Item\.embedding to be columns of one"):
        leave_to_trigger(item.code, other.embedding, LABEL)
    with pytest.raises(BitsError, match=r"of type Code, found Item\.title"):
        leave_to_trigger(item.title, item.embedding, LABEL)
    with pytest.raises(TableError, match="expected an attribute of a mapped class"):
        leave_to_trigger("code", item.embedding, LABEL)  # type: ignore[arg-type]
