"""DDL on the columns that codes hang on: what autogenerate writes runs up and down, and is all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.util import CommandError
from alembic_history import History, catalogs, run_script
from attached_rows import BINARIZER, LABEL, check_codes, make_table, registered
from pgvector.sqlalchemy import HALFVEC, Vector
from psycopg import errors
from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text
from sqlalchemy.exc import DBAPIError
from synthetic import exact_binarizer
from test_alembic_autogenerate import IMPORTS, body

from bitryoshka.postgres import adopt, attach, register, verify
from bitryoshka.postgres.server import Connection
from bitryoshka.sqlalchemy import Code, leave_to_trigger, prefix_index

BITS = BINARIZER.bits
OF_THE_TABLE = """
SELECT proname::text FROM pg_proc WHERE proname ~ '^bitryoshka_(fill|encode)_'
UNION ALL SELECT tgname::text FROM pg_trigger WHERE tgname ~ '^zz_bitryoshka'
UNION ALL SELECT code_column::text FROM bitryoshka.columns
"""


def models(*columns: Column[Any], **options: Any) -> tuple[MetaData, Table]:
    """The table of `make_table` with these columns in place of its vector."""
    metadata = MetaData()
    options = {"schema": None, "name": "items", **options}
    key = Column("id", BigInteger, primary_key=True, autoincrement=False)
    table = Table(
        options["name"], metadata, key, Column("title", Text), *columns, schema=options["schema"]
    )
    return metadata, table


def left(
    vector: str = "embedding",
    kind: Any = None,
    code: str = "code",
    codec: str = LABEL,
    bits: int = BITS,
    **options: Any,
) -> MetaData:
    """A vector, and its code that is left to the trigger."""
    columns = Column(vector, kind or Vector(16)), Column(code, Code(bits))
    metadata, table = models(*columns, **options)
    leave_to_trigger(table.c[code], table.c[vector], codec)
    return metadata


def begun(tmp_path: Path, dsn: str, installed: Connection, rows: int = 200, **settings: Any) -> Any:
    """A history after which the table has its codes, and what the database has then."""
    registered(installed)
    make_table(installed, rows)
    history = History(tmp_path, dsn, **settings)
    generate(history, left())
    history.upgrade()
    return history, catalogs(installed)


def generate(history: History, metadata: MetaData) -> list[str]:
    """The next migration's upgrade, line by line with its notes; the file names what it uses."""
    script = history.generate(metadata)
    path = max(
        (history.folder / "versions").glob("m*.py"), key=lambda p: int(p.stem[1:].split("_")[0])
    )
    path.write_text(script.replace("import sqlalchemy as sa", IMPORTS))
    lines: list[str] = []
    for line in script.split("def upgrade()")[1].split("def downgrade()")[0].splitlines()[1:]:
        if line.startswith(" " * 15):
            lines[-1] += f" {line.strip()}"
        elif line.strip() and "###" not in line and '"""' not in line:
            lines.append(line.strip())
    return lines


def settled(history: History, metadata: MetaData) -> None:
    """Upgrade, and see that a further migration is empty."""
    history.upgrade()
    assert body(history.generate(metadata), "upgrade") == "pass"
    history.upgrade()


def written(installed: Connection, table: str = "items", vector: str = "embedding") -> None:
    """A row that is inserted has its code, and another when it is updated."""
    values = ", ".join(map(str, range(1, 17)))
    installed.execute(
        f"INSERT INTO {table} (id, {vector}) VALUES (1000, '[{values}]')"  # type: ignore[arg-type]
    )
    installed.execute(f"UPDATE {table} SET {vector} = '[{values[::-1]}]' WHERE id = 1000")  # type: ignore[arg-type]


def down(history: History, installed: Connection, before: list[Any], to: str = "m1") -> None:
    """Downgrade to the table with its codes, and see that they are made."""
    # numbers of entries are in the names of functions
    installed.execute("ALTER SEQUENCE bitryoshka.columns_id_seq RESTART")
    history.downgrade(to)
    assert catalogs(installed) == before
    codes = check_codes(installed)
    written(installed)
    assert check_codes(installed) == codes + 1
    assert verify(installed, "items", queries=0).good


def test_a_vector_goes_after_its_codes(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    history, before = begun(tmp_path, installed_database, installed)
    bare, _ = models()
    assert generate(history, bare) == [
        "op.drop_code_column('items', 'code')",
        "op.drop_column('items', 'embedding')",
    ]
    settled(history, bare)
    assert installed.execute(OF_THE_TABLE).fetchall() == []
    down(history, installed, before)


@pytest.mark.parametrize(
    ("wanted", "left_over"),
    [
        (lambda: models()[0], 0),
        (lambda: models(Column("code", Code(BITS)))[0], 1),
        (lambda: left(kind=HALFVEC(16)), 4),
    ],
    ids=["gone", "released", "restored"],
)
def test_the_same_as_a_script(
    installed_database: str,
    installed: Connection,
    tmp_path: Path,
    wanted: Callable[[], MetaData],
    left_over: int,
) -> None:
    history, before = begun(tmp_path, installed_database, installed)
    generate(history, wanted())
    run_script(installed, history.sql("upgrade", "m1:m2"))
    assert len(installed.execute(OF_THE_TABLE).fetchall()) == left_over
    installed.execute("ALTER SEQUENCE bitryoshka.columns_id_seq RESTART")
    run_script(installed, history.sql("downgrade", "m2:m1"))
    assert catalogs(installed) == before
    written(installed)


def test_every_column_of_codes_goes_with_its_vector(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    """In another schema, where the table has vectors that stay."""
    registered(installed)
    installed.execute("CREATE SCHEMA other")
    make_table(installed, schema="other", rows=20)
    installed.execute("ALTER TABLE other.items ADD COLUMN kept vector(16)")
    for vector, code in (("embedding", "code"), ("embedding", "second"), ("kept", "third")):
        attach(installed, "items", vector, LABEL, schema="other", code_column=code, queries=0)
    history = History(tmp_path, installed_database, include_schemas=True)
    metadata, table = models(
        Column("kept", Vector(16)), Column("third", Code(BITS)), schema="other"
    )
    leave_to_trigger(table.c.third, table.c.kept, LABEL)
    lines = generate(history, metadata)
    assert set(lines[:2]) == {
        "op.drop_code_column('items', 'code', schema='other')",
        "op.drop_code_column('items', 'second', schema='other')",
    }
    assert lines[2:] == ["op.drop_column('items', 'embedding', schema='other')"]
    settled(history, metadata)
    assert installed.execute("SELECT code_column FROM bitryoshka.columns").fetchall() == [
        ("third",)
    ]
    history.downgrade()
    found = installed.execute("SELECT code_column FROM bitryoshka.columns ORDER BY 1").fetchall()
    assert found == [("code",), ("second",), ("third",)]


def test_codes_that_a_model_keeps_stay_without_their_vectors(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    history, _ = begun(tmp_path, installed_database, installed, driver="asyncpg")
    installed.execute("CREATE INDEX items_codes ON items (code)")
    installed.execute(
        "CREATE INDEX items_8 ON items USING hnsw ((substring(code, 1, 8)::bit(8)) "
        "bit_hamming_ops) WITH (m = 8, ef_construction = 128)"
    )
    before = catalogs(installed)
    codes = installed.execute("SELECT id, code FROM items ORDER BY id").fetchall()
    metadata, table = models(Column("code", Code(BITS)))
    Index("items_codes", table.c.code)
    prefix_index("items_8", table.c.code, 8)
    assert generate(history, metadata) == [
        "op.release_code_column('items', 'code')",
        "op.drop_column('items', 'embedding')",
    ]
    settled(history, metadata)
    assert installed.execute("SELECT id, code FROM items ORDER BY id").fetchall() == codes
    entries = "SELECT vector_column, state FROM bitryoshka.columns"
    assert installed.execute(entries).fetchall() == [(None, "ready")]
    assert installed.execute(OF_THE_TABLE).fetchall() == [("code",)]
    history.downgrade("m1")
    assert catalogs(installed) == before
    assert installed.execute("SELECT id, code FROM items ORDER BY id").fetchall() == codes
    # the codes have no vectors to be looked at by, until attach
    assert installed.execute(entries).fetchall() == [("embedding", "checking")]
    attach(installed, "items", "embedding", LABEL, index=False, queries=0)
    written(installed)
    assert check_codes(installed) == 1


RENAMED = [
    "op.drop_code_column('items', 'code')",
    "op.add_column('items', sa.Column('vec', pgvector.sqlalchemy.vector.VECTOR(dim=16), "
    "nullable=True))",
    "op.add_code_column('items', 'vec', 'docs@1', 'code')",
    "op.drop_column('items', 'embedding')",
]


@pytest.mark.parametrize("as_noted", [False, True])
def test_a_vector_with_another_name(
    installed_database: str,
    installed: Connection,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    as_noted: bool,
) -> None:
    history, before = begun(tmp_path, installed_database, installed)
    lines = generate(history, left("vec"))
    assert [x for x in lines if not x.startswith("#")] == RENAMED
    note = " ".join(x.removeprefix("# ") for x in lines if x.startswith("#"))
    call = "op.alter_column('items', 'embedding', new_column_name='vec')"
    restored = "op.restore_code_column('items', 'vec', 'code')"
    assert note == (
        f"embedding of items is dropped with its vectors: if it is vec now, put {call} and "
        f"{restored} in place of what is done to these columns, and the same the other way round "
        "in downgrade."
    )
    assert [r.levelname for r in caplog.records if "bitryoshka" in r.name] == ["WARNING"]
    if as_noted:
        path = tmp_path / "versions" / "m2_m2.py"
        head = path.read_text().split("def upgrade()")[0]
        back = (
            "op.alter_column('items', 'vec', new_column_name='embedding')",
            "op.restore_code_column('items', 'embedding', 'code')",
        )
        for name, calls in (("upgrade", (call, restored)), ("downgrade", back)):
            head += f"def {name}():\n    " + "\n    ".join(calls) + "\n\n\n"
        path.write_text(head)
    settled(history, left("vec"))
    assert check_codes(installed, column="vec") == (180 if as_noted else 0)
    written(installed, vector="vec")
    assert check_codes(installed, column="vec") == (181 if as_noted else 1)
    installed.execute("DELETE FROM items WHERE id = 1000")
    down(history, installed, before)


def test_a_vector_and_its_code_come_in_any_order(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    registered(installed)
    make_table(installed, 10, column="old")
    history = History(tmp_path, installed_database)
    metadata, table = models(
        Column("code", Code(BITS)), Column("old", Vector(16)), Column("embedding", Vector(16))
    )
    leave_to_trigger(table.c.code, table.c.embedding, LABEL)
    Index("items_codes", table.c.code)
    assert generate(history, metadata)[1:] == [
        "op.add_code_column('items', 'embedding', 'docs@1', 'code')",
        "op.create_index('items_codes', 'items', ['code'], unique=False)",
    ]
    settled(history, metadata)
    written(installed)
    assert check_codes(installed) == 1
    history.downgrade()


def test_another_type_of_the_same_dimensions_needs_nothing(
    installed_database: str,
    installed: Connection,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    history, before = begun(tmp_path, installed_database, installed)
    halves = left(kind=HALFVEC(16))
    written(installed)
    installed.execute("DELETE FROM items WHERE id = 1000")
    altered, restored = generate(history, halves)
    assert altered.startswith("op.alter_column('items', 'embedding',")
    assert restored == "op.restore_code_column('items', 'embedding', 'code')"
    settled(history, halves)
    assert check_codes(installed) == 180
    written(installed)
    assert check_codes(installed) == 181
    assert verify(installed, "items", queries=0).good
    assert not [r for r in caplog.records if "bitryoshka" in r.name]
    installed.execute("DELETE FROM items WHERE id = 1000")
    down(history, installed, before)


def test_other_dimensions_with_a_codec_of_theirs(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    history, _ = begun(tmp_path, installed_database, installed, rows=0)
    wide = exact_binarizer(5, dimensions=24)
    register(installed, "wide", wide)
    before = catalogs(installed)
    metadata = left(kind=Vector(24), codec="wide@1", bits=wide.bits)
    first, altered, last = generate(history, metadata)
    assert first == "op.drop_code_column('items', 'code')"
    assert altered.startswith("op.alter_column('items', 'embedding',")
    assert last == "op.add_code_column('items', 'embedding', 'wide@1', 'code')"
    settled(history, metadata)
    installed.execute(
        "INSERT INTO items (id, embedding) SELECT 1, array_agg(i) FROM generate_series(1, 24) AS i"
    )
    assert check_codes(installed, wide) == 1
    installed.execute("DELETE FROM items")
    down(history, installed, before)


def test_other_dimensions_without_one_are_noted(
    installed_database: str,
    installed: Connection,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    history, _ = begun(tmp_path, installed_database, installed, rows=0)
    lines = generate(history, left(kind=Vector(24)))
    note = " ".join(x.removeprefix("# ") for x in lines if x.startswith("#"))
    assert note == (
        "embedding of items becomes VECTOR(24); codes of docs@1 in code are made from 16 "
        "dimensions, and every write would be refused: before this, op.drop_code_column('items', "
        "'code'), and after it, op.add_code_column with a codec of the new dimensions, which "
        "leave_to_trigger may name."
    )
    assert [r.message for r in caplog.records if "bitryoshka" in r.name] == [note[:-1]]
    history.upgrade()
    wide = "INSERT INTO items (id, embedding) VALUES (1, array_fill(1, '{24}')::vector)"
    with pytest.raises(errors.DatabaseError, match="16 dimensions"):
        installed.execute(wide)
    # as the note says
    binarizer = exact_binarizer(5, dimensions=24)
    register(installed, "wide", binarizer)
    metadata = left(kind=Vector(24), codec="wide@1", bits=binarizer.bits)
    generate(history, metadata)
    settled(history, metadata)
    installed.execute(wide)
    assert check_codes(installed, binarizer) == 1


@pytest.mark.parametrize("bad_vectors", ["reject", "skip"])
def test_any_dimensions(
    installed_database: str, installed: Connection, tmp_path: Path, bad_vectors: Any
) -> None:
    registered(installed)
    make_table(installed)
    attach(installed, "items", "embedding", LABEL, bad_vectors=bad_vectors, queries=0)
    history = History(tmp_path, installed_database)
    _, restored = generate(history, left(kind=HALFVEC()))
    assert restored == "op.restore_code_column('items', 'embedding', 'code')"
    settled(history, left(kind=HALFVEC()))
    other = "INSERT INTO items (id, embedding) VALUES (2000, '[1, 2]')"
    if bad_vectors == "skip":
        installed.execute(other)
        assert installed.execute("SELECT code FROM items WHERE id = 2000").fetchall() == [(None,)]
        installed.execute("DELETE FROM items WHERE id = 2000")
    else:
        with pytest.raises(errors.DatabaseError, match="16 dimensions"):
            installed.execute(other)
    written(installed)
    assert check_codes(installed) == 181


def test_another_length_of_a_code_is_noted(
    installed_database: str,
    installed: Connection,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    history, _ = begun(tmp_path, installed_database, installed)
    metadata, _ = models(Column("embedding", Vector(16)), Column("code", Code(BITS + 8)))
    lines = generate(history, metadata)
    assert lines[0].startswith(
        "# code of items holds codes of docs@1, as long as they are: in place"
    )
    assert lines[-1].startswith("op.alter_column('items', 'code',")
    assert len([r for r in caplog.records if "bitryoshka" in r.name]) == 1


# how the table was changed, what the model wants, what autogenerate writes, and the vector and code
# that the trigger then knows
Mended = tuple[str, Callable[[], MetaData], list[str], tuple[str, str] | None]
BY_HAND: dict[str, Mended] = {
    "code renamed": (
        "ALTER TABLE items RENAME COLUMN code TO bits",
        lambda: left(code="bits"),
        [
            "op.drop_code_column('items', 'code')",
            "op.drop_column('items', 'bits')",
            "op.add_code_column('items', 'embedding', 'docs@1', 'bits')",
        ],
        ("embedding", "bits"),
    ),
    "vector renamed": (
        "ALTER TABLE items RENAME COLUMN embedding TO vec",
        lambda: left("vec"),
        ["op.restore_code_column('items', 'vec', 'code')"],
        ("vec", "code"),
    ),
    "code dropped": (
        "ALTER TABLE items DROP COLUMN code",
        left,
        [
            "op.drop_code_column('items', 'code')",
            "op.add_code_column('items', 'embedding', 'docs@1', 'code')",
        ],
        ("embedding", "code"),
    ),
    "code dropped for good": (
        "ALTER TABLE items DROP COLUMN code",
        lambda: models(Column("embedding", Vector(16)))[0],
        ["op.drop_code_column('items', 'code')"],
        None,
    ),
    "vector dropped": (
        "ALTER TABLE items DROP COLUMN embedding",
        lambda: models()[0],
        ["op.drop_code_column('items', 'code')"],
        None,
    ),
    "vector dropped, codes kept": (
        "ALTER TABLE items DROP COLUMN embedding",
        lambda: models(Column("code", Code(BITS)))[0],
        ["op.release_code_column('items', 'code')"],
        None,
    ),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_what_was_changed_by_hand_is_mended(
    installed_database: str, installed: Connection, tmp_path: Path, case: str
) -> None:
    history, _ = begun(tmp_path, installed_database, installed)
    change, wanted, expected, known = BY_HAND[case]
    installed.execute(change)  # type: ignore[arg-type]
    with pytest.raises(errors.UndefinedColumn):
        installed.execute("INSERT INTO items (id) VALUES (1000)")
    assert generate(history, wanted()) == expected
    settled(history, wanted())
    functions = [name for (name,) in installed.execute(OF_THE_TABLE) if "bitryoshka" in name]
    if known is None:
        assert functions == []
        installed.execute("INSERT INTO items (id) VALUES (1000)")
    else:
        assert len(functions) == 3
        written(installed, vector=known[0])
        assert check_codes(installed, column=known[0], code=known[1]) == 181
    # what was broken is not broken again
    history.downgrade("m1")
    installed.execute("INSERT INTO items (id) VALUES (1001)")


def test_a_table_elsewhere_and_under_another_name_keeps_its_codes(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    history, _ = begun(tmp_path, installed_database, installed, include_schemas=True)
    history.write(
        'op.execute("CREATE SCHEMA other")\nop.execute("ALTER TABLE items SET SCHEMA other")\n'
        'op.rename_table("items", "papers", schema="other")',
        'op.rename_table("papers", "items", schema="other")\n'
        'op.execute("ALTER TABLE other.items SET SCHEMA public")\nop.execute("DROP SCHEMA other")',
    )
    history.upgrade()
    moved = left(schema="other", name="papers")
    assert generate(history, moved) == ["pass"]
    history.upgrade()
    written(installed, "other.papers")
    installed.execute("SET search_path = other, public")
    assert check_codes(installed, name="papers") == 181
    history.downgrade("m1")
    installed.execute("SET search_path = public")
    assert check_codes(installed) == 181
    installed.execute("DELETE FROM items WHERE id = 1000")
    history.upgrade()
    bare, _ = models(Column("embedding", Vector(16)), schema="other", name="papers")
    assert generate(history, bare) == ["op.drop_code_column('papers', 'code', schema='other')"]
    settled(history, bare)
    assert installed.execute(OF_THE_TABLE).fetchall() == []


def test_a_table_dropped_by_hand_leaves_nothing_to_the_next_operation(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    history, _ = begun(tmp_path, installed_database, installed)
    history.write('op.drop_table("items")')
    history.upgrade()
    assert len(installed.execute(OF_THE_TABLE).fetchall()) == 3
    history.write('op.drop_codec("docs@1")')
    history.upgrade()
    assert installed.execute(OF_THE_TABLE).fetchall() == []


def test_codes_that_were_adopted_leave_the_catalogue_with_their_column(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    registered(installed)
    installed.execute(
        f"CREATE TABLE items (id bigint PRIMARY KEY, title text, code bit({BITS}))".encode()
    )
    adopt(installed, "items", LABEL)
    history = History(tmp_path, installed_database)
    metadata, _ = models(Column("code", Code(BITS)))
    assert generate(history, metadata) == ["pass"]
    history.upgrade()
    bare, _ = models()
    assert generate(history, bare) == [
        "op.drop_code_column('items', 'code')",
        "op.drop_column('items', 'code')",
    ]
    script = (tmp_path / "versions" / "m2_m2.py").read_text()
    assert (
        "# codes of docs@1 in code of items were adopted: after this" in script.split("def down")[1]
    )
    settled(history, bare)
    assert installed.execute(OF_THE_TABLE).fetchall() == []
    history.downgrade("m1")
    adopt(installed, "items", LABEL)
    for path in (tmp_path / "versions").glob("m[23]_*.py"):
        path.unlink()
    # the table as a whole, and the way back
    assert generate(history, MetaData()) == [
        "op.drop_code_column('items', 'code')",
        "op.drop_table('items')",
    ]
    settled(history, MetaData())
    assert installed.execute(OF_THE_TABLE).fetchall() == []
    history.downgrade("m1")
    assert installed.execute("SELECT code FROM items").fetchall() == []


def test_codes_that_were_adopted_are_left_to_a_trigger(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    registered(installed)
    make_table(installed)
    installed.execute(f"ALTER TABLE items ADD COLUMN code bit({BITS})".encode())
    adopt(installed, "items", LABEL)
    history = History(tmp_path, installed_database)
    assert generate(history, left()) == ["op.restore_code_column('items', 'embedding', 'code')"]
    settled(history, left())
    assert check_codes(installed) == 180
    written(installed)
    assert check_codes(installed) == 181
    history.downgrade()
    assert installed.execute(OF_THE_TABLE).fetchall() == [("code",)]
    assert check_codes(installed) == 181


def test_codes_that_were_adopted_of_another_codec_come_anew(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    registered(installed)
    register(installed, "third", exact_binarizer(9))
    make_table(installed)
    installed.execute(f"ALTER TABLE items ADD COLUMN code bit({BITS})".encode())
    adopt(installed, "items", LABEL)
    history = History(tmp_path, installed_database)
    bits = exact_binarizer(9).bits
    assert generate(history, left(codec="third@1", bits=bits)) == [
        "op.drop_code_column('items', 'code')",
        "op.drop_column('items', 'code')",
        "op.add_code_column('items', 'embedding', 'third@1', 'code')",
    ]
    settled(history, left(codec="third@1", bits=bits))
    assert check_codes(installed, exact_binarizer(9)) == 180
    history.downgrade()
    assert installed.execute("SELECT FROM items WHERE code IS NULL").rowcount == 200


def test_a_batch_has_nothing_of_ours_in_it(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    history, before = begun(tmp_path, installed_database, installed, render_as_batch=True)
    metadata, table = models(
        Column("vec", Vector(16)), Column("code", Code(BITS)), Column("note", Text)
    )
    leave_to_trigger(table.c.code, table.c.vec, LABEL)
    prefix_index("items_8", table.c.code, 8)
    lines = [x for x in generate(history, metadata) if not x.startswith("#")]
    assert lines == [
        "op.drop_code_column('items', 'code')",
        "with op.batch_alter_table('items', schema=None) as batch_op:",
        *(f"batch_op.{x[3:]}".replace("'items', ", "") for x in RENAMED[1:2]),
        "batch_op.add_column(sa.Column('note', sa.Text(), nullable=True))",
        RENAMED[2],
        "op.create_code_index('items_8', 'items', 'code', prefix_bits=8)",
        "with op.batch_alter_table('items', schema=None) as batch_op:",
        "batch_op.drop_column('embedding')",
    ]
    settled(history, metadata)
    written(installed, vector="vec")
    assert check_codes(installed, column="vec") == 1
    installed.execute("DELETE FROM items WHERE id = 1000")
    down(history, installed, before)


def test_a_table_that_a_batch_made_anew_is_attached_anew(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    history, _ = begun(tmp_path, installed_database, installed)
    history.write(
        'with op.batch_alter_table("items", recreate="always") as batch:\n'
        '    batch.add_column(sa.Column("note", sa.Text))'
    )
    script = tmp_path / "versions" / "m2.py"
    script.write_text(script.read_text().replace("import sqlalchemy as sa", IMPORTS))
    history.upgrade()
    columns = Column("embedding", Vector(16)), Column("code", Code(BITS)), Column("note", Text)
    metadata, table = models(*columns)
    leave_to_trigger(table.c.code, table.c.embedding, LABEL)
    assert generate(history, metadata) == [
        "op.drop_column('items', 'code')",
        "op.add_code_column('items', 'embedding', 'docs@1', 'code')",
    ]
    settled(history, metadata)
    written(installed)
    assert check_codes(installed) == 181
    # of the former table nothing is left
    assert len(installed.execute(OF_THE_TABLE).fetchall()) == 4


def test_an_index_comes_back_with_a_column_of_another_codec(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    history, _ = begun(tmp_path, installed_database, installed)
    installed.execute("CREATE INDEX items_codes ON items (code)")
    register(installed, "other", exact_binarizer(9))
    before = catalogs(installed)
    metadata = left(codec="other@1")
    Index("items_codes", metadata.tables["items"].c.code)
    assert generate(history, metadata) == [
        "op.drop_index('items_codes', table_name='items')",
        "op.drop_code_column('items', 'code')",
        "op.add_code_column('items', 'embedding', 'other@1', 'code')",
        "op.create_index('items_codes', 'items', ['code'], unique=False)",
    ]
    settled(history, metadata)
    assert check_codes(installed, exact_binarizer(9)) == 180
    down(history, installed, before)


def test_a_published_table_needs_the_word_of_who_migrates(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    registered(installed)
    make_table(installed)
    installed.execute("CREATE PUBLICATION everything FOR TABLE items")
    history = History(tmp_path, installed_database)
    call = 'op.add_code_column("items", "embedding", "docs@1"{})'
    history.write(call.format(""))
    with pytest.raises(DBAPIError, match="is published by everything"):
        history.upgrade()
    (tmp_path / "versions" / "m1.py").unlink()
    history.write(call.format(", published=True"))
    history.upgrade()
    assert check_codes(installed) == 180


def test_check_tells_what_is_missing(
    installed_database: str, installed: Connection, tmp_path: Path
) -> None:
    registered(installed)
    make_table(installed)
    history = History(tmp_path, installed_database, metadata=left())
    found = "('add_code_column', 'items', 'embedding', 'docs@1', 'code')"
    with pytest.raises(CommandError, match="New upgrade operations detected") as error:
        command.check(history.config())
    assert found in str(error.value)
