"""A user's Alembic history with codes in it: every driver, online and offline, up and down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from alembic.migration import MigrationContext
from alembic.operations import MigrateOperation, Operations
from alembic_history import DRIVERS, History, catalogs, run_script, url
from attached_rows import BINARIZER, LABEL, check_codes, make_table, registered
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as hypothesis_arrays
from numpy.typing import NDArray
from pgvector import Vector
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from synthetic import additive_binarizer, exact_binarizer, integer_rows

from bitryoshka import Binarizer
from bitryoshka.alembic import (
    DropCodeColumnOp,
    DropCodecOp,
    DropCodeIndexOp,
    ReleaseCodeColumnOp,
)
from bitryoshka.alembic.sending import send_text
from bitryoshka.catalogue import Cells
from bitryoshka.codec_scripts import _literals
from bitryoshka.errors import BitryoshkaError, DatabaseError
from bitryoshka.postgres import attach, connect, export, search_column, status, verify
from bitryoshka.postgres.server import Connection
from bitryoshka.schema_scripts import quoted

TABLE = """
op.execute("CREATE TABLE docs (id bigint PRIMARY KEY, title text, embedding vector(16))")
op.execute("INSERT INTO docs SELECT i, 'x', array_agg(mod(i * 7 + j * j * 5, 13) - 6) "
    "FROM generate_series(1, 40) AS i, generate_series(1, 16) AS j GROUP BY i")
"""
CODES = """
op.install_bitryoshka()
op.register_codec("docs", "codec.safetensors", 1)
op.add_code_column("docs", "embedding", "docs@1", prefix_bits=8)
"""
WITHOUT_CODES = """
op.drop_code_column("docs")
op.drop_codec("docs@1")
op.uninstall_bitryoshka()
"""


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def whole_history(folder: Path, dsn: str, driver: str = "psycopg") -> History:
    """A table, codes on it, and an index."""
    history = History(folder, dsn, driver)
    BINARIZER.save(folder / "codec.safetensors")
    history.write(TABLE, 'op.execute("DROP TABLE docs")')
    history.write(CODES, WITHOUT_CODES)
    history.write(
        'op.create_code_index("docs_code", "docs", "code", prefix_bits=8, m=8, ef_construction=32)',
        'op.drop_code_index("docs_code", "docs")',
    )
    return history


def test_a_history_goes_up_and_down_and_up_again(
    database: str, connection: Connection, tmp_path: Path, driver: str
) -> None:
    history = whole_history(tmp_path, database, driver)
    before = catalogs(connection)
    history.upgrade()
    after = catalogs(connection)
    assert export(connection, LABEL).fingerprint == BINARIZER.fingerprint
    assert check_codes(connection, name="docs") == 40
    vector = Vector(integer_rows(1, 1)[0]).to_text()
    connection.execute("INSERT INTO docs VALUES (100, 'y', %s::vector)", [vector])
    assert check_codes(connection, name="docs") == 41
    assert verify(connection, "docs").good
    assert status(connection, "docs").state == "ready"
    history.downgrade()
    assert catalogs(connection) == before
    history.upgrade()
    assert catalogs(connection) == after


def test_one_transaction_for_all_migrations_is_broken_by_the_index_alone(
    database: str, connection: Connection, tmp_path: Path, driver: str
) -> None:
    history = whole_history(tmp_path, database, driver)
    history.settings["transaction_per_migration"] = False
    history.write("raise ValueError('broken off')")
    before = catalogs(connection)
    with pytest.raises(ValueError, match="broken off"):
        history.upgrade()
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("m2",)]
    connection.execute("DROP INDEX docs_code")
    history.downgrade()
    assert catalogs(connection) == before


def test_the_script_gives_the_same_database(
    database: str, connection: Connection, tmp_path: Path, driver: str
) -> None:
    history = whole_history(tmp_path, database, driver)
    before = catalogs(connection)
    history.upgrade()
    online = catalogs(connection)
    contents = "SELECT code_column, codec, prefix_bits, state FROM bitryoshka.code_columns"
    kept = connection.execute(contents).fetchall()
    codes = connection.execute("SELECT id, code FROM docs").fetchall()
    history.downgrade()
    connection.execute("DROP TABLE alembic_version")
    up, down = history.sql("upgrade", "base:head"), history.sql("downgrade", "head:base")
    run_script(connection, up)
    assert catalogs(connection) == online
    assert connection.execute(contents).fetchall() == kept
    assert connection.execute("SELECT id, code FROM docs").fetchall() == codes
    assert export(connection, LABEL).fingerprint == BINARIZER.fingerprint
    run_script(connection, down)
    assert catalogs(connection) == before


def test_installing_is_done_once(database: str, connection: Connection, tmp_path: Path) -> None:
    history = History(tmp_path, database)
    history.write('op.install_bitryoshka("0001")', "pass")
    history.write("op.install_bitryoshka()\nop.install_bitryoshka('0001')", "pass")
    install_and_back = history.sql("upgrade", "base:head")
    history.upgrade()
    first = catalogs(connection)
    history.downgrade()
    history.upgrade()
    assert catalogs(connection) == first
    connection.execute("DROP TABLE alembic_version")
    run_script(connection, install_and_back)
    assert catalogs(connection) == first


def test_the_callers_search_path_stays(bare_database: str, tmp_path: Path, driver: str) -> None:
    history = History(tmp_path, bare_database, driver)
    history.write(
        'op.execute("SET LOCAL search_path = information_schema, public")\n'
        "op.install_bitryoshka()\n"
        "op.execute(\"CREATE TABLE public.seen AS SELECT current_setting('search_path') AS path\")",
        "op.uninstall_bitryoshka()",
    )
    history.upgrade()
    with connect(bare_database) as connection:
        assert connection.execute("SELECT path FROM seen").fetchall() == [
            ("information_schema, public",)
        ]
        history.downgrade()
        assert connection.execute("SELECT to_regnamespace('bitryoshka')").fetchall() == [(None,)]
        assert connection.execute("SELECT FROM pg_extension WHERE extname = 'vector'").rowcount == 1


def every_part() -> Binarizer:
    """Arrays for queries too, numbers of every size, and metadata that needs quoting."""
    random = np.random.default_rng(0)
    b = exact_binarizer(5)
    m, d = b.projection.shape
    sizes = 10.0 ** random.integers(-30, 30, (m, d))
    projection = (random.normal(size=(m, d)) * sizes).astype(np.float32)
    projection[0, :3] = [-0.0, np.finfo(np.float32).tiny, np.finfo(np.float32).max]
    return Binarizer(
        projection=projection,
        offset=np.nextafter(b.offset, np.float32(1)),
        step=np.full(m, np.float32(1) / 3),
        bit_dimension=b.bit_dimension,
        bit_plane=b.bit_plane,
        levels=random.normal(size=b.levels.shape).astype(np.float32),
        nested_bits=b.nested_bits,
        weight_projection=random.normal(size=(sum(b.nested_bits), d)).astype(np.float32),
        hamming_projection=random.normal(size=(m, d)).astype(np.float32),
        hamming_offset=random.normal(size=m).astype(np.float32),
        info={"it's": 'a "quote", back\\slash, :colon, \\:both, 100% %s {braces} größe 🪆\n$$'},
    )


@pytest.mark.parametrize("offline", [False, True])
def test_a_codec_arrives_with_every_bit(
    installed_database: str, installed: Connection, tmp_path: Path, driver: str, offline: bool
) -> None:
    whole = every_part()
    threshold_alone = exact_binarizer(6)
    threshold_alone = Binarizer(
        **{
            name: getattr(threshold_alone, name)
            for name in ("projection", "offset", "step", "bit_dimension", "bit_plane", "levels")
        },
        nested_bits=threshold_alone.nested_bits,
        metric="inner_product",
        hamming_offset=threshold_alone.offset + 1,
    )
    history = History(tmp_path, installed_database, driver)
    additive = additive_binarizer(3, lengths=(24, 48), restarts=2)
    given = {"whole": whole, "threshold": threshold_alone, "additive": additive}
    for name, binarizer in given.items():
        binarizer.save(tmp_path / f"{name}.safetensors")
        history.write(
            f'op.register_codec("{name}", "{name}.safetensors", 3)\n' * 2,
            f'op.drop_codec("{name}@3")',
        )
    if offline:
        run_script(installed, history.sql("upgrade", "base:head"))
    else:
        history.upgrade()
    found = export(installed, "whole@3")
    assert found.fingerprint == whole.fingerprint
    assert dict(found.info) == dict(whole.info)
    assert export(installed, "threshold@3").fingerprint == threshold_alone.fingerprint
    assert export(installed, "additive@3").fingerprint == additive.fingerprint
    assert installed.execute("SELECT FROM bitryoshka.gram").rowcount == 48
    history.downgrade()
    for table in ("codecs", "weights", "code_bits", "cuts", "additive", "decoder", "gram"):
        assert installed.execute(f"SELECT FROM bitryoshka.{table}").rowcount == 0  # type: ignore[arg-type]


def test_another_binarizer_under_a_taken_name_is_refused(
    installed_database: str, installed: Connection, tmp_path: Path, driver: str
) -> None:
    history = History(tmp_path, installed_database, driver)
    BINARIZER.save(tmp_path / "codec.safetensors")
    history.write('op.register_codec("docs", "codec.safetensors")')
    history.upgrade()
    exact_binarizer(9).save(tmp_path / "other.safetensors")
    history.write('op.register_codec("docs", "other.safetensors")')
    with pytest.raises(DBAPIError, match="codec docs@1 is another binarizer: expected fingerprint"):
        history.upgrade()
    with pytest.raises(DatabaseError, match="is another binarizer"):
        run_script(installed, history.sql("upgrade", "m1:head"))
    assert export(installed, LABEL).fingerprint == BINARIZER.fingerprint


ERRORS = {
    'op.register_codec("docs", "nothing.safetensors")': "expected a binarizer's file .*nothing",
    'op.install_bitryoshka("abc")': "there is no revision 'abc': expected head or one of",
    'op.drop_codec("other@1")': "there is no codec 'other@1'",
    'op.drop_codec("docs@1")': 'foreign key|update or delete on table "codecs"',
    "op.uninstall_bitryoshka()": "codecs are attached to columns",
    'op.add_code_column("docs", "embedding", "other@1", "c")': "there is no codec 'other@1'",
    'op.add_code_column("docs", "title", "docs@1", "c")': "found title of public.docs",
    'op.add_code_column("docs", "none", "docs@1", "c")': "no such column",
    'op.add_code_column("nothing", "embedding", "docs@1")': '"nothing" does not exist',
    'op.add_code_column("docs", "embedding", "docs@1")': "call another column code",
    'op.add_code_column("docs", "embedding", "docs@1", "title")': "which holds no codes of ours",
    'op.add_code_column("docs", "embedding", "docs@1", "c", prefix_bits=12)': "one of .* found 12",
    'op.add_code_column("docs", "embedding", "docs@1", "c", bad_vectors="x")': "bad_vectors",
    'op.add_code_column("docs", "short", "docs@1", "c")': "expects 16 dimensions, found 4",
    'op.drop_code_column("docs", "title")': "no codec is attached to column title of public.docs",
    'op.create_code_index("docs_code", "docs", "code", prefix_bits=8)': "already exists",
    'op.create_code_index("i", "docs", "code", prefix_bits=12)': "multiple of 8, found 12",
    'op.create_code_index("i", "docs", prefix_bits=None)': "a number of bits or 'all', found None",
    'op.drop_code_index("nothing", "docs")': "does not exist",
}


@pytest.mark.parametrize("call", ERRORS)
def test_what_does_not_fit_is_refused(database: str, tmp_path: Path, call: str) -> None:
    history = whole_history(tmp_path, database)
    history.write('op.execute("ALTER TABLE docs ADD COLUMN short vector(4)")')
    history.upgrade()
    history.write(call)
    with connect(database) as connection:
        before = catalogs(connection)
        with pytest.raises((BitryoshkaError, DBAPIError), match=ERRORS[call]):
            history.upgrade()
        assert catalogs(connection) == before


@pytest.mark.parametrize(
    "operation",
    [
        DropCodecOp("docs@1"),
        DropCodeColumnOp("docs"),
        DropCodeIndexOp("docs_code", "docs"),
        ReleaseCodeColumnOp("docs"),
    ],
)
def test_what_has_no_reverse_says_so(operation: MigrateOperation) -> None:
    with pytest.raises(BitryoshkaError, match="has no reverse"):
        operation.reverse()


def test_attach_goes_on_from_a_column_that_a_migration_added(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    history = History(tmp_path, database)
    BINARIZER.save(tmp_path / "codec.safetensors")
    history.write(TABLE)
    history.write(CODES.replace("prefix_bits=8", "backfill=False"))
    history.upgrade()
    assert connection.execute("SELECT FROM docs WHERE code IS NOT NULL").rowcount == 0
    assert attach(connection, "docs", "embedding", LABEL, prefix_bits=8).filled == 40
    assert check_codes(connection, name="docs") == 40
    again = attach(connection, "docs", "embedding", LABEL, prefix_bits=8)
    assert (again.filled, again.verification.index_valid) == (0, True)


def test_attach_takes_the_index_that_a_migration_built(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    history = whole_history(tmp_path, database)
    history.upgrade()
    before = catalogs(connection)
    assert attach(connection, "docs", "embedding", LABEL, prefix_bits=8).filled == 0
    assert catalogs(connection) == before
    assert search_column(connection, "docs", np.ones((1, 16), np.float32), k=3)


def test_attach_takes_the_index_of_a_partitioned_table(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    registered(installed)
    make_table(installed, suffix="PARTITION BY RANGE (id)", rows=0)
    for start in (0, 50):
        installed.execute(
            f"CREATE TABLE part_{start} PARTITION OF items "  # type: ignore[arg-type]
            f"FOR VALUES FROM ({start}) TO ({start + 50})"
        )
    history = History(tmp_path, installed_database)
    history.write(
        'op.add_code_column("items", "embedding", "docs@1", prefix_bits=8)\n'
        'op.create_code_index("items_code", "items", "code", prefix_bits=8, concurrently=False)'
    )
    history.upgrade()
    vectors = integer_rows(1, 100)
    for i, vector in enumerate(vectors):
        installed.execute(
            "INSERT INTO items (id, embedding) VALUES (%s, %s::vector)",
            [i, Vector(vector).to_text()],
        )
    before = catalogs(installed)
    found = attach(installed, "items", "embedding", LABEL, prefix_bits=8)
    assert found.verification.index_valid
    assert catalogs(installed) == before
    installed.execute("DROP INDEX items_code")
    assert attach(installed, "items", "embedding", LABEL, prefix_bits=8).verification.index_valid
    assert catalogs(installed) != before


def test_a_transaction_of_the_environments_own_is_in_the_way(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    history = History(tmp_path, installed_database)
    environment = (tmp_path / "env.py").read_text()
    (tmp_path / "env.py").write_text(environment.replace(".connect() as c", ".begin() as c"))
    history.write('op.create_code_index("i", "docs", prefix_bits="all")')
    with pytest.raises(DatabaseError, match="outside a transaction, and env"):
        history.upgrade()


def test_the_column_of_a_migration_is_the_one_that_attach_makes(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    history = whole_history(tmp_path, database)
    history.upgrade("m2")
    by_migration = catalogs(connection)
    connection.execute("SELECT bitryoshka.drop_code_column('docs')")
    connection.execute("ALTER SEQUENCE bitryoshka.columns_id_seq RESTART")
    attach(connection, "docs", "embedding", LABEL, prefix_bits=8, index=False)
    assert catalogs(connection) == by_migration


def test_odd_names_on_every_driver(
    database: str, connection: Connection, tmp_path: Path, driver: str
) -> None:
    name = "100% {x} %s \"q\" 'a' :y \\:z $1 größe"
    quoted = '"' + name.replace('"', '""') + '"'
    connection.execute(f"CREATE SCHEMA {quoted}".encode())
    connection.execute(
        f"CREATE TABLE {quoted}.{quoted} (id int PRIMARY KEY, {quoted} vector(16))".encode()
    )
    BINARIZER.save(tmp_path / "codec.safetensors")
    history = History(tmp_path, database, driver)
    places = f"code_column={name[:-5]!r}, schema={name!r}"
    history.write(
        f"""
op.install_bitryoshka()
op.register_codec("docs", "codec.safetensors", 1)
op.add_code_column({name!r}, {name!r}, "docs@1", {places})
op.create_code_index({name!r} + "i", {name!r}, {name[:-5]!r}, prefix_bits="all", schema={name!r})
""",
        f"""
op.drop_code_index({name!r} + "i", {name!r}, schema={name!r})
op.drop_code_column({name!r}, {places})
op.drop_codec("docs@1")
op.uninstall_bitryoshka()
""",
    )
    before = catalogs(connection)
    history.upgrade()
    assert status(connection, name, schema=name, code_column=name[:-5]).state == "ready"
    history.downgrade()
    assert catalogs(connection) == before
    connection.execute("DROP TABLE alembic_version")
    run_script(connection, history.sql("upgrade", "base:head"))
    assert status(connection, name, schema=name, code_column=name[:-5]).state == "ready"
    run_script(connection, history.sql("downgrade", "head:base"))
    assert catalogs(connection) == before


def test_an_old_pgvector_is_refused(
    database: str, connection: Connection, tmp_path: Path, driver: str
) -> None:
    connection.execute("UPDATE pg_extension SET extversion = '0.8.3' WHERE extname = 'vector'")
    history = History(tmp_path, database, driver)
    history.write("op.install_bitryoshka()")
    with pytest.raises(DBAPIError, match=r"0\.8\.4 or newer is needed, found 0\.8\.3"):
        history.upgrade()
    assert connection.execute("SELECT to_regnamespace('bitryoshka')").fetchall() == [(None,)]


@pytest.fixture(scope="module", params=["psycopg", "psycopg2"])
def engine(request: pytest.FixtureRequest, dsn: str) -> Engine:
    return create_engine(url(dsn, request.param), poolclass=NullPool)


@settings(deadline=None, max_examples=60)
@given(
    value=st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"])
        | st.sampled_from("\\:'%{}$\"")
    )
)
@pytest.mark.parametrize("strings", ["on", "off"])
def test_any_text_arrives_as_it_is(engine: Engine, strings: str, value: str) -> None:
    with engine.connect() as opened:
        opened.exec_driver_sql(f"SET standard_conforming_strings = {strings}")
        opened.exec_driver_sql("SET escape_string_warning = off")
        operations = Operations(MigrationContext.configure(opened))
        send_text(operations, f"SELECT set_config('test.value', {quoted(value)}, false)")
        assert opened.scalar(text("SELECT current_setting('test.value')")) == value


@given(
    rows=hypothesis_arrays(
        np.float32, (3, 4), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    )
)
def test_numbers_read_back_as_they_are(rows: NDArray[np.float32]) -> None:
    for written, row in zip(_literals(Cells("vector", rows), len(rows)), rows, strict=True):
        read = np.array([np.float32(x) for x in written.strip("'[]").split(",")])
        assert read.tobytes() == row.tobytes()
