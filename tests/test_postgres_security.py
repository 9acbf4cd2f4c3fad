"""What a role without rights tries: planted names, foreign schemas, other people's codecs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import uuid4

import decoys
import numpy as np
import psycopg
import pytest
from attached_rows import LABEL, make_table, registered
from old_schema import install_old, register_old
from psycopg import sql
from synthetic import additive_binarizer, exact_binarizer, integer_rows
from test_postgres_roles import acting, granted

from bitryoshka import DatabaseError, TableError
from bitryoshka.postgres import (
    adopt,
    attach,
    attach_statements,
    connect,
    create_index,
    create_table,
    detach,
    drop_codec,
    export,
    install,
    list_codecs,
    load,
    open_table,
    register,
    repair,
    search,
    search_column,
    status,
    switch,
    uninstall,
    verify,
)
from bitryoshka.postgres.sampling import sample_vectors
from bitryoshka.postgres.server import Connection

CODEC_TABLES = (
    "weights",
    "code_bits",
    "cuts",
    "additive",
    "additive_lengths",
    "decoder",
    "gram",
)


@pytest.fixture
def roles(installed: Connection) -> Iterator[tuple[sql.Identifier, sql.Identifier]]:
    """Two roles; each may do what the tutorial gives to an owner of tables, and owns one."""
    found = [sql.Identifier(f"bitryoshka_test_{uuid4().hex[:12]}") for _ in range(2)]
    for number, role in enumerate(found):
        installed.execute(sql.SQL("CREATE ROLE {}").format(role))
        installed.execute(sql.SQL("GRANT CREATE, USAGE ON SCHEMA public TO {}").format(role))
        for grant in granted(role, "owner"):
            installed.execute(grant)
        make_table(installed, name=f"table_{number}")
        installed.execute(
            sql.SQL("ALTER TABLE {} OWNER TO {}").format(sql.Identifier(f"table_{number}"), role)
        )
    yield found[0], found[1]
    installed.execute("RESET ROLE")
    for role in found:
        installed.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(role))


def test_a_schema_that_somebody_else_made_is_not_used(
    connection: Connection, another_connection: Callable[[], Connection]
) -> None:
    role = sql.Identifier(f"bitryoshka_test_{uuid4().hex[:12]}")
    database = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("CREATE ROLE {}").format(role))
    try:
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, role))
        with acting(connection, role):
            connection.execute("CREATE SCHEMA bitryoshka")
            connection.execute("CREATE TABLE bitryoshka.schema_version (version_num text)")
            connection.execute("INSERT INTO bitryoshka.schema_version VALUES ('0004')")
        with pytest.raises(DatabaseError, match="schema bitryoshka belongs to role"):
            install(connection)
        connection.execute("DROP SCHEMA bitryoshka CASCADE")
        connection.execute("CREATE SCHEMA bitryoshka")
        connection.execute(sql.SQL("GRANT ALL ON SCHEMA bitryoshka TO {}").format(role))
        with acting(connection, role):
            connection.execute("CREATE VIEW bitryoshka.schema_version AS SELECT '0004'::text")
        with pytest.raises(
            DatabaseError, match=r"must belong to its owner, found .*schema_version"
        ):
            install(connection)
    finally:
        connection.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(role))


def test_what_others_left_in_the_schema_stops_all_work(
    installed: Connection, roles: tuple[sql.Identifier, sql.Identifier]
) -> None:
    registered(installed)
    make_table(installed)
    installed.execute(sql.SQL("GRANT CREATE ON SCHEMA bitryoshka TO {}").format(roles[0]))
    with acting(installed, roles[0]):
        installed.execute(
            "CREATE FUNCTION bitryoshka.encode(text, text) RETURNS text LANGUAGE sql AS 'SELECT $1'"
        )
    for call in (
        lambda: install(installed),
        lambda: attach(installed, "items", "embedding", LABEL),
        lambda: register(installed, "more", exact_binarizer(4)),
    ):
        with pytest.raises(DatabaseError, match=r"found .*encode\(text,text\) of bitryoshka_test"):
            call()


def test_owners_of_tables_change_their_own_alone(
    installed: Connection, roles: tuple[sql.Identifier, sql.Identifier]
) -> None:
    with acting(installed, roles[0]):
        register(installed, "docs", exact_binarizer(3))
        register(installed, "more", additive_binarizer(1, dimensions=16))
        attach(installed, "table_0", "embedding", "more@1")
    before = [tuple(installed.execute(f"TABLE bitryoshka.{t}").fetchall()) for t in CODEC_TABLES]  # type: ignore[arg-type]
    refused = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)
    attempts = [
        "DELETE FROM bitryoshka.codecs WHERE label = 'docs@1'",
        "SELECT bitryoshka.drop_codec('docs@1')",
        "INSERT INTO bitryoshka.weights (codec_id, role, cut, dimension, weights) "
        "SELECT 1, 'query weights', 8, n, array_fill(1, ARRAY[16])::vector "
        "FROM generate_series(0, 7) AS n",
        "INSERT INTO bitryoshka.gram SELECT codec_id, 9999, products, shift, square "
        "FROM bitryoshka.gram LIMIT 1",
        "UPDATE bitryoshka.columns SET codec_id = 1",
        "DELETE FROM bitryoshka.columns",
        "UPDATE bitryoshka.columns SET search_name = 'gone'",
        "SELECT bitryoshka.drop_code_column('table_0')",
        "SELECT bitryoshka.add_code_column('table_0', 'embedding', 'docs@1', 'other')",
        "INSERT INTO bitryoshka.columns (relation, code_column, search_name, codec_id, bad_vectors)"
        " VALUES ('items', 'code', 'code', 1, 'reject')",
        "CREATE FUNCTION bitryoshka.encode_column_1(text) RETURNS text LANGUAGE sql AS ''",
        "ALTER TABLE table_0 DISABLE TRIGGER ALL",
        "ALTER TABLE bitryoshka.weights DISABLE TRIGGER ALL",
        *(f"DELETE FROM bitryoshka.{table}" for table in CODEC_TABLES),
        *(f"TRUNCATE bitryoshka.{table} CASCADE" for table in CODEC_TABLES),
    ]
    make_table(installed)
    with acting(installed, roles[1]):
        for attempt in attempts:
            with pytest.raises(refused):
                installed.execute(attempt.encode())
        # another registers and attaches beside, by the first one's codec too
        register(installed, "docs", exact_binarizer(5))
        attach(installed, "table_1", "embedding", "docs@1")
        detach(installed, "table_1")
    # not even who registered a codec adds to it later, or takes a part of it away
    with acting(installed, roles[0]):
        for attempt in (attempts[2], attempts[3], "DELETE FROM bitryoshka.cuts"):
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="never changes"):
                installed.execute(attempt.encode())
    installed.execute("SELECT bitryoshka.drop_codec('docs@2')")
    after = [tuple(installed.execute(f"TABLE bitryoshka.{t}").fetchall()) for t in CODEC_TABLES]  # type: ignore[arg-type]
    assert after == before
    assert verify(installed, "table_0").good


def test_the_keys_of_a_backfill_are_for_readers_of_the_table(
    installed: Connection, roles: tuple[sql.Identifier, sql.Identifier]
) -> None:
    with acting(installed, roles[0]):
        registered(installed)
        installed.execute("SELECT bitryoshka.add_code_column('table_0', 'embedding', 'docs@1')")
        installed.execute(
            "INSERT INTO bitryoshka.backfill VALUES (1, 'table_0', ARRAY['secret'], 5)"
        )
        assert len(installed.execute("SELECT FROM bitryoshka.backfill").fetchall()) == 1
    with acting(installed, roles[1]):
        assert installed.execute("SELECT last_key FROM bitryoshka.backfill").fetchall() == []


def test_names_of_trigger_functions_cannot_be_taken(
    installed: Connection, roles: tuple[sql.Identifier, sql.Identifier]
) -> None:
    """Neither before an attach nor beside it: both functions are the table owner's."""
    registered(installed)
    with acting(installed, roles[1]):
        for name, kind in (("encode", "vector"), ("encode", ""), ("fill", ""), ("fill", "vector")):
            installed.execute(
                f"CREATE FUNCTION public.bitryoshka_{name}_1({kind}) RETURNS text "  # type: ignore[arg-type]
                "LANGUAGE sql AS 'SELECT NULL'"
            )
    attach(installed, "table_0", "embedding", LABEL)
    owners = installed.execute(
        "SELECT DISTINCT p.proowner = r.relowner FROM bitryoshka.column_functions(1) AS f "
        "JOIN pg_proc AS p ON p.oid IN (f.fill, f.encoder) "
        "JOIN pg_class AS r ON r.oid = 'table_0'::regclass"
    ).fetchall()
    assert owners == [(True,)]
    with acting(installed, roles[0]):
        detach(installed, "table_0")
    assert installed.execute(
        "SELECT count(*) FROM pg_proc WHERE proname ~ '^bitryoshka_(encode|fill)_'"
    ).fetchall() == [(4,)]


def test_a_former_owner_of_a_table_is_named(
    installed: Connection, roles: tuple[sql.Identifier, sql.Identifier]
) -> None:
    """Who attached could change what runs when the present owner writes."""
    registered(installed)
    with acting(installed, roles[0]):
        attach(installed, "table_0", "embedding", LABEL)
    installed.execute("ALTER TABLE table_0 OWNER TO CURRENT_USER")
    found = verify(installed, "table_0")
    assert not found.good
    assert "who could change" in (status(installed, "table_0").trigger or "")
    attach(installed, "table_0", "embedding", LABEL)
    assert verify(installed, "table_0").good
    with acting(installed, roles[0]), pytest.raises(psycopg.errors.InsufficientPrivilege):
        installed.execute(
            "DO $$ DECLARE f text; BEGIN SELECT encoder::regprocedure::text INTO f "
            "FROM bitryoshka.column_functions(1); EXECUTE 'DROP FUNCTION ' || f; END $$"
        )


UPGRADES = {
    "an overload of the encoder": (
        "CREATE FUNCTION bitryoshka_encode_1() RETURNS text LANGUAGE plpgsql SECURITY DEFINER "
        "AS 'BEGIN RETURN current_user; END'",
    ),
    "the encoder itself": (
        "CREATE FUNCTION public.bitryoshka_encode_1(input vector) RETURNS bit LANGUAGE sql "
        "AS 'SELECT NULL::bit'",
        "REVOKE EXECUTE ON FUNCTION public.bitryoshka_encode_1(vector) FROM PUBLIC",
    ),
    "another type": (
        "CREATE FUNCTION bitryoshka_encode_1(vector) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION public.bitryoshka_fill_1(vector) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION public.bitryoshka_fill_1() RETURNS text LANGUAGE sql AS 'SELECT 1'",
    ),
    "a view that uses what is dropped": (
        "CREATE TEMP VIEW v AS SELECT bitryoshka.progressive_create_encoder(NULL)",
    ),
    "another table in the entry": (
        "UPDATE bitryoshka.columns SET relation = 'mine' WHERE id = 1",
        "CREATE TRIGGER zz_bitryoshka_1 BEFORE INSERT ON mine FOR EACH ROW "
        "EXECUTE FUNCTION bitryoshka.fill_column_1()",
    ),
}


@pytest.mark.parametrize("case", UPGRADES)
def test_an_upgrade_gives_nothing_away(
    connection: Connection, another_connection: Callable[[], Connection], case: str
) -> None:
    """With the grants that were documented for the earlier revision."""
    role = sql.Identifier(f"bitryoshka_test_{uuid4().hex[:12]}")
    connection.execute(sql.SQL("CREATE ROLE {}").format(role))
    try:
        install_old(connection, "0003")
        register_old(connection, "docs", exact_binarizer(3))
        make_table(connection)
        connection.execute("SELECT bitryoshka.add_code_column('items', 'embedding', 'docs@1')")
        connection.execute("SELECT bitryoshka.fill_code_column('items')")
        for grant in (
            "CREATE ON SCHEMA bitryoshka",
            "CREATE ON SCHEMA public",
            "INSERT, UPDATE, DELETE ON bitryoshka.columns",
        ):
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(grant), role))  # type: ignore[arg-type]
        hostile = another_connection()
        hostile.execute(sql.SQL("SET ROLE {}").format(role))
        hostile.execute("CREATE TABLE public.mine (id int, embedding vector(16))")
        for statement in UPGRADES[case]:
            hostile.execute(statement.encode())
        install(connection)
        given = connection.execute(
            "SELECT p.oid::regprocedure::text FROM pg_proc AS p "
            "JOIN pg_trigger AS t ON t.tgfoid = p.oid "
            "WHERE t.tgrelid = 'items'::regclass AND p.proowner <> 'postgres'::regrole"
        ).fetchall()
        assert given == []
        assert connection.execute(
            sql.SQL(
                "SELECT count(*) FROM pg_proc WHERE prosecdef AND proowner <> {}::regrole"
            ).format(sql.Literal(role.as_string(None)))
        ).fetchall() == [(0,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            hostile.execute(
                "DO $$ DECLARE f text; BEGIN SELECT tgfoid::regprocedure::text INTO f "
                "FROM pg_trigger WHERE tgrelid = 'items'::regclass; "
                "EXECUTE concat('ALTER FUNCTION ', f, ' RESET ALL'); END $$"
            )
        row = str(integer_rows(9, 1)[0].tolist())
        connection.execute("INSERT INTO items (id, embedding) VALUES (900, %s)", [row])
        assert connection.execute(
            "SELECT code IS NOT NULL FROM items WHERE id = 900"
        ).fetchall() == [(True,)]
        if case != "another table in the entry":
            assert verify(connection, "items").good
        hostile.close()
    finally:
        connection.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(role))


def test_a_trigger_of_a_strangers_is_no_veto(
    installed: Connection, roles: tuple[sql.Identifier, sql.Identifier]
) -> None:
    """Nobody else's trigger may call a column's function, and a shared one is left alone."""
    registered(installed)
    attach(installed, "table_0", "embedding", LABEL)
    fill = "SELECT fill::regprocedure::text FROM bitryoshka.column_functions(1)"
    [(first,)] = installed.execute(fill).fetchall()
    trigger = f"CREATE TRIGGER x BEFORE INSERT ON table_1 FOR EACH ROW EXECUTE FUNCTION {first}"
    with acting(installed, roles[1]), pytest.raises(psycopg.errors.InsufficientPrivilege):
        installed.execute(trigger.encode())
    # as it could be before an upgrade
    installed.execute(trigger.encode())
    attach(installed, "table_0", "embedding", LABEL)
    [(second,)] = installed.execute(fill).fetchall()
    assert second != first
    assert verify(installed, "table_0").good
    detach(installed, "table_0")
    installed.execute("DROP TRIGGER x ON table_1")


def test_a_schema_that_is_renamed_is_told(
    installed: Connection, roles: tuple[sql.Identifier, sql.Identifier]
) -> None:
    """Whoever may create schemas could plant an encoder under the old name."""
    registered(installed)
    installed.execute("CREATE SCHEMA app")
    make_table(installed, schema="app")
    attach(installed, "items", "embedding", LABEL, schema="app")
    installed.execute("ALTER SCHEMA app RENAME TO app2")
    found = verify(installed, "items", schema="app2")
    assert not found.good
    assert "a schema was renamed" in (found.trigger or "")
    assert attach(installed, "items", "embedding", LABEL, schema="app2").verification.good
    installed.execute(
        "INSERT INTO app2.items (id, embedding) VALUES (900, %s)",
        [str(integer_rows(9, 1)[0].tolist())],
    )
    assert verify(installed, "items", schema="app2").good


def test_functions_that_somebody_changed_keep_nobody_from_anything(
    installed: Connection, roles: tuple[sql.Identifier, sql.Identifier]
) -> None:
    """Neither install nor attach nor drop_codec fails for what another role made of its own."""
    registered(installed)
    for number in range(2):
        attach(installed, f"table_{number}", "embedding", LABEL)
    encoder = "SELECT encoder::regproc::text FROM bitryoshka.column_functions(1)"
    [(name,)] = installed.execute(encoder).fetchall()
    with acting(installed, roles[0]):
        installed.execute(f"DROP FUNCTION {name}(vector)".encode())
        installed.execute(
            f"CREATE FUNCTION {name}(input vector) RETURNS text LANGUAGE sql AS 'SELECT 1'".encode()
        )
        installed.execute("CREATE PROCEDURE public.bitryoshka_fill_1_deadbeef() LANGUAGE sql AS ''")
    assert "is gone" in (verify(installed, "table_0").trigger or "")
    installed.execute("SELECT bitryoshka.renew_functions()")
    for number in range(2):
        assert verify(installed, f"table_{number}").good
    installed.execute("DROP TABLE table_0")
    detach(installed, "table_1")
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    detach(installed, "items")
    drop_codec(installed, LABEL)


def test_a_type_called_vector_runs_nothing(
    installed: Connection, roles: tuple[sql.Identifier, sql.Identifier]
) -> None:
    """Whose cast to the real one would run as whoever reads."""
    registered(installed)
    installed.execute("CREATE SCHEMA evil")
    installed.execute(sql.SQL("GRANT ALL ON SCHEMA evil TO {}").format(roles[0]))
    with acting(installed, roles[0]):
        installed.execute(
            "CREATE TYPE evil.vector AS (x int); "
            "CREATE FUNCTION evil.trap(evil.vector) RETURNS public.vector LANGUAGE plpgsql AS "
            "'BEGIN RAISE EXCEPTION ''trapped''; END'; "
            "CREATE CAST (evil.vector AS public.vector) WITH FUNCTION evil.trap(evil.vector) "
            "AS IMPLICIT; "
            "CREATE TABLE public.trap (id int PRIMARY KEY, embedding evil.vector); "
            "INSERT INTO public.trap VALUES (1, ROW(1))"
        )
    for call in (
        lambda: attach(installed, "trap", "embedding", LABEL),
        lambda: sample_vectors(installed, "trap", "embedding", 10),
    ):
        with pytest.raises(TableError, match=r"found evil\.vector"):
            call()


def test_row_security_that_hides_rows_is_refused(
    installed: Connection, roles: tuple[sql.Identifier, sql.Identifier]
) -> None:
    registered(installed)
    with acting(installed, roles[0]):
        attach(installed, "table_0", "embedding", LABEL)
        installed.execute("ALTER TABLE table_0 ENABLE ROW LEVEL SECURITY")
        assert verify(installed, "table_0").good
        installed.execute("ALTER TABLE table_0 FORCE ROW LEVEL SECURITY")
        for call in (
            lambda: attach(installed, "table_0", "embedding", LABEL),
            lambda: verify(installed, "table_0"),
            lambda: status(installed, "table_0"),
        ):
            with pytest.raises(DatabaseError, match="row security of table_0 hides rows"):
                call()
    assert verify(installed, "table_0").good


def test_a_writer_cannot_keep_a_wrong_code(
    installed: Connection, roles: tuple[sql.Identifier, sql.Identifier]
) -> None:
    """The setting by which the backfill tells the trigger is the table owner's alone."""
    registered(installed)
    attach(installed, "table_0", "embedding", LABEL)
    installed.execute(sql.SQL("GRANT SELECT, UPDATE ON table_0 TO {}").format(roles[1]))
    with acting(installed, roles[1]):
        installed.execute("SET bitryoshka.backfill = 'on'")
        installed.execute("UPDATE table_0 SET code = ~ code")
        installed.execute("RESET bitryoshka.backfill")
    assert verify(installed, "table_0").good


def test_entries_are_for_tables_that_exist_under_ids_of_the_catalogue(
    installed: Connection, roles: tuple[sql.Identifier, sql.Identifier]
) -> None:
    registered(installed)
    attempts = (
        "INSERT INTO bitryoshka.columns (relation, code_column, search_name, codec_id, "
        "bad_vectors) VALUES (9999999::oid::regclass, 'code', 'code', 1, 'reject')",
        "INSERT INTO bitryoshka.columns (id, relation, code_column, search_name, codec_id, "
        "bad_vectors) OVERRIDING SYSTEM VALUE VALUES (77, 'table_1', 'c', 'c', 1, 'reject')",
        "INSERT INTO bitryoshka.codecs (id, name, version, fingerprint, metric, dimensions, bits, "
        "hamming_bits, nested_bits, info) OVERRIDING SYSTEM VALUE SELECT 77, 'x', 1, fingerprint, "
        "metric, dimensions, bits, hamming_bits, nested_bits, info FROM bitryoshka.codecs",
    )
    with acting(installed, roles[1]):
        for attempt in attempts:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                installed.execute(attempt.encode())
        register(installed, "more", exact_binarizer(4))
    assert installed.execute(
        "SELECT registered_by::text FROM bitryoshka.codecs WHERE name = 'more'"
    ).fetchall() == [(roles[1].as_string(None).strip('"'),)]


def test_a_schema_of_a_stranger_is_not_read_by_a_superuser(connection: Connection) -> None:
    role = sql.Identifier(f"bitryoshka_test_{uuid4().hex[:12]}")
    connection.execute(sql.SQL("CREATE ROLE {}").format(role))
    database = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, role))
    make_table(connection)
    trap = (
        "CREATE FUNCTION bitryoshka.trap() RETURNS int LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION ''trapped''; END'; "
    )
    views = "".join(
        f"CREATE VIEW bitryoshka.{name} AS SELECT bitryoshka.trap() AS id; "
        for name in ("codecs", "columns", "code_columns", "schema_version")
    )
    try:
        with acting(connection, role):
            connection.execute(f"CREATE SCHEMA bitryoshka; {trap}{views}".encode())
        for call in (
            lambda: install(connection),
            lambda: uninstall(connection),
            lambda: list_codecs(connection),
            lambda: export(connection, LABEL),
            lambda: drop_codec(connection, LABEL),
            lambda: register(connection, "docs", exact_binarizer(3)),
            lambda: attach(connection, "items", "embedding", LABEL),
            lambda: status(connection, "items"),
            lambda: verify(connection, "items"),
            lambda: detach(connection, "items"),
            lambda: switch(connection, "items", "x"),
            lambda: adopt(connection, "items", LABEL),
        ):
            with pytest.raises(DatabaseError, match="schema bitryoshka belongs to role"):
                call()
    finally:
        connection.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(role))


def test_types_of_a_table_owner_run_nothing(
    installed: Connection, roles: tuple[sql.Identifier, sql.Identifier]
) -> None:
    """Neither a type called vector, nor codes of a type that casts to bit by a function."""
    registered(installed)
    installed.execute("CREATE SCHEMA evil")
    installed.execute(sql.SQL("GRANT ALL ON SCHEMA evil TO {}").format(roles[0]))
    with acting(installed, roles[0]):
        installed.execute("CREATE TYPE evil.vector AS (x int)")
        installed.execute("CREATE TABLE public.trap (id int PRIMARY KEY, v evil.vector)")
    with pytest.raises(psycopg.errors.WrongObjectType, match="expected a column of type vector"):
        installed.execute("SELECT bitryoshka.add_code_column('trap', 'v', 'docs@1')")
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    installed.execute("ALTER TABLE items DISABLE TRIGGER ALL")
    installed.execute("ALTER TABLE items ALTER COLUMN code TYPE text USING code::text")
    with pytest.raises(psycopg.errors.UndefinedColumn, match=r"expected a column code bit\("):
        search_column(installed, "items", integer_rows(7, 1))


@pytest.mark.parametrize("name", ["candidates", "scored", "shortlist", "compared", "t", "s", "b"])
def test_names_of_tables_and_columns_mean_the_users_own(installed: Connection, name: str) -> None:
    registered(installed)
    columns = "id bigint PRIMARY KEY, t int, code_ int, score int, part int, place int, item int"
    vectors = make_table(installed, name=name, columns=columns)
    attach(installed, name, "embedding", LABEL)
    found = search_column(
        installed,
        name,
        vectors[1:2],
        k=1,
        rescore="exact",
        shortlist=20,
        where=sql.SQL("EXISTS (SELECT FROM {} AS o WHERE o.id = {}.id)").format(
            sql.Identifier(name), sql.Identifier("bitryoshka_row")
        ),
    )
    assert found.ids == [[1]]
    assert verify(installed, name).good
    detach(installed, name)


def test_a_statement_reads_the_same_table_under_every_path(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    installed.execute("CREATE SCHEMA other; CREATE TABLE other.items (LIKE public.items)")
    for path in ("public", "other, public", ""):
        installed.execute(sql.SQL("SET search_path = {}").format(sql.Literal(path)))
        [(text,)] = installed.execute(
            "SELECT bitryoshka.search_statement('public.items', "
            "rescore => 'exact', shortlist => 10)"
        ).fetchall()
        assert text.count("FROM public.items AS") == 1
        assert text.count("JOIN public.items AS") == 2
        assert len(search_column(installed, "items", integer_rows(7, 1)).ids[0]) == 10


def test_the_filter_means_what_it_means_to_the_caller(installed: Connection) -> None:
    """A function and an operator of the caller's path, and not of the library's."""
    registered(installed)
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    installed.execute(
        "CREATE SCHEMA app; CREATE FUNCTION app.wanted(bigint) RETURNS boolean "
        "LANGUAGE sql AS 'SELECT $1 OPERATOR(pg_catalog.<) 20'; "
        "CREATE OPERATOR app.=== (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = int8eq)"
    )
    installed.execute("SET search_path = app, public")
    for where in ("wanted(id)", "id === ANY (ARRAY[1, 2, 3]::bigint[])"):
        keys = search_column(installed, "items", integer_rows(7, 1), where=sql.SQL(where)).ids[0]  # type: ignore[arg-type]
        assert keys
        assert all(key < 20 for key in keys)


def test_names_that_postgres_would_cut_are_refused(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    for name in ("x" * 64, "ü" * 32, "co\0de", ""):
        with pytest.raises(TableError, match="a name"):
            attach(installed, "items", "embedding", LABEL, code_column=name)
        with pytest.raises(TableError, match="a name"):
            status(installed, name)
        with pytest.raises(TableError, match="a name"):
            switch(installed, "items", "code", kept=name)
        with pytest.raises(TableError, match="a name"):
            search_column(installed, name, integer_rows(7, 1))
    long = "ü" * 31
    attach(installed, "items", "embedding", LABEL, code_column=long)
    assert len(search_column(installed, "items", integer_rows(7, 1), code_column=long).ids[0]) == 10


def test_searches_through_switches_find_one_codecs_rows(
    installed: Connection, installed_database: str
) -> None:
    """Ten sessions, each statement and each snapshot, through 20 switches."""
    registered(installed)
    vectors = make_table(installed)
    other = register(installed, "docs", exact_binarizer(4)).label
    attach(installed, "items", "embedding", LABEL)
    attach(installed, "items", "embedding", other, code_column="code_new")
    query, wanted = vectors[1:2], []
    for name in ("code", "code_new"):
        found = search_column(installed, "items", query, code_column=name)
        wanted.append((found.ids[0], found.scores[0].tolist()))
    assert wanted[0] != wanted[1]
    stop = threading.Event()

    def look(connection: Connection) -> int:
        found = search_column(connection, "items", query)
        return wanted.index((found.ids[0], found.scores[0].tolist()))

    def statements() -> set[int]:
        seen = set()
        with connect(installed_database) as own:
            while not stop.is_set():
                seen.add(look(own))
        return seen

    def snapshots() -> set[int]:
        seen = set()
        with connect(installed_database) as own:
            own.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            while not stop.is_set():
                with own.transaction():
                    first = look(own)
                    for _ in range(3):
                        time.sleep(0.02)
                        assert look(own) == first
                seen.add(first)
        return seen

    with ThreadPoolExecutor(10) as pool:
        running = [pool.submit(work) for work in (statements, snapshots) for _ in range(5)]
        try:
            for number in range(20):
                switch(installed, "items", "code_old" if number else "code_new", kept="code_old")
                time.sleep(0.1)
        finally:
            stop.set()
        found = [work.result() for work in running]
    assert set().union(*found) == {0, 1}
    assert np.isfinite(wanted[0][1]).all()
    with suppress(TableError):
        detach(installed, "items", code_column="code_old")


PATHS = {
    "public is on the path": ("public", "public"),
    "a schema of the attacker's comes first": ("evil", "evil, public"),
    "the built-in names come last": ("evil", "evil, public, pg_catalog"),
}


@pytest.mark.parametrize("case", PATHS)
def test_no_call_goes_to_what_somebody_planted(connection: Connection, case: str) -> None:
    """Everything that the package does, from the installation on, beside 60,000 decoys."""
    schema, path = PATHS[case]
    connection.execute("CREATE SCHEMA evil")
    assert decoys.plant(connection, schema) > 50_000
    [(types,)] = connection.execute(
        "SELECT pg_catalog.array_agg(t.typname::pg_catalog.text) "
        "FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n "
        "ON n.oid OPERATOR(pg_catalog.=) t.typnamespace "
        "WHERE t.typtype OPERATOR(pg_catalog.=) 'd' "
        "AND n.nspname OPERATOR(pg_catalog.=) %s::pg_catalog.name",
        [schema],
    ).fetchall()
    assert {"text", "oid", "regclass", "name", "jsonb", "json", "tid", "xid", "varbit"} <= {*types}
    connection.execute(sql.SQL("SET search_path = {}").format(sql.SQL(path)))  # type: ignore[arg-type]
    install(connection)
    codecs = {"docs": exact_binarizer(3), "more": additive_binarizer(1, dimensions=16, restarts=1)}
    for name, binarizer in codecs.items():
        label = register(connection, name, binarizer).label
        assert export(connection, label).fingerprint == binarizer.fingerprint
        assert [codec.label for codec in list_codecs(connection)] == [label]
        connection.execute(
            sql.SQL("SELECT bitryoshka.create_encoder({})").format(sql.Literal(label))
        )
        rows = integer_rows(0, 60)
        connection.execute(
            "CREATE TABLE public.items (id integer PRIMARY KEY, embedding public.vector(16))"
        )
        write(connection, rows, 0)
        for in_database in (False, True):
            assert attach_statements(connection, "items", "embedding", label)
            attached = attach(
                connection, "items", "embedding", label, in_database=in_database, batch_rows=25
            )
            assert attached.filled == 60
            write(connection, rows[:20], 60)
            for options in ({}, {"rescore": "exact", "shortlist": 30}, {"rescore": "exact"}):
                found = search_column(connection, "items", rows[1:2], k=10, **options)
                assert len(found.ids[0]) == 10
                assert 1 in found.ids[0] or options != {"rescore": "exact"}
            assert verify(connection, "items").good
            assert status(connection, "items").counts.rows == 80
            connection.execute(
                "UPDATE public.items SET code = NULL WHERE id OPERATOR(pg_catalog.=) 1"
            )
            assert repair(connection, "items") == 0
            attach(connection, "items", "embedding", label, code_column="new")
            switch(connection, "items", "new")
            detach(connection, "items", code_column="code_old")
            detach(connection, "items", code_column="new")
            connection.execute("DELETE FROM public.items WHERE id OPERATOR(pg_catalog.>=) 60")
        connection.execute("DROP TABLE public.items")
        for vector_type in (None, "vector", "halfvec"):
            table = create_table(connection, "codes", binarizer, vector_type)
            kept = rows if vector_type else None
            load(connection, table, np.arange(60), binarizer.encode(rows), kept)
            create_index(connection, table, binarizer.hamming_bits)
            ways: list[dict[str, Any]] = [{}, {"rescore": None}]
            if vector_type:
                ways += [{"rescore": "exact"}, {"rescore": "exact", "shortlist": 60}]
            for way in ways:
                found = search(connection, table, binarizer, rows[1:2], **way)
                assert len(set(range(60)) & set(found.ids[0])) == 10
                assert "exact" not in way.values() or found.ids[0][0] == 1
            adopt(connection, "codes", label)
            assert open_table(connection, "codes", binarizer, vector_type) == table
            connection.execute("DROP TABLE public.codes")
        drop_codec(connection, label)
    uninstall(connection)


def write(connection: Connection, rows: np.ndarray, first: int) -> None:
    for number, row in enumerate(rows):
        connection.execute(
            "INSERT INTO public.items (id, embedding) VALUES (%s, %s)",
            [first + number, str(row.tolist())],
        )
