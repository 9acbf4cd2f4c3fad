"""Additive codes in SQL are as good as those of the binarizer, and nearly always the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest
from attached_rows import check_codes, rows_of
from numpy.typing import NDArray
from old_schema import install_old, register_old
from pgvector import Vector
from psycopg import sql
from synthetic import additive_binarizer, exact_binarizer

from bitryoshka import Binarizer, CodecError, FingerprintError
from bitryoshka.binarizer import Metric
from bitryoshka.catalogue import check_limits
from bitryoshka.postgres import (
    attach,
    connect,
    detach,
    drop_codec,
    export,
    install,
    list_codecs,
    register,
    search_column,
    uninstall,
    verify,
)
from bitryoshka.postgres.server import Connection

TABLES = ("additive", "additive_lengths", "decoder", "gram")
CASES: dict[str, Callable[[], Binarizer]] = {
    "one length": lambda: searched(0, signs=48),
    "bits beyond the signs": lambda: searched(1),
    "inner product": lambda: searched(2, metric="inner_product"),
    "several lengths": lambda: searched(3, (16, 32, 48), 16),
    "signs beyond a length": lambda: searched(4, (16, 48), 32, "inner_product"),
    "restarts": lambda: searched(5, restarts=2),
    "all of it": lambda: searched(6, (24, 40), 24, "inner_product", restarts=3),
    "plain squares": lambda: searched(7, (24, 48), 24, score_weight=0, restarts=1),
    "one sweep": lambda: in_one_sweep(searched(8)),
    "cut": lambda: searched(9, (24, 48), 24, restarts=1).truncate(24),
    "cut below the signs": lambda: searched(10, (16, 48), 32, restarts=1).truncate(16),
    "cut, queries projected as rows": lambda: replace(
        searched(11, (16, 48), 32, restarts=1), hamming_projection=None
    ).truncate(16),
}


def searched(
    seed: int,
    lengths: tuple[int, ...] = (48,),
    signs: int = 24,
    metric: Metric = "cosine",
    **more: Any,
) -> Binarizer:
    """A code of ``lengths``, which begins with signs; of vectors (N, 16)."""
    options = {"dimensions": 16, **more}
    return additive_binarizer(seed, hamming_bits=signs, lengths=lengths, metric=metric, **options)


def in_one_sweep(binarizer: Binarizer) -> Binarizer:
    assert binarizer.additive is not None
    return replace(binarizer, additive=replace(binarizer.additive, sweeps=1))


def some(rows: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(rows, 16)).astype(np.float32)


def packed(codes: list[str]) -> NDArray[np.uint8]:
    return np.packbits([[int(d) for d in code] for code in codes], axis=1)


def by_sql(
    connection: Connection, expression: str, vectors: NDArray[np.float32]
) -> NDArray[np.uint8]:
    query = sql.SQL(
        "SELECT ({})::text FROM unnest(%s::text[]) WITH ORDINALITY AS t (x, n), "
        "LATERAL (SELECT x::vector AS v OFFSET 0) AS u ORDER BY n"
    ).format(sql.SQL(expression))  # type: ignore[arg-type]
    texts = [Vector(row).to_text() for row in vectors]
    return packed([code for (code,) in connection.execute(query, [texts]).fetchall()])


def table(connection: Connection, vectors: NDArray[np.float32], kind: str = "vector") -> None:
    connection.execute(
        f"CREATE TABLE items (id int PRIMARY KEY, embedding {kind}(16))"  # type: ignore[arg-type]
    )
    insert(connection, vectors, 0)


def insert(connection: Connection, vectors: NDArray[np.float32], first: int) -> None:
    rows = [(first + i, Vector(row).to_text()) for i, row in enumerate(vectors)]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO items (id, embedding) VALUES (%s, %s::text::vector)", rows)


def check(binarizer: Binarizer, vectors: NDArray[np.float32], codes: NDArray[np.uint8]) -> None:
    """Nearly all codes are the binarizer's, and none is worse."""
    expected = binarizer.encode(vectors)
    assert (codes == expected).all(axis=1).mean() > 0.99
    assert binarizer.additive is not None
    if binarizer.bits == binarizer.additive.bits:
        assert (binarizer.losses(vectors, codes) <= binarizer.losses(vectors) * (1 + 1e-4)).all()


def check_table(connection: Connection, binarizer: Binarizer) -> int:
    rows = rows_of(connection)
    vectors = np.array([v.strip("[]").split(",") for _, v, _ in rows if v], np.float32)
    check(binarizer, vectors, packed([code for *_, code in rows if code]))
    return len(rows)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, installed: Connection) -> tuple[Connection, Binarizer]:
    binarizer = CASES[request.param]()
    register(installed, "docs", binarizer)
    return installed, binarizer


def test_encode_and_the_constant_encoder(case: tuple[Connection, Binarizer]) -> None:
    connection, binarizer = case
    vectors = some(300)
    check(binarizer, vectors, by_sql(connection, "bitryoshka.encode('docs@1', v)", vectors))
    [(name,)] = connection.execute("SELECT bitryoshka.create_encoder('docs@1')::text").fetchall()
    assert name == "bitryoshka.encode_docs_1(vector)"
    check(binarizer, vectors, by_sql(connection, "bitryoshka.encode_docs_1(v)", vectors))
    halves = vectors.astype(np.float16).astype(np.float32)
    found = by_sql(connection, "bitryoshka.encode('docs@1', v::halfvec)", halves)
    check(binarizer, halves, found)


def test_the_trigger_and_both_backfills(case: tuple[Connection, Binarizer]) -> None:
    connection, binarizer = case
    table(connection, some(200))
    for in_database in (True, False):
        found = attach(connection, "items", "embedding", "docs@1", in_database=in_database)
        assert found.verification.good
        insert(connection, some(100, 1), 200 + 100 * in_database)
        assert check_table(connection, binarizer) == 300 + 100 * (1 - in_database)
        assert verify(connection, "items").good
        detach(connection, "items")


def test_an_export_is_the_very_binarizer(case: tuple[Connection, Binarizer]) -> None:
    connection, binarizer = case
    assert export(connection, "docs@1").fingerprint == binarizer.fingerprint
    assert register(connection, "docs", binarizer).label == "docs@1"
    assert connection.execute("SELECT codec, kind FROM bitryoshka.codec_kinds").fetchall() == [
        ("docs@1", "additive")
    ]
    drop_codec(connection, "docs@1")
    assert list_codecs(connection) == []
    for name in TABLES:
        assert connection.execute(f"SELECT FROM bitryoshka.{name}").rowcount == 0  # type: ignore[arg-type]


def test_queries_are_those_of_python(case: tuple[Connection, Binarizer]) -> None:
    connection, binarizer = case
    vectors = some(50)
    found = by_sql(connection, "bitryoshka.encode_query('docs@1', v)", vectors)
    np.testing.assert_array_equal(found, binarizer.encode_queries(vectors))
    for bits in binarizer.nested_bits:
        [(plane,)] = connection.execute(
            "SELECT (bitryoshka.query_planes('docs@1', %s::text::vector, %s))[1]::text",
            [Vector(vectors[0]).to_text(), bits],
        ).fetchall()
        assert [d == "1" for d in plane] == (
            binarizer.query_weights(vectors[:1], bits)[0] > 0
        ).tolist()


def test_a_generated_column(installed: Connection) -> None:
    binarizer, vectors = searched(3, (16, 48), 16), some(60)
    register(installed, "docs", binarizer)
    installed.execute("SELECT bitryoshka.create_encoder('docs@1')")
    installed.execute(
        "CREATE TABLE items (id int PRIMARY KEY, embedding vector(16), "
        "code bit(48) GENERATED ALWAYS AS (bitryoshka.encode_docs_1(embedding)) STORED)"
    )
    # the constants stand in its text
    for name in ("gram", "decoder"):
        installed.execute(f"ALTER TABLE bitryoshka.{name} DISABLE TRIGGER refuse_removal")
    installed.execute("DELETE FROM bitryoshka.gram; DELETE FROM bitryoshka.decoder")
    insert(installed, vectors, 0)
    assert check_table(installed, binarizer) == 60


def test_fill_code_column(installed: Connection) -> None:
    binarizer = searched(4)
    register(installed, "docs", binarizer)
    table(installed, some(60), "halfvec")
    installed.execute("SELECT bitryoshka.add_code_column('items', 'embedding', 'docs@1')")
    assert installed.execute("SELECT bitryoshka.fill_code_column('items')").fetchall() == [(60,)]
    assert check_table(installed, binarizer) == 60
    insert(installed, some(5, 2), 60)
    assert check_table(installed, binarizer) == 65


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1e6])
def test_vectors_of_any_size(installed: Connection, scale: float) -> None:
    """Products too small for a float count as nothing."""
    for name, metric in (("docs", "cosine"), ("inner", "inner_product")):
        binarizer = searched(5, metric=metric, restarts=1)  # type: ignore[arg-type]
        register(installed, name, binarizer)
        vectors = some(100) * np.float32(scale)
        check(binarizer, vectors, by_sql(installed, f"bitryoshka.encode('{name}@1', v)", vectors))


@pytest.mark.parametrize("scale", [1e-28, 1e28])
def test_cosine_does_not_square_the_length(installed: Connection, scale: float) -> None:
    """A square of these lengths is no float4."""
    binarizer, vectors = searched(5), some(100)
    register(installed, "docs", binarizer)
    scaled = vectors * np.float32(scale)
    check(binarizer, vectors, by_sql(installed, "bitryoshka.encode('docs@1', v)", scaled))


def test_bits_without_a_row_are_those_of_python(installed: Connection) -> None:
    whole = searched(6, signs=48)
    assert whole.additive is not None
    decoder = whole.additive.decoder.copy()
    decoder[::5] = 0
    decoder[1, 3:] = 1e-40
    binarizer = replace(whole, additive=replace(whole.additive, decoder=decoder))
    register(installed, "docs", binarizer)
    vectors = some(200)
    vectors[:, :3] = 0
    check(binarizer, vectors, by_sql(installed, "bitryoshka.encode('docs@1', v)", vectors))


@pytest.mark.parametrize("call", ["encode", "encode_docs_1", "the column's"])
@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ("[1,2,3]", "codec docs@1 expects 16 dimensions, found 3"),
        (str([0] * 16), "a zero vector has no code"),
    ],
)
def test_a_vector_that_has_no_code_is_an_error(
    installed: Connection, call: str, vector: str, message: str
) -> None:
    register(installed, "docs", searched(3))
    installed.execute("SELECT bitryoshka.create_encoder('docs@1')")
    table(installed, some(1))
    installed.execute("SELECT bitryoshka.add_code_column('items', 'embedding', 'docs@1')")
    first = "'docs@1', " if call == "encode" else ""
    function = f"bitryoshka.{call}"
    if call == "the column's":
        [(function,)] = installed.execute(
            "SELECT encoder::regproc::text FROM bitryoshka.column_functions(1)"
        ).fetchall()
    with pytest.raises(psycopg.errors.DataException, match=message):
        installed.execute(f"SELECT {function}({first}'{vector}'::vector)")  # type: ignore[arg-type]
    assert installed.execute("SELECT bitryoshka.encode('docs@1', NULL::vector)").fetchall() == [
        (None,)
    ]


def test_verify_finds_codes_that_are_worse(installed: Connection) -> None:
    binarizer = searched(7)
    register(installed, "docs", binarizer)
    table(installed, some(80))
    assert attach(installed, "items", "embedding", "docs@1").verification.wrong_rows == 0
    installed.execute("ALTER TABLE items DISABLE TRIGGER USER")
    installed.execute("UPDATE items SET code = 0::bit(48) WHERE id = 3")
    installed.execute(
        "UPDATE items SET code = set_bit(set_bit(code, 5, 1 - get_bit(code, 5)), 40, "
        "1 - get_bit(code, 40)) WHERE id = 4"
    )
    found = verify(installed, "items")
    assert (found.good, found.wrong_rows) == (False, 2)
    assert found.wrong_bits > 2
    assert "2 rows wrong" in found.text()
    installed.execute("UPDATE items SET code = NULL WHERE id IN (3, 4)")
    installed.execute("ALTER TABLE items ENABLE TRIGGER USER")
    assert attach(installed, "items", "embedding", "docs@1").verification.good


@pytest.mark.parametrize("case", [*CASES])
def test_a_search_by_whole_codes(installed: Connection, case: str) -> None:
    """The bits of a query have the codes' length, whatever the rows start from."""
    binarizer, vectors = CASES[case](), some(40)
    register(installed, "docs", binarizer)
    table(installed, vectors)
    attach(installed, "items", "embedding", "docs@1", queries=0)
    query = some(1, seed=9)
    found = search_column(installed, "items", query, k=40, candidates=40, rescore=None)
    codes = binarizer.encode(vectors)[:, : binarizer.hamming_bits // 8]
    apart = np.bitwise_count(codes ^ binarizer.encode_queries(query)).sum(axis=1)
    expected = 1 - 2 * np.sort(apart) / binarizer.hamming_bits
    assert found.scores[0] == pytest.approx(expected, abs=3 / binarizer.hamming_bits)


def test_verify_of_a_cut_code_counts_bits(installed: Connection) -> None:
    register(installed, "docs", searched(8).truncate(24))
    table(installed, some(80))
    assert attach(installed, "items", "embedding", "docs@1").verification.good
    installed.execute("ALTER TABLE items DISABLE TRIGGER USER")
    installed.execute("UPDATE items SET code = code # 1::bit(24) WHERE id < 2")
    found = verify(installed, "items")
    assert (found.wrong_rows, found.near_bits) == (0, 2)
    installed.execute("UPDATE items SET code = code # 1::bit(24) WHERE id BETWEEN 2 AND 40")
    assert verify(installed, "items").wrong_rows == 41
    installed.execute("UPDATE items SET code = code # 1::bit(24) WHERE id BETWEEN 0 AND 40")
    installed.execute("UPDATE items SET code = ~ code WHERE id = 60")
    assert not verify(installed, "items").good


def test_additive_tables_never_change_and_changes_are_noticed(installed: Connection) -> None:
    register(installed, "docs", searched(3, restarts=1))
    for name, change in {
        "additive": "sweeps = 1",
        "additive_lengths": "weight = 2",
        "decoder": "weights = weights + weights",
        "gram": "shift = 0",
    }.items():
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="never changes"):
            installed.execute(f"UPDATE bitryoshka.{name} SET {change}")  # type: ignore[arg-type]
    installed.execute("ALTER TABLE bitryoshka.decoder DISABLE TRIGGER refuse_change")
    with installed.transaction(force_rollback=True):
        installed.execute("UPDATE bitryoshka.decoder SET weights = weights + weights")
        with pytest.raises(FingerprintError, match="docs@1 is altered"):
            export(installed, "docs@1")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="never changes"):
        installed.execute("DELETE FROM bitryoshka.decoder WHERE position = 3")
    installed.execute("ALTER TABLE bitryoshka.decoder DISABLE TRIGGER refuse_removal")
    installed.execute("DELETE FROM bitryoshka.decoder WHERE position = 3")
    with pytest.raises(FingerprintError, match="docs@1 is altered"):
        export(installed, "docs@1")


def test_a_codec_without_its_gram_encodes_nothing(installed: Connection) -> None:
    register(installed, "docs", searched(3))
    installed.execute("ALTER TABLE bitryoshka.gram DISABLE TRIGGER refuse_removal")
    installed.execute("DELETE FROM bitryoshka.gram")
    with pytest.raises(psycopg.errors.DataCorrupted, match=r"codec docs@1 is incomplete"):
        by_sql(installed, "bitryoshka.encode('docs@1', v)", some(1))


def test_what_is_too_large_is_refused_before_anything_is_written() -> None:
    class Large:
        dimensions, bits, additive = 16_001, 8, None

    with pytest.raises(CodecError, match="at most 16000 dimensions of a vector, found 16001"):
        check_limits(Large())  # type: ignore[arg-type]
    for lengths, message in (
        ((8008,), "8000 bits of an additive code, found 8008"),
        ((7000, 7504, 8000), "16000 bits over its lengths, found 22504"),
    ):
        with pytest.raises(CodecError, match=message):
            check_limits(searched(0, lengths, 8, dimensions=2))


def test_an_upgrade_keeps_rights_and_views(connection: Connection) -> None:
    install_old(connection, "0002")
    old, vectors = exact_binarizer(3), np.round(some(40) * 4) + np.float32(0.5)
    register_old(connection, "docs", old)
    connection.execute("SELECT bitryoshka.create_encoder('docs@1')")
    table(connection, vectors)
    connection.execute("CREATE ROLE bitryoshka_upgrade_test")
    try:
        connection.execute(
            "GRANT EXECUTE ON FUNCTION bitryoshka.create_encoder TO bitryoshka_upgrade_test"
        )
        connection.execute(
            "CREATE VIEW codes AS "
            "SELECT id, bitryoshka.encode('docs@1', embedding)::text AS code FROM items"
        )
        connection.execute("SELECT bitryoshka.add_code_column('items', 'embedding', 'docs@1')")
        connection.execute("SELECT bitryoshka.fill_code_column('items')")
        codes = rows_of(connection)
        install(connection)
        assert rows_of(connection) == codes
        insert(connection, vectors + 1, 40)
        assert check_codes(connection, old) == 80
        assert [(code,) for *_, code in rows_of(connection)] == connection.execute(
            "SELECT code FROM codes ORDER BY id::text"
        ).fetchall()
        assert connection.execute(
            "SELECT has_function_privilege("
            "'bitryoshka_upgrade_test', 'bitryoshka.create_encoder(text)', 'EXECUTE')"
        ).fetchall() == [(True,)]
        assert verify(connection, "items").good
        assert connection.execute("SELECT codec, kind FROM bitryoshka.codec_kinds").fetchall() == [
            ("docs@1", "progressive")
        ]
        new = searched(3)
        register(connection, "more", new)
        attach(connection, "items", "embedding", "more@1", code_column="other")
        insert(connection, vectors + 2, 80)
        assert verify(connection, "items", code_column="other").good
        detach(connection, "items", code_column="other")
        detach(connection, "items")
        connection.execute("DROP VIEW codes")
        uninstall(connection)
    finally:
        connection.execute(
            "DROP OWNED BY bitryoshka_upgrade_test; DROP ROLE bitryoshka_upgrade_test"
        )


def test_pgvector_in_another_schema(bare_database: str) -> None:
    binarizer, vectors = searched(3, (16, 48), 16, restarts=1), some(1)
    with connect(bare_database) as connection:
        connection.execute(
            'CREATE SCHEMA "the extensions"; CREATE EXTENSION vector SCHEMA "the extensions"'
        )
        install(connection)
        register(connection, "docs", binarizer)
        connection.execute("SELECT bitryoshka.create_encoder('docs@1')")
        connection.execute(
            'CREATE TABLE items (id int PRIMARY KEY, embedding "the extensions".vector(16))'
        )
        connection.execute("SELECT bitryoshka.add_code_column('items', 'embedding', 'docs@1')")
        connection.execute(
            "INSERT INTO items (id, embedding) VALUES (0, %s)", [str(vectors[0].tolist())]
        )
        found = connection.execute(
            "SELECT code::text, bitryoshka.encode('docs@1', embedding)::text, "
            "bitryoshka.encode_docs_1(embedding)::text FROM items"
        ).fetchall()
    for code in found[0]:
        assert np.array_equal(packed([code]), binarizer.encode(vectors))
