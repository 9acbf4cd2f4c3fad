"""Sessions and databases with settings of their own: nothing depends on them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from attached_rows import BINARIZER, LABEL, check_codes, make_table, registered
from psycopg import sql
from psycopg.conninfo import make_conninfo
from synthetic import additive_binarizer, exact_binarizer, integer_rows

from bitryoshka import DatabaseError
from bitryoshka import postgres as pg
from bitryoshka.postgres import connect
from bitryoshka.postgres.sampling import sample_vectors
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.target import Target


def use_everything(connection: Connection, odd: str) -> None:
    """Every function of `bitryoshka.postgres` that takes a connection, on a fresh database."""
    queries = integer_rows(1, 3)
    assert pg.prepare_database(connection)
    assert pg.install(connection)
    vectors, ids = integer_rows(0, 30), np.arange(30)
    for kind in ("vector", "halfvec", None):
        name = f"codes {odd} {kind}"
        table = pg.create_table(connection, name, BINARIZER, kind)  # type: ignore[arg-type]
        assert pg.create_table(connection, name, BINARIZER, kind) == table  # type: ignore[arg-type]
        assert pg.open_table(connection, name, BINARIZER, kind) == table  # type: ignore[arg-type]
        codes = BINARIZER.encode(vectors)
        assert pg.load(connection, table, ids, codes, vectors if kind else None) == 30
        assert pg.create_index(connection, table, BINARIZER.hamming_bits)
        for rescore in ("asymmetric", "exact" if kind else None):
            found = pg.search(connection, table, BINARIZER, queries, rescore=rescore)  # type: ignore[arg-type]
            assert all(len(ids) == 10 for ids in found.ids)
    more = pg.register(connection, "more", additive_binarizer(1, dimensions=16)).label
    for binarizer, label in ((BINARIZER, LABEL), (exact_binarizer(4), "docs@2")):
        assert pg.register(connection, "docs", binarizer).label == label
        assert pg.export(connection, label).fingerprint == binarizer.fingerprint
    assert [codec.label for codec in pg.list_codecs(connection)] == [LABEL, "docs@2", more]
    pg.adopt(connection, f"codes {odd} None", LABEL)
    pg.detach(connection, f"codes {odd} None")

    columns = f'id text PRIMARY KEY, "{odd}" text'
    create = sql.SQL("CREATE TABLE public.{} (" + columns + ", {} public.vector(16))").format(  # type: ignore[arg-type]
        sql.Identifier(odd), sql.Identifier("v " + odd)
    )
    connection.execute(create.as_string(None).encode())
    copy = sql.SQL("COPY public.{} (id, {}) FROM STDIN").format(
        sql.Identifier(odd), sql.Identifier("v " + odd)
    )
    with connection.cursor() as cursor, cursor.copy(copy.as_string(None).encode()) as rows:
        for id_, vector in enumerate(vectors):
            rows.write(f"{odd} {id_}\t{vector.tolist()}\n".encode())
    assert pg.attach_statements(connection, odd, "v " + odd, LABEL)
    for in_database in (True, False):
        done = pg.attach(connection, odd, "v " + odd, LABEL, batch_rows=7, in_database=in_database)
        assert done.filled == 30
        assert done.verification.good
        if in_database:
            pg.detach(connection, odd)
    assert pg.verify(connection, odd).good
    assert pg.status(connection, odd).state == "ready"
    pg.attach(connection, odd, "v " + odd, "docs@2", code_column="c " + odd)
    pg.switch(connection, odd, "c " + odd)
    where = sql.SQL("{} IS NULL").format(sql.Identifier(odd))
    hits = pg.search_column(connection, odd, queries, rescore="exact", where=where)
    assert {key for keys in hits.ids for key in keys} <= {f"{odd} {i}" for i in ids}
    assert all(len(keys) == 10 for keys in hits.ids)
    assert sample_vectors(connection, odd, "v " + odd, 10)[1] == 30
    pg.detach(connection, odd, code_column="code_old")
    pg.drop_codec(connection, LABEL)
    pg.detach(connection, odd)
    for label in ("docs@2", more):
        pg.drop_codec(connection, label)
    pg.uninstall(connection)


def test_an_empty_search_path(bare_database: str) -> None:
    dsn = make_conninfo(bare_database, options="-c search_path=")
    with connect(dsn) as connection:
        use_everything(connection, "items")
        [(path,)] = connection.execute("SHOW search_path").fetchall()
        assert path in ("", '""')


@pytest.fixture
def ascii_database(dsn: str) -> Iterator[str]:
    """DSN of a database whose encoding is SQL_ASCII."""
    name = sql.Identifier(f"bitryoshka_test_{uuid4().hex[:12]}")
    with connect(dsn) as connection:
        connection.execute(
            sql.SQL(
                "CREATE DATABASE {} TEMPLATE template0 ENCODING 'SQL_ASCII' "
                "LC_COLLATE 'C' LC_CTYPE 'C'"
            ).format(name)
        )
        yield make_conninfo(dsn, dbname=name.as_string(None).strip('"'))
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.mark.parametrize("odd", ["items", "größe 表 🪆"])
def test_a_database_without_an_encoding(ascii_database: str, odd: str) -> None:
    with connect(ascii_database) as connection:
        assert connection.info.encoding == "ascii"
        use_everything(connection, odd)


def test_keys_that_are_no_utf8_in_a_database_without_an_encoding(ascii_database: str) -> None:
    with connect(ascii_database) as connection:
        pg.install(connection)
        registered(connection)
        make_table(connection, rows=20, columns="id text PRIMARY KEY")
        connection.execute("UPDATE items SET id = id || convert_from('\\xe9', 'SQL_ASCII')")
        assert pg.attach(connection, "items", "embedding", LABEL, batch_rows=1).filled == 18
        assert pg.verify(connection, "items").good


ODD_SETTINGS = {
    "double": ("k float8 DEFAULT random()", "extra_float_digits = -15"),
    "real": ("k real DEFAULT random()", "extra_float_digits = -15"),
    "date": (
        "k date DEFAULT make_date(1900 + (random() * 99)::int, 3, 20)",
        "datestyle = 'SQL, {}'",
    ),
    "timestamp": (
        "k timestamptz DEFAULT '2001-01-01'::timestamptz + random() * interval '9 years'",
        "datestyle = 'SQL, {}'",
    ),
    "interval": (
        "k interval DEFAULT random() * interval '90 days' - random() * interval '9 hours'",
        "intervalstyle = 'sql_standard'",
    ),
}


@pytest.mark.parametrize("kind", ODD_SETTINGS)
def test_keys_are_read_back_whatever_the_settings(
    installed: Connection, installed_database: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    column, setting = ODD_SETTINGS[kind]
    registered(installed)
    make_table(installed, rows=100, columns=f"id bigint, {column}, PRIMARY KEY (k, id)")
    encode, calls = type(BINARIZER).encode, 0

    def encode_some(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return encode(*arguments)

    with connect(installed_database) as killed:
        killed.execute(f"SET {setting.format('DMY')}".encode())
        with monkeypatch.context() as patched:
            patched.setattr(type(BINARIZER), "encode", encode_some)
            with pytest.raises(KeyboardInterrupt):
                pg.attach(killed, "items", "embedding", LABEL, batch_rows=9)
    ending = "SELECT pg_terminate_backend(%s)"
    with connect(installed_database) as rest:
        rest.execute(f"SET {setting.format('MDY')}".encode())
        timer = threading.Timer(60, installed.execute, [ending, [rest.info.backend_pid]])
        timer.start()
        try:
            done = pg.attach(rest, "items", "embedding", LABEL, batch_rows=9)
        finally:
            timer.cancel()
    assert done.filled == 90 - 3 * 9 + sum(id_ % 10 == 0 for id_ in first_ids(installed, 27))
    assert check_codes(installed) == 90


def first_ids(connection: Connection, count: int) -> list[int]:
    query = "SELECT id FROM items ORDER BY k, id LIMIT %s"
    return [id_ for (id_,) in connection.execute(query, [count])]


def test_a_single_float_key(installed: Connection, installed_database: str) -> None:
    registered(installed)
    make_table(installed, rows=100, columns="id bigint, k float8 DEFAULT random() PRIMARY KEY")
    with connect(installed_database) as session:
        session.execute("SET extra_float_digits = -15")
        ending = "SELECT pg_terminate_backend(%s)"
        timer = threading.Timer(30, installed.execute, [ending, [session.info.backend_pid]])
        timer.start()
        try:
            assert pg.attach(session, "items", "embedding", LABEL, batch_rows=9).filled == 90
        finally:
            timer.cancel()
    assert check_codes(installed) == 90


def test_keys_that_do_not_read_back_are_an_error(
    installed: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(installed)
    make_table(installed, rows=100, columns="id bigint, k float8 DEFAULT random() PRIMARY KEY")
    monkeypatch.setattr(Target, "key_texts", sql.SQL("round(k::numeric, 1)::text"))
    with pytest.raises(DatabaseError, match=r"keys of public\.items do not read back"):
        pg.attach(installed, "items", "embedding", LABEL, batch_rows=1)
    monkeypatch.undo()
    pg.attach(installed, "items", "embedding", LABEL)
    assert check_codes(installed) == 90


LIMITS = {
    "statement": (
        "statement_timeout = '400ms'",
        "statement timeout.* = 400ms and .* = 0",
    ),
    "lock": ("lock_timeout = '400ms'", "lock timeout.* = 0 and .* = 400ms"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_statement_that_the_server_ends_is_an_error_that_says_what_to_do(
    installed: Connection, installed_database: str, limit: str
) -> None:
    registered(installed)
    make_table(installed, rows=100)
    pg.attach(installed, "items", "embedding", LABEL, index=False)
    installed.execute("ALTER TABLE items DISABLE TRIGGER USER; UPDATE items SET code = NULL")
    installed.execute("ALTER TABLE items ENABLE TRIGGER USER")
    installed.execute(
        "CREATE TABLE waited (); CREATE FUNCTION wait() RETURNS trigger "
        "LANGUAGE plpgsql AS 'BEGIN IF NEW.id = 71 THEN LOCK TABLE public.waited; END IF; "
        "RETURN NEW; END'; CREATE TRIGGER wait BEFORE UPDATE ON items FOR EACH ROW "
        "EXECUTE FUNCTION wait()"
    )
    setting, message = LIMITS[limit]
    with connect(installed_database) as holder, connect(installed_database) as limited:
        holder.execute("BEGIN; LOCK TABLE waited")
        limited.execute(f"SET {setting}".encode())
        with pytest.raises(DatabaseError, match=rf"items: .*{message}: SET them to 0.* goes on"):
            pg.attach(limited, "items", "embedding", LABEL, batch_rows=10)
        holder.execute("COMMIT")
        assert pg.status(limited, "items").counts.missing == 90 - 63
        assert pg.attach(limited, "items", "embedding", LABEL, batch_rows=10).filled == 27
    assert check_codes(installed) == 90


@pytest.mark.parametrize("key", ["k", "k, id", "id, k"])
def test_keys_whose_operators_no_path_finds(
    installed: Connection, installed_database: str, key: str
) -> None:
    """A type of an extension's, alone and beside a built-in one, by ranges."""
    registered(installed)
    default = "('[' || random() || ',1]')::vector"
    make_table(
        installed,
        rows=100,
        columns=f"id bigint, k vector(2) DEFAULT {default}, PRIMARY KEY ({key})",
    )
    with connect(installed_database) as session:
        session.execute("SET search_path = ''")
        assert pg.attach(session, "items", "embedding", LABEL, batch_rows=9).filled == 90
    assert check_codes(installed) == 90
