"""Each way of writing a vector through SQLAlchemy leaves the code of that vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sqlalchemy import bindparam, event, insert, inspect, literal, null, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session, aliased, make_transient
from sqlalchemy.orm.attributes import flag_modified
from tests.conftest import fresh_database
from tests.sessions import Run, runner
from tests.vector_rows import (
    BINARIZER,
    HERE,
    NEW,
    NEWER,
    TABLE,
    Concrete,
    Item,
    Joined,
    Late,
    Mixed,
    Numbers,
    Pair,
    Single,
    by_key,
    check,
    detached,
    flushed,
    got,
    make_rows,
)


@pytest.fixture(scope="module")
def rows(dsn: str, template: str) -> Iterator[str]:
    """A database with those rows, in which no test may commit."""
    with fresh_database(dsn, template) as address:
        make_rows(address)
        yield address


@pytest.fixture(params=["psycopg", "asyncpg"])
def run(request: pytest.FixtureRequest, rows: str) -> Run:
    return runner(rows, request.param)


def changed_in_place(session: Session) -> None:
    found = got(session, Item, 0, vector=NEWER.copy())
    session.flush()
    found.vector[:] = NEW
    flag_modified(found, "vector")
    flushed(session, found)


def changed_twice(session: Session) -> None:
    found = got(session, Item, 0, vector=NEWER)
    flushed(session, found)
    found.vector = NEW
    flushed(session, found)


def merged_into_another(session: Session) -> None:
    """The row has got another code since the object was loaded."""
    found = detached(session, Item, 0)
    session.execute(update(Item).where(Item.id == 0).values(vector=NEWER))
    session.expire_all()
    found.vector = NEW
    flushed(session, session.merge(found))


def copied(session: Session) -> None:
    found = detached(session, Item, 0)
    make_transient(found)
    found.id, found.vector = 20, NEW
    session.add(found)
    flushed(session, found)


def expired(session: Session) -> None:
    found = got(session, Item, 0)
    session.expire(found)
    found.vector = NEW
    flushed(session, found)


def set_by_a_listener(session: Session, **before: Any) -> None:
    """One that comes after that of `fill_codes`."""

    def encode(mapper: object, connection: object, target: Any) -> None:
        target.vector = NEW

    found = got(session, Item, 0, **before)
    event.listen(Item, "before_update", encode)
    try:
        session.flush()
    finally:
        event.remove(Item, "before_update", encode)
    [right] = BINARIZER.encode(NEW[None])
    np.testing.assert_array_equal(found.code, right)


def mutated(session: Session) -> None:
    found = got(session, Numbers, 0)
    found.vector[:] = NEWER.tolist()
    flushed(session, found)
    found.vector[:] = NEW.tolist()
    flushed(session, found)


def in_session(session: Session, statement: Any, *parameters: Any, entity: Any = Item) -> None:
    """Run it; the object that the Session has of the row knows its new code too."""
    key = {Item: 0, Joined: 1, Single: 2, Late: 3}[entity]
    found = got(session, entity, key)
    session.execute(statement, *parameters)
    [right] = BINARIZER.encode(NEW[None])
    np.testing.assert_array_equal(found.code, right)


def upserted(session: Session) -> None:
    found = got(session, Item, 0)
    new = postgresql.insert(Item).values(id=0, part=7, vector=NEW)
    both = {"embedding": new.excluded.embedding, "bits": new.excluded.bits}
    upsert = new.on_conflict_do_update(index_elements=["id", "part"], set_=both).returning(Item)
    [again] = session.scalars(upsert, execution_options={"populate_existing": True})
    assert again is found
    flushed(session, found)


ITEM, JOINED = {"items": {0: NEW}}, {"items": {1: NEW}}
ADDED = {"items": {20: NEW}}
COVERED: dict[str, tuple[Callable[[Session], Any], dict[str, Any]]] = {
    "object": (lambda s: flushed(s, got(s, Item, 0, vector=NEW)), ITEM),
    "object, twice": (changed_twice, ITEM),
    "object, by a synonym": (lambda s: flushed(s, got(s, Item, 0, same=NEW)), ITEM),
    "object, in place and flagged": (changed_in_place, ITEM),
    "object, expired": (expired, ITEM),
    "object, null()": (lambda s: got(s, Item, 0, vector=null()), {"items": {0: None}}),
    "joined object": (lambda s: flushed(s, got(s, Joined, 1, vector=NEW)), JOINED),
    "single object": (lambda s: flushed(s, got(s, Single, 2, vector=NEW)), {"items": {2: NEW}}),
    "late object": (lambda s: flushed(s, got(s, Late, 3, vector=NEW)), {"items": {3: NEW}}),
    "late object, detached": (
        lambda s: flushed(s, s.merge(detached(s, Late, 3, vector=NEW))),
        {"items": {3: NEW}},
    ),
    "pair of codes": (lambda s: flushed(s, got(s, Pair, 0, vector=NEW)), {"pairs": {0: NEW}}),
    "mixed in": (lambda s: flushed(s, got(s, Mixed, 0, vector=NEW)), {"mixed": {0: NEW}}),
    "concrete": (lambda s: flushed(s, got(s, Concrete, 1, vector=NEW)), {"concrete": {1: NEW}}),
    "mutable list": (mutated, {"numbers": {0: NEW}}),
    "merge": (lambda s: flushed(s, s.merge(detached(s, Item, 0, vector=NEW))), ITEM),
    "merge of new": (lambda s: flushed(s, s.merge(Item(id=0, part=7, vector=NEW))), ITEM),
    "merge into another": (merged_into_another, ITEM),
    "copy": (copied, ADDED),
    "listener": (lambda s: set_by_a_listener(s, title="x"), ITEM),
    "listener after an object": (lambda s: set_by_a_listener(s, vector=NEWER), ITEM),
    "saved in bulk": (lambda s: s.bulk_save_objects([detached(s, Item, 0, vector=NEW)]), ITEM),
    "saved in bulk, whole": (
        lambda s: s.bulk_save_objects(
            [detached(s, Item, 0, vector=NEW)], update_changed_only=False
        ),
        ITEM,
    ),
    "saved in bulk, joined": (
        lambda s: s.bulk_save_objects([detached(s, Joined, 1, vector=NEW)]),
        JOINED,
    ),
    "saved in bulk, new": (
        lambda s: s.bulk_save_objects([Joined(id=20, part=7, vector=NEW)]),
        ADDED,
    ),
    "mappings": (
        lambda s: s.bulk_update_mappings(inspect(Item), by_key(0, 2, vector=NEW)),
        {"items": {0: NEW, 2: NEW}},
    ),
    "mappings, joined": (
        lambda s: s.bulk_update_mappings(inspect(Joined), by_key(1, vector=NEW, note="x")),
        JOINED,
    ),
    "mappings, new": (
        lambda s: s.bulk_insert_mappings(
            inspect(Joined), by_key(20, vector=NEW), render_nulls=True
        ),
        ADDED,
    ),
    "mappings, two codes": (
        lambda s: s.bulk_update_mappings(inspect(Pair), [{"id": 0, "version": 1, "vector": NEW}]),
        {"pairs": {0: NEW}},
    ),
    "by key": (lambda s: in_session(s, update(Item), by_key(0, vector=NEW)), ITEM),
    "by key, joined": (
        lambda s: in_session(s, update(Joined), by_key(1, vector=NEW), entity=Joined),
        JOINED,
    ),
    "by key, single": (
        lambda s: in_session(s, update(Single), by_key(2, vector=NEW), entity=Single),
        {"items": {2: NEW}},
    ),
    "by key, late": (
        lambda s: in_session(s, update(Late), by_key(3, vector=NEW), entity=Late),
        {"items": {3: NEW}},
    ),
    "by key, two codes": (
        lambda s: s.execute(update(Pair), [{"id": 0, "version": 1, "vector": NEW}]),
        {"pairs": {0: NEW}},
    ),
    "values": (
        lambda s: in_session(s, update(Item).where(Item.id == 0).values(vector=NEW)),
        ITEM,
    ),
    "values, single": (
        lambda s: in_session(s, update(Single).values(vector=NEW), entity=Single),
        {"items": {2: NEW}},
    ),
    "values, by a synonym": (
        lambda s: in_session(s, update(Item).where(Item.id == 0).values({Item.same: NEW})),
        ITEM,
    ),
    "values, two codes": (
        lambda s: s.execute(update(Pair).values(vector=NEW)),
        {"pairs": {0: NEW}},
    ),
    "values, null": (
        lambda s: s.execute(update(Item).where(Item.id == 0).values({Item.vector: None})),
        {"items": {0: None}},
    ),
    "values, null()": (
        lambda s: s.execute(update(Item).where(Item.id == 0).values(vector=null())),
        {"items": {0: None}},
    ),
    "values, a parameter": (
        lambda s: s.execute(
            update(Item).where(Item.id == 0).values(vector=bindparam("v")), {"v": NEW}
        ),
        ITEM,
    ),
    "values, and parameters": (
        lambda s: s.connection().execute(
            update(TABLE).where(HERE).values(embedding=NEWER), {"embedding": NEW}
        ),
        ITEM,
    ),
    "alias of the class": (
        lambda s: (a := aliased(Item)) and s.execute(update(a).where(a.id == 0).values(vector=NEW)),
        ITEM,
    ),
    "alias of the table": (
        lambda s: (
            (a := TABLE.alias("other")) is not None
            and s.execute(update(a).where(a.c.id == 0).values(embedding=NEW))
        ),
        ITEM,
    ),
    "query": (lambda s: s.query(Item).filter(Item.id == 0).update({"vector": NEW}), ITEM),
    "table": (lambda s: s.execute(update(TABLE).where(HERE).values(embedding=NEW)), ITEM),
    "connection": (
        lambda s: s.connection().execute(update(TABLE).where(HERE).values(embedding=NEW)),
        ITEM,
    ),
    "connection, class": (
        lambda s: s.connection().execute(update(Item).where(Item.id == 0).values(vector=NEW)),
        ITEM,
    ),
    "connection, parameters": (
        lambda s: s.connection().execute(update(TABLE).where(HERE), {"embedding": NEW}),
        ITEM,
    ),
    "connection, many": (
        lambda s: s.connection().execute(
            update(TABLE).where(TABLE.c.id == bindparam("i")).values(embedding=bindparam("v")),
            [{"i": 0, "v": NEW}, {"i": 1, "v": None}, {"i": 2, "v": NEWER}],
        ),
        {"items": {0: NEW, 1: None, 2: NEWER}},
    ),
    "insert, a parameter": (
        lambda s: s.connection().execute(
            insert(TABLE).values(embedding=bindparam("v"), id=bindparam("i")),
            [{"i": 20, "v": NEW}, {"i": 21, "v": NEWER}],
        ),
        {"items": {20: NEW, 21: NEWER}},
    ),
    "insert, null()": (
        lambda s: s.execute(insert(Item).values(id=20, vector=null())),
        {"items": {20: None}},
    ),
    "insert, by a synonym": (lambda s: s.execute(insert(Item).values(id=20, same=NEW)), ADDED),
    "insert, joined": (lambda s: s.execute(insert(Joined), by_key(20, vector=NEW)), ADDED),
    "insert, two codes": (
        lambda s: s.execute(insert(Pair), [{"id": 20, "version": 1, "vector": NEW}]),
        {"pairs": {20: NEW}},
    ),
    "insert, nulls": (
        lambda s: s.execute(
            insert(Item).execution_options(render_nulls=True), by_key(20, vector=NEW, title="")
        ),
        ADDED,
    ),
    "insert, code None": (
        lambda s: s.execute(insert(Item), by_key(20, vector=NEW, code=None)),
        ADDED,
    ),
    "insert, wrapped": (
        lambda s: s.scalars(
            select(Item).from_statement(
                insert(Item).values(id=20, vector=NEW, kind="item").returning(Item)
            )
        ).all(),
        ADDED,
    ),
    "insert of a select without vectors": (
        lambda s: s.execute(
            insert(Item).from_select(
                ["id", "kind", "title"], select(literal(20), literal("item"), literal("x"))
            )
        ),
        {"items": {20: None}},
    ),
    "insert beside a CTE": (
        lambda s: s.execute(
            insert(TABLE).values(id=20, embedding=NEW).add_cte(select(literal(1)).cte("one"))
        ),
        ADDED,
    ),
    "upsert": (upserted, ITEM),
}


@pytest.mark.parametrize("way", COVERED)
def test_what_is_written_has_its_code(run: Run, way: str) -> None:
    write, changed = COVERED[way]

    def work(session: Session) -> None:
        with session.begin_nested() as inside:
            write(session)
            check(session, changed)
            inside.rollback()

    run(work)
