"""Codes in the text and binary protocols of every driver, and in COPY; the server is the oracle."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import asyncpg
import numpy as np
import psycopg
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pgvector import Bit
from pgvector.psycopg import register_vector
from psycopg import pq
from sqlalchemy import String, bindparam, cast, create_engine, event, literal, select
from sqlalchemy.dialects.postgresql.pg8000 import PGDialect_pg8000
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool
from tests.sessions import Run, runner, url
from tests.synthetic import exact_binarizer

from bitryoshka.bits import query_planes
from bitryoshka.errors import DatabaseError
from bitryoshka.postgres import connect, create_table, load
from bitryoshka.sqlalchemy import Code

BINARIZER = exact_binarizer(3)
BITS = BINARIZER.bits


class Base(DeclarativeBase):
    pass


class Loaded(Base):
    """A table that `load` fills."""

    __tablename__ = "loaded"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[Any] = mapped_column(Code(BITS))


class BinaryCursor(psycopg.Cursor[Any]):
    """Asks for every result in the binary format."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.format = pq.Format.BINARY


class AsyncBinaryCursor(psycopg.AsyncCursor[Any]):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.format = pq.Format.BINARY


class Protocol(NamedTuple):
    driver: str
    options: dict[str, Any]


PROTOCOLS = {
    "psycopg, text": Protocol("psycopg", {}),
    "psycopg, binary": Protocol("psycopg", {"cursor_factory": BinaryCursor}),
    "psycopg, prepared at once": Protocol("psycopg", {"prepare_threshold": 0}),
    "psycopg, bound in the client": Protocol("psycopg", {"cursor_factory": psycopg.ClientCursor}),
    "psycopg_async, binary": Protocol("psycopg_async", {"cursor_factory": AsyncBinaryCursor}),
    "asyncpg, binary": Protocol("asyncpg", {}),
    "asyncpg, not prepared": Protocol("asyncpg", {"statement_cache_size": 0}),
    "psycopg2, text": Protocol("psycopg2", {}),
}


@pytest.fixture(params=PROTOCOLS)
def run(request: pytest.FixtureRequest, installed_database: str) -> Run:
    protocol = PROTOCOLS[request.param]
    return runner(installed_database, protocol.driver, **protocol.options)


def as_text(code: NDArray[np.uint8]) -> str:
    return "".join(f"{byte:08b}" for byte in code)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_code_and_any_planes_make_the_round_trip(run: Run, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 40))
    packed = np.frombuffer(data.draw(st.binary(min_size=length, max_size=length)), np.uint8)
    weights = np.frombuffer(data.draw(st.binary(min_size=8 * length, max_size=8 * length)), np.int8)
    planes = query_planes(weights[None].astype(np.float32)).planes[0]
    kind = Code(8 * length)
    bound = cast(bindparam("code", packed, kind), kind)
    nothing = cast(literal(None, kind), kind)
    score = bound.comparator.asymmetric_score(planes)  # type: ignore[attr-defined]
    expected = sum(
        2 ** (7 - i) * (8 * length - 2 * int(np.bitwise_count(packed ^ plane).sum()))
        for i, plane in enumerate(planes)
    )

    def work(session: Session) -> None:
        for _ in range(2):  # drivers prepare what they see again
            [found] = session.execute(select(bound, cast(bound, String), nothing, score))
            np.testing.assert_array_equal(found[0], packed)
            assert not found[0].flags.writeable
            assert found[1:] == (as_text(packed), None, expected)

    run(work)


def codes(rows: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (rows, BITS // 8), np.uint8)


def test_codes_that_binary_copy_loaded_are_read(run: Run, installed_database: str) -> None:
    packed = codes(200)
    with connect(installed_database) as connection:
        load(connection, create_table(connection, "loaded", BINARIZER), range(200), packed)

    def work(session: Session) -> None:
        found = session.scalars(select(Loaded).order_by(Loaded.id)).all()
        np.testing.assert_array_equal([one.code for one in found], packed)
        found[0].code = packed[1]
        session.flush()
        session.add(Loaded(id=200, code=packed[2]))
        session.flush()

    run(work)
    with connect(installed_database) as connection:
        written = connection.execute(
            "SELECT code::text FROM loaded WHERE id IN (0, 200) ORDER BY id"
        ).fetchall()
    assert written == [(as_text(packed[1]),), (as_text(packed[2]),)]


COPY = "COPY loaded FROM STDIN"


def copy_psycopg_text(dsn: str, packed: NDArray[np.uint8]) -> None:
    with psycopg.connect(dsn) as c, c.cursor() as cursor, cursor.copy(COPY) as copy:
        for i, code in enumerate(packed):
            copy.write_row((i, as_text(code)))


def copy_psycopg_binary(dsn: str, packed: NDArray[np.uint8]) -> None:
    with psycopg.connect(dsn) as connection:
        register_vector(connection)
        with connection.cursor() as cursor, cursor.copy(f"{COPY} (FORMAT binary)") as copy:
            copy.set_types(["int4", "bit"])
            for i, code in enumerate(packed):
                copy.write_row((i, Bit.from_text(as_text(code))))


def copy_psycopg2(dsn: str, packed: NDArray[np.uint8]) -> None:
    lines = "".join(f"{i}\t{as_text(code)}\n" for i, code in enumerate(packed))
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.copy_expert(COPY, io.StringIO(lines))
    connection.close()


def copy_asyncpg(dsn: str, packed: NDArray[np.uint8]) -> None:
    async def copy() -> None:
        address = url(dsn, "asyncpg")
        host, port = address.query["host"], address.query["port"]
        connection = await asyncpg.connect(
            host=host,
            port=int(str(port)),
            user=address.username,
            password=address.password,
            database=address.database,
        )
        rows = [
            (i, asyncpg.BitString.frombytes(c.tobytes(), bitlength=BITS))
            for i, c in enumerate(packed)
        ]
        await connection.copy_records_to_table("loaded", records=rows)
        await connection.close()

    asyncio.run(copy())


@pytest.mark.parametrize(
    "copy", [copy_psycopg_text, copy_psycopg_binary, copy_psycopg2, copy_asyncpg]
)
def test_codes_that_a_drivers_own_copy_loaded_are_read(
    database: str, copy: Callable[[str, NDArray[np.uint8]], None]
) -> None:
    packed = codes(50)
    Base.metadata.create_all(create_engine(url(database, "psycopg"), poolclass=NullPool))
    copy(database, packed)
    for protocol in PROTOCOLS.values():
        run = runner(database, protocol.driver, **protocol.options)
        found = run(lambda session: session.scalars(select(Loaded.code).order_by(Loaded.id)).all())
        np.testing.assert_array_equal(found, packed)


def test_the_adapters_of_pgvector_do_no_harm(database: str) -> None:
    """Many applications register them on every connection."""
    engine = create_engine(url(database, "psycopg"), poolclass=NullPool)
    event.listen(engine, "connect", lambda connection, _: register_vector(connection))
    Base.metadata.create_all(engine)
    packed = codes(3)
    with Session(engine) as session:
        session.add_all(Loaded(id=i, code=code) for i, code in enumerate(packed))
        session.add(Loaded(id=3, code=Bit.from_text(as_text(packed[0]))))
        session.flush()
        session.expire_all()
        found = session.scalars(select(Loaded.code).order_by(Loaded.id)).all()
    np.testing.assert_array_equal(found, packed[[0, 1, 2, 0]])


def test_drivers_that_take_no_codes_are_named() -> None:
    dialect = PGDialect_pg8000()
    with pytest.raises(DatabaseError, match=r"drivers asyncpg, .*psycopg2, .*found 'pg8000'"):
        Code(8).bind_processor(dialect)
