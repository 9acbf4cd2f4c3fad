"""A codec attached to a table that somebody has already."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psycopg
import pytest
from attached_rows import BINARIZER, LABEL, check_codes, make_table, registered, rows_of
from pgvector import Vector
from programs import program, run_program
from psycopg import sql
from synthetic import additive_binarizer, exact_binarizer, integer_rows

from bitryoshka import (
    Binarizer,
    BitsError,
    CodecError,
    DatabaseError,
    FingerprintError,
    TableError,
    VectorsError,
)
from bitryoshka.postgres import (
    attach,
    attach_statements,
    connect,
    detach,
    drop_codec,
    export,
    register,
    repair,
    search_column,
    status,
    switch,
    uninstall,
    verify,
)
from bitryoshka.postgres.server import Connection

ODD_NAMES = (
    'a "quoted" name',
    "two words",
    "größe_表_🪆",
    "100% {x} %s %(x)s :y $1",
    "select",
    "a.b",
    "semi;colon--",
    "back\\slash'",
    "ä" * 31,
)


def shape(connection: Connection, name: str = "items") -> list[tuple[Any, ...]]:
    """Columns, indexes and triggers of a table."""
    return connection.execute(
        "SELECT 'column', attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = %(t)s::regclass AND attnum > 0 AND NOT attisdropped "
        "UNION ALL SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid) "
        "FROM pg_index WHERE indrelid = %(t)s::regclass "
        "UNION ALL SELECT 'trigger', tgname::text, '' FROM pg_trigger "
        "WHERE tgrelid = %(t)s::regclass ORDER BY 1, 2",
        {"t": sql.Identifier(name).as_string(connection)},
    ).fetchall()


def insert(connection: Connection, id_: int, vector: Any) -> None:
    text = None if vector is None else Vector(vector).to_text()
    connection.execute("INSERT INTO items (id, embedding) VALUES (%s, %s::vector)", [id_, text])


@pytest.mark.parametrize("vector_type", ["vector(16)", "halfvec(16)", "vector", "halfvec"])
@pytest.mark.parametrize("in_database", [False, True])
def test_every_row_gets_its_code(
    installed: Connection, vector_type: str, in_database: bool
) -> None:
    registered(installed)
    make_table(installed, vector_type=vector_type)
    found = attach(installed, "items", "embedding", LABEL, in_database=in_database, batch_rows=30)
    assert found.filled == check_codes(installed) == 180
    assert found.verification.good
    assert found.verification.counts == (c := status(installed, "items").counts)
    assert (c.rows, c.empty, c.bad, c.missing) == (200, 20, 0, 0)
    assert found.verification.sampled == 180
    assert found.verification.recall is not None
    assert found.verification.recall > 0.2


@pytest.mark.parametrize("in_database", [False, True])
def test_codes_of_one_byte(installed: Connection, in_database: bool) -> None:
    binarizer = Binarizer(
        projection=integer_rows(5, 8), offset=np.zeros(8, np.float32), nested_bits=(8,)
    )
    registered(installed, binarizer)
    assert export(installed, LABEL).fingerprint == binarizer.fingerprint
    make_table(installed)
    assert attach(installed, "items", "embedding", LABEL, in_database=in_database).filled == 180
    check_codes(installed, binarizer)


def test_the_catalogue_says_which_column_has_which_codec(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    found = installed.execute(
        "SELECT relation::text, code_column, vector_column, codec, fingerprint, prefix_bits, "
        "bad_vectors, state, verified_at IS NOT NULL FROM bitryoshka.code_columns"
    ).fetchall()
    expected = ("items", "code", "embedding", LABEL, BINARIZER.fingerprint, BINARIZER.hamming_bits)
    assert found == [(*expected, "reject", "ready", True)]
    [(kept,)] = installed.execute("SELECT verification FROM bitryoshka.columns").fetchall()
    assert kept["counts"]["rows"] == 200
    [(comment,)] = installed.execute(
        "SELECT col_description('items'::regclass, attnum) FROM pg_attribute "
        "WHERE attrelid = 'items'::regclass AND attname = 'code'"
    ).fetchall()
    assert comment == f"bitryoshka codec {LABEL}"


def test_writes_keep_the_codes_true(installed: Connection) -> None:
    registered(installed)
    vectors = make_table(installed, rows=20)
    attach(installed, "items", "embedding", LABEL)
    insert(installed, 100, integer_rows(1, 1)[0])
    insert(installed, 101, None)
    new = Vector(integer_rows(2, 1)[0]).to_text()
    installed.execute("UPDATE items SET embedding = %s::vector WHERE id IN (3, 101)", [new])
    installed.execute("UPDATE items SET embedding = NULL WHERE id = 4")
    installed.execute("UPDATE items SET code = ~ code WHERE id = 5")
    installed.execute("UPDATE items SET code = NULL WHERE id = 6")
    installed.execute("UPDATE items SET id = 102, embedding = %s::vector WHERE id = 7", [new])
    wrong = "0" * BINARIZER.bits
    installed.execute(
        "INSERT INTO items (id, embedding, code) VALUES (103, %s::vector, %s::bit("  # type: ignore[arg-type]
        f"{BINARIZER.bits}))",
        [Vector(vectors[1]).to_text(), wrong],
    )
    assert check_codes(installed) == 18 - 1 + 3
    assert verify(installed, "items").good


def test_a_write_of_another_column_keeps_the_code_without_encoding(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=5)
    attach(installed, "items", "embedding", LABEL)
    drop_encoder(installed)
    installed.execute("UPDATE items SET title = 'new'")
    with pytest.raises(psycopg.errors.UndefinedFunction):
        insert(installed, 50, integer_rows(1, 1)[0])
    assert check_codes(installed) == 4


def drop_encoder(connection: Connection) -> None:
    [(encoder,)] = connection.execute(
        "SELECT encoder::regprocedure::text FROM bitryoshka.column_functions(1)"
    ).fetchall()
    connection.execute(f"DROP FUNCTION {encoder}".encode())


KEYS = {
    "composite": ("tenant int DEFAULT 7, id bigint, PRIMARY KEY (tenant, id)", "id"),
    "composite of kinds": (
        "day date DEFAULT '2024-02-29', id text, PRIMARY KEY (id, day)",
        "id",
    ),
    "uuid": ("u uuid DEFAULT gen_random_uuid() PRIMARY KEY, id bigint", "u"),
    "text": ("id text PRIMARY KEY, title text", "id"),
    "odd text": (
        "id bigint, \"k '%s\" text DEFAULT random()::text || '''%s{{}}\"\\', "
        'PRIMARY KEY ("k \'%s")',
        "k",
    ),
    "numeric": ("k numeric DEFAULT random() PRIMARY KEY, id bigint", "k"),
    "timestamp": (
        "k timestamptz DEFAULT '2001-01-01'::timestamptz + random() * interval '9 years' "
        "PRIMARY KEY, id bigint",
        "k",
    ),
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("in_database", [False, True])
def test_any_primary_key_will_do(installed: Connection, kind: str, in_database: bool) -> None:
    registered(installed)
    make_table(installed, rows=100, columns=KEYS[kind][0])
    found = attach(installed, "items", "embedding", LABEL, batch_rows=7, in_database=in_database)
    assert found.filled == check_codes(installed) == 90
    assert installed.execute("SELECT count(*) FROM bitryoshka.backfill").fetchall() == [(0,)]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_stay_names(installed: Connection, name: str) -> None:
    registered(installed)
    installed.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    columns = "id bigint PRIMARY KEY"
    make_table(installed, 30, name, name, columns, schema=name)
    other = ("code " + name).encode()[:60].decode(errors="ignore")
    places: Any = {"schema": name, "code_column": other}
    assert attach_statements(installed, name, name, LABEL, **places)
    found = attach(installed, name, name, LABEL, **places)
    assert found.filled == 27
    assert verify(installed, name, **places) == found.verification
    assert status(installed, name, **places).state == "ready"
    installed.execute(sql.SQL("SET search_path = {}, public").format(sql.Identifier(name)))
    assert check_codes(installed, name=name, column=name, code=other) == 27
    search = sql.SQL(
        "SELECT (s.item).id FROM bitryoshka.search(NULL::{}, {}::vector, k => 27, "
        "candidates => 27, code_column => {}, rescore => 'exact', filter => {}) AS s"
    ).format(
        sql.Identifier(name),
        sql.Literal(str([1] * 16)),
        sql.Literal(other),
        sql.Literal(sql.SQL("{} IS NOT NULL").format(sql.Identifier(name)).as_string(None)),
    )
    items = installed.execute(search).fetchall()
    assert len(items) == 27
    detach(installed, name, **places)
    assert [row[1] for row in shape(installed, name) if row[0] == "column"] == sorted(["id", name])


def test_a_partitioned_table(installed: Connection) -> None:
    registered(installed)
    installed.execute(
        "CREATE TABLE items (id bigint, embedding vector(16), PRIMARY KEY (id)) "
        "PARTITION BY RANGE (id);"
        "CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (50);"
        "CREATE TABLE high PARTITION OF items FOR VALUES FROM (50) TO (200) "
        "PARTITION BY HASH (id);"
        "CREATE TABLE h0 PARTITION OF high FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE h1 PARTITION OF high FOR VALUES WITH (MODULUS 2, REMAINDER 1)"
    )
    vectors = integer_rows(0, 100)
    with installed.cursor() as cursor, cursor.copy("COPY items FROM STDIN") as copy:
        for i, vector in enumerate(vectors):
            copy.write_row((i, Vector(vector).to_text()))
    assert attach(installed, "items", "embedding", LABEL, batch_rows=9).filled == 100
    installed.execute("CREATE TABLE later PARTITION OF items FOR VALUES FROM (200) TO (300)")
    insert(installed, 250, vectors[0])
    assert check_codes(installed) == 101
    [(indexes,)] = installed.execute(
        "SELECT count(*) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
        "WHERE relname LIKE '%hnsw%' AND indisvalid AND relkind = 'i'"
    ).fetchall()
    assert indexes >= 3
    found = installed.execute(
        "SELECT (s.item).id FROM bitryoshka.search(NULL::items, %s::vector, k => 101, "
        "candidates => 101) AS s",
        [Vector(vectors[3]).to_text()],
    ).fetchall()
    assert sorted(id_ for (id_,) in found) == [*range(100), 250]
    detach(installed, "items")
    assert "code" not in str(shape(installed, "h1"))


def test_the_functions_of_a_dropped_table_go_with_the_next_change(installed: Connection) -> None:
    functions = "SELECT count(*) FROM pg_proc WHERE proname ~ '^bitryoshka_(fill|encode)_'"
    registered(installed)
    for number in range(2):
        make_table(installed)
        attach(installed, "items", "embedding", LABEL)
        assert installed.execute(functions).fetchall() == [(2,)], number
        installed.execute("DROP TABLE items")
    drop_codec(installed, LABEL)
    assert installed.execute(functions).fetchall() == [(0,)]
    assert installed.execute("SELECT FROM bitryoshka.columns").fetchall() == []


def test_detach_leaves_the_table_as_it_was(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    before = shape(installed)
    attach(installed, "items", "embedding", LABEL)
    assert shape(installed) != before
    detach(installed, "items")
    assert shape(installed) == before
    for table in ("columns", "backfill"):
        query = sql.SQL("SELECT count(*) FROM bitryoshka.{}").format(sql.Identifier(table))
        assert installed.execute(query).fetchall() == [(0,)]
    assert installed.execute(
        "SELECT count(*) FROM pg_proc WHERE proname LIKE 'bitryoshka_fill%'"
    ).fetchall() == [(0,)]
    with pytest.raises(TableError, match=r"no codec is attached to column 'code' of public\.items"):
        detach(installed, "items")


def test_the_statements_of_a_dry_run_change_nothing_and_would_work(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    before = shape(installed)
    statements = attach_statements(installed, "items", "embedding", LABEL)
    assert shape(installed) == before
    for statement in statements:
        if not statement.startswith(("COPY", "--")):
            installed.execute(statement.encode())
    made = [row[:2] for row in shape(installed)]
    # of a column that is attached, what is left to do
    assert attach_statements(installed, "items", "embedding", LABEL) == statements[1:-1]
    [name] = re.findall('"(items_codes_.*?)"', statements[-1])
    installed.execute(f"DROP INDEX {name}".encode())
    assert attach_statements(installed, "items", "embedding", LABEL) == statements[1:]
    installed.execute("DROP TRIGGER zz_bitryoshka_1 ON items")
    [first, *rest] = attach_statements(installed, "items", "embedding", LABEL)
    assert "restore_column" in first
    assert rest == statements[1:]
    detach(installed, "items")
    attach(installed, "items", "embedding", LABEL)
    assert [row[:2] for row in shape(installed) if row[0] == "column"] == [
        row for row in made if row[0] == "column"
    ]
    assert len(shape(installed)) == len(made)


def test_attaching_again_goes_on_and_finds_nothing_to_do(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    attach(installed, "items", "embedding", LABEL, index=False)
    assert status(installed, "items").index_valid is None
    before = shape(installed)
    assert attach(installed, "items", "embedding", LABEL).filled == 0
    assert status(installed, "items").index_valid is True
    assert len(shape(installed)) == len(before) + 1


REFUSED: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "no table": ("", {"table": "nothing"}, TableError, r"no table public\.nothing"),
    "a view": ("CREATE VIEW v AS SELECT * FROM items", {"table": "v"}, TableError, "no ordinary"),
    "no column": ("", {"vector_column": "vectors"}, TableError, "no column 'vectors': expected"),
    "no vector": ("", {"vector_column": "title"}, TableError, "vector or halfvec, found text"),
    "no key": ("ALTER TABLE items DROP CONSTRAINT items_pkey", {}, TableError, "no primary key"),
    "children": ("CREATE TABLE c () INHERITS (items)", {}, TableError, "inherit from it"),
    "no codec": ("", {"codec": "docs@9"}, CodecError, r"no codec 'docs@9'"),
    "a column": (
        "ALTER TABLE items ADD code text",
        {},
        TableError,
        "has a column code, which holds no codes of ours: Choose",
    ),
    "prefix": ("", {"prefix_bits": 4096}, BitsError, "prefix_bits must be one of"),
    "batch": ("", {"batch_rows": 0}, BitsError, "an integer from 1 .* found 0"),
    "dimensions": (
        "ALTER TABLE items ALTER embedding TYPE vector(3) USING NULL",
        {},
        TableError,
        "has 3 dimensions, codec docs@1 expects 16",
    ),
    "bad rows": (
        "ALTER TABLE items ALTER embedding TYPE vector; "
        "UPDATE items SET embedding = '[1,2]' WHERE id IN (3, 5)",
        {},
        VectorsError,
        r"2 rows of public\.items have vectors without a code.* the first at \(3\), \(5\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_and_left_alone(installed: Connection, case: str) -> None:
    registered(installed)
    make_table(installed)
    statement, changed, error, message = REFUSED[case]
    if statement:
        installed.execute(statement)  # type: ignore[arg-type]
    before = shape(installed)
    given = {"table": "items", "vector_column": "embedding", "codec": LABEL, **changed}
    with pytest.raises(error, match=message):
        attach(installed, **given)
    assert shape(installed) == before
    assert installed.execute("SELECT count(*) FROM bitryoshka.columns").fetchall() == [(0,)]


def test_vectors_without_a_code_are_skipped_and_counted_where_asked(installed: Connection) -> None:
    binarizer = exact_binarizer(3, "cosine")
    registered(installed, binarizer)
    make_table(installed, vector_type="vector")
    installed.execute("UPDATE items SET embedding = '[1,2]' WHERE id = 3")
    zero = str([0] * 16)
    installed.execute("UPDATE items SET embedding = %s::vector WHERE id = 4", [zero])
    found = attach(installed, "items", "embedding", LABEL, bad_vectors="skip")
    assert found.filled == 178
    assert found.verification.counts.bad == 2
    installed.execute("INSERT INTO items (id, embedding) VALUES (500, '[1,2,3]')")
    installed.execute("UPDATE items SET embedding = %s::vector WHERE id = 5", [zero])
    assert verify(installed, "items").counts.bad == 4
    missing = [int(id_) for id_, vector, code in rows_of(installed) if vector and not code]
    assert sorted(missing) == [3, 4, 5, 500]


def test_a_writer_of_a_vector_without_a_code_is_refused_by_default(installed: Connection) -> None:
    registered(installed)
    make_table(installed, vector_type="vector")
    attach(installed, "items", "embedding", LABEL)
    for statement in (
        "INSERT INTO items (id, embedding) VALUES (500, '[1,2,3]')",
        "UPDATE items SET embedding = '[1]' WHERE id = 1",
    ):
        with pytest.raises(psycopg.errors.DataException, match="expects 16 dimensions, found"):
            installed.execute(statement)  # type: ignore[arg-type]
    for bad in ("NaN", "Infinity"):
        with pytest.raises(psycopg.errors.DataException, match="not allowed in vector"):
            installed.execute("UPDATE items SET embedding = %s::vector", [f"[{bad}]"])
    assert check_codes(installed) == 180


def test_a_column_of_another_codec_is_refused(installed: Connection) -> None:
    registered(installed)
    other = register(installed, "docs", exact_binarizer(4)).label
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    with pytest.raises(FingerprintError, match=r"holds codes of docs@1, found docs@2"):
        attach(installed, "items", "embedding", other)
    assert check_codes(installed) == 180


def test_a_codec_in_use_cannot_be_dropped_and_nor_can_the_schema(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    attach(installed, "items", "embedding", LABEL, in_database=True)
    with pytest.raises(CodecError, match="docs@1 is in use"):
        drop_codec(installed, LABEL)
    with pytest.raises(DatabaseError, match="codecs are attached to columns"):
        uninstall(installed)
    assert check_codes(installed) == 180
    installed.execute("DROP TABLE items")
    drop_codec(installed, LABEL)
    uninstall(installed)


def test_two_attaches_at_once(installed: Connection, installed_database: str) -> None:
    from bitryoshka.postgres.columns import sole_worker

    registered(installed)
    make_table(installed)
    before = shape(installed)
    with connect(installed_database) as other:
        [(oid,)] = other.execute("SELECT 'items'::regclass::oid::bigint").fetchall()
        [(pid,)] = other.execute("SELECT pg_backend_pid()").fetchall()
        with sole_worker(other, oid, "public.items"):
            for call in (lambda: attach(installed, "items", "embedding", LABEL),):
                with pytest.raises(DatabaseError, match=f"another attach.* process {pid}"):
                    call()
    assert shape(installed) == before
    attach(installed, "items", "embedding", LABEL)


def test_attach_needs_autocommit(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    calls: tuple[Callable[[], object], ...] = (
        lambda: attach(installed, "items", "embedding", LABEL),
        lambda: detach(installed, "items"),
    )
    for call in calls:
        with (
            installed.transaction(),
            pytest.raises(DatabaseError, match="autocommit mode, outside a transaction"),
        ):
            call()


@pytest.mark.parametrize(
    "columns", ["PRIMARY KEY (id) INCLUDE (title)", "PRIMARY KEY (id) INCLUDE (j)"]
)
def test_columns_that_the_key_includes_are_no_part_of_it(
    installed: Connection, columns: str
) -> None:
    """NULLs and types without an order may be among them."""
    registered(installed)
    make_table(installed, columns=f"id bigint, title text, j json, {columns}")
    assert attach(installed, "items", "embedding", LABEL, batch_rows=30).filled == 180
    assert search_column(installed, "items", integer_rows(7, 1), k=3).ids[0]


@pytest.mark.parametrize(("before", "after"), [("vector", "halfvec"), ("halfvec", "vector")])
def test_a_vector_column_may_change_to_the_other_type(
    installed: Connection, before: str, after: str
) -> None:
    registered(installed)
    make_table(installed, vector_type=f"{before}(16)")
    attach(installed, "items", "embedding", LABEL)
    installed.execute(f"ALTER TABLE items ALTER COLUMN embedding TYPE {after}(16)".encode())
    insert(installed, 900, integer_rows(7, 1)[0])
    installed.execute("UPDATE items SET embedding = embedding WHERE id = 901")
    assert verify(installed, "items").good
    assert len(search_column(installed, "items", integer_rows(7, 1), rescore="exact").ids[0]) == 10
    assert attach(installed, "items", "embedding", LABEL).filled == 0


def test_verify_looks_at_all_parts_of_a_table(installed: Connection) -> None:
    """Wrong codes of the rows that lie last are seen, however many lie before them."""
    registered(installed)
    make_table(installed, rows=5000)
    attach(installed, "items", "embedding", LABEL)
    installed.execute("ALTER TABLE items DISABLE TRIGGER USER")
    installed.execute("UPDATE items SET code = ~ code WHERE id >= 4500")
    installed.execute("ALTER TABLE items ENABLE TRIGGER USER")
    found = verify(installed, "items")
    assert found.sampled == 1000
    assert 50 < found.wrong_rows < 200
    assert not found.good


@pytest.mark.parametrize("searched", [False, True])
def test_repair_mends_what_is_wrong_and_writes_nothing_else(
    installed: Connection, searched: bool
) -> None:
    binarizer = additive_binarizer(1, dimensions=16) if searched else BINARIZER
    registered(installed, binarizer)
    make_table(installed, rows=300)
    attach(installed, "items", "embedding", LABEL)
    installed.execute("ALTER TABLE items DISABLE TRIGGER USER")
    installed.execute("UPDATE items SET code = ~ code WHERE id BETWEEN 50 AND 99")
    installed.execute("UPDATE items SET code = NULL WHERE id BETWEEN 200 AND 219")
    installed.execute("UPDATE items SET embedding = NULL WHERE id BETWEEN 281 AND 284")
    installed.execute("ALTER TABLE items ENABLE TRIGGER USER")
    assert not verify(installed, "items").good
    untouched = "SELECT array_agg(ctid ORDER BY id) FROM items WHERE id < 50 OR id > 284"
    before = installed.execute(untouched).fetchall()
    wrong = 50 - 5 + 20 - 2 + 4
    assert repair(installed, "items", batch_rows=70) == wrong
    assert installed.execute(untouched).fetchall() == before
    assert repair(installed, "items") == 0
    assert verify(installed, "items").good
    assert installed.execute(
        "SELECT count(*) FROM items WHERE embedding IS NULL AND code IS NOT NULL"
    ).fetchall() == [(0,)]


def test_repair_waits_for_rows_that_are_held(
    installed: Connection, installed_database: str
) -> None:
    registered(installed)
    make_table(installed, rows=100)
    attach(installed, "items", "embedding", LABEL)
    installed.execute("ALTER TABLE items DISABLE TRIGGER USER")
    installed.execute("UPDATE items SET code = ~ code WHERE id < 20")
    installed.execute("ALTER TABLE items ENABLE TRIGGER USER")
    with connect(installed_database) as holder, ThreadPoolExecutor(1) as pool:
        with holder.transaction():
            holder.execute("SELECT FROM items WHERE id = 3 FOR UPDATE")
            working = pool.submit(repair, installed, "items")
            time.sleep(0.5)
            assert not working.done()
        assert working.result() == 18
    assert verify(installed, "items").good


def test_verify_finds_wrong_and_missing_codes(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    installed.execute("ALTER TABLE items DISABLE TRIGGER USER")
    installed.execute("UPDATE items SET code = ~ code WHERE id = 3")
    installed.execute("UPDATE items SET code = NULL WHERE id = 4")
    found = verify(installed, "items")
    assert not found.good
    assert found.counts.missing == 1
    assert 0 < found.wrong_bits <= BINARIZER.bits
    assert status(installed, "items").state == "checking"
    installed.execute("ALTER TABLE items ENABLE TRIGGER USER")
    again = attach(installed, "items", "embedding", LABEL)
    assert (again.filled, again.repaired, again.verification.good) == (1, 1, True)
    assert status(installed, "items").state == "ready"
    assert check_codes(installed) == 180


def found_ids(connection: Connection, query: Any, **options: Any) -> list[int]:
    rows = connection.execute(
        "SELECT (s.item).id FROM bitryoshka.search(NULL::items, %s::vector, k => 5) AS s",
        [Vector(query).to_text()],
    ).fetchall()
    return [id_ for (id_,) in rows]


def test_a_new_version_takes_over_and_can_be_taken_back(installed: Connection) -> None:
    registered(installed)
    second = exact_binarizer(4)
    new = register(installed, "docs", second).label
    vectors = make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    by_first = found_ids(installed, vectors[1])
    with pytest.raises(TableError, match="no codec is attached to column 'code_new'"):
        switch(installed, "items", "code_new")
    attach(installed, "items", "embedding", new, code_column="code_new")
    assert found_ids(installed, vectors[1]) == by_first
    with pytest.raises(TableError, match=r"'code_new' of public.items is in use"):
        switch(installed, "items", "code_new", kept="code_new")
    switch(installed, "items", "code_new")
    by_second = found_ids(installed, vectors[1])
    assert by_second != by_first
    insert(installed, 900, vectors[1])
    assert check_codes(installed, second, code="code_new") == 181
    assert check_codes(installed, BINARIZER) == 181
    for call in (status, verify, detach):
        with pytest.raises(TableError, match=r"'code' names two columns.*'code_old'.*'code_new'"):
            call(installed, "items")
    installed.execute("DELETE FROM items WHERE id = 900")
    switch(installed, "items", "code_old", kept="code_old")
    assert found_ids(installed, vectors[1]) == by_first
    switch(installed, "items", "code_old", kept="code_old")
    assert found_ids(installed, vectors[1]) == by_second
    found = status(installed, "items", code_column="code_new")
    assert (found.index_valid, found.search_name) == (True, "code")
    assert verify(installed, "items", code_column="code_old").good
    detach(installed, "items", code_column="code_old")
    drop_codec(installed, LABEL)
    insert(installed, 901, vectors[2])
    assert check_codes(installed, second, code="code_new") == 181
    assert status(installed, "items").code_column == "code_new"
    assert found_ids(installed, vectors[1]) == by_second
    assert attach(installed, "items", "embedding", new).filled == 0
    assert verify(installed, "items").good


def test_a_column_that_is_not_filled_cannot_take_over(installed: Connection) -> None:
    registered(installed)
    new = register(installed, "docs", exact_binarizer(4)).label
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    attach(installed, "items", "embedding", new, code_column="code_new")
    installed.execute(
        "UPDATE bitryoshka.columns SET state = 'filling' WHERE code_column = 'code_new'"
    )
    with pytest.raises(DatabaseError, match=r"'code_new' of .* is not filled yet"):
        switch(installed, "items", "code_new")
    assert check_codes(installed) == 180


def test_an_empty_table(installed: Connection) -> None:
    registered(installed)
    make_table(installed, rows=0)
    found = attach(installed, "items", "embedding", LABEL)
    assert (found.filled, found.verification.recall) == (0, None)
    insert(installed, 1, integer_rows(0, 1)[0])
    assert check_codes(installed) == 1


def test_the_connections_settings_are_as_before(installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    query = "SELECT name, setting FROM pg_settings WHERE name NOT LIKE 'hnsw%' ORDER BY name"
    before = installed.execute(query).fetchall()
    attach(installed, "items", "embedding", LABEL)
    detach(installed, "items")
    kept = {name for name, _ in before}
    after = [row for row in installed.execute(query).fetchall() if row[0] in kept]
    assert after == before
    held = installed.execute("SELECT FROM pg_locks WHERE locktype = 'advisory'")
    assert held.rowcount == 0


def test_a_dump_restores_codec_column_and_trigger(
    installed: Connection, installed_database: str, bare_database: str
) -> None:
    registered(installed)
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    register(installed, "more", additive_binarizer(1, dimensions=16))
    attach(installed, "items", "embedding", "more@1", code_column="searched")
    installed.execute("SELECT bitryoshka.create_encoder('more@1')")
    installed.execute(
        "ALTER TABLE items ADD made bit(48) "
        "GENERATED ALWAYS AS (bitryoshka.encode_more_1(embedding)) STORED"
    )
    script = run_program(program(installed, "pg_dump"), installed_database)
    run_program(
        program(installed, "psql"), "-q", "-v", "ON_ERROR_STOP=1", bare_database, stdin=script
    )
    with connect(bare_database) as restored:
        insert(restored, 900, integer_rows(1, 1)[0])
        assert check_codes(restored) == 181
        assert verify(restored, "items").good
        assert export(restored, LABEL).fingerprint == BINARIZER.fingerprint
        assert verify(restored, "items", code_column="searched").good
        assert restored.execute("SELECT FROM items WHERE made = searched").rowcount == 181
        assert register(restored, "other", exact_binarizer(4)).id > 1
        detach(restored, "items")
