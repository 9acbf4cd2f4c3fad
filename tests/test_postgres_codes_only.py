"""Vectors taken away from a table whose codes are complete: refused, undone, and finished."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from attached_rows import BINARIZER, LABEL, check_codes, make_table, registered
from pgvector import Vector
from synthetic import exact_binarizer, exact_signs, integer_rows
from test_cli_database import run  # noqa: F401
from test_postgres_attach import shape
from test_postgres_layouts import check_beside

from bitryoshka import DatabaseError, FingerprintError, SearchError, TableError
from bitryoshka.postgres import (
    attach,
    detach,
    drop_vectors,
    register,
    repair,
    search_column,
    set_vectors_aside,
    status,
    verify,
    weigh_vectors,
)
from bitryoshka.postgres.server import Connection

Run = Callable[..., tuple[int, str, str]]
LAYOUTS: tuple[Any, ...] = ("row", "narrow")
HOLDER = {"row": "items", "narrow": "items_code"}
ASKED = integer_rows(1, 1)


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest, installed: Connection) -> Any:
    """A layout in which table items is attached."""
    registered(installed)
    make_table(installed, rows=60)
    installed.execute("DELETE FROM items WHERE embedding IS NULL")
    installed.execute("ALTER TABLE items ALTER embedding SET NOT NULL")
    installed.execute("CREATE INDEX floats ON items USING hnsw (embedding vector_ip_ops)")
    attach(installed, "items", "embedding", LABEL, layout=request.param)
    return request.param


def aside(connection: Connection, **options: Any) -> Any:
    return set_vectors_aside(connection, "items", "embedding", LABEL, **options)


def test_vectors_are_set_aside_and_dropped(installed: Connection, layout: Any) -> None:
    before = shape(installed)
    vectors = installed.execute("SELECT id, embedding::text FROM items").fetchall()
    weighed = weigh_vectors(installed, "items", "embedding", LABEL)
    assert shape(installed) == before
    assert (weighed.rows, weighed.column) == (54, "embedding_dropped")
    # four bytes a dimension, and what a value says of itself
    assert 54 * 4 * 16 < weighed.vector_bytes < 54 * 6 * 16
    [(size,)] = installed.execute("SELECT pg_relation_size('floats')").fetchall()
    assert weighed.index_bytes == size
    assert weighed.kept == f"column 'code' of public.{HOLDER[layout]}"
    assert aside(installed) == weighed
    assert not [row for row in shape(installed) if "zz_bitryoshka" in row[1]]
    found = installed.execute("SELECT id, embedding_dropped::text FROM items").fetchall()
    assert sorted(found) == sorted(vectors)
    listed = installed.execute(
        "SELECT relation::text, vector_column, state FROM bitryoshka.code_columns"
    ).fetchall()
    assert listed == [(HOLDER[layout], None, "ready")]

    # whoever writes rows writes their codes
    code = BINARIZER.encode(ASKED)
    digits = "".join(f"{byte:08b}" for byte in code[0])
    asked = Vector(ASKED[0]).to_text()
    installed.execute("INSERT INTO items (id) VALUES (1000), (1001)")
    for id_, value in (
        (1000, f"'{digits}'"),
        (1001, f"bitryoshka.encode('{LABEL}', '{asked}'::vector)"),
    ):
        if layout == "row":
            write = f"UPDATE items SET code = {value} WHERE id = {id_}"
        else:
            write = f"INSERT INTO items_code (id, code) VALUES ({id_}, {value})"
        installed.execute(write.encode())
    assert {1000, 1001} <= set(search_column(installed, "items", ASKED, candidates=60).ids[0])
    with pytest.raises(SearchError, match="codes alone"):
        search_column(installed, "items", ASKED, rescore="exact")
    said = {"row": "codes alone", "narrow": "set aside, in column 'embedding_dropped'"}[layout]
    for call in (status, verify):
        with pytest.raises(TableError, match=said):
            call(installed, "items")

    installed.execute("CREATE VIEW seen AS SELECT embedding_dropped FROM items")
    with pytest.raises(TableError, match="view seen depends on column embedding_dropped"):
        drop_vectors(installed, "items", "embedding")
    installed.execute("DROP VIEW seen")
    assert drop_vectors(installed, "items", "embedding") == "embedding_dropped"
    said = {"row": "codes alone", "narrow": "'embedding' was set aside and is gone for good"}[
        layout
    ]
    for call in (status, verify):
        with pytest.raises(TableError, match=said):
            call(installed, "items")
    installed.execute("VACUUM FULL items")
    assert {1000, 1001} <= set(search_column(installed, "items", ASKED, candidates=60).ids[0])
    with pytest.raises(TableError, match="no column 'embedding_dropped': vectors are set aside"):
        drop_vectors(installed, "items", "embedding")
    installed.execute("DELETE FROM items WHERE id = 1000")
    holder = HOLDER[layout]
    detach(installed, "items")
    # codes whose vectors are gone are nobody's to drop
    [(kept,)] = installed.execute(f"SELECT count(code) FROM {holder}".encode()).fetchall()
    assert kept == 55


def test_it_can_be_undone(installed: Connection, layout: Any) -> None:
    aside(installed)
    installed.execute("UPDATE items SET title = 'written meanwhile' WHERE id = 1")
    installed.execute("INSERT INTO items (id, title) VALUES (1000, 'without a code')")
    installed.execute("DELETE FROM items WHERE id = 2")
    found = attach(installed, "items", "embedding", LABEL, layout=layout)
    assert (found.filled, found.repaired) == (0, 0)
    assert found.verification.good
    asked = Vector(ASKED[0]).to_text()
    installed.execute("UPDATE items SET embedding = %s::vector WHERE id IN (1, 1000)", [asked])
    check = check_codes if layout == "row" else check_beside
    assert check(installed) == 54
    assert search_column(installed, "items", ASKED, rescore="exact").ids[0]
    aside(installed)


def test_codes_without_vectors_are_not_taken_away(installed: Connection, layout: Any) -> None:
    aside(installed)
    code = f"bitryoshka.encode('{LABEL}', '{Vector(ASKED[0]).to_text()}'::vector)"
    if layout == "row":
        write = f"INSERT INTO items (id, code) VALUES (1000, {code})"
    else:
        write = f"INSERT INTO items VALUES (1000); INSERT INTO items_code VALUES (1000, {code})"
    installed.execute(write.encode())
    before = shape(installed)
    with pytest.raises(DatabaseError, match=r"1 rows of public\.items have codes and no vectors"):
        attach(installed, "items", "embedding", LABEL, layout=layout)
    assert shape(installed) == before
    holder = HOLDER[layout]
    installed.execute(f"UPDATE {holder} SET code = NULL WHERE id = 1000".encode())
    assert attach(installed, "items", "embedding", LABEL, layout=layout).verification.good


# how a column of vectors comes back without vectors, or by another name, beside codes
RETURNED = {
    "dropped": ("ALTER TABLE items DROP embedding_dropped, ADD embedding vector(16)", "embedding"),
    "kept": ("ALTER TABLE items ADD embedding vector(16)", "embedding"),
    "renamed": ("ALTER TABLE items RENAME embedding_dropped TO embedding", "embedding"),
    "named": ("SELECT", "embedding_dropped"),
}


@pytest.mark.parametrize("way", RETURNED)
def test_no_way_back_takes_codes_of_lost_vectors(installed: Connection, way: str) -> None:
    change, column = RETURNED[way]
    registered(installed)
    make_table(installed, rows=30)
    installed.execute("DELETE FROM items WHERE embedding IS NULL")
    attach(installed, "items", "embedding", LABEL, layout="narrow")
    aside(installed)
    code = f"bitryoshka.encode('{LABEL}', '{Vector(ASKED[0]).to_text()}'::vector)"
    write = f"INSERT INTO items VALUES (1000); INSERT INTO items_code VALUES (1000, {code})"
    installed.execute(f"{write}; {change}".encode())
    count = 1 if way in ("renamed", "named") else 28
    before = shape(installed), installed.execute("TABLE items_code ORDER BY id").fetchall()
    message = rf"{count} rows of public\.items have codes and no vectors"
    for _ in range(2):
        with pytest.raises(DatabaseError, match=message):
            attach(installed, "items", column, LABEL, layout="narrow")
        if way != "named":
            with pytest.raises(DatabaseError, match=message):
                repair(installed, "items")
    after = shape(installed), installed.execute("TABLE items_code ORDER BY id").fetchall()
    assert after == before
    detach(installed, "items")
    assert installed.execute("TABLE items_code ORDER BY id").fetchall() == before[1]
    # nor where the table is taken up without its entry
    if way != "named":
        with pytest.raises(DatabaseError, match=message):
            attach(installed, "items", column, LABEL, layout="narrow")
    installed.execute(
        "UPDATE items_code AS n SET code = NULL FROM items AS t WHERE t.id = n.id AND "
        f"t.{column} IS NULL".encode()
    )
    assert attach(installed, "items", column, LABEL, layout="narrow").verification.good


def test_codes_of_the_other_layout_are_not_left_to_grow_stale(
    installed: Connection, layout: Any
) -> None:
    other: Any = {"row": "narrow", "narrow": "row"}[layout]
    aside(installed)
    before = shape(installed)
    with pytest.raises(TableError, match=f"no trigger keeps true: attach in layout {layout}"):
        attach(installed, "items", "embedding", LABEL, layout=other)
    assert shape(installed) == before
    # nor where the column was made again
    installed.execute("ALTER TABLE items ADD embedding vector(16)")
    with pytest.raises(TableError, match=r"no trigger keeps true: .* or detach it first"):
        attach(installed, "items", "embedding", LABEL, layout=other)
    installed.execute("ALTER TABLE items DROP embedding")
    attach(installed, "items", "embedding", LABEL, layout=layout)
    assert attach(installed, "items", "embedding", LABEL, layout=other).verification.good
    installed.execute("UPDATE items SET embedding = %s::vector", [Vector(ASKED[0]).to_text()])
    check_codes(installed)
    check_beside(installed)


TAMPERED = {
    "a wrong code": ("UPDATE {holder} SET code = ~ code WHERE id = 7", "1 rows wrong"),
    "a missing code": ("UPDATE {holder} SET code = NULL WHERE id = 7", "1 codes missing"),
    "no trigger": ("ALTER TABLE items DISABLE TRIGGER USER", "is disabled"),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_codes_that_do_not_stand_for_the_vectors(
    installed: Connection, layout: Any, kind: str
) -> None:
    change, message = TAMPERED[kind]
    installed.execute("ALTER TABLE items DISABLE TRIGGER USER")
    if kind != "no trigger":
        installed.execute(change.format(holder=HOLDER[layout]).encode())
        installed.execute("ALTER TABLE items ENABLE TRIGGER USER")
    before = shape(installed)
    for call in (weigh_vectors, set_vectors_aside):
        with pytest.raises(DatabaseError, match=f"do not stand for its vectors: .*{message}"):
            call(installed, "items", "embedding", LABEL)
    assert shape(installed) == before


def test_what_is_refused(installed: Connection) -> None:
    registered(installed, exact_signs(16))
    make_table(installed, rows=20)
    with pytest.raises(TableError, match="no codec is attached to column 'code'"):
        aside(installed)
    with pytest.raises(TableError, match="no column 'embedding_dropped'"):
        drop_vectors(installed, "items", "embedding")
    zero = "[" + ",".join("0" * 16) + "]"
    installed.execute("UPDATE items SET embedding = %s::vector WHERE id = 3", [zero])
    attach(installed, "items", "embedding", LABEL, bad_vectors="skip")
    with pytest.raises(DatabaseError, match=r"1 whose vector has no code.*that have none NULL"):
        aside(installed)
    installed.execute("UPDATE items SET embedding = NULL WHERE id = 3")
    with pytest.raises(TableError, match="holds codes of column 'embedding', found 'title'"):
        set_vectors_aside(installed, "items", "title", LABEL)
    register(installed, "docs", exact_binarizer(4), 2)
    with pytest.raises(FingerprintError, match="holds codes of docs@1, found docs@2"):
        set_vectors_aside(installed, "items", "embedding", "docs")
    installed.execute("ALTER TABLE items ADD embedding_dropped int")
    with pytest.raises(TableError, match="has a column 'embedding_dropped' already"):
        aside(installed)
    # a column of that name that never held vectors set aside
    with pytest.raises(TableError, match="holds no vectors that were set aside"):
        drop_vectors(installed, "items", "embedding")
    installed.execute("ALTER TABLE items DROP embedding_dropped")
    attach(installed, "items", "embedding", "docs@2", code_column="other", bad_vectors="skip")
    attach(installed, "items", "embedding", "docs@2", layout="narrow", bad_vectors="skip")
    with pytest.raises(TableError, match=r"public\.items_code\.code and public\.items\.other hold"):
        aside(installed)
    detach(installed, "items", code_column="other")
    detach(installed, "items_code")
    installed.execute("CREATE PUBLICATION p FOR TABLE items")
    with pytest.raises(TableError, match="is published by p, whose subscribers stop"):
        aside(installed)
    installed.execute("DROP PUBLICATION p")
    with pytest.raises(DatabaseError, match="autocommit"), installed.transaction():
        aside(installed)


def test_the_command_line(run: Run, installed: Connection) -> None:  # noqa: F811
    registered(installed)
    make_table(installed, rows=30)
    command = ("attach", "items", "embedding", "--codec", LABEL, "--layout")
    code, out, err = run(*command, "narrow", "--code-table", "codes")
    assert (code, err) == (0, "")
    assert out.startswith("27 rows encoded")
    [listed] = json.loads(run("columns", "--json")[1])
    assert (listed["table"], listed["column"], listed["state"]) == ("codes", "code", "ready")
    assert json.loads(run("status", "items", "--json")[1])["code_table"] == "public.codes"
    shown = run(*command, "narrow", "--code-table", "new", "--dry-run")[1]
    assert shown.startswith("-- Numbers in names are examples")
    assert "CREATE FUNCTION" in shown
    assert run(*command, "row", "--yes")[0] == 2
    for option in (("--dry-run",), ("--code-table", "codes")):
        assert run(*command, "codes-only", "--yes", *option)[0] == 2
    before = shape(installed)
    code, out, err = run(*command, "codes-only")
    assert (code, out) == (2, "")
    assert "27 vectors take" in err
    assert "confirm by --yes" in err
    assert shape(installed) == before
    code, out, err = run(*command, "codes-only", "--yes")
    assert (code, err) == (0, "")
    assert "embedding is embedding_dropped now" in out
    assert run("drop-vectors", "items", "embedding")[0] == 2
    assert run(*command, "narrow", "--quiet") == (0, "", "")
    assert check_beside(installed, codes="codes") == 27
    assert run(*command, "codes-only", "--yes", "--quiet") == (0, "", "")
    code, out, err = run("drop-vectors", "items", "embedding", "--yes")
    assert (code, err) == (0, "")
    assert "VACUUM FULL" in out
    assert run("detach", "items")[0] == 0
    assert installed.execute("SELECT FROM codes").rowcount == 27
