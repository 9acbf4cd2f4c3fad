"""Codes in SQLAlchemy on a real Postgres, with every driver, sync and async."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pgvector import Bit
from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    Engine,
    ForeignKey,
    MetaData,
    Select,
    Table,
    bindparam,
    create_engine,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    mapped_column,
    relationship,
    selectinload,
)
from sqlalchemy.pool import NullPool
from tests.sessions import DRIVERS, Run, runner, url
from tests.synthetic import clustered

import bitryoshka
from bitryoshka.bits import hamming, query_planes, unpack
from bitryoshka.errors import SearchError, VectorsError
from bitryoshka.postgres import connect, install
from bitryoshka.sqlalchemy import Code, funnel, prefix_index, reflect_codes

ROWS, DIMENSIONS, BITS = 300, 24, 32


class Base(DeclarativeBase):
    pass


class Doc(Base):
    __tablename__ = "docs"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[int]
    vector: Mapped[Any] = mapped_column(Vector(DIMENSIONS))
    code: Mapped[Any] = mapped_column(Code(BITS), nullable=True)
    tags: Mapped[list[Tag]] = relationship(order_by="Tag.name")


class Tag(Base):
    __tablename__ = "tags"
    name: Mapped[str] = mapped_column(primary_key=True)
    doc_id: Mapped[int] = mapped_column(ForeignKey("docs.id"), primary_key=True)


class Part(Base):
    """Its key has two columns."""

    __tablename__ = "parts"
    doc_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[Any] = mapped_column(Code(BITS))


prefix_index("docs_code_16", Doc.code, 16, m=8, ef_construction=32)


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    return clustered(0, ROWS, DIMENSIONS)


@pytest.fixture(scope="module")
def binarizer(vectors: NDArray[np.float32]) -> bitryoshka.Binarizer:
    return bitryoshka.fit(vectors, bits=BITS, hamming_bits=16, method="progressive").binarizer


@pytest.fixture
def filled(database: str, vectors: NDArray[np.float32], binarizer: bitryoshka.Binarizer) -> str:
    with connect(database) as connection:
        install(connection)
    engine = create_engine(url(database, "psycopg"), poolclass=NullPool)
    Base.metadata.create_all(engine)
    codes = binarizer.encode(vectors)
    with Session(engine) as session, session.begin():
        session.add_all(
            Doc(id=i, tenant=i % 3, vector=v, code=c, tags=[Tag(name="a"), Tag(name="b")])
            for i, (v, c) in enumerate(zip(vectors, codes, strict=True))
        )
    return database


@pytest.fixture(params=DRIVERS)
def run(request: pytest.FixtureRequest, filled: str) -> Run:
    return runner(filled, request.param)


def test_these_are_the_versions_that_were_asked_for() -> None:
    found, types = sqlalchemy.__version__, version("pgvector")
    print("SQLAlchemy", found, "pgvector", types)
    if wanted := os.environ.get("BITRYOSHKA_TEST_SQLALCHEMY"):
        assert found.startswith(f"{wanted}.")
        assert types.startswith("0.4.")
    else:
        assert not found.startswith("2.0.")
        assert not types.startswith("0.4.")


def test_every_form_of_a_code_comes_back_as_a_packed_row(run: Run) -> None:
    packed = np.array([0b10110001, 0, 1, 255], np.uint8)
    bits = unpack(packed[None])[0]
    string = "".join("01"[int(bit)] for bit in bits)
    forms = [packed, packed.tobytes(), bits, string, Bit(string)]
    vector = np.zeros(DIMENSIONS, np.float32)

    def work(session: Session) -> list[Any]:
        rows = [
            {"id": 1000 + i, "tenant": 9, "vector": vector, "code": form}
            for i, form in enumerate(forms)
        ]
        session.execute(insert(Doc).values(rows[:2]))
        session.execute(insert(Doc), rows[2:])
        session.execute(insert(Doc), [{**rows[0], "id": 2000, "code": None}])
        whole = select(Doc.code).where(Doc.tenant == 9).order_by(Doc.id)
        texts = session.scalars(text("SELECT code::text FROM docs WHERE tenant = 9 AND id < 2000"))
        assert set(texts) == {string}
        return list(session.scalars(whole))

    *found, missing = run(work)
    assert missing is None
    for code in found:
        np.testing.assert_array_equal(code, packed)
        assert code.dtype == np.uint8
        assert not code.flags.writeable


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_code_makes_the_round_trip(run: Run, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 40))
    value = np.array(data.draw(st.lists(st.integers(0, 255), min_size=length, max_size=length)))
    packed = value.astype(np.uint8)
    expected = "".join(f"{byte:08b}" for byte in packed)

    def work(session: Session) -> None:
        from sqlalchemy import String, cast, literal

        kind = Code(8 * length)
        bound = cast(literal(packed, kind), kind)
        [(back, seen)] = session.execute(select(bound, cast(bound, String)))
        np.testing.assert_array_equal(back, packed)
        assert seen == expected

    run(work)


def test_changes_are_seen_and_equal_values_are_not_written(run: Run) -> None:
    def work(session: Session) -> None:
        doc = session.get_one(Doc, 1)
        doc.code = doc.code.copy()
        session.flush()
        assert not session.is_modified(doc)
        doc.code = np.zeros(BITS // 8, np.uint8)
        session.flush()
        session.execute(update(Doc).where(Doc.id == 2).values(code="1" * BITS))
        session.expire_all()
        assert session.get_one(Doc, 1).code.tobytes() == bytes(BITS // 8)
        assert session.get_one(Doc, 2).code.tobytes() == b"\xff" * (BITS // 8)

    run(work)


def test_comparators_give_what_numpy_gives(
    run: Run, vectors: NDArray[np.float32], binarizer: bitryoshka.Binarizer
) -> None:
    codes = binarizer.encode(vectors)
    planes = query_planes(binarizer.query_weights(vectors[:1])).planes[0]

    def work(session: Session) -> list[Any]:
        code = Doc.code
        return list(
            session.execute(
                select(
                    code.hamming_distance(codes[0]),
                    code.prefix(16).hamming_distance(codes[0, :2]),
                    code.jaccard_distance(codes[0]),
                    code.asymmetric_score(planes),
                ).order_by(Doc.id)
            )
        )

    whole, short, jaccard, scores = map(np.array, zip(*run(work), strict=True))
    np.testing.assert_array_equal(whole, hamming(codes[:1], codes)[0])
    np.testing.assert_array_equal(short, hamming(codes[:1, :2], codes[:, :2])[0])
    a, b = unpack(codes[:1]), unpack(codes)
    np.testing.assert_allclose(jaccard, 1 - (a & b).sum(1) / (a | b).sum(1), atol=1e-6)
    weights = sum(
        2.0 ** (7 - p) * (unpack(planes[None, p])[0] * 2.0 - 1) for p in range(len(planes))
    )
    np.testing.assert_array_equal(scores, (unpack(codes) * 2.0 - 1) @ weights)


def test_codes_are_compared_with_other_columns(run: Run) -> None:
    def work(session: Session) -> None:
        other = aliased(Doc)
        pairs = (
            select(Doc.code.hamming_distance(other.code), Doc.code, other.code)
            .join(other, other.id > Doc.id)
            .where(other.id < 4)
        )
        found = session.execute(pairs).all()
        assert len(found) == 6
        for distance, a, b in found:
            assert distance == hamming(a[None], b[None])[0, 0]
        table = Doc.__table__.c.code
        assert set(session.scalars(select(Doc.code.jaccard_distance(table)).limit(5))) == {0.0}

    run(work)


def test_funnel_finds_rows_by_keys_of_two_columns(
    run: Run, vectors: NDArray[np.float32], binarizer: bitryoshka.Binarizer
) -> None:
    codes = binarizer.encode(vectors[:60])
    query = vectors[7]

    def work(session: Session) -> list[Part]:
        session.add_all(
            Part(doc_id=i // 10, number=i % 10, code=code) for i, code in enumerate(codes)
        )
        session.flush()
        some = select(Part).where(Part.number < 8)
        return list(session.scalars(funnel(some, Part.code, query, binarizer, k=5, candidates=20)))

    own = np.flatnonzero(np.arange(60) % 10 < 8)
    signs = hamming(binarizer.encode_queries(query[None], 16), codes[own, :2])[0]
    found = [10 * part.doc_id + part.number for part in run(work)]
    assert len(set(found)) == 5
    # rows as near as the last of the candidates may be among them or not
    assert signs[np.searchsorted(own, found)].max() <= np.sort(signs)[19]


@pytest.mark.parametrize("rank", ["exact", "asymmetric", "hamming"])
def test_funnel_keeps_the_callers_statement(
    run: Run, vectors: NDArray[np.float32], binarizer: bitryoshka.Binarizer, rank: str
) -> None:
    query = vectors[7]

    def work(session: Session) -> list[Doc]:
        mine = select(Doc).where(Doc.tenant == 1).options(selectinload(Doc.tags))
        found = funnel(
            mine.limit(3).offset(1),
            Doc.code,
            query,
            binarizer,
            candidates=ROWS,
            rescore={
                "exact": Doc.vector.cosine_distance(query),
                "asymmetric": "asymmetric",
                "hamming": None,
            }[rank],
        )
        return list(session.scalars(found))

    found = run(work)
    own = np.arange(1, ROWS, 3)
    codes = binarizer.encode(vectors)
    if rank == "exact":
        order = -(vectors[own] @ query) / np.linalg.norm(vectors[own], axis=1)
    elif rank == "asymmetric":
        planes = query_planes(binarizer.query_weights(query[None])).planes[0]
        order = sum(2 ** (7 - p) * hamming(planes[p : p + 1], codes[own])[0] for p in range(8))
    else:
        order = hamming(binarizer.encode_queries(query[None], 16), codes[own, :2])[0]
    expected = own[np.argsort(order, kind="stable")][1:4]
    assert [doc.id for doc in found] == expected.tolist()
    assert [tag.name for tag in found[0].tags] == ["a", "b"]


@pytest.mark.parametrize("rank", ["exact", "asymmetric", "hamming"])
def test_funnel_made_once_answers_every_query(
    run: Run, vectors: NDArray[np.float32], binarizer: bitryoshka.Binarizer, rank: str
) -> None:
    def made(query: Any, exact: Any) -> Select[tuple[int]]:
        rescore = {
            "exact": Doc.vector.cosine_distance(exact),
            "asymmetric": "asymmetric",
            "hamming": None,
        }[rank]
        mine = select(Doc.id).where(Doc.tenant == 1)
        return funnel(mine, Doc.code, query, binarizer, candidates=40, rescore=rescore)

    once = made(bindparam("query"), bindparam("exact", type_=Doc.vector.type))

    def work(session: Session) -> None:
        answers = set()
        for query in vectors[:8]:
            values = {"query": query, "exact": query}
            if rank != "exact":
                del values["exact"]
            found = list(session.scalars(once, values))
            assert found == list(session.scalars(made(query, query)))
            assert len(found) == 10
            answers.add(tuple(found))
        assert len(answers) > 1

    run(work)


def test_a_parameter_keeps_its_value(
    filled: str, vectors: NDArray[np.float32], binarizer: bitryoshka.Binarizer
) -> None:
    engine = create_engine(url(filled, "psycopg"), poolclass=NullPool)
    usual = funnel(select(Doc.id), Doc.code, bindparam("query", vectors[7]), binarizer)
    with engine.connect() as connection:
        found = list(connection.scalars(usual))
        assert found == list(connection.scalars(usual, {"query": vectors[7]}))
        assert found != list(connection.scalars(usual, {"query": vectors[8]}))


def test_codes_that_are_searched_for(run: Run, vectors: NDArray[np.float32]) -> None:
    """Written, compared by Hamming distance and scored by a float query, as others are."""
    additive = bitryoshka.fit(vectors, bits=BITS, method="additive").binarizer
    assert additive.additive is not None
    codes, query = additive.encode(vectors), vectors[3]

    def work(session: Session) -> tuple[list[int], list[int]]:
        for doc in session.scalars(select(Doc)):
            doc.code = codes[doc.id]
        session.flush()
        scored = funnel(select(Doc.id), Doc.code, query, additive, candidates=ROWS)
        near = funnel(select(Doc.id), Doc.code, query, additive, candidates=ROWS, rescore=None)
        return list(session.scalars(scored)), list(session.scalars(near))

    scored, near = run(work)
    scores = (unpack(codes) * 2.0 - 1) @ additive.query_weights(query[None])[0]
    # weights are rounded to 8 bits
    step = np.abs(additive.query_weights(query[None])).max() / 127
    assert scores[scored].min() >= np.sort(scores)[-10] - BITS * step
    signs = codes[:, : additive.hamming_bits // 8]
    distances = hamming(additive.encode_queries(query[None]), signs)[0]
    assert sorted(distances[near]) == sorted(distances)[:10]


def test_two_binarizers_of_one_length_do_not_share_a_statement(
    run: Run, vectors: NDArray[np.float32], binarizer: bitryoshka.Binarizer
) -> None:
    turned = bitryoshka.fit(
        np.ascontiguousarray(vectors[:, ::-1]), bits=BITS, hamming_bits=16, method="progressive"
    ).binarizer

    def work(session: Session) -> None:
        for other in (binarizer, turned, binarizer):
            made = funnel(select(Doc.id), Doc.code, vectors[3], other, candidates=ROWS)
            planes = query_planes(other.query_weights(vectors[3:4])).planes[0]
            best = Doc.code.asymmetric_score(planes).desc()
            expected = select(Doc.id).order_by(best, Doc.id).limit(10)
            assert list(session.scalars(made)) == list(session.scalars(expected))

    run(work)


@pytest.mark.parametrize("rescore", ["asymmetric", None])
def test_a_parameter_that_is_no_query_is_refused_before_it_is_sent(
    filled: str, binarizer: bitryoshka.Binarizer, rescore: Any
) -> None:
    engine = create_engine(url(filled, "psycopg"), poolclass=NullPool)
    once = funnel(select(Doc.id), Doc.code, bindparam("query"), binarizer, rescore=rescore)
    wrong = {
        "24 dimensions, found 3": np.zeros(3, np.float32),
        "one query, found 2": np.zeros((2, DIMENSIONS), np.float32),
        "finite": np.full(DIMENSIONS, np.nan, np.float32),
        "query must be floats, found uint8": np.ones(DIMENSIONS, np.uint8),
    }
    with engine.connect() as connection:
        for message, query in wrong.items():
            with pytest.raises(StatementError, match=message) as caught:
                connection.execute(once, {"query": query})
            assert isinstance(caught.value.orig, VectorsError)
        with pytest.raises(StatementError, match="value is required"):
            connection.execute(once)


@pytest.mark.parametrize("rescore", ["asymmetric", None])
def test_the_index_is_read_by_a_plan_for_all_queries(
    filled: str, binarizer: bitryoshka.Binarizer, rescore: Any
) -> None:
    engine = create_engine(url(filled, "psycopg"), poolclass=NullPool)
    once = funnel(
        select(Doc.id),
        Doc.code,
        bindparam("query"),
        binarizer,
        prefix_bits=16,
        candidates=20,
        rescore=rescore,
    )
    plain = str(once.compile(engine)).replace("%(query)s", "$1")
    kind = "varbit[]" if rescore else "bit(16)"
    with engine.connect() as connection:
        connection.exec_driver_sql("SET enable_seqscan = off")
        connection.exec_driver_sql("SET plan_cache_mode = force_generic_plan")
        connection.exec_driver_sql(f"PREPARE nearest({kind}) AS {plain}")
        plan = connection.exec_driver_sql("EXPLAIN EXECUTE nearest(NULL)")
        lines = "\n".join(row[0] for row in plan)
    assert "docs_code_16" in lines
    assert "$1" in lines


def test_funnel_reads_the_index_and_has_one_text_for_all_queries(
    filled: str, vectors: NDArray[np.float32], binarizer: bitryoshka.Binarizer
) -> None:
    engine: Engine = create_engine(url(filled, "psycopg"), poolclass=NullPool)
    texts = set()
    for query in vectors[:2]:
        made = funnel(select(Doc.id), Doc.code, query, binarizer, prefix_bits=16, candidates=20)
        texts.add(str(made.compile(engine)))
    assert len(texts) == 1
    with Session(engine) as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        printed = made.compile(engine)
        values = printed.construct_params()
        for name, process in printed._bind_processors.items():
            values[name] = process(values[name])
        plan = session.connection().exec_driver_sql("EXPLAIN " + printed.string, values)
        assert "docs_code_16" in "\n".join(row[0] for row in plan)


def test_a_statement_printed_with_its_values_runs(
    filled: str, vectors: NDArray[np.float32], binarizer: bitryoshka.Binarizer
) -> None:
    engine = create_engine(url(filled, "psycopg"), poolclass=NullPool)
    made = funnel(select(Doc.id), Doc.code, vectors[7], binarizer)
    printed = str(made.compile(engine, compile_kwargs={"literal_binds": True}))
    with engine.connect() as connection:
        found = list(connection.exec_driver_sql(printed))
        assert found == list(connection.execute(made))
    assert len(found) == 10


def test_reflection_gives_the_type_back(filled: str) -> None:
    engine = create_engine(url(filled, "psycopg"), poolclass=NullPool)
    metadata = MetaData()
    reflect_codes(metadata)
    kind = Table("docs", metadata, autoload_with=engine).c.code.type
    assert isinstance(kind, Code)
    assert kind.bits == BITS


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("01", "found 2"),
        (b"\x00", r"uint8 of shape \(1,\)"),
        (np.zeros(BITS // 8, np.int64), "int64"),
        (7, "found int"),
        (np.zeros((1, BITS // 8), np.uint8), r"shape \(1, 4\)"),
    ],
)
def test_what_is_no_code_is_refused_before_it_is_sent(filled: str, value: Any, found: str) -> None:
    engine = create_engine(url(filled, "psycopg"), poolclass=NullPool)
    with Session(engine) as session, pytest.raises(StatementError, match=found):
        session.execute(update(Doc).where(Doc.id == 1).values(code=value))


def test_other_databases_are_refused() -> None:
    engine = create_engine("sqlite://")
    statement = select(Doc.id).where(Doc.code.hamming_distance(bytes(4)) < 3)
    with engine.connect() as connection, pytest.raises(StatementError, match="'sqlite'"):
        connection.execute(statement)


def test_funnel_refuses_what_does_not_fit(
    vectors: NDArray[np.float32], binarizer: bitryoshka.Binarizer
) -> None:
    with pytest.raises(ValueError, match=r"Code\(32\)"):
        funnel(select(Doc), Doc.vector, vectors[0], binarizer)
    many = select(Doc).limit(50)
    for statement, k in ((select(Doc), 20), (many, 1), (many.limit(5).offset(6), 1)):
        with pytest.raises(SearchError, match="10 candidates for"):
            funnel(statement, Doc.code, vectors[0], binarizer, k=k, candidates=10)
    with pytest.raises(SearchError, match="DISTINCT"):
        funnel(select(Doc).distinct(), Doc.code, vectors[0], binarizer)
    with pytest.raises(ValueError, match="prefix"):
        Doc.code.prefix(BITS + 8)
    with pytest.raises(VectorsError, match="one query"):
        funnel(select(Doc), Doc.code, vectors[:2], binarizer)
    with pytest.raises(VectorsError, match="24 dimensions, found 3"):
        funnel(select(Doc), Doc.code, vectors[0, :3], binarizer)
    with pytest.raises(VectorsError, match="finite"):
        funnel(select(Doc), Doc.code, vectors[0] * np.nan, binarizer)
    with pytest.raises(VectorsError, match="query must be floats, found int8"):
        funnel(select(Doc), Doc.code, np.ones(DIMENSIONS, np.int8), binarizer)
    with pytest.raises(VectorsError, match="zero"):
        funnel(select(Doc), Doc.code, vectors[0] * 0, binarizer)
    with pytest.raises(SearchError, match="24"):
        funnel(select(Doc), Doc.code, vectors[0], binarizer, prefix_bits=24)
    with pytest.raises(SearchError, match="found rescore='exact'"):
        funnel(select(Doc), Doc.code, vectors[0], binarizer, rescore="exact")  # type: ignore[arg-type]
