"""Tables of codes: how they are made, recognised and indexed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from psycopg import errors, rows, sql
from stored_rows import count, filled, ids_of, stored
from synthetic import exact_binarizer, integer_rows

from bitryoshka import Binarizer, BitsError, FingerprintError, TableError
from bitryoshka.postgres import (
    CodeTable,
    connect,
    create_index,
    create_table,
    load,
    open_table,
    prepare_database,
    search,
)
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.table import VectorType

VECTOR_TYPES: tuple[VectorType | None, ...] = (None, "vector", "halfvec")
ODD_NAMES = (
    'a "quoted" name',
    "two words",
    "größe_表_🪆",
    "100% {x} %s %(x)s",
    "select",
    "Upper",
    "a.b",
    "semi;colon--",
    "back\\slash'",
    "n" * 63,
    "ä" * 31,
)


@pytest.fixture
def binarizer() -> Binarizer:
    return exact_binarizer(3)


def columns(connection: Connection, name: str) -> list[tuple[Any, ...]]:
    """Name, type, and whether NULL is refused, of each column of public.NAME."""
    return connection.execute(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute "
        "WHERE attrelid = to_regclass(format('public.%%I', %s::text)) AND attnum > 0 "
        "ORDER BY attnum",
        [name],
    ).fetchall()


def index_definitions(connection: Connection) -> dict[str, str]:
    return dict(
        connection.execute(
            "SELECT indexname::text, indexdef FROM pg_indexes WHERE indexdef LIKE '%hnsw%'"
        ).fetchall()
    )


def test_the_server_and_its_pgvector_are_supported(connection: Connection) -> None:
    server, version = connection.info.server_version, prepare_database(connection)
    print(f"PostgreSQL {server / 10000:.4f}, pgvector {version}")
    assert server >= 14_00_00
    assert tuple(map(int, version.split("."))) >= (0, 8, 4)


@pytest.mark.parametrize("vector_type", VECTOR_TYPES)
def test_a_new_table_has_these_columns(
    connection: Connection, binarizer: Binarizer, vector_type: VectorType | None
) -> None:
    table = create_table(connection, "items", binarizer, vector_type)
    expected = [("id", "bigint", True), ("code", f"bit({binarizer.bits})", True)]
    if vector_type is not None:
        expected.append(("vector", f"{vector_type}(16)", True))
    assert columns(connection, "items") == expected
    assert table.columns() == [(name, type_) for name, type_, _ in expected]
    assert table == CodeTable(
        "public",
        "items",
        binarizer.bits,
        binarizer.hamming_bits,
        16,
        vector_type,
        binarizer.fingerprint,
    )
    [(key,)] = connection.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = 'items'::regclass AND contype = 'p'"
    ).fetchall()
    assert key == "PRIMARY KEY (id)"


@pytest.mark.parametrize("vector_type", VECTOR_TYPES)
def test_a_table_of_the_same_shape_is_taken_as_it_is(
    connection: Connection, binarizer: Binarizer, vector_type: VectorType | None
) -> None:
    table = filled(connection, binarizer, integer_rows(0, 5), vector_type)
    assert create_table(connection, "items", binarizer, vector_type) == table
    assert open_table(connection, "items", binarizer, vector_type) == table
    assert count(connection, table) == 5


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_work_from_creation_to_search(
    connection: Connection, binarizer: Binarizer, name: str
) -> None:
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    vectors = integer_rows(0, 20)
    codes = binarizer.encode(vectors)
    table = create_table(connection, name, binarizer, "vector", schema=name)
    assert open_table(connection, name, binarizer, "vector", schema=name) == table
    load(connection, table, np.arange(20), codes, vectors)
    np.testing.assert_array_equal(stored(connection, table).codes, codes)
    index = create_index(connection, table, binarizer.hamming_bits)
    assert list(index_definitions(connection)) == [index]
    for rescore in (None, "asymmetric", "exact"):
        found = search(connection, table, binarizer, vectors[:3], k=20, rescore=rescore)
        assert np.sort(found.ids, axis=1).tolist() == [list(range(20))] * 3


@pytest.mark.parametrize("name", ["", "n" * 64, "ä" * 32])
def test_a_name_that_postgres_would_cut_is_refused(
    connection: Connection, binarizer: Binarizer, name: str
) -> None:
    size = len(name.encode())
    for call in (create_table, open_table):
        with pytest.raises(TableError, match=f"1 to 63 bytes in UTF-8, found {size}"):
            call(connection, name, binarizer)
        with pytest.raises(TableError, match=f"1 to 63 bytes in UTF-8, found {size}"):
            call(connection, "items", binarizer, schema=name)


def test_tables_of_two_schemas_do_not_meet(connection: Connection, binarizer: Binarizer) -> None:
    connection.execute("CREATE SCHEMA other")
    table = filled(connection, binarizer, integer_rows(0, 5))
    other = create_table(connection, "items", binarizer, schema="other")
    assert (count(connection, table), count(connection, other)) == (5, 0)


@pytest.mark.parametrize(
    "definition",
    [
        "id bigint, title text",
        "id bigint PRIMARY KEY, code bit(8)",
        "id integer PRIMARY KEY, code bit({bits})",
        "id bigint PRIMARY KEY, code bit({bits}), title text",
        "code bit({bits}), id bigint PRIMARY KEY",
        "id bigint PRIMARY KEY, code bit({bits}), vector vector(16)",
        "id bigint PRIMARY KEY, code varbit({bits})",
    ],
)
def test_a_table_of_another_shape_is_refused_and_left_alone(
    connection: Connection, binarizer: Binarizer, definition: str
) -> None:
    connection.execute(f"CREATE TABLE items ({definition.format(bits=binarizer.bits)})")  # type: ignore[arg-type]
    connection.execute("INSERT INTO items (id) VALUES (7)")
    before = columns(connection, "items")
    for call in (create_table, open_table):
        with pytest.raises(TableError, match="another shape: expected columns") as refused:
            call(connection, "items", binarizer)
        assert f"(id bigint, code bit({binarizer.bits})), found (" in str(refused.value)
        assert ", ".join(f"{name} {type_}" for name, type_, _ in before) in str(refused.value)
    assert columns(connection, "items") == before
    assert connection.execute("SELECT id FROM items").fetchall() == [(7,)]


@pytest.mark.parametrize(
    ("kept", "asked"), [(None, "vector"), ("vector", None), ("vector", "halfvec")]
)
def test_a_table_that_keeps_other_vectors_is_refused(
    connection: Connection,
    binarizer: Binarizer,
    kept: VectorType | None,
    asked: VectorType | None,
) -> None:
    table = filled(connection, binarizer, integer_rows(0, 5), kept)
    for call in (create_table, open_table):
        with pytest.raises(TableError, match="another shape"):
            call(connection, "items", binarizer, asked)
    assert count(connection, table) == 5


def test_another_binarizers_table_is_refused(connection: Connection, binarizer: Binarizer) -> None:
    table = filled(connection, binarizer, integer_rows(0, 5))
    changed = Binarizer(
        **{
            name: getattr(binarizer, name)
            for name in ("projection", "step", "bit_dimension", "bit_plane", "levels")
        },
        offset=binarizer.offset + 1,
        nested_bits=binarizer.nested_bits,
        metric=binarizer.metric,
    )
    for call in (create_table, open_table):
        with pytest.raises(FingerprintError) as refused:
            call(connection, "items", changed)
        assert binarizer.fingerprint in str(refused.value)
        assert changed.fingerprint in str(refused.value)
    assert open_table(connection, "items", binarizer) == table
    assert count(connection, table) == 5


def test_a_table_without_a_fingerprint_is_refused(
    connection: Connection, binarizer: Binarizer
) -> None:
    create_table(connection, "items", binarizer)
    connection.execute("COMMENT ON COLUMN items.code IS NULL")
    with pytest.raises(FingerprintError, match="found none"):
        open_table(connection, "items", binarizer)


def test_a_missing_table_is_named(connection: Connection, binarizer: Binarizer) -> None:
    with pytest.raises(TableError, match=r"no table public\.items: make it with create_table"):
        open_table(connection, "items", binarizer)
    with pytest.raises(TableError, match=r"no table nowhere\.items"):
        open_table(connection, "items", binarizer, schema="nowhere")
    with pytest.raises(errors.InvalidSchemaName):
        create_table(connection, "items", binarizer, schema="nowhere")


def test_an_unknown_vector_type_is_refused(connection: Connection, binarizer: Binarizer) -> None:
    for call in (create_table, open_table):
        with pytest.raises(TableError, match="found 'sparsevec'"):
            call(connection, "items", binarizer, "sparsevec")  # type: ignore[arg-type]


def test_creation_belongs_to_the_callers_transaction(
    connection: Connection, binarizer: Binarizer
) -> None:
    with connection.transaction(force_rollback=True):
        create_table(connection, "items", binarizer)
        assert columns(connection, "items")
    assert not columns(connection, "items")


def test_a_refused_table_leaves_the_database_without_pgvector(
    bare_database: str, binarizer: Binarizer
) -> None:
    with connect(bare_database) as connection:
        connection.execute("CREATE TABLE items (id bigint)")
        with pytest.raises(TableError, match="another shape"):
            create_table(connection, "items", binarizer)
        assert connection.execute("SELECT extname::text FROM pg_extension").fetchall() == [
            ("plpgsql",)
        ]
        create_table(connection, "others", binarizer)
        assert prepare_database(connection) == prepare_database(connection)


def test_the_connections_own_row_factory_does_not_matter(
    connection: Connection, binarizer: Binarizer
) -> None:
    connection.row_factory = rows.dict_row
    vectors = integer_rows(0, 20)
    table = filled(connection, binarizer, vectors)
    assert open_table(connection, "items", binarizer) == table
    found = search(connection, table, binarizer, vectors[:2], k=20)
    assert np.sort(found.ids, axis=1).tolist() == [ids_of(range(20)).tolist()] * 2


def test_an_index_covers_the_prefix_or_the_whole_code(
    connection: Connection, binarizer: Binarizer
) -> None:
    table = filled(connection, binarizer, integer_rows(0, 20))
    bits = binarizer.bits
    assert create_index(connection, table) == f"items_code_{binarizer.hamming_bits}_hnsw"
    connection.execute(f"DROP INDEX items_code_{binarizer.hamming_bits}_hnsw")  # type: ignore[arg-type]
    assert create_index(connection, table, bits) == f"items_code_{bits}_hnsw"
    assert create_index(connection, table, np.int64(8), m=4, ef_construction=9) == (  # type: ignore[arg-type]
        "items_code_8_hnsw"
    )
    found = index_definitions(connection)
    assert len(found) == 2
    assert (
        "USING hnsw (code bit_hamming_ops) WITH (m='8', ef_construction='128')"
        in (found[f"items_code_{bits}_hnsw"])
    )
    assert (
        "FROM 1 FOR 8))::bit(8)) bit_hamming_ops) WITH (m='4', ef_construction='9')"
        in (found["items_code_8_hnsw"])
    )


def test_an_index_that_exists_is_refused(connection: Connection, binarizer: Binarizer) -> None:
    table = filled(connection, binarizer, integer_rows(0, 20))
    name = create_index(connection, table, 8)
    with pytest.raises(TableError, match=f"already an index {name}: drop it first"):
        create_index(connection, table, 8)
    assert list(index_definitions(connection)) == [name]


def test_long_names_leave_room_for_the_index_of_each_prefix(
    connection: Connection, binarizer: Binarizer
) -> None:
    table = filled(connection, binarizer, integer_rows(0, 20), name="ä" * 31)
    names = {create_index(connection, table, bits) for bits in (8, 16)}
    assert len(names) == 2
    assert set(index_definitions(connection)) == names


@pytest.mark.parametrize("prefix_bits", [0, -8, 7, 8.0, True, 4096])
def test_no_index_over_bits_that_the_code_has_not(
    connection: Connection, binarizer: Binarizer, prefix_bits: Any
) -> None:
    table = create_table(connection, "items", binarizer)
    with pytest.raises(BitsError, match="prefix_bits"):
        create_index(connection, table, prefix_bits)
    assert not index_definitions(connection)
