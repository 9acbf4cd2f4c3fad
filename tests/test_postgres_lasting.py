"""What becomes of code columns when the tables under them change: told, refused, or mended."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import psycopg
import pytest
from attached_rows import BINARIZER, LABEL, check_codes, make_table, registered
from psycopg import sql
from synthetic import additive_binarizer, exact_binarizer, integer_rows

from bitryoshka import DatabaseError, FingerprintError, TableError
from bitryoshka.postgres import (
    adopt,
    attach,
    connect,
    detach,
    install,
    register,
    repair,
    search_column,
    status,
    switch,
    verify,
)
from bitryoshka.postgres import index_progress as progress_module
from bitryoshka.postgres.code_check import judge
from bitryoshka.postgres.columns import find_functions, require_entry
from bitryoshka.postgres.server import Connection

ROW = integer_rows(5, 1)[0]


def write(connection: Connection, column: str = "embedding", table: str = "items") -> None:
    """One more row."""
    connection.execute(
        sql.SQL(
            "INSERT INTO {0} (id, {1}) VALUES ((SELECT coalesce(max(id), 0) + 1 FROM {0}), %s)"
        ).format(sql.Identifier(table), sql.Identifier(column)),
        [str(ROW.tolist())],
    )


@pytest.fixture
def attached(installed: Connection) -> Connection:
    """A connection to a database with 200 rows, 180 of which have codes."""
    registered(installed)
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    return installed


def state(connection: Connection) -> str:
    [(found,)] = connection.execute("SELECT state FROM bitryoshka.columns").fetchall()
    return str(found)


def trigger_name(connection: Connection, table: str = "items") -> str:
    [(name,)] = connection.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgparentid = 0", [table]
    ).fetchall()
    return str(name)


# what verify proves


def test_verify_full_finds_the_one_wrong_row_of_many(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=4000)
    attach(installed, "items", "embedding", LABEL)
    installed.execute("SET session_replication_role = replica")
    installed.execute("UPDATE items SET code = ~ code WHERE id = 3999")
    installed.execute("RESET session_replication_role")
    found = verify(installed, "items", full=True)
    assert (found.sampled, found.wrong_rows, found.good) == (3600, 1, False)
    assert repair(installed, "items") == 1
    found = verify(installed, "items", full=True)
    assert (found.sampled, found.wrong_rows, found.good) == (3600, 0, True)
    assert check_codes(installed) == 3600


def test_a_sample_is_of_the_whole_heap(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=5000)
    attach(installed, "items", "embedding", LABEL)
    installed.execute("SET session_replication_role = replica")
    installed.execute("UPDATE items SET code = 0::bit(88) WHERE id >= 3000 AND code IS NOT NULL")
    installed.execute("RESET session_replication_role")
    found = verify(installed, "items")
    assert found.sampled == 1000
    assert 300 < found.wrong_rows < 500
    assert state(installed) == "checking"
    assert attach(installed, "items", "embedding", LABEL).repaired == 1800
    assert state(installed) == "ready"


def test_a_sample_is_not_enough_where_codes_may_be_others(attached: Connection) -> None:
    attached.execute("UPDATE bitryoshka.columns SET state = 'checking'")
    assert verify(attached, "items").good
    assert state(attached) == "checking"
    assert verify(attached, "items", full=True).good
    assert state(attached) == "ready"


def test_codes_of_rows_without_vectors_are_told_and_mended(attached: Connection) -> None:
    attached.execute("SET session_replication_role = replica")
    attached.execute("UPDATE items SET embedding = NULL WHERE id IN (1, 2)")
    attached.execute("RESET session_replication_role")
    found = verify(attached, "items")
    assert (found.counts.extra, found.good) == (2, False)
    assert "2 that should not be there" in found.text()
    assert repair(attached, "items") == 2
    assert verify(attached, "items").good
    assert check_codes(attached) == 178


def test_equal_vectors_written_again_leave_a_stale_code_that_repair_mends(
    attached: Connection,
) -> None:
    attached.execute("SET session_replication_role = replica")
    attached.execute("UPDATE items SET code = ~ code WHERE id IN (1, 2, 3)")
    attached.execute("RESET session_replication_role")
    attached.execute("UPDATE items SET embedding = embedding")
    attached.execute("UPDATE items SET code = NULL WHERE id = 1")
    assert attached.execute("SELECT bitryoshka.fill_code_column('items')").fetchall() == [(0,)]
    assert attached.execute("SELECT bitryoshka.repair_code_column('items')").fetchall() == [(2,)]
    assert check_codes(attached) == 180
    assert attached.execute("SELECT bitryoshka.repair_code_column('items')").fetchall() == [(0,)]


@pytest.mark.parametrize("mend", [repair, lambda c, t: attach(c, t, "embedding", LABEL)])
@pytest.mark.parametrize("change", ["DISABLE TRIGGER {}", "ENABLE REPLICA TRIGGER {}", "drop"])
def test_a_trigger_that_does_not_fire_is_told_and_made_anew(
    attached: Connection, change: str, mend: Callable[..., object]
) -> None:
    name = sql.Identifier(trigger_name(attached))
    statement = "DROP TRIGGER {} ON items" if change == "drop" else f"ALTER TABLE items {change}"
    attached.execute(sql.SQL(statement).format(name))  # type: ignore[arg-type]
    write(attached)
    attached.execute("UPDATE items SET embedding = %s WHERE id = 1", [str(ROW.tolist())])
    for found in (status(attached, "items"), verify(attached, "items")):
        assert "attach again, which makes it" in (found.trigger or "")
    mend(attached, "items")
    write(attached)
    assert check_codes(attached) == 182
    assert verify(attached, "items", full=True).good
    assert state(attached) == "ready"


def test_verify_has_the_trigger_encode_a_vector(attached: Connection) -> None:
    entry = require_entry(attached, attached_oid(attached), "items", "code")
    made = find_functions(attached, attached_oid(attached), entry)
    assert made is not None
    assert made.encoder is not None
    attached.execute(
        sql.SQL(
            "CREATE OR REPLACE FUNCTION {}(input vector) RETURNS bit LANGUAGE sql STABLE STRICT "
            "RETURN 0::bit(88)"
        ).format(sql.Identifier(*made.encoder))
    )
    assert "functions were changed" in (verify(attached, "items").trigger or "")
    repair(attached, "items")
    assert verify(attached, "items").good


def attached_oid(connection: Connection) -> int:
    [(oid,)] = connection.execute("SELECT 'items'::regclass::oid::bigint").fetchall()
    return int(oid)


# columns that are renamed, dropped, or of another type


def test_a_renamed_vector_column_is_told_and_taken_up(attached: Connection) -> None:
    attached.execute("ALTER TABLE items RENAME embedding TO vec")
    with pytest.raises(
        psycopg.errors.UndefinedColumn, match=r"column code of public.items holds codes of column"
    ) as raised:
        write(attached, "vec")
    assert "bitryoshka attach" in (raised.value.diag.message_hint or "")
    for call in (status, verify, repair):
        with pytest.raises(TableError, match=r"'embedding' of public.items.*attach docs@1 to its"):
            call(attached, "items")
    with pytest.raises(TableError, match="no column 'embedding'"):
        attach(attached, "items", "embedding", LABEL)
    attach(attached, "items", "vec", LABEL)
    write(attached, "vec")
    assert check_codes(attached, column="vec") == 181
    assert verify(attached, "items", full=True).good


def test_a_renamed_code_column_is_told_and_taken_up(attached: Connection) -> None:
    attached.execute("ALTER TABLE items RENAME code TO bits")
    with pytest.raises(psycopg.errors.UndefinedColumn, match="holds codes of column embedding"):
        write(attached)
    for call in (status, verify, repair):
        with pytest.raises(TableError, match=r"'code' of public.items, which held codes of docs@1"):
            call(attached, "items")
    found = attach(attached, "items", "embedding", LABEL, code_column="bits")
    assert (found.filled, found.repaired) == (0, 0)
    write(attached)
    assert check_codes(attached, code="bits") == 181
    assert search_column(attached, "items", ROW[None], code_column="bits").ids[0][0] == 200
    assert attached.execute("SELECT count(*) FROM bitryoshka.columns").fetchall() == [(1,)]


def test_a_dropped_code_column_is_told_and_made_anew(attached: Connection) -> None:
    attached.execute("ALTER TABLE items DROP code")
    with pytest.raises(psycopg.errors.UndefinedColumn, match="and cannot any more"):
        write(attached)
    with pytest.raises(TableError, match="is gone: attach makes it again"):
        status(attached, "items")
    found = attach(attached, "items", "embedding", LABEL)
    assert (found.filled, found.verification.index_valid) == (180, True)
    write(attached)
    assert check_codes(attached) == 181


def test_of_a_dropped_vector_column_the_codes_can_be_kept(attached: Connection) -> None:
    attached.execute("ALTER TABLE items DROP embedding")
    with pytest.raises(psycopg.errors.UndefinedColumn, match="and cannot any more"):
        attached.execute("INSERT INTO items (id) VALUES (900)")
    with pytest.raises(TableError, match="adopt keeps the codes and detach drops them"):
        status(attached, "items")
    adopt(attached, "items", LABEL)
    attached.execute("INSERT INTO items (id) VALUES (900)")
    assert len(search_column(attached, "items", ROW[None], rescore="asymmetric").ids[0]) == 10
    with pytest.raises(TableError, match="is attached already"):
        adopt(attached, "items", LABEL)
    assert attached.execute(
        "SELECT count(*) FROM pg_proc WHERE proname LIKE 'bitryoshka_%'"
    ).fetchall() == [(0,)]
    detach(attached, "items")
    assert attached.execute("SELECT count(code) FROM items").fetchall() == [(180,)]


def test_of_a_dropped_vector_column_the_codes_can_go(attached: Connection) -> None:
    attached.execute("ALTER TABLE items DROP embedding")
    detach(attached, "items")
    attached.execute("INSERT INTO items (id) VALUES (900)")
    assert attached.execute("SELECT count(*) FROM bitryoshka.columns").fetchall() == [(0,)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER embedding TYPE real[] USING embedding::real[]", "must be of type vector or half"),
        ("ALTER embedding TYPE vector(3) USING NULL", "has 3 dimensions, codec docs@1 expects 16"),
        ("ALTER code TYPE bit(8) USING NULL", r"must be bit\(88\) .*, found bit\(8\)"),
    ],
)
def test_a_column_of_another_type_is_told_everywhere(
    attached: Connection, change: str, told: str
) -> None:
    attached.execute(f"ALTER TABLE items {change}")  # type: ignore[arg-type]
    row = "'{1,2}'" if "real" in change else "'[1,2,3]'" if "(3)" in change else f"'{ROW.tolist()}'"
    with pytest.raises(psycopg.Error, match=r"docs@1"):
        attached.execute(f"INSERT INTO items (id, embedding) VALUES (900, {row})")  # type: ignore[arg-type]
    for call in (status, verify, repair):
        with pytest.raises(TableError, match=told):
            call(attached, "items")
    with pytest.raises(TableError, match=told):
        attach(attached, "items", "embedding", LABEL)
    detach(attached, "items")
    attached.execute(f"INSERT INTO items (id, embedding) VALUES (900, {row})")  # type: ignore[arg-type]


def test_vector_and_halfvec_change_into_each_other(
    attached: Connection, installed_database: str
) -> None:
    write(attached)
    for kind in ("halfvec(16)", "vector(16)"):
        attached.execute(f"ALTER TABLE items ALTER embedding TYPE {kind}")  # type: ignore[arg-type]
        with connect(installed_database) as fresh:
            write(fresh)
        # what a session has planned for the other type is made anew with the function alone
        with pytest.raises(psycopg.errors.DatatypeMismatch) as raised:
            write(attached)
        assert "its type changed, bitryoshka attach" in (raised.value.diag.message_hint or "")
        attach(attached, "items", "embedding", LABEL)
        write(attached)
        assert verify(attached, "items", full=True).good
    assert check_codes(attached) == 185


def test_a_copy_of_a_table_is_taken_up_with_its_codes(attached: Connection) -> None:
    attached.execute("CREATE TABLE copied (LIKE items INCLUDING ALL)")
    attached.execute("INSERT INTO copied SELECT * FROM items")
    attached.execute("UPDATE copied SET code = ~ code WHERE id = 7")
    with pytest.raises(TableError, match="attach one, name another"):
        verify(attached, "copied")
    other = register(attached, "docs", exact_binarizer(4)).label
    with pytest.raises(TableError, match="which holds bitryoshka codec docs@1: Choose another"):
        attach(attached, "copied", "embedding", other)
    found = attach(attached, "copied", "embedding", LABEL)
    assert (found.filled, found.repaired) == (0, 1)
    write(attached, table="copied")
    assert check_codes(attached, name="copied") == 181


# partitions


def test_a_partition_that_comes_back_is_told_and_mended(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=0, suffix="PARTITION BY RANGE (id)", columns="id bigint PRIMARY KEY")
    for name, low in (("low", 0), ("high", 1000)):
        installed.execute(
            f"CREATE TABLE {name} PARTITION OF items FOR VALUES FROM ({low}) TO ({low + 1000})"  # type: ignore[arg-type]
        )
    for start in (0, 1000):
        with installed.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO items (id, embedding) VALUES (%s, %s)",
                [(start + i, str(row.tolist())) for i, row in enumerate(integer_rows(start, 50))],
            )
    attach(installed, "items", "embedding", LABEL)
    installed.execute("ALTER TABLE items DETACH PARTITION high")
    installed.execute("UPDATE high SET embedding = %s WHERE id < 1010", [str(ROW.tolist())])
    installed.execute("INSERT INTO high (id, embedding) VALUES (1900, %s)", [str(ROW.tolist())])
    installed.execute("ALTER TABLE items ATTACH PARTITION high FOR VALUES FROM (1000) TO (2000)")
    found = verify(installed, "items")
    assert (found.counts.missing, found.wrong_rows) == (1, 10)
    assert repair(installed, "items") == 11
    installed.execute("UPDATE high SET embedding = %s WHERE id = 1020", [str(ROW.tolist())])
    assert verify(installed, "items", full=True).good
    assert check_codes(installed) == 101


def partitioned(connection: Connection) -> None:
    make_table(
        connection, rows=0, suffix="PARTITION BY RANGE (id)", columns="id bigint PRIMARY KEY"
    )
    connection.execute("CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (1000)")
    write(connection)
    attach(connection, "items", "embedding", LABEL)


def test_a_trigger_that_one_partition_has_disabled(installed: Connection) -> None:
    registered(installed)
    partitioned(installed)
    installed.execute("ALTER TABLE low DISABLE TRIGGER USER")
    write(installed)
    assert "disabled, or on a partition" in (status(installed, "items").trigger or "")
    assert repair(installed, "items") == 1
    write(installed)
    assert verify(installed, "items", full=True).good
    assert check_codes(installed) == 3


def test_a_partition_that_brings_a_trigger_of_its_own(installed: Connection) -> None:
    registered(installed)
    other = register(installed, "other", exact_binarizer(3, metric="cosine")).label
    partitioned(installed)
    make_table(installed, rows=0, columns="id bigint PRIMARY KEY", name="high")
    attach(installed, "high", "embedding", other)
    installed.execute("INSERT INTO high (id, embedding) VALUES (1500, %s)", [str([1.0] * 16)])
    installed.execute("ALTER TABLE items ATTACH PARTITION high FOR VALUES FROM (1000) TO (2000)")
    assert "a partition brought a trigger" in (verify(installed, "items").trigger or "")
    attach(installed, "items", "embedding", LABEL)
    installed.execute("INSERT INTO items (id, embedding) VALUES (1501, %s)", [str(ROW.tolist())])
    assert verify(installed, "items", full=True).good
    assert check_codes(installed) == 3
    assert installed.execute("SELECT count(*) FROM bitryoshka.columns").fetchall() == [(1,)]


# what was changed about the trigger, the index and the rights


@pytest.mark.parametrize(
    "change",
    [
        "CREATE OR REPLACE TRIGGER {trigger} BEFORE INSERT OR UPDATE OF title ON items "
        "FOR EACH ROW EXECUTE FUNCTION {fill}()",
        "ALTER FUNCTION {fill}() SET bitryoshka.backfill = 'on'",
        "ALTER FUNCTION {fill}() SECURITY DEFINER",
        "ALTER FUNCTION {encoder}(vector) RESET ALL",
        "ALTER TABLE items SET SCHEMA elsewhere",
    ],
)
def test_a_trigger_that_was_changed_is_told_and_made_anew(
    attached: Connection, change: str
) -> None:
    attached.execute("CREATE SCHEMA elsewhere")
    [(fill,)] = attached.execute(
        "SELECT tgfoid::regproc::text FROM pg_trigger WHERE tgname = %s", [trigger_name(attached)]
    ).fetchall()
    names = {"trigger": trigger_name(attached), "fill": fill}
    encoder = fill.replace("_fill_", "_encode_")
    attached.execute(change.format(**names, encoder=encoder).encode())
    schema = "elsewhere" if "SCHEMA" in change else "public"
    found = status(attached, "items", schema=schema)
    assert "the trigger or its functions were changed" in (found.trigger or "")
    attach(attached, "items", "embedding", LABEL, schema=schema)
    assert verify(attached, "items", schema=schema).good
    attached.execute(f"SET search_path = {schema}, public")  # type: ignore[arg-type]
    attached.execute("UPDATE items SET embedding = %s WHERE id = 1", [str(ROW.tolist())])
    assert check_codes(attached) == 180


def test_a_trigger_that_always_fires_stays_so(attached: Connection) -> None:
    name = sql.Identifier(trigger_name(attached))
    attached.execute(sql.SQL("ALTER TABLE items ENABLE ALWAYS TRIGGER {}").format(name))
    assert verify(attached, "items").good
    attached.execute("ALTER TABLE items RENAME embedding TO vec")
    attach(attached, "items", "vec", LABEL)
    attached.execute("SET session_replication_role = replica")
    write(attached, "vec")
    attached.execute("RESET session_replication_role")
    assert check_codes(attached, column="vec") == 181


def test_fill_code_column_writes_codes_where_no_trigger_fires(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    installed.execute("SELECT bitryoshka.add_code_column('items', 'embedding', 'docs@1')")
    installed.execute("ALTER TABLE items DISABLE TRIGGER USER")
    assert installed.execute("SELECT bitryoshka.fill_code_column('items')").fetchall() == [(180,)]
    assert check_codes(installed) == 180
    assert installed.execute("SHOW bitryoshka.backfill").fetchall() == [("",)]


def test_an_index_of_our_name_on_something_else_is_built_anew(attached: Connection) -> None:
    [(name,)] = attached.execute(
        "SELECT indexrelid::regclass::text FROM pg_index AS i JOIN pg_class AS c "
        "ON c.oid = i.indexrelid JOIN pg_am AS a ON a.oid = c.relam "
        "WHERE i.indrelid = 'items'::regclass AND a.amname = 'hnsw'"
    ).fetchall()
    attached.execute(f"DROP INDEX {name}")
    attached.execute(f"CREATE INDEX {name} ON items (title)")
    assert verify(attached, "items").index_valid is False
    assert attach(attached, "items", "embedding", LABEL).verification.index_valid


def test_a_column_that_took_over_may_get_the_name_of_the_former_one(attached: Connection) -> None:
    other = register(attached, "docs", exact_binarizer(4)).label
    attach(attached, "items", "embedding", other, code_column="code_new")
    switch(attached, "items", "code_new")
    detach(attached, "items", code_column="code_old")
    attached.execute("ALTER TABLE items RENAME code_new TO code")
    attach(attached, "items", "embedding", other)
    write(attached)
    assert check_codes(attached, exact_binarizer(4)) == 181
    assert attached.execute(
        "SELECT code_column, search_name FROM bitryoshka.columns"
    ).fetchall() == [("code", "code")]


def test_default_privileges_keep_nobody_from_writing(bare_database: str) -> None:
    with connect(bare_database) as connection:
        connection.execute("CREATE ROLE app_writer")
        try:
            connection.execute("CREATE EXTENSION vector")
            connection.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
            install(connection)
            registered(connection)
            make_table(connection)
            attach(connection, "items", "embedding", LABEL)
            connection.execute("SELECT bitryoshka.create_encoder('docs@1')")
            connection.execute("GRANT USAGE ON SCHEMA public TO app_writer")
            connection.execute("GRANT SELECT, INSERT ON items TO app_writer")
            connection.execute("SET ROLE app_writer")
            write(connection)
            assert len(search_column(connection, "items", ROW[None]).ids[0]) == 10
            assert (
                connection.execute(
                    "SELECT FROM items WHERE bitryoshka.encode_docs_1(embedding) = code"
                ).rowcount
                == 181
            )
            connection.execute("RESET ROLE")
            assert check_codes(connection) == 181
        finally:
            connection.execute("RESET ROLE")
            connection.execute("DROP OWNED BY app_writer")
            connection.execute("DROP ROLE app_writer")


def test_wrong_codes_of_short_vectors_are_wrong() -> None:
    binarizer = exact_binarizer(3)
    still = replace(binarizer, offset=np.zeros_like(binarizer.offset))
    rows = integer_rows(0, 100) * np.float32(2.0**-20)
    codes = still.encode(rows)
    assert judge(still, rows, codes).wrong_rows == 0
    assert judge(still, rows, codes[::-1]).wrong_rows > 90


# who else writes


def test_rows_that_another_trigger_undoes_are_not_called_locked(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=20)
    installed.execute(
        "CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF TG_OP = 'UPDATE' THEN NEW := jsonb_populate_record(NEW, '{\"code\": null}'); END IF; "
        "RETURN NEW; END $$"
    )
    installed.execute(
        "CREATE TRIGGER zzz BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION undo()"
    )
    with pytest.raises(DatabaseError, match=r"18 rows of public.items have no code .* no other se"):
        attach(installed, "items", "embedding", LABEL)


def test_who_holds_a_row_is_named(
    attached: Connection, installed_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitryoshka.postgres.backfilling._PASSES", 3)
    monkeypatch.setattr("bitryoshka.postgres.repairing._TRIES", 3)
    attached.execute("SET session_replication_role = replica")
    attached.execute("UPDATE items SET code = NULL WHERE id = 3")
    attached.execute("RESET session_replication_role")
    with connect(installed_database) as holder, holder.transaction():
        holder.execute("SELECT FROM items WHERE id = 3 FOR UPDATE")
        pid = holder.info.backend_pid
        for call in (repair, lambda c, t: attach(c, t, "embedding", LABEL)):
            with pytest.raises(DatabaseError, match=f"stay locked by server process {pid} "):
                call(attached, "items")
    assert repair(attached, "items") == 1


def test_fill_code_column_counts_codes(installed: Connection) -> None:
    registered(installed, exact_binarizer(3, metric="cosine"))
    make_table(installed)
    installed.execute("UPDATE items SET embedding = %s WHERE id < 5", [str([0] * 16)])
    installed.execute(
        "SELECT bitryoshka.add_code_column('items', 'embedding', 'docs@1', bad_vectors => 'skip')"
    )
    assert installed.execute("SELECT bitryoshka.fill_code_column('items')").fetchall() == [(176,)]


@pytest.mark.parametrize("call", ["fill_code_column", "repair_code_column"])
def test_where_policies_hide_rows_no_row_is_passed_over(attached: Connection, call: str) -> None:
    attached.execute("CREATE ROLE tenant")
    try:
        attached.execute("GRANT CREATE ON SCHEMA public TO tenant")
        attached.execute("ALTER TABLE items OWNER TO tenant")
        repair(attached, "items")
        attached.execute("ALTER TABLE items ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        attached.execute("CREATE POLICY few ON items USING (id < 10)")
        attached.execute("UPDATE bitryoshka.columns SET state = 'filling'")
        attached.execute("SET ROLE tenant")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security policy"):
            attached.execute(f"SELECT bitryoshka.{call}('items')")  # type: ignore[arg-type]
        attached.execute("RESET ROLE")
        assert state(attached) == "filling"
    finally:
        attached.execute("RESET ROLE")
        attached.execute("DROP OWNED BY tenant CASCADE")
        attached.execute("DROP ROLE tenant")


# time limits and waits


def test_a_time_limit_names_the_step(
    installed: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(installed)
    make_table(installed, rows=3000)
    original = progress_module.connect_beside

    def limit(connection: Connection) -> Connection:
        # at this moment the index build begins
        connection.execute("SET statement_timeout = '1ms'")
        return original(connection)

    monkeypatch.setattr(progress_module, "connect_beside", limit)
    with pytest.raises(
        DatabaseError, match=r"while building the index of public.items: .*statement_timeout = 1ms"
    ):
        attach(installed, "items", "embedding", LABEL)
    installed.execute("RESET statement_timeout")
    monkeypatch.undo()
    assert attach(installed, "items", "embedding", LABEL).filled == 0


def test_an_index_build_says_whom_it_waits_for(
    installed: Connection, installed_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(installed)
    make_table(installed)
    monkeypatch.setattr(progress_module, "_PAUSE", 0.05)
    monkeypatch.setattr(progress_module, "PATIENCE", 2)
    told: list[str] = []
    monkeypatch.setattr(progress_module.warnings, "warn", lambda text, **_: told.append(text))
    with connect(installed_database) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT FROM pg_class LIMIT 1")
        pid = holder.info.backend_pid
        building = pool.submit(attach, installed, "items", "embedding", LABEL)
        deadline = time.monotonic() + 60
        while not (told or building.done()) and time.monotonic() < deadline:
            time.sleep(0.05)
        holder.execute("ROLLBACK")
        assert building.result().verification.good
    [text] = told
    assert re.search(rf"waits for .*server process {pid} .*open for \d+ s", text)


# halfvec, and whatever else a query comes as


def test_functions_take_halfvec_text_and_arrays(installed: Connection) -> None:
    binarizer = additive_binarizer(3, dimensions=16)
    registered(installed, binarizer)
    make_table(installed, vector_type="halfvec(16)")
    attach(installed, "items", "embedding", LABEL)
    query = str(ROW.tolist())
    for call in ("encode_query('docs@1', {})", "query_planes('docs@1', {})"):
        found = {
            installed.execute(f"SELECT bitryoshka.{call.format(given)}::text").fetchall()[0]  # type: ignore[arg-type]
            for given in (
                f"'{query}'::vector",
                f"'{query}'::halfvec",
                f"'{query}'",
                f"ARRAY{query}::real[]",
            )
        }
        assert len(found) == 1, call
    searched = [
        installed.execute(
            f"SELECT (s.item).id, s.score FROM bitryoshka.search(NULL::items, {given}) AS s"  # type: ignore[arg-type]
        ).fetchall()
        for given in (f"'{query}'::vector", f"'{query}'::halfvec", f"'{query}'")
    ]
    assert len(searched[0]) == 10
    assert searched[1:] == searched[:1] * 2
    by_column = installed.execute(
        "SELECT FROM items AS i CROSS JOIN LATERAL "
        "bitryoshka.search(NULL::items, i.embedding, k => 1, rescore => 'exact') AS s "
        "CROSS JOIN LATERAL "
        "bitryoshka.search(NULL::items, i.embedding::vector, k => 1, rescore => 'exact') AS t "
        "WHERE s.item = t.item"
    )
    assert by_column.rowcount == 180
    # a driver that says no types
    assert installed.execute(
        "SELECT count(*) FROM bitryoshka.search(NULL::items, %s)", [query]
    ).fetchall() == [(10,)]
    installed.execute("SELECT bitryoshka.create_encoder('docs@1')")
    installed.execute(
        "ALTER TABLE items ADD made bit(48) "
        "GENERATED ALWAYS AS (bitryoshka.encode_docs_1(embedding)) STORED"
    )
    assert installed.execute("SELECT FROM items WHERE made = code").rowcount == 180


def test_a_halfvec_of_3072_dimensions(installed: Connection) -> None:
    binarizer = exact_binarizer(3, dimensions=3072)
    registered(installed, binarizer)
    vectors = integer_rows(0, 20, 3072)
    installed.execute("CREATE TABLE wide (id bigint PRIMARY KEY, embedding halfvec(3072))")
    with installed.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO wide VALUES (%s, %s)",
            [(i, str(row.tolist())) for i, row in enumerate(vectors)],
        )
    attach(installed, "wide", "embedding", LABEL)
    assert check_codes(installed, binarizer, name="wide") == 20
    assert (
        installed.execute(
            "SELECT i.id FROM wide AS i CROSS JOIN LATERAL "
            "bitryoshka.search(NULL::wide, i.embedding, k => 1, rescore => 'exact') AS s "
            "WHERE (s.item).id = i.id"
        ).rowcount
        == 20
    )


# codecs under them; see also test_postgres_restores.py


def test_an_upgrade_keeps_the_state_of_columns(attached: Connection) -> None:
    before = status(attached, "items")
    install(attached)
    assert status(attached, "items") == before
    np.testing.assert_equal(check_codes(attached), 180)


def test_a_codec_under_two_labels_can_lose_one(attached: Connection) -> None:
    register(attached, "again", BINARIZER)
    attached.execute("SELECT bitryoshka.drop_codec('again@1')")
    write(attached)
    assert check_codes(attached) == 181


def test_codes_of_another_codec_are_not_taken(attached: Connection) -> None:
    other = register(attached, "docs", exact_binarizer(4)).label
    with pytest.raises(FingerprintError, match="holds codes of docs@1, found docs@2"):
        attach(attached, "items", "embedding", other)
