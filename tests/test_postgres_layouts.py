"""Codes in a narrow table of their own, beside the table that has the vectors."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import psycopg
import pytest
from attached_rows import (
    BINARIZER,
    LABEL,
    make_table,
    registered,
    stopped_in_the_fourth_batch,
    writers_at_work,
)
from pgvector import Vector
from programs import program, run_program
from psycopg import sql
from synthetic import clustered, exact_binarizer, exact_signs, integer_rows
from test_postgres_attach import KEYS, ODD_NAMES, shape

import bitryoshka
from bitryoshka import (
    DatabaseError,
    FingerprintError,
    OptionError,
    SearchError,
    TableError,
    VectorsError,
)
from bitryoshka.binarizer import Binarizer
from bitryoshka.postgres import (
    attach,
    attach_statements,
    connect,
    detach,
    drop_codec,
    install,
    register,
    repair,
    search_column,
    search_column_async,
    search_statement,
    status,
    switch,
    verify,
)
from bitryoshka.postgres.attachment import Attached
from bitryoshka.postgres.server import Connection


def narrow(connection: Connection, table: str = "items", **options: Any) -> Attached:
    column = options.pop("column", "embedding")
    return attach(connection, table, column, LABEL, layout="narrow", **options)


def pairs(
    connection: Connection,
    table: str = "items",
    codes: str = "items_code",
    column: str = "embedding",
    code: str = "code",
    key: str = "id",
    schema: str = "public",
) -> list[tuple[str | None, str | None]]:
    """Every row's vector and the code beside it, as text; codes without a row too."""
    query = sql.SQL(
        "SELECT t.{column}::text, n.{code}::text FROM {table} AS t FULL JOIN {codes} AS n "
        "ON t.{key} = n.{key}"
    ).format(
        table=sql.Identifier(schema, table),
        codes=sql.Identifier(schema, codes),
        column=sql.Identifier(column),
        code=sql.Identifier(code),
        key=sql.Identifier(key),
    )
    return connection.execute(query).fetchall()


def check_beside(connection: Connection, binarizer: Binarizer = BINARIZER, **names: str) -> int:
    """Assert that every vector has its code and NULL has none; give the number of codes."""
    found = pairs(connection, **names)
    assert all((vector is None) == (code is None) for vector, code in found)
    kept = [(vector, code) for vector, code in found if vector is not None and code]
    vectors = np.array([v.strip("[]").split(",") for v, _ in kept], np.float32)
    codes = np.packbits([[int(d) for d in c] for _, c in kept], axis=1)
    np.testing.assert_array_equal(codes, binarizer.encode(vectors))
    return len(kept)


def text(seed: int) -> str:
    return str(Vector(integer_rows(seed, 1)[0]).to_text())


@pytest.mark.parametrize("vector_type", ["vector(16)", "halfvec"])
@pytest.mark.parametrize("in_database", [False, True])
def test_codes_are_those_of_the_row_layout(
    installed: Connection, vector_type: str, in_database: bool
) -> None:
    registered(installed)
    make_table(installed, vector_type=vector_type)
    before = shape(installed)
    found = narrow(installed, in_database=in_database, batch_rows=30)
    assert found.filled == check_beside(installed) == 180
    assert found.verification.good
    assert found.verification.recall is not None
    # of the table itself nothing has changed but triggers: no row was written anew
    assert [row for row in shape(installed) if row[0] != "trigger"] == [
        row for row in before if row[0] != "trigger"
    ]
    found_status = status(installed, "items")
    assert found_status.counts == found.verification.counts
    assert (found_status.state, found_status.code_table) == ("ready", "public.items_code")
    attach(installed, "items", "embedding", LABEL)
    differ = installed.execute(
        "SELECT FROM items AS t LEFT JOIN items_code AS n USING (id) "
        "WHERE t.code IS DISTINCT FROM n.code"
    )
    assert differ.rowcount == 0
    assert narrow(installed).filled == 0


def test_the_catalogue_has_it_as_an_adopted_column(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    narrow(installed)
    found = installed.execute(
        "SELECT relation::text, code_column, vector_column, codec, prefix_bits, bad_vectors, state "
        "FROM bitryoshka.code_columns"
    ).fetchall()
    expected = ("items_code", "code", None, LABEL, BINARIZER.hamming_bits, "reject", "ready")
    assert found == [expected]
    [(hits,)] = installed.execute(
        "SELECT count(*) FROM bitryoshka.search(NULL::items_code, %s::vector)", [text(1)]
    ).fetchall()
    assert hits == 10


def test_writes_keep_the_codes_true(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=30)
    narrow(installed)
    run = installed.execute
    run("INSERT INTO items (id, embedding) VALUES (100, %s::vector), (101, NULL)", [text(1)])
    run("UPDATE items SET embedding = %s::vector WHERE id IN (3, 101)", [text(2)])
    run("UPDATE items SET embedding = NULL WHERE id = 4")
    run("UPDATE items SET embedding = %s::vector WHERE id = 4", [text(3)])
    run("UPDATE items SET embedding = NULL WHERE id = 5")
    run("UPDATE items SET title = 'x'")
    run("UPDATE items SET id = 200, embedding = %s::vector WHERE id = 7", [text(4)])
    run("UPDATE items SET id = id + 1000 WHERE id < 100")
    run("DELETE FROM items WHERE id = 1008")
    upsert = (
        "INSERT INTO items (id, embedding) VALUES (%s, %s::vector) "
        "ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding"
    )
    run(upsert, [1009, text(5)])
    run(upsert, [300, text(6)])
    with installed.cursor() as cursor, cursor.copy("COPY items (id, embedding) FROM STDIN") as copy:
        for i, row in enumerate(integer_rows(7, 50)):
            copy.write_row((400 + i, Vector(row).to_text()))
    run(
        "MERGE INTO items AS t USING (VALUES (300), (301)) AS s (id) ON t.id = s.id "
        f"WHEN MATCHED THEN UPDATE SET embedding = '{text(8)}' "
        f"WHEN NOT MATCHED THEN INSERT (id, embedding) VALUES (s.id, '{text(9)}')".encode()
    )
    [(vectors,)] = run("SELECT count(embedding) FROM items").fetchall()
    assert check_beside(installed) == vectors > 70
    assert verify(installed, "items", full=True).good
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="foreign key"):
        run("TRUNCATE items")
    run("TRUNCATE items CASCADE")
    assert pairs(installed) == []


def test_a_trigger_that_writes_the_row_again_leaves_no_older_code(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=10)
    narrow(installed)
    installed.execute(
        "CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
        "IF pg_trigger_depth() = 1 AND NEW.title = 'again' THEN "
        f"UPDATE items SET embedding = '{text(2)}' WHERE id = NEW.id; "
        "ELSIF NEW.title = 'gone' THEN DELETE FROM items WHERE id = NEW.id; END IF; "
        "RETURN NULL; END$$;"
        "CREATE TRIGGER a AFTER INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION again()"
        "".encode()
    )
    for title in ("again", "gone"):
        statement = "UPDATE items SET title = %s, embedding = %s::vector WHERE id > 4"
        installed.execute(statement, [title, text(1)])
        check_beside(installed)
    assert installed.execute("SELECT FROM items_code").rowcount == 4


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("in_database", [False, True])
def test_any_primary_key_will_do(installed: Connection, kind: str, in_database: bool) -> None:
    registered(installed)
    make_table(installed, rows=100, columns=KEYS[kind][0])
    assert narrow(installed, batch_rows=7, in_database=in_database).filled == 90
    assert installed.execute("SELECT FROM bitryoshka.backfill").rowcount == 0
    installed.execute("UPDATE items SET embedding = NULL WHERE id::int = 11")
    installed.execute("UPDATE items SET embedding = %s::vector WHERE id::int = 12", [text(1)])
    again = verify(installed, "items", full=True)
    assert (again.good, again.sampled) == (True, 89)
    key = [name for name, *_ in key_columns(installed, "items")]
    assert key == [name for name, *_ in key_columns(installed, "items_code")]
    assert key_columns(installed, "items") == key_columns(installed, "items_code")
    found = search_column(installed, "items", integer_rows(1, 1), 50, rescore="exact", shortlist=60)
    assert len(set(found.ids[0])) == 50


def key_columns(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attcollation "
        "FROM pg_index AS i CROSS JOIN unnest(i.indkey::int[]) WITH ORDINALITY AS k (n, place) "
        "JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.n "
        "WHERE i.indrelid = %s::regclass AND i.indisprimary ORDER BY k.place",
        [table],
    ).fetchall()


@pytest.mark.parametrize("in_database", [False, True])
def test_no_columns_name_is_taken_for_a_variable(installed: Connection, in_database: bool) -> None:
    """Names of variables, blocks, aliases and results, as columns and as the key."""
    registered(installed)
    names = ("made", "hint", "bitryoshka_block", "bitryoshka_code", "bitryoshka_vector", "t", "n")
    others = ", ".join(f"{name} bit(24) DEFAULT repeat('1', 24)::bit(24)" for name in names)
    columns = f"id bigint PRIMARY KEY, {others}, found int, tg_op int, excluded int, new int"
    make_table(installed, rows=20, columns=columns)
    narrow(installed, in_database=in_database)
    installed.execute("UPDATE items SET embedding = %s::vector WHERE id IN (3, 4)", [text(1)])
    assert check_beside(installed) == 18
    for name in (*names, "found", "tg_op", "sqlstate", "excluded", "new"):
        key = f"key_{name}"
        make_table(installed, 20, key, columns="id bigint PRIMARY KEY")
        installed.execute(f'ALTER TABLE {key} RENAME id TO "{name}"'.encode())
        narrow(installed, key, in_database=in_database, code_table=f"{key}_code")
        installed.execute(
            f'UPDATE {key} SET embedding = %s::vector WHERE "{name}" IN (3, 4)'.encode(), [text(1)]
        )
        assert check_beside(installed, table=key, codes=f"{key}_code", key=name) == 18
        assert verify(installed, key, full=True).good
        assert repair(installed, key) == 0


def test_a_dropped_table_of_codes_is_named(installed: Connection) -> None:
    registered(installed)
    make_table(installed, 20)
    narrow(installed)
    installed.execute("DROP TABLE items_code")
    for call in (status, verify, repair):
        with pytest.raises(TableError, match=r"table of codes of public\.items was dropped"):
            call(installed, "items")
    assert narrow(installed).filled == 18
    installed.execute("DROP TABLE items_code")
    detach(installed, "items")
    with pytest.raises(TableError, match="no codec is attached"):
        status(installed, "items")


def test_switch_is_for_the_other_layout(installed: Connection) -> None:
    registered(installed)
    make_table(installed, 20)
    narrow(installed)
    narrow(installed, code_column="other")
    with pytest.raises(TableError, match=r"lie in public\.items_other, and switch is for columns"):
        switch(installed, "items", "other")
    assert search_column(installed, "items", integer_rows(1, 1), code_column="other").ids[0]
    detach(installed, "items")
    assert search_column(installed, "items", integer_rows(1, 1), code_column="other").ids[0]


def test_a_key_that_was_renamed_is_followed(installed: Connection) -> None:
    registered(installed)
    make_table(installed, 20, columns="id bigint, b int DEFAULT 5, PRIMARY KEY (id, b)")
    narrow(installed)
    write = "UPDATE items SET embedding = %s::vector WHERE {} = 3"
    for renaming, key in (
        ("ALTER TABLE items RENAME id TO number", "number"),
        (
            "ALTER TABLE items RENAME number TO x; ALTER TABLE items RENAME b TO number; "
            "ALTER TABLE items RENAME x TO b",
            "b",
        ),
    ):
        installed.execute(renaming.encode())
        if key == "number":
            with pytest.raises(psycopg.Error, match="items_code holds codes of") as caught:
                installed.execute(write.format(key).encode(), [text(1)])
            assert "attach --layout narrow takes up" in str(caught.value.diag.message_hint)
        for call in (status, verify, repair):
            with pytest.raises(TableError, match="attach in layout narrow names them alike"):
                call(installed, "items")
        assert narrow(installed).verification.good
        installed.execute(write.format(key).encode(), [text(2)])
        assert check_beside(installed, key=key) == 18
    installed.execute("ALTER TABLE items RENAME b TO code")
    with pytest.raises(TableError, match='column "code" of relation "items_code" already exists'):
        narrow(installed)


def test_a_column_of_codes_that_was_renamed_is_named(installed: Connection) -> None:
    registered(installed)
    make_table(installed, 20)
    narrow(installed)
    installed.execute("ALTER TABLE items_code RENAME code TO other")
    with pytest.raises(psycopg.Error, match="items_code holds codes of") as caught:
        installed.execute("UPDATE items SET embedding = %s::vector WHERE id = 3", [text(1)])
    assert "bitryoshka detach ends it" in str(caught.value.diag.message_hint)
    for call in (status, verify, repair):
        with pytest.raises(TableError, match="none of that name: if it was renamed, name it so"):
            call(installed, "items")
    with pytest.raises(TableError, match="if it was renamed, name it so again"):
        narrow(installed)
    installed.execute("ALTER TABLE items_code RENAME other TO code")
    assert narrow(installed).verification.good


@pytest.mark.parametrize("types", [("vector(16)", "halfvec(16)"), ("halfvec(16)", "vector(16)")])
def test_another_type_of_vector_is_followed(
    installed: Connection, installed_database: str, types: tuple[str, str]
) -> None:
    registered(installed)
    make_table(installed, 20, vector_type=types[0])
    narrow(installed)
    write = f"UPDATE items SET embedding = %s::{types[1]} WHERE id = 3"
    with connect(installed_database) as other:
        other.execute(write.encode(), [text(1)])
        installed.execute(f"ALTER TABLE items ALTER embedding TYPE {types[1]}".encode())
        assert "changed" in (verify(installed, "items").trigger or "")
        assert narrow(installed).verification.good
        other.execute(write.encode(), [text(2)])
    assert check_beside(installed) == 18


def test_a_key_with_a_collation_of_its_own(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=30, columns='id text COLLATE "C" PRIMARY KEY')
    assert narrow(installed, batch_rows=7).filled == check_beside(installed) == 27
    installed.execute("UPDATE items SET embedding = %s WHERE id = '11'", [text(2)])
    assert check_beside(installed) == 27
    assert key_columns(installed, "items") == key_columns(installed, "items_code")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_stay_names(installed: Connection, name: str) -> None:
    registered(installed)
    installed.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    make_table(
        installed,
        30,
        name,
        name,
        'id bigint, "a ""%s" int DEFAULT 1, PRIMARY KEY (id, "a ""%s")',
        schema=name,
    )
    other, beside = (
        (word + name).encode()[:60].decode(errors="ignore") for word in ("code ", "beside ")
    )
    places: Any = {"schema": name, "code_column": other}
    assert attach_statements(
        installed, name, name, LABEL, layout="narrow", code_table=beside, **places
    )
    found = narrow(installed, name, column=name, code_table=beside, **places)
    assert found.filled == 27
    names = {"table": name, "codes": beside, "column": name, "code": other, "schema": name}
    assert check_beside(installed, **names) == 27
    write = sql.SQL("UPDATE {} SET {} = {} WHERE id = 1").format(
        sql.Identifier(name, name), sql.Identifier(name), sql.Literal(text(1))
    )
    installed.execute(write)
    assert check_beside(installed, **names) == 27
    assert verify(installed, name, **places).good
    assert repair(installed, name, **places) == 0
    where = sql.SQL("{} IS NOT NULL AND id > 2").format(sql.Identifier(name))
    options: Any = {"candidates": 27, "rescore": "exact", "where": where, **places}
    result = search_column(installed, name, integer_rows(1, 1), 20, **options)
    assert len(result.ids[0]) == 20
    statement = search_statement(installed, name, 20, **options)
    installed.execute(f"PREPARE own AS {statement}".encode())
    rows = installed.execute(f"EXECUTE own ('{text(1)}', NULL)".encode()).fetchall()
    installed.execute("DEALLOCATE own")
    assert [score for _, score in rows] == pytest.approx(
        search_column(installed, name, integer_rows(1, 1), 20, **options).scores[0]
    )
    detach(installed, name, **places)
    assert installed.execute("SELECT FROM pg_class WHERE relname = %s", [beside]).rowcount == (
        1 if beside == name else 0
    )
    assert "trigger" not in {
        row[0]
        for row in installed.execute(
            "SELECT 'trigger' FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = %s::regclass",
            [sql.Identifier(name, name).as_string(installed)],
        ).fetchall()
    }


def test_bad_vectors_are_refused_or_have_no_code(installed: Connection) -> None:
    registered(installed, exact_signs(16))
    make_table(installed, rows=20, vector_type="vector")
    zero, short = "[" + ",".join("0" * 16) + "]", "[1,2]"
    installed.execute("UPDATE items SET embedding = %s::vector WHERE id = 3", [zero])
    with pytest.raises(VectorsError, match=r"1 rows of public\.items have vectors without a code"):
        narrow(installed)
    assert installed.execute("SELECT to_regclass('items_code')").fetchall() == [(None,)]
    installed.execute("UPDATE items SET embedding = NULL WHERE id = 3")
    narrow(installed)
    for bad in (zero, short):
        for write in (
            "INSERT INTO items (id, embedding) VALUES (50, %s::vector)",
            "UPDATE items SET embedding = %s::vector WHERE id = 4",
        ):
            with pytest.raises(psycopg.errors.DataException):
                installed.execute(write, [bad])
    with pytest.raises(TableError, match=r"code' of public\.items_code is attached to 'embedding'"):
        narrow(installed, bad_vectors="skip")
    detach(installed, "items")
    installed.execute("UPDATE items SET embedding = %s::vector WHERE id = 3", [zero])
    assert narrow(installed, bad_vectors="skip").filled == 17
    installed.execute("INSERT INTO items (id, embedding) VALUES (50, %s::vector)", [short])
    installed.execute("UPDATE items SET embedding = %s::vector WHERE id = 4", [zero])
    counts = verify(installed, "items", full=True).counts
    assert (counts.bad, counts.missing, counts.extra) == (3, 0, 0)
    installed.execute("UPDATE items SET embedding = %s::vector WHERE id = 4", [text(1)])
    assert verify(installed, "items", full=True).good


# faults

ATTACH = f"""
import sys
from bitryoshka.postgres import attach, connect
with connect(sys.argv[1]) as connection:
    print("begun", flush=True)
    attach(connection, "items", "embedding", "{LABEL}", batch_rows=40, layout="narrow",
           in_database=sys.argv[2] == "database")
"""


def go_on(connection: Connection, **options: Any) -> Attached:
    """Attach once the server has noticed that the killed client is gone."""
    for _ in range(100):
        try:
            return narrow(connection, **options)
        except DatabaseError as error:
            if "another attach" not in str(error):
                raise
            time.sleep(0.1)
    raise AssertionError("the lock of a killed attach was never released")


@pytest.mark.parametrize("mode", ["numpy", "database"])
def test_killed_between_batches_it_goes_on(
    installed: Connection, installed_database: str, mode: str
) -> None:
    registered(installed)
    make_table(installed, rows=4000)
    done = 0
    for _ in range(20):
        child = subprocess.Popen(
            [sys.executable, "-c", ATTACH, installed_database, mode], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        while child.poll() is None and kept(installed) <= done:
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        go_on_from = kept(installed)
        if 0 < go_on_from < 3600:
            break
        detach(installed, "items")
    else:
        raise AssertionError("no kill has struck between two batches")
    assert installed.execute("SELECT FROM bitryoshka.backfill").rowcount == 1
    found = go_on(installed, in_database=mode == "database", batch_rows=40)
    assert found.filled + kept(installed) - 3600 <= 3600 - go_on_from + 80
    assert found.verification.good
    assert check_beside(installed) == 3600


def kept(connection: Connection) -> int:
    """Codes that are committed."""
    try:
        [(found,)] = connection.execute("SELECT count(code) FROM items_code").fetchall()
    except psycopg.errors.UndefinedTable:
        return 0
    return int(found)


def test_what_was_done_before_a_kill_is_not_done_again(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=100)
    with stopped_in_the_fourth_batch():
        narrow(installed, batch_rows=10)
    assert status(installed, "items").counts.missing == 90 - 27
    assert installed.execute(
        "SELECT relation::text, last_key FROM bitryoshka.backfill"
    ).fetchall() == [("items", ["29"])]
    assert narrow(installed, batch_rows=10).filled == 63
    assert check_beside(installed) == 90


def test_beside_writers_that_insert_update_and_delete(
    installed: Connection, installed_database: str
) -> None:
    registered(installed)
    make_table(installed, rows=6000)
    with writers_at_work(installed_database, 6000):
        assert narrow(installed, batch_rows=100).filled > 1000
        assert narrow(installed, batch_rows=100).filled == 0
        assert repair(installed, "items", batch_rows=100) == 0
    assert check_beside(installed) > 1000
    assert verify(installed, "items", full=True).good


def test_a_row_that_another_session_holds_is_filled_later(
    installed: Connection, installed_database: str
) -> None:
    registered(installed)
    make_table(installed, rows=50)
    narrow(installed)
    installed.execute("DELETE FROM items_code")
    with connect(installed_database) as other:
        other.execute("BEGIN")
        other.execute("UPDATE items SET embedding = %s::vector WHERE id = 7", [text(1)])
        timer = threading.Timer(0.6, lambda: other.execute("COMMIT"))
        timer.start()
        assert narrow(installed, batch_rows=10).filled == 44
        timer.join()
    assert check_beside(installed) == 45


@pytest.mark.parametrize("vector", [None, "other"])
def test_an_older_snapshot_is_refused_and_leaves_no_older_code(
    installed: Connection, installed_database: str, vector: str | None
) -> None:
    """A transaction that does not see what the backfill wrote cannot write beside it."""
    registered(installed)
    make_table(installed, rows=50)
    narrow(installed)
    installed.execute("DELETE FROM items_code")
    with connect(installed_database) as other:
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT FROM items")
        assert narrow(installed, index=False).filled == 45
        with pytest.raises(psycopg.errors.SerializationFailure):
            other.execute(
                "UPDATE items SET embedding = %s::vector WHERE id = 7",
                [vector and text(1)],
            )
        other.execute("ROLLBACK")
    assert check_beside(installed) == 45


# verify, repair, detach


def test_verify_finds_what_is_wrong_and_repair_mends_it(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=60)
    narrow(installed)
    assert repair(installed, "items") == 0
    run = installed.execute
    run("UPDATE items_code SET code = ~ code WHERE id IN (1, 2)")
    run("DELETE FROM items_code WHERE id = 3")
    run("UPDATE items_code SET code = NULL WHERE id = 4")
    run("INSERT INTO items_code SELECT 10, code FROM items_code WHERE id = 5")
    run("SET session_replication_role = replica")
    run("DELETE FROM items WHERE id IN (6, 7)")
    run("RESET session_replication_role")
    for name in ("items", "items_code"):
        found = verify(installed, name, full=True)
        counts = found.counts
        assert (counts.rows, counts.missing, counts.extra, found.wrong_rows) == (58, 2, 3, 2)
        assert not found.good
    assert repair(installed, "items", batch_rows=7) == 2 + 2 + 3
    assert verify(installed, "items_code", full=True).good
    assert check_beside(installed) == 52


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("DROP TRIGGER {trigger} ON items", "is gone: attach in layout narrow again"),
        ("ALTER TABLE items DISABLE TRIGGER {trigger}", "is disabled"),
        ("ALTER FUNCTION {fill}() SECURITY INVOKER", "were changed"),
        ("ALTER FUNCTION {fill}() SET work_mem = '1MB'", "were changed"),
        ("ALTER TABLE items_code RENAME TO codes", "renamed"),
        ("ALTER TABLE items RENAME TO docs", "renamed"),
    ],
)
def test_a_trigger_that_was_changed_is_told_and_made_anew(
    installed: Connection, change: str, problem: str
) -> None:
    registered(installed)
    make_table(installed, rows=20)
    narrow(installed)
    [(trigger, fill)] = installed.execute(
        "SELECT tgname::text, proname::text FROM pg_trigger JOIN pg_proc AS p ON p.oid = tgfoid "
        "WHERE tgname LIKE 'zz_bitryoshka%'"
    ).fetchall()
    installed.execute(change.format(trigger=trigger, fill=fill).encode())
    table = "docs" if "docs" in change else "items"
    codes = "codes" if "codes" in change else "items_code"
    found = verify(installed, table)
    assert problem in (found.trigger or "")
    assert not found.good
    assert repair(installed, table) == 0
    assert verify(installed, table).good
    installed.execute(f"UPDATE {table} SET embedding = '{text(1)}' WHERE id = 1".encode())
    assert check_beside(installed, table=table, codes=codes) == 18
    # those of a trigger that somebody has dropped are left to them
    left = 4 if change.startswith("DROP") else 2
    functions = "SELECT FROM pg_proc WHERE proname ~ '^bitryoshka_(fill|encode)_'"
    assert installed.execute(functions).rowcount == left


def test_a_column_of_vectors_that_was_renamed(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=20)
    narrow(installed)
    installed.execute("ALTER TABLE items RENAME embedding TO vector")
    with pytest.raises(
        psycopg.errors.UndefinedColumn, match="items_code holds codes of column"
    ) as e:
        installed.execute("INSERT INTO items VALUES (100, '', %s)", [text(1)])
    assert "attach --layout narrow" in str(e.value.diag.message_hint)
    for call in (status, verify, repair):
        with pytest.raises(TableError, match=r"items_code holds codes of, is gone"):
            call(installed, "items")
    assert narrow(installed, column="vector").filled == 0
    installed.execute("INSERT INTO items VALUES (100, '', %s)", [text(1)])
    assert check_beside(installed, column="vector") == 19


def test_a_table_of_codes_that_was_dropped(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=20)
    before = shape(installed)
    for mend in (lambda: narrow(installed), lambda: detach(installed, "items")):
        narrow(installed)
        installed.execute("DROP TABLE items_code")
        with pytest.raises(psycopg.errors.UndefinedTable, match=r"items_code holds.* dropped"):
            installed.execute("INSERT INTO items VALUES (100, '', %s)", [text(1)])
        mend()
        installed.execute("INSERT INTO items VALUES (100, '', %s)", [text(1)])
        installed.execute("DELETE FROM items WHERE id = 100")
    assert shape(installed) == before
    drop_codec(installed, LABEL)
    functions = "SELECT FROM pg_proc WHERE proname ~ '^bitryoshka_(fill|encode)_'"
    assert installed.execute(functions).rowcount == 0


@pytest.mark.parametrize("parts", [(), ("-t", "items", "-t", "items_code")], ids=["whole", "part"])
def test_a_dump_is_restored(
    installed: Connection, installed_database: str, bare_database: str, parts: tuple[str, ...]
) -> None:
    """The two tables alone come without the trigger and the entry, and are taken up."""
    registered(installed)
    make_table(installed, rows=20)
    narrow(installed)
    if parts:
        installed.execute("UPDATE items_code SET code = ~ code WHERE id = 3")
    script = run_program(program(installed, "pg_dump"), *parts, installed_database)
    with connect(bare_database) as other:
        if parts:
            install(other)
            registered(other)
        psql = program(installed, "psql")
        run_program(psql, "-q", bare_database, stdin=script, may_fail=bool(parts))
        if parts:
            with pytest.raises(TableError, match="no entry in the catalogue: attach in layout"):
                verify(other, "items")
            found = narrow(other)
            assert (found.filled, found.repaired) == (0, 1)
        other.execute("UPDATE items SET embedding = %s::vector WHERE id = 5", [text(1)])
        assert verify(other, "items", full=True).good
        assert check_beside(other) == 18


def test_detach_leaves_nothing(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    before = shape(installed)
    relations = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    tables = sorted(installed.execute(relations).fetchall())
    for name in ("items", "items_code"):
        narrow(installed)
        installed.execute("CREATE VIEW seen AS SELECT code FROM items_code")
        with pytest.raises(TableError, match="view seen depends on table items_code"):
            detach(installed, name)
        installed.execute("DROP VIEW seen")
        assert status(installed, "items").trigger is None
        detach(installed, name)
        assert shape(installed) == before
        assert sorted(installed.execute(relations).fetchall()) == tables
    for left in (
        "SELECT FROM bitryoshka.columns",
        "SELECT FROM bitryoshka.backfill",
        "SELECT FROM pg_proc WHERE proname LIKE 'bitryoshka_fill%'",
        "SELECT FROM pg_proc WHERE proname LIKE 'bitryoshka_encode%'",
    ):
        assert installed.execute(left.encode()).rowcount == 0
    with pytest.raises(TableError, match=r"no codec is attached to column 'code' of public\.items"):
        detach(installed, "items")


def test_both_layouts_side_by_side(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=40)
    attach(installed, "items", "embedding", LABEL)
    narrow(installed)
    assert status(installed, "items").code_table is None
    assert status(installed, "items_code").code_table == "public.items_code"
    detach(installed, "items")
    assert status(installed, "items").code_table == "public.items_code"
    assert search_column(installed, "items", integer_rows(1, 1)).ids[0]
    other = exact_binarizer(4)
    register(installed, "docs", other, 2)
    with pytest.raises((TableError, FingerprintError), match="items_code"):
        attach(installed, "items", "embedding", "docs@2", layout="narrow")
    attach(installed, "items", "embedding", "docs@2", layout="narrow", code_table="newer")
    with pytest.raises(TableError, match=r"lie in public\.items_code and public\.newer"):
        verify(installed, "items")
    with pytest.raises(TableError, match=r"lie in public\.items_code and public\.newer"):
        search_column(installed, "items", integer_rows(1, 1))
    assert verify(installed, "newer").good
    detach(installed, "items_code")
    assert search_column(installed, "items", integer_rows(1, 1), rescore="exact").ids[0]
    installed.execute("UPDATE items SET embedding = %s::vector", [text(1)])
    assert check_beside(installed, other, codes="newer") == 40


def test_the_statements_of_a_dry_run_change_nothing_and_would_work(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    before = shape(installed)
    shown = attach_statements(installed, "items", "embedding", LABEL, layout="narrow")
    assert shape(installed) == before
    for statement in shown:
        if not statement.startswith(("COPY", "--", "WITH")) or "CREATE " in statement:
            installed.execute(statement.encode())
    assert narrow(installed).filled == 180
    # of a table that is attached, what is left to do
    left = attach_statements(installed, "items", "embedding", LABEL, layout="narrow")
    assert [re.sub(r"\s.*", "", part, flags=re.S) for part in left] == ["COPY", "--"]


# refusals

REFUSED: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "no key": ("ALTER TABLE items DROP CONSTRAINT items_pkey", {}, TableError, "no primary key"),
    "deferrable key": (
        "ALTER TABLE items DROP CONSTRAINT items_pkey, ADD PRIMARY KEY (id) DEFERRABLE",
        {},
        TableError,
        "deferrable unique constraint",
    ),
    "row security": (
        "ALTER TABLE items ENABLE ROW LEVEL SECURITY",
        {},
        TableError,
        "has row security, whose policies codes beside it would not obey",
    ),
    "a key of vectors": (
        "DELETE FROM items WHERE embedding IS NULL; ALTER TABLE items DROP CONSTRAINT items_pkey, "
        "ADD PRIMARY KEY (id, embedding)",
        {},
        TableError,
        "'embedding' in its primary key: attach it in layout row",
    ),
    "unlogged": ("ALTER TABLE items SET UNLOGGED", {}, TableError, "unlogged or temporary"),
    "a table": (
        "CREATE TABLE items_code (id int)",
        {},
        TableError,
        r"public\.items_code, which holds no codes of public\.items: name another by code_table=",
    ),
    "a view": (
        "CREATE VIEW items_code AS SELECT 1",
        {},
        TableError,
        r"public\.items_code is no ordinary",
    ),
    "a sequence": (
        "CREATE SEQUENCE items_code",
        {},
        TableError,
        'relation "items_code" already exists',
    ),
    "the key": ("", {"code_column": "id"}, TableError, "'id' is a column of the key"),
    "the vectors": ("", {"code_column": "embedding"}, TableError, "of the vectors"),
    "a long name": ("", {"code_column": "c" * 60}, TableError, "longer than a name of Postgres"),
    "published": (
        "CREATE PUBLICATION p FOR ALL TABLES",
        {},
        TableError,
        r"public\.items_code would be published by p, whose subscribers stop",
    ),
    "a layout": ("", {"layout": "wide"}, OptionError, "layout must be one of .* found 'wide'"),
    "a name in the row": (
        "",
        {"layout": "row", "code_table": "x"},
        OptionError,
        "code_table .* names the table of layout narrow",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_changes_nothing(installed: Connection, kind: str) -> None:
    change, options, error, message = REFUSED[kind]
    registered(installed)
    make_table(installed, rows=10)
    if change:
        installed.execute(change.encode())
    before = shape(installed)
    with pytest.raises(error, match=message):
        attach(installed, "items", "embedding", LABEL, **{"layout": "narrow", **options})
    assert shape(installed) == before
    assert installed.execute("SELECT FROM bitryoshka.columns").rowcount == 0


def test_a_partitioned_table_is_refused(installed: Connection) -> None:
    registered(installed)
    make_table(installed, 0, suffix="PARTITION BY HASH (id)")
    with pytest.raises(TableError, match="it is partitioned: attach it in layout row"):
        narrow(installed)


def test_a_published_table_needs_nothing_where_the_new_one_is_not(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=10)
    installed.execute("CREATE PUBLICATION p FOR TABLE items")
    assert narrow(installed).filled == 9
    detach(installed, "items")
    installed.execute("CREATE PUBLICATION q FOR ALL TABLES")
    assert narrow(installed, published=True).filled == 9


def test_another_roles_table_is_never_taken_for_the_codes(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=10)
    narrow(installed)
    with role(installed, "stranger") as stranger:
        installed.execute(sql.SQL("ALTER TABLE items_code OWNER TO {}").format(stranger))
        for call in (verify, repair):
            with pytest.raises(TableError, match="no codec is attached to column"):
                call(installed, "items")
        with pytest.raises(TableError, match=r"no codec|codes alone"):
            verify(installed, "items_code")
        with pytest.raises(psycopg.errors.UndefinedObject):
            search_column(installed, "items", integer_rows(1, 1))
        installed.execute("ALTER TABLE items_code OWNER TO current_user")


class role:  # noqa: N801
    """A role for the time of a block."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.name = sql.Identifier(f"bitryoshka_{name}_{os.getpid()}")

    def __enter__(self) -> sql.Identifier:
        self.connection.execute(sql.SQL("CREATE ROLE {}").format(self.name))
        return self.name

    def __exit__(self, *_: object) -> None:
        self.connection.execute("RESET ROLE")
        self.connection.execute(
            sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(self.name)
        )


def test_roles_of_their_own(installed: Connection) -> None:
    """An owner who is no superuser attaches; a writer writes codes, a reader searches."""
    with (
        role(installed, "owner") as owner,
        role(installed, "writer") as writer,
        role(installed, "reader") as reader,
    ):

        def become(who: sql.Identifier) -> None:
            installed.execute("RESET ROLE")
            installed.execute(sql.SQL("SET ROLE {}").format(who))

        registered(installed)
        make_table(installed, rows=20)
        for grant in (
            "ALTER TABLE items OWNER TO {owner}",
            "GRANT CREATE ON SCHEMA public TO {owner}",
            "GRANT INSERT (relation, vector_column, code_column, search_name, codec_id, "
            "bad_vectors, prefix_bits, state), UPDATE, DELETE ON bitryoshka.columns TO {owner}",
            "GRANT INSERT, UPDATE, DELETE ON bitryoshka.backfill TO {owner}",
            "GRANT INSERT, UPDATE ON items TO {writer}",
            "GRANT SELECT ON items TO {reader}",
        ):
            installed.execute(sql.SQL(grant).format(owner=owner, writer=writer, reader=reader))
        become(owner)
        assert narrow(installed).filled == 18
        become(writer)
        installed.execute("INSERT INTO items (id, embedding) VALUES (100, %s::vector)", [text(1)])
        for forbidden in ("SELECT FROM items_code", "DELETE FROM items_code"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                installed.execute(forbidden.encode())
        become(reader)
        asked = integer_rows(1, 1)
        assert 100 in search_column(installed, "items", asked, rescore="exact").ids[0]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            installed.execute("DELETE FROM items_code")
        become(owner)
        assert verify(installed, "items", full=True).good
        detach(installed, "items")
        installed.execute("RESET ROLE")


# searches

ROWS = 1500
QUERIES = clustered(1, 12)


@pytest.fixture(scope="module")
def binarizer() -> Binarizer:
    return bitryoshka.fit(
        clustered(0, ROWS), bits=96, nested_bits=(32, 48, 96), hamming_bits=48, method="progressive"
    ).binarizer


@pytest.fixture
def searched(installed: Connection, binarizer: Binarizer) -> Connection:
    """Table items in layout row, and others, of the same rows, in layout narrow."""
    registered(installed, binarizer)
    columns = "id bigint PRIMARY KEY, tenant int"
    for name in ("items", "others"):
        make_table(installed, 0, name, columns=columns, vector_type="vector(48)")
        copy = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(name))
        with installed.cursor() as cursor, cursor.copy(copy) as rows:
            for i, row in enumerate(clustered(0, ROWS)):
                rows.write_row((i, i % 50, Vector(row).to_text()))
    attach(installed, "items", "embedding", LABEL, queries=0)
    attach(installed, "others", "embedding", LABEL, queries=0, layout="narrow")
    installed.execute("ANALYZE")
    return installed


SEARCHES: list[dict[str, Any]] = [
    {},
    {"rescore": None},
    {"rescore": "exact"},
    {"rescore": "exact", "shortlist": 30},
    {"rescore": "exact", "shortlist": 400, "candidates": 700, "k": 40},
    {"prefix_bits": 32, "candidates": 300},
    {"where": sql.SQL("tenant = {}").format(7), "rescore": "exact", "shortlist": 20},
    {"where": sql.SQL("tenant % 2 = 1 -- odd"), "candidates": 200},
]


def test_results_are_those_of_the_row_layout(searched: Connection) -> None:
    # all of the list by a plain scan: two graphs give two lists
    searched.execute("SET enable_indexscan = off")
    for options in SEARCHES:
        # ties at the end of a list are settled by where rows lie
        given = {**options, "candidates": ROWS}
        expected = search_column(searched, "items", QUERIES, **given)
        found = search_column(searched, "others", QUERIES, **given)
        for a, b in zip(expected.scores, found.scores, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
        same = [set(a) == set(b) for a, b in zip(expected.ids, found.ids, strict=True)]
        if given.get("rescore", "asymmetric") is not None:
            assert np.mean(same) > 0.9
        assert {len(row) for row in found.ids} == {given.get("k", 10)}


def test_the_async_search_is_the_same(searched: Connection) -> None:
    async def ask() -> Any:
        opened = await psycopg.AsyncConnection.connect(searched.info.dsn, autocommit=True)
        async with opened:
            return await search_column_async(
                opened, "others", QUERIES, rescore="exact", shortlist=30
            )

    found = search_column(searched, "others", QUERIES, rescore="exact", shortlist=30)
    assert asyncio.run(ask()).ids == found.ids


def test_the_statement_gives_rows_of_the_table(searched: Connection) -> None:
    for options in SEARCHES:
        statement = search_statement(searched, "others", **options)
        searched.execute(f"PREPARE own AS {statement}".encode())
        found = search_column(searched, "others", QUERIES[:1], **options)
        rows = searched.execute(
            sql.SQL("EXECUTE own ({}, NULL)").format(sql.Literal(Vector(QUERIES[0]).to_text()))
        ).fetchall()
        searched.execute("DEALLOCATE own")
        assert [score for _, score in rows] == pytest.approx(found.scores[0].tolist())
        assert {int(re.findall(r"\d+", str(item))[0]) for item, _ in rows} == set(found.ids[0])


def test_the_statement_takes_values(searched: Connection) -> None:
    where = sql.SQL("tenant = ($2->>'tenant')::int")
    for table in ("items", "others"):
        statement = search_statement(searched, table, rescore="exact", where=where)
        searched.execute(f"PREPARE own AS {statement}".encode())
        rows = searched.execute(
            sql.SQL("EXECUTE own ({}, {})").format(
                sql.Literal(Vector(QUERIES[0]).to_text()), sql.Literal('{"tenant": 7}')
            )
        ).fetchall()
        searched.execute("DEALLOCATE own")
        found = search_column(
            searched, table, QUERIES[:1], rescore="exact", where=sql.SQL("tenant = 7")
        )
        assert [score for _, score in rows] == pytest.approx(found.scores[0].tolist())


def test_the_plan_reads_an_index_of_codes_and_a_few_rows(searched: Connection) -> None:
    statement = search_statement(searched, "others", rescore="exact", shortlist=20)
    searched.execute("SET enable_seqscan = off")
    searched.execute(f"PREPARE own (vector, jsonb) AS {statement}".encode())
    plan = "\n".join(row for (row,) in searched.execute(b"EXPLAIN EXECUTE own (NULL, NULL)"))
    assert re.search(r"Index Scan using others_code_codes_\d+_48_hnsw on others_code", plan), plan
    assert "Index Scan using others_pkey on others" in plan
    assert "Seq Scan" not in plan
    searched.execute("DEALLOCATE own")
    assert searched.execute("SHOW hnsw.ef_search").fetchall() == [("40",)]


def test_a_filter_goes_on_until_the_list_is_full(searched: Connection) -> None:
    searched.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    where = sql.SQL("tenant = 7")
    found = search_column(searched, "others", QUERIES, 30, candidates=30, where=where)
    assert all(len(row) == 30 and all(id_ % 50 == 7 for id_ in row) for row in found.ids)


def test_what_cannot_be_searched_is_named(searched: Connection) -> None:
    for search in (
        lambda **options: search_column(searched, "others", QUERIES, **options),
        lambda **options: search_statement(searched, "others", **options),
    ):
        with pytest.raises(SearchError, match="at least k = 200 candidates"):
            search(k=200)
        with pytest.raises(SearchError, match="prefix_bits must be one of"):
            search(prefix_bits=40, rescore="exact")
        with pytest.raises(SearchError, match="expected rescore='exact'"):
            search(shortlist=20)
    with pytest.raises(SearchError, match="made with psycopg"):
        search_column(searched, "others", QUERIES, where="id = 1")  # type: ignore[arg-type]
    with pytest.raises(TableError, match="no codec is attached"):
        search_statement(searched, "others", code_column="nothing")
    with pytest.raises(SearchError, match="codes alone, found rescore"):
        search_column(searched, "others_code", QUERIES, rescore="exact")
    with pytest.raises(VectorsError, match="expects 48 dimensions"):
        search_column(searched, "others", np.ones((1, 4)), rescore="exact")
