"""Tables and codecs that a dump brings in part, or in another order: right, or an error."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from attached_rows import BINARIZER, LABEL, check_codes, make_table, registered
from programs import program, run_program
from psycopg import sql
from synthetic import additive_binarizer, exact_binarizer, integer_rows

from bitryoshka import FingerprintError, TableError
from bitryoshka.binarizer import Binarizer
from bitryoshka.postgres import (
    attach,
    connect,
    detach,
    export,
    install,
    register,
    verify,
)
from bitryoshka.postgres.server import Connection

ROW = str(integer_rows(5, 1)[0].tolist())
INSERT = (
    "INSERT INTO items (id, embedding) VALUES ((SELECT coalesce(max(id), 0) + 1 FROM items), %s)"
)

Dump = Callable[..., str]


@pytest.fixture
def dump(installed: Connection, installed_database: str) -> Dump:
    """Dumps of a database whose table has 180 codes, and a second column of additive codes."""
    registered(installed)
    make_table(installed)
    attach(installed, "items", "embedding", LABEL)
    register(installed, "more", additive_binarizer(1, dimensions=16))
    attach(installed, "items", "embedding", "more@1", code_column="searched")

    def run(*options: str) -> str:
        return run_program(program(installed, "pg_dump"), *options, installed_database)

    return run


@pytest.fixture
def restore(installed: Connection, bare_database: str) -> Callable[..., str]:
    """Run a script on the other database; what psql complains of."""

    def run(script: str) -> str:
        psql = program(installed, "psql")
        return run_program(psql, "-q", bare_database, stdin=script, may_fail=True)

    return run


def functions(connection: Connection) -> int:
    return connection.execute(
        "SELECT FROM pg_proc WHERE proname ~ '^bitryoshka_(fill|encode)_'"
    ).rowcount


def test_a_restored_trigger_knows_its_codec(
    dump: Dump, restore: Callable[[str], str], bare_database: str
) -> None:
    """The schema alone, and codecs that are registered in another order."""
    assert restore(dump("--schema-only")) == ""
    with connect(bare_database) as restored:
        with pytest.raises(
            psycopg.errors.UndefinedObject, match=f"fingerprint {BINARIZER.fingerprint}.*docs@1"
        ):
            restored.execute(INSERT, [ROW])
        more = additive_binarizer(1, dimensions=16)
        assert register(restored, "first", exact_binarizer(4)).id == 1
        assert register(restored, "more", more).id == 2
        registered(restored)
        restored.execute(INSERT, [ROW])
        assert check_codes(restored) == 1
        assert check_codes(restored, more, code="searched") == 1

        with pytest.raises(TableError, match="no codec is attached to column 'code'"):
            verify(restored, "items")
        # another column, whose number a trigger has that came along
        attach(restored, "items", "embedding", LABEL, code_column="third")
        assert functions(restored) == 6
        for code, label in (("code", LABEL), ("searched", "more@1")):
            found = attach(restored, "items", "embedding", label, code_column=code)
            assert (found.filled, found.repaired) == (0, 0)
        assert functions(restored) == 6
        restored.execute(INSERT, [ROW])
        for code, binarizer in (("code", BINARIZER), ("searched", more), ("third", BINARIZER)):
            assert check_codes(restored, binarizer, code=code) == 2
            detach(restored, "items", code_column=code)
        assert functions(restored) == 0


def test_a_table_that_is_restored_alone(
    dump: Dump, restore: Callable[[str], str], bare_database: str
) -> None:
    with connect(bare_database) as restored:
        install(restored)
    # the tables themselves and what stands in public
    script = dump("--exclude-schema=bitryoshka")
    assert restore(f"SET client_min_messages = warning;\n{script}") == ""
    with connect(bare_database) as restored:
        with pytest.raises(psycopg.errors.UndefinedObject, match="there is no codec with finger"):
            restored.execute(INSERT, [ROW])
        register(restored, "more", additive_binarizer(1, dimensions=16))
        registered(restored)
        restored.execute(INSERT, [ROW])
        found = attach(restored, "items", "embedding", LABEL)
        assert (found.filled, found.repaired, found.verification.good) == (0, 0, True)
        assert check_codes(restored) == 181


@pytest.mark.parametrize("options", [(), ("--disable-triggers",)])
def test_data_alone(
    dump: Dump, restore: Callable[[str], str], bare_database: str, options: tuple[str, ...]
) -> None:
    assert restore(dump("--schema-only")) == ""
    restore(dump("--data-only", *options))
    with connect(bare_database) as restored:
        for code, label in (("code", LABEL), ("searched", "more@1")):
            found = verify(restored, "items", code_column=code, full=True)
            assert found.good, found.text()
            assert found.counts.rows == 200
            assert export(restored, label).fingerprint
        restored.execute(INSERT, [ROW])
        assert check_codes(restored) == 181


def results(connection: Connection) -> list[str]:
    """What the functions that read a codec give: the same as ever, or the error of one."""
    found = []
    for text in (
        f"SELECT bitryoshka.encode('more@1', '{ROW}'::vector)::text",
        f"SELECT bitryoshka.encode_query('more@1', '{ROW}')::text",
        f"SELECT bitryoshka.query_planes('more@1', '{ROW}')::text",
        f"INSERT INTO items (id, embedding) VALUES (1000, '{ROW}') RETURNING code::text",
    ):
        try:
            with connection.transaction(force_rollback=True):
                [(value,)] = connection.execute(text.encode()).fetchall()
        except psycopg.errors.DataCorrupted as error:
            value = f"{error.diag.message_primary}: {error.diag.message_hint}"
        found.append(str(value))
    return found


@pytest.mark.parametrize(
    ("table", "raised"),
    [
        ("weights", 4),
        ("additive", 2),
        ("additive_lengths", 2),
        ("decoder", 2),
        ("gram", 2),
        ("code_bits", 0),
        ("cuts", 0),
    ],
)
def test_a_codec_in_part_is_an_error_and_completed(
    installed: Connection, installed_database: str, table: str, raised: int
) -> None:
    check_in_part(
        installed, installed_database, additive_binarizer(1, dimensions=16), table, raised
    )


@pytest.mark.parametrize(("table", "raised"), [("weights", 4), ("code_bits", 3), ("cuts", 1)])
def test_a_progressive_codec_in_part(
    installed: Connection, installed_database: str, table: str, raised: int
) -> None:
    check_in_part(installed, installed_database, BINARIZER, table, raised)


def check_in_part(
    connection: Connection, dsn: str, binarizer: Binarizer, table: str, raised: int
) -> None:
    register(connection, "more", binarizer)
    make_table(connection)
    attach(connection, "items", "embedding", "more@1")
    before = results(connection)
    # as a dump of which this table's rows were not restored
    names = sql.Identifier("bitryoshka", table)
    connection.execute("SET session_replication_role = replica")
    connection.execute(sql.SQL("DELETE FROM {}").format(names))
    connection.execute("RESET session_replication_role")
    with connect(dsn) as fresh:
        after = results(fresh)
        told = [text for text in after if text not in before]
        assert len(told) == raised
        for text in told:
            assert text.startswith("codec more@1 is incomplete")
            assert "Register the same binarizer" in text
        if table != "gram":
            with pytest.raises(FingerprintError, match="altered"):
                export(fresh, "more@1")
    assert register(connection, "more", binarizer).label == "more@1"
    with connect(dsn) as fresh:
        assert results(fresh) == before
        assert verify(fresh, "items", full=True).good


def test_a_codec_that_was_altered_is_not_called_whole(installed: Connection) -> None:
    registered(installed)
    installed.execute("SET session_replication_role = replica")
    installed.execute("UPDATE bitryoshka.weights SET threshold = threshold + 1")
    installed.execute("RESET session_replication_role")
    with pytest.raises(FingerprintError, match="is altered"):
        register(installed, "docs", BINARIZER)
