"""Schema bitryoshka by migrations, in every way that Alembic runs them, and as an extension."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psycopg
import pytest
from attached_rows import make_table
from old_schema import REVISIONS, install_old, register_old
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL
from synthetic import additive_binarizer, exact_binarizer, integer_rows

from bitryoshka import DatabaseError
from bitryoshka.postgres import (
    attach,
    connect,
    detach,
    drop_codec,
    export,
    install,
    register,
    status,
    uninstall,
    verify,
)
from bitryoshka.postgres.extension import main as write_extension
from bitryoshka.postgres.installation import installed_revision
from bitryoshka.postgres.server import Connection
from bitryoshka.schema_scripts import REVISION, creation
from bitryoshka.sql_files import project_folder

ROOT = Path(__file__).parents[1]
MIGRATIONS = project_folder("migrations")
HEAD = REVISION
OBJECTS = """
SELECT 'table', c.relname::text, pg_get_expr(d.adbin, d.adrelid), a.attname::text,
    format_type(a.atttypid, a.atttypmod), a.attnotnull::text, c.relacl::text
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'bitryoshka'::regnamespace AND c.relkind IN ('r', 'v', 'i')
    AND c.relname NOT LIKE 'schema_version%'
UNION ALL
SELECT 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid), '', '', '', proacl::text
FROM pg_proc AS p WHERE p.pronamespace = 'bitryoshka'::regnamespace
UNION ALL
SELECT 'constraint', conname::text, pg_get_constraintdef(oid), '', '', '', ''
FROM pg_constraint WHERE connamespace = 'bitryoshka'::regnamespace
    AND conrelid::regclass::text NOT LIKE '%schema_version'
ORDER BY 1, 2, 3, 4
"""


def objects(connection: Connection) -> list[tuple[str, ...]]:
    """Everything in the schema but the version table, as the server itself describes it."""
    return connection.execute(OBJECTS).fetchall()


def alembic(*arguments: str, ini: Path = MIGRATIONS / "alembic.ini") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", ini, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def url(dsn: str) -> str:
    """A DSN as SQLAlchemy writes it, with its per cent signs doubled for an .ini file."""
    parts = conninfo_to_dict(dsn)
    query = {k: str(parts[k]) for k in ("host", "port") if k in parts}
    found = URL.create(
        "postgresql+psycopg",
        parts.get("user"),
        parts.get("password"),
        database=parts["dbname"],
        query=query,
    )
    return found.render_as_string(hide_password=False).replace("%", "%%")


def codes(connection: Connection) -> list[str]:
    query = "SELECT bitryoshka.encode('docs@1', %s::vector)::text"
    return [
        connection.execute(query, [str(v.tolist())]).fetchall()[0][0] for v in integer_rows(0, 5)
    ]


def test_install_up_down_and_up_again(connection: Connection) -> None:
    assert installed_revision(connection) is None
    assert install(connection) == HEAD
    first = objects(connection)
    assert len(first) > 60
    assert install(connection) == HEAD
    assert objects(connection) == first
    uninstall(connection)
    assert installed_revision(connection) is None
    assert connection.execute("SELECT to_regnamespace('bitryoshka')").fetchall() == [(None,)]
    assert install(connection) == HEAD
    assert objects(connection) == first


def test_install_brings_pgvector_and_leaves_the_callers_path(bare_database: str) -> None:
    with connect(bare_database) as connection:
        connection.execute("SET search_path = information_schema")
        with connection.transaction():
            install(connection)
            assert connection.execute("SHOW search_path").fetchall() == [("information_schema",)]
        assert connection.execute("SHOW search_path").fetchall() == [("information_schema",)]


def test_pgvector_in_another_schema(bare_database: str) -> None:
    binarizer, vectors = exact_binarizer(3), integer_rows(0, 5)
    with connect(bare_database) as connection:
        connection.execute(
            'CREATE SCHEMA "the extensions"; CREATE EXTENSION vector SCHEMA "the extensions"'
        )
        install(connection)
        register(connection, "docs", binarizer)
        assert export(connection, "docs@1").fingerprint == binarizer.fingerprint
        [(code,)] = connection.execute(
            "SELECT bitryoshka.encode('docs@1', %s::\"the extensions\".vector)::text",
            [str(vectors[0].tolist())],
        ).fetchall()
    assert (
        int(code, 2).to_bytes(binarizer.bits // 8, "big") == binarizer.encode(vectors)[0].tobytes()
    )


def test_installing_belongs_to_the_callers_transaction(connection: Connection) -> None:
    with connection.transaction(force_rollback=True):
        install(connection)
    assert installed_revision(connection) is None


def test_alembic_online_gives_the_same_schema(database: str, connection: Connection) -> None:
    alembic("-x", f"dsn={database}", "upgrade", "head")
    by_alembic = objects(connection)
    assert installed_revision(connection) == HEAD
    assert install(connection) == HEAD
    assert alembic("-x", f"dsn={database}", "current").startswith(HEAD)
    alembic("-x", f"dsn={database}", "downgrade", "base")
    assert objects(connection) == []
    alembic("-x", f"dsn={database}", "upgrade", "head")
    assert objects(connection) == by_alembic
    uninstall(connection)
    install(connection)
    assert objects(connection) == by_alembic


def test_alembic_offline_gives_the_same_schema(connection: Connection) -> None:
    install(connection)
    expected = objects(connection)
    uninstall(connection)
    script = alembic("upgrade", "head", "--sql")
    assert script.rstrip().endswith("COMMIT;")
    connection.execute(script.encode())
    assert objects(connection) == expected
    connection.execute(alembic("downgrade", f"{HEAD}:base", "--sql").encode())
    assert objects(connection) == []


def test_a_history_of_the_users_own_is_left_alone(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    alembic("init", str(tmp_path / "own"), ini=tmp_path / "alembic.ini")
    ini = tmp_path / "alembic.ini"
    written = re.sub(
        "^sqlalchemy.url = .*",
        lambda _: f"sqlalchemy.url = {url(database)}",
        ini.read_text(),
        flags=re.M,
    )
    ini.write_text(written)
    alembic("revision", "-m", "first", "--rev-id", "abc", ini=ini)
    alembic("upgrade", "head", ini=ini)
    install(connection)
    assert alembic("current", ini=ini).startswith("abc")
    assert connection.execute("SELECT version_num FROM public.alembic_version").fetchall() == [
        ("abc",)
    ]
    alembic("downgrade", "base", ini=ini)
    assert installed_revision(connection) == HEAD


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_upgrade_gives_the_same_schema_and_keeps_codes(
    connection: Connection, revision: str
) -> None:
    install(connection)
    expected = objects(connection)
    uninstall(connection)
    install_old(connection, revision)
    binarizer = exact_binarizer(3)
    with pytest.raises(DatabaseError, match="earlier revision: run bitryoshka install"):
        register(connection, "docs", binarizer)
    register_old(connection, "docs", binarizer)
    connection.execute("SELECT bitryoshka.create_encoder('docs@1')")
    connection.execute("GRANT CREATE ON SCHEMA bitryoshka TO PUBLIC")
    before = codes(connection)
    assert install(connection) == HEAD
    assert codes(connection) == before
    [(code,)] = connection.execute(
        "SELECT bitryoshka.encode_docs_1(%s::vector)::text", [str(integer_rows(0, 1)[0].tolist())]
    ).fetchall()
    assert code == before[0]
    assert export(connection, "docs@1").fingerprint == binarizer.fingerprint
    assert not connection.execute(
        "SELECT FROM pg_namespace, aclexplode(nspacl) AS a WHERE nspname = 'bitryoshka' "
        "AND a.privilege_type = 'CREATE' AND a.grantee <> nspowner"
    ).fetchall()
    drop_codec(connection, "docs@1")
    assert objects(connection) == expected


@pytest.mark.parametrize(
    ("revision", "additive"), [("0002", False), ("0003", True), ("0004", False), ("0004", True)]
)
def test_an_upgrade_with_columns_in_use(
    database: str, connection: Connection, revision: str, additive: bool
) -> None:
    """Writers go on through it and lose nothing; codes are right before, meanwhile and after."""
    install_old(connection, revision)
    binarizer = additive_binarizer(3, dimensions=16) if additive else exact_binarizer(3)
    register_old(connection, "docs", binarizer)
    make_table(connection)
    connection.execute("SELECT bitryoshka.add_code_column('items', 'embedding', 'docs@1')")
    connection.execute("SELECT bitryoshka.fill_code_column('items')")
    rows, stop = integer_rows(9, 500), threading.Event()
    written: list[int] = []

    def write() -> None:
        with connect(database) as own:
            for number, row in enumerate(rows):
                if stop.is_set():
                    return
                own.execute(
                    "INSERT INTO items (id, embedding) VALUES (%s, %s::vector)",
                    [1000 + number, str(row.tolist())],
                )
                written.append(number)

    with ThreadPoolExecutor() as pool:
        writing = pool.submit(write)
        while len(written) < 20:
            time.sleep(0.01)
        assert install(connection) == HEAD
        seen = len(written)
        while len(written) < seen + 20 and not writing.done():
            time.sleep(0.01)
        stop.set()
        writing.result()
    found = verify(connection, "items")
    assert found.good
    assert found.counts.missing == 0
    [(home,)] = connection.execute(
        "SELECT p.pronamespace::regnamespace::text FROM pg_trigger AS t "
        "JOIN pg_proc AS p ON p.oid = t.tgfoid WHERE t.tgrelid = 'items'::regclass"
    ).fetchall()
    assert home == "public"
    detach(connection, "items")
    assert connection.execute(
        "SELECT count(*) FROM pg_proc WHERE proname ~ '^(bitryoshka_)?(fill|encode)_.*[0-9]$'"
    ).fetchall() == [(0,)]


def test_what_is_not_installed_cannot_be_removed(bare_database: str) -> None:
    with connect(bare_database) as connection:
        with pytest.raises(DatabaseError, match="is not installed in this database"):
            uninstall(connection)
        install(connection)
        uninstall(connection)
        with pytest.raises(DatabaseError, match="is not installed in this database"):
            uninstall(connection)


def test_a_revision_that_does_not_exist_is_refused(connection: Connection) -> None:
    with pytest.raises(DatabaseError, match="expected head or one of"):
        install(connection, "abc")
    assert connection.execute("SELECT to_regnamespace('bitryoshka')").fetchall() == [(None,)]


def test_an_older_revision_takes_nothing_away(installed: Connection) -> None:
    before = objects(installed)
    assert install(installed, "0001") == HEAD
    assert objects(installed) == before


def test_an_encoder_in_use_keeps_the_schema(installed: Connection) -> None:
    register(installed, "docs", exact_binarizer(3))
    installed.execute("SELECT bitryoshka.create_encoder('docs@1')")
    installed.execute("CREATE TABLE items (v vector(16))")
    installed.execute("CREATE INDEX own ON items (bitryoshka.encode_docs_1(v))")
    before = objects(installed)
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        uninstall(installed)
    assert objects(installed) == before
    installed.execute("DROP INDEX own")
    uninstall(installed)
    assert installed_revision(installed) is None


@pytest.fixture
def extension_files(bare_database: str) -> Iterator[None]:
    """The extension, in a folder of its own; before PostgreSQL 18 in the server's."""
    with connect(bare_database) as connection, ExitStack() as stack:
        if connection.info.server_version < 18_00_00:
            [(shared,)] = connection.execute(
                "SELECT setting FROM pg_config WHERE name = 'SHAREDIR'"
            ).fetchall()
            folder = Path(shared, "extension")
        else:
            root = stack.enter_context(tempfile.TemporaryDirectory(prefix="bitryoshka-"))
            Path(root).chmod(0o755)
            folder = Path(root, "extension")
            folder.mkdir()
            path = sql.Literal(f"{root}:$system")
            name = sql.Identifier(connection.info.dbname)
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET extension_control_path = {}").format(name, path)
            )
        write_extension([str(folder)])
        yield
        for file in [folder / "bitryoshka.control", *folder.glob("bitryoshka--*.sql")]:
            file.unlink()


def test_create_extension_gives_the_same_functions(
    bare_database: str, extension_files: None
) -> None:
    binarizer = exact_binarizer(3)
    with connect(bare_database) as connection:
        connection.execute("CREATE EXTENSION bitryoshka CASCADE")
        assert register(connection, "docs", binarizer).label == "docs@1"
        by_extension = codes(connection)
        with pytest.raises(DatabaseError, match="belongs to the extension"):
            install(connection)
        connection.execute("DROP EXTENSION bitryoshka")
        connection.execute("DROP SCHEMA bitryoshka")
        install(connection)
        register(connection, "docs", binarizer)
        assert codes(connection) == by_extension


def test_the_extension_is_upgraded_and_dumped_with_its_codecs(
    bare_database: str, extension_files: None
) -> None:
    with connect(bare_database) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("CREATE EXTENSION bitryoshka")
        connection.execute(
            "UPDATE pg_extension SET extversion = '0003' WHERE extname = 'bitryoshka'"
        )
        register(connection, "docs", exact_binarizer(3))
        before = codes(connection)
        connection.execute("SELECT bitryoshka.create_encoder('docs@1')")
        make_table(connection)
        attach(connection, "items", "embedding", "docs@1")
        connection.execute("ALTER EXTENSION bitryoshka UPDATE")
        connection.execute("SELECT bitryoshka.renew_functions()")
        assert codes(connection) == before
        assert verify(connection, "items").good
        detach(connection, "items")
        drop_codec(connection, "docs@1")
        [(dumped,)] = connection.execute(
            "SELECT array_agg(c::regclass::text ORDER BY c::regclass::text) "
            "FROM pg_extension, unnest(extconfig) AS c WHERE extname = 'bitryoshka'"
        ).fetchall()
        assert {"bitryoshka.codecs", "bitryoshka.weights", "bitryoshka.columns"} <= set(dumped)
        assert {"bitryoshka.additive", "bitryoshka.decoder", "bitryoshka.gram"} <= set(dumped)
        additive = additive_binarizer(3, dimensions=16, restarts=1)
        register(connection, "more", additive)
        connection.execute("SELECT bitryoshka.create_encoder('more@1')")
        vector = integer_rows(0, 1)
        [found] = connection.execute(
            "SELECT bitryoshka.encode('more@1', v)::text, bitryoshka.encode_more_1(v)::text "
            "FROM (SELECT %s::vector AS v) AS x",
            [str(vector[0].tolist())],
        ).fetchall()
        for code in found:
            digits = [int(d) for d in code]
            assert np.packbits(digits).tobytes() == additive.encode(vector)[0].tobytes()


def test_pgvector_is_moved_there_and_back(connection: Connection) -> None:
    """Writes fail until the next install, which makes all functions again."""
    install(connection)
    first = objects(connection)
    codecs = {"docs": exact_binarizer(3), "more": additive_binarizer(3, dimensions=16)}
    for name, binarizer in codecs.items():
        register(connection, name, binarizer)
        connection.execute("SELECT bitryoshka.create_encoder(%s)", [f"{name}@1"])
    make_table(connection)
    attach(connection, "items", "embedding", "docs@1")
    attach(connection, "items", "embedding", "more@1", code_column="other")
    connection.execute("CREATE SCHEMA extensions")
    for schema in ("extensions", "public"):
        connection.execute(
            sql.SQL("ALTER EXTENSION vector SET SCHEMA {}").format(sql.Identifier(schema))
        )
        for call in (status, verify):
            with pytest.raises(DatabaseError, match=r"pgvector was moved .* bitryoshka install"):
                call(connection, "items")
        assert install(connection) == HEAD
        row = str(integer_rows(8, 1)[0].tolist())
        connection.execute(
            "INSERT INTO items (id, embedding) VALUES ((SELECT max(id) + 1 FROM items), %s)", [row]
        )
        for name, column in (("docs", "code"), ("more", "other")):
            assert verify(connection, "items", code_column=column).good
            assert connection.execute(
                sql.SQL("SELECT bitryoshka.{}(embedding) = {} FROM items WHERE id > 199").format(
                    sql.Identifier(f"encode_{name}_1"), sql.Identifier(column)
                )
            ).fetchall()[-1] == (True,)
    for column in ("code", "other"):
        detach(connection, "items", code_column=column)
    for name in codecs:
        drop_codec(connection, f"{name}@1")
    assert objects(connection) == first


def test_what_is_installed_changes_with_its_revision_alone() -> None:
    """Databases that have the revision would not get the change."""
    listed = (MIGRATIONS / "released.sha256").read_text().split()
    digest = hashlib.sha256(creation().encode()).hexdigest()
    assert listed == [digest, HEAD], "sql/install was changed: give the schema a new revision"


def test_alembic_is_not_needed(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "alembic", None)
    assert install(connection) == HEAD
