"""Who may do what; and that a session that knows SQL alone can do all that a service needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from attached_rows import BINARIZER, LABEL, check_codes, make_table, registered
from pgvector import Vector
from psycopg import sql
from synthetic import additive_binarizer, exact_binarizer, integer_rows

from bitryoshka.postgres import attach, detach, drop_codec, install, register, search_column, verify
from bitryoshka.postgres.server import Connection

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"
QUERY = Vector(integer_rows(7, 1)[0]).to_text()
SEARCH = "SELECT (s.item).id FROM bitryoshka.search(NULL::items, %s::vector, k => 5) AS s"
CHANGES = (
    "INSERT INTO items (id) VALUES (900)",
    "UPDATE items SET embedding = NULL",
    "UPDATE items SET code = NULL",
    "DELETE FROM items",
    "DELETE FROM bitryoshka.codecs",
    "INSERT INTO bitryoshka.cuts VALUES (1, 8, '[1]')",
    "UPDATE bitryoshka.columns SET codec_id = 2",
    "DELETE FROM bitryoshka.backfill",
    "SELECT bitryoshka.create_encoder('docs@1')",
    "SELECT bitryoshka.make_column_functions(1)",
    "SELECT bitryoshka.add_code_column('items', 'embedding', 'docs@1', 'other')",
    "SELECT bitryoshka.fill_code_column('items')",
    "UPDATE bitryoshka.columns SET search_name = 'other'",
    "SELECT bitryoshka.drop_code_column('items')",
    "SELECT bitryoshka.drop_codec('docs@1')",
    "SELECT bitryoshka.begin_codec('docs', 2, repeat('0', 64), 'cosine', 1, 8, 8, '{8}', '{}', "
    "'additive')",
    "CREATE FUNCTION bitryoshka.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION {fill}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "DROP TRIGGER zz_bitryoshka_1 ON items",
)


@pytest.fixture
def role(installed: Connection) -> Iterator[sql.Identifier]:
    """A role that may only make things of its own in schema public, as PostgreSQL 14 lets all."""
    name = sql.Identifier(f"bitryoshka_test_{uuid4().hex[:12]}")
    installed.execute(sql.SQL("CREATE ROLE {0}; GRANT CREATE ON SCHEMA public TO {0}").format(name))
    yield name
    installed.execute("RESET ROLE")
    installed.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(name))


@contextmanager
def acting(connection: Connection, role: sql.Identifier) -> Iterator[None]:
    connection.execute(sql.SQL("SET ROLE {}").format(role))
    try:
        yield
    finally:
        connection.execute("RESET ROLE")


def refused(connection: Connection, statements: Sequence[str]) -> None:
    [(fill,)] = connection.execute(
        "SELECT tgfoid::regproc::text FROM pg_trigger WHERE tgname = 'zz_bitryoshka_1'"
    ).fetchall()
    for statement in statements:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.replace("{fill}", fill).encode())


def granted(role: sql.Identifier, title: str) -> list[sql.Composed]:
    """The statements of the tutorial that give a role of this title its rights."""
    [block] = re.findall(r"```sql\n(GRANT .*?)```", TUTORIAL.read_text("utf-8"), re.S)
    found = [part.strip() for part in block.split(";") if f"tutorial_{title}" in part]
    assert found
    return [
        sql.SQL(  # type: ignore[misc]
            part.replace(f"tutorial_{title}", "{role}").replace("articles", "items")
        ).format(role=role)
        for part in found
    ]


def test_a_reader_searches_and_changes_nothing(installed: Connection, role: sql.Identifier) -> None:
    registered(installed)
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    expected = installed.execute(SEARCH, [QUERY]).fetchall()
    with acting(installed, role), pytest.raises(psycopg.errors.InsufficientPrivilege):
        installed.execute(SEARCH, [QUERY])
    for grant in granted(role, "reader"):
        installed.execute(grant)
    with acting(installed, role):
        assert installed.execute(SEARCH, [QUERY]).fetchall() == expected
        assert len(search_column(installed, "items", integer_rows(7, 3)).ids) == 3
        assert installed.execute("SELECT codec FROM bitryoshka.code_columns").fetchall() == [
            (LABEL,)
        ]
        refused(installed, CHANGES)
    assert check_codes(installed) == 180


def test_a_writers_rows_get_their_codes(installed: Connection, role: sql.Identifier) -> None:
    registered(installed)
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    for grant in granted(role, "writer"):
        installed.execute(grant)
    with acting(installed, role):
        installed.execute("INSERT INTO items (id, embedding) VALUES (900, %s::vector)", [QUERY])
        installed.execute("UPDATE items SET embedding = %s::vector WHERE id = 3", [QUERY])
        installed.execute("DELETE FROM items WHERE id = 4")
        refused(installed, CHANGES[4:])
    assert check_codes(installed) == 180


def test_a_writers_rows_get_codes_that_are_searched_for(
    installed: Connection, role: sql.Identifier
) -> None:
    registered(installed, additive_binarizer(1, dimensions=16))
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    for grant in granted(role, "writer"):
        installed.execute(grant)
    with acting(installed, role):
        installed.execute("INSERT INTO items (id, embedding) VALUES (900, %s::vector)", [QUERY])
        installed.execute("SELECT bitryoshka.encode(%s, %s::vector)", [LABEL, QUERY])
        for statement in (
            "INSERT INTO bitryoshka.gram VALUES (1, 99, '[1]', 0, 0)",
            "DELETE FROM bitryoshka.additive",
            "SELECT bitryoshka.write_gram(1)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                installed.execute(statement.encode())
    assert verify(installed, "items").good


def test_an_owner_without_other_rights_registers_and_attaches(
    installed: Connection, role: sql.Identifier
) -> None:
    make_table(installed)
    installed.execute(sql.SQL("ALTER TABLE items OWNER TO {}").format(role))
    installed.execute(sql.SQL("GRANT CREATE, USAGE ON SCHEMA public TO {}").format(role))
    for grant in granted(role, "owner"):
        installed.execute(grant)
    with acting(installed, role):
        registered(installed)
        for in_database in (False, True):
            attach(installed, "items", "embedding", LABEL, in_database=in_database)
            assert verify(installed, "items").good
            assert check_codes(installed) == 180
            detach(installed, "items")
        drop_codec(installed, LABEL)
        assert register(installed, "more", additive_binarizer(1, dimensions=16)).label == "more@1"
        attach(installed, "items", "embedding", "more@1", in_database=True)
        assert verify(installed, "items").good
        detach(installed, "items")
        drop_codec(installed, "more@1")


def test_a_database_owner_who_is_no_superuser_installs(
    connection: Connection,
) -> None:
    name = sql.Identifier(f"bitryoshka_test_{uuid4().hex[:12]}")
    connection.execute(sql.SQL("CREATE ROLE {}").format(name))
    database = sql.Identifier(connection.info.dbname)
    try:
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, name))
        connection.execute(sql.SQL("SET ROLE {}").format(name))
        install(connection)
        assert register(connection, "docs", exact_binarizer(3)).label == LABEL
    finally:
        connection.execute("RESET ROLE")
        connection.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(name))


def test_a_session_that_knows_sql_alone(
    installed: Connection, execute_sql: Callable[[str], list[tuple[object, ...]]]
) -> None:
    """Write, search, and read the documentation: no line of Python on the way."""
    registered(installed)
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    execute_sql(f"INSERT INTO items (id, embedding) VALUES (900, '{QUERY}')")
    execute_sql(f"UPDATE items SET embedding = '{QUERY}' WHERE id = 901")
    [(code,)] = execute_sql("SELECT code::text FROM items WHERE id = 900")
    assert int(str(code), 2).to_bytes(BINARIZER.bits // 8, "big") == (
        BINARIZER.encode(integer_rows(7, 1)).tobytes()
    )
    [(nearest,)] = execute_sql(
        f"SELECT (s.item).id FROM bitryoshka.search(NULL::items, '{QUERY}', k => 1, "
        "candidates => 100, rescore => 'exact') AS s"
    )
    assert str(nearest) == "900"
    assert execute_sql("SELECT label, fingerprint FROM bitryoshka.codecs") == [
        (LABEL, BINARIZER.fingerprint)
    ]
    documented = execute_sql(
        "SELECT obj_description(oid) FROM pg_proc "
        "WHERE pronamespace = 'bitryoshka'::regnamespace AND proname IN ('search', 'encode')"
    )
    assert len(documented) == 3
    assert all(len(str(text)) > 40 for (text,) in documented)


@pytest.fixture
def execute_sql(installed_database: str) -> Iterator[Callable[[str], list[tuple[object, ...]]]]:
    """Run a statement as psql would: its text alone, by the simple protocol."""
    with psycopg.connect(installed_database, autocommit=True) as connection:

        def execute(text: str) -> list[tuple[object, ...]]:
            cursor = psycopg.ClientCursor(connection)
            cursor.execute(text.encode())
            return cursor.fetchall() if cursor.description else []

        yield execute
