"""The SQL functions give what the binarizer gives in Python."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import sql
from synthetic import additive_binarizer, clustered, exact_binarizer, integer_rows, signed_rows

import bitryoshka
from bitryoshka import Binarizer
from bitryoshka.bits import prefix, query_planes, unpack
from bitryoshka.postgres import register
from bitryoshka.postgres.server import Connection
from bitryoshka.sql_files import read_install

GOLDEN = Path(__file__).parent / "golden"
PLANES = 8


def texts(vectors: NDArray[np.floating]) -> list[str]:
    return [Vector(row).to_text() for row in vectors]


def by_sql(connection: Connection, expression: str, vectors: NDArray[np.floating]) -> Any:
    """Packed codes that an expression over ``v`` gives, read as text."""
    query = sql.SQL(
        "SELECT ({})::text FROM unnest(%s::text[]) WITH ORDINALITY AS t (x, n), "
        "LATERAL (SELECT x::vector AS v OFFSET 0) AS u ORDER BY n"
    ).format(sql.SQL(expression))  # type: ignore[arg-type]
    found = connection.execute(query, [texts(vectors)]).fetchall()
    return np.packbits(np.array([[int(d) for d in code] for (code,) in found], np.uint8), axis=1)


def golden(name: str) -> tuple[Binarizer, NDArray[np.float32]]:
    folder = GOLDEN / name
    return Binarizer.load(folder / "binarizer.safetensors"), np.load(folder / "vectors.npy")


def exact(seed: int, metric: Any = "inner_product") -> tuple[Binarizer, NDArray[np.float32]]:
    rows = integer_rows(seed, 40) if metric == "inner_product" else signed_rows(seed, 40)
    return exact_binarizer(seed, metric), rows


def with_query_parameters(seed: int) -> tuple[Binarizer, NDArray[np.float32]]:
    b, rows = exact(seed)
    rng = np.random.default_rng(seed)
    m = b.hamming_bits
    changed = replace(
        b,
        weight_projection=rng.integers(-3, 4, (sum(b.nested_bits), 16)),
        hamming_projection=rng.integers(-3, 4, (m, 16)),
        hamming_offset=rng.integers(-4, 5, m),
    )
    return changed, rows


CASES = {
    **{f"exact {seed}": lambda seed=seed: exact(seed) for seed in range(6)},
    **{f"cosine {seed}": lambda seed=seed: exact(seed, "cosine") for seed in range(3)},
    "queries": lambda: with_query_parameters(3),
    "queries' weights": lambda: (
        replace(with_query_parameters(4)[0], hamming_offset=None),
        integer_rows(4, 40),
    ),
    "queries' thresholds": lambda: (
        replace(with_query_parameters(5)[0], hamming_projection=None),
        integer_rows(5, 40),
    ),
    "golden fitted": lambda: golden("v1-fitted"),
    "golden planes": lambda: golden("v1-all-planes"),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, installed: Connection) -> tuple[Any, ...]:
    binarizer, vectors = CASES[request.param]()
    register(installed, "docs", binarizer)
    return installed, binarizer, vectors


def test_encode_gives_the_same_bits(case: tuple[Any, ...]) -> None:
    connection, binarizer, vectors = case
    found = by_sql(connection, "bitryoshka.encode('docs@1', v)", vectors)
    np.testing.assert_array_equal(found, binarizer.encode(vectors))


def test_the_encoder_with_constant_weights_gives_the_same_bits(case: tuple[Any, ...]) -> None:
    connection, binarizer, vectors = case
    [(name,)] = connection.execute("SELECT bitryoshka.create_encoder('docs@1')::text").fetchall()
    assert name == "bitryoshka.encode_docs_1(vector)"
    found = by_sql(connection, "bitryoshka.encode_docs_1(v)", vectors)
    np.testing.assert_array_equal(found, binarizer.encode(vectors))


def test_a_halfvec_has_the_code_of_its_numbers(case: tuple[Any, ...]) -> None:
    connection, binarizer, vectors = case
    halves = vectors.astype(np.float16)
    found = by_sql(connection, "bitryoshka.encode('docs@1', v::halfvec)", halves)
    np.testing.assert_array_equal(found, binarizer.encode(halves))


def test_a_query_has_the_bits_of_a_query_at_every_length(case: tuple[Any, ...]) -> None:
    connection, binarizer, vectors = case
    expected = binarizer.encode_queries(vectors)
    found = by_sql(connection, "bitryoshka.encode_query('docs@1', v)", vectors)
    np.testing.assert_array_equal(found, expected)
    for bits in (b for b in binarizer.nested_bits if b <= binarizer.hamming_bits):
        cut = by_sql(connection, f"bitryoshka.encode_query('docs@1', v, {bits})", vectors)
        np.testing.assert_array_equal(cut, prefix(expected, bits))


def test_planes_and_scores_are_those_of_python(case: tuple[Any, ...]) -> None:
    connection, binarizer, vectors = case
    codes = binarizer.encode(vectors)
    for bits in binarizer.nested_bits:
        planes, _ = query_planes(binarizer.query_weights(vectors[:5], bits), PLANES)
        cut = prefix(codes, bits)
        signs = unpack(cut).astype(int) * 2 - 1
        weights = np.einsum(
            "p,qpb->qb",
            2 ** np.arange(PLANES - 1, -1, -1),
            np.stack([unpack(np.ascontiguousarray(p)).astype(int) * 2 - 1 for p in planes]),
        )
        found = connection.execute(
            sql.SQL(
                "SELECT q.n, c.n, bitryoshka.asymmetric_score("
                "substring(bitryoshka.encode('docs@1', c.x::vector) FROM 1 FOR {bits}), "
                "bitryoshka.query_planes('docs@1', q.x::vector, {bits})) "
                "FROM unnest(%s::text[]) WITH ORDINALITY AS q (x, n), "
                "unnest(%s::text[]) WITH ORDINALITY AS c (x, n) ORDER BY q.n, c.n"
            ).format(bits=sql.Literal(bits)),
            [texts(vectors[:5]), texts(vectors)],
        ).fetchall()
        scores = np.array([score for _, _, score in found]).reshape(5, len(vectors))
        # a weight within rounding of the middle of two integers may become either
        turned = np.abs(scores - weights @ signs.T)
        assert turned.max() <= 4
        assert (turned == 0).mean() > 0.9


def test_fitted_codes_differ_only_where_a_projection_is_almost_at_a_threshold(
    installed: Connection,
) -> None:
    vectors = clustered(0, 3000)
    for method, bits in (("itq", 48), ("progressive", 96)):
        binarizer = bitryoshka.fit(vectors[:500], bits=bits, method=method).binarizer
        register(installed, method, binarizer)
        found = by_sql(installed, f"bitryoshka.encode('{method}@1', v)", vectors)
        differ = unpack(found) != unpack(binarizer.encode(vectors))
        steps = binarizer.project(vectors) / binarizer.step
        near = np.abs(steps - np.round(steps)) * binarizer.step < 1e-5
        assert not (differ & ~near[:, binarizer.bit_dimension]).any()
        assert differ.sum() < 20


def test_null_gives_null(installed: Connection) -> None:
    register(installed, "docs", exact_binarizer(3))
    for call in ("encode", "encode_query", "query_planes"):
        for arguments in ("NULL, '[1]'::vector", "'docs@1', NULL::vector"):
            query = sql.SQL("SELECT bitryoshka.{}({})").format(
                sql.Identifier(call),
                sql.SQL(arguments),  # type: ignore[arg-type]
            )
            assert installed.execute(query).fetchall() == [(None,)]


@pytest.mark.parametrize("case", [*CASES, "additive"])
def test_a_codecs_own_functions_for_queries_give_the_same(installed: Connection, case: str) -> None:
    if case == "additive":
        binarizer, vectors = additive_binarizer(1, dimensions=16), integer_rows(7, 40)
    else:
        binarizer, vectors = CASES[case]()
    register(installed, "docs", binarizer)
    suffix = binarizer.fingerprint[:32]
    rows = installed.execute(
        f"SELECT bitryoshka.query_bits_{suffix}(v) = bitryoshka.encode_query('docs@1', v), "  # type: ignore[arg-type]
        f"bitryoshka.query_planes_{suffix}(v) = bitryoshka.query_planes('docs@1', v) "
        "FROM unnest(%s::text[]) AS t (x), LATERAL (SELECT x::vector AS v OFFSET 0) AS u",
        [texts(vectors)],
    ).fetchall()
    assert rows == [(True, True)] * len(vectors)


@pytest.mark.parametrize("call", ["encode", "encode_query", "query_planes", "encode_docs_1"])
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
    register(installed, "docs", exact_binarizer(3, "cosine"))
    installed.execute("SELECT bitryoshka.create_encoder('docs@1')")
    first = sql.SQL("") if call == "encode_docs_1" else sql.SQL("'docs@1', ")
    query = sql.SQL("SELECT bitryoshka.{}({}{}::vector)").format(
        sql.Identifier(call), first, sql.Literal(vector)
    )
    with pytest.raises(psycopg.errors.DataException, match=message):
        installed.execute(query)


@pytest.mark.parametrize("call", ["encode", "encode_query", "query_planes"])
def test_an_unknown_codec_is_an_error_with_a_hint(installed: Connection, call: str) -> None:
    query = sql.SQL("SELECT bitryoshka.{}('no''pe', '[1]'::vector)").format(sql.Identifier(call))
    with pytest.raises(psycopg.errors.UndefinedObject, match="no codec 'no''pe'") as refused:
        installed.execute(query)
    assert "a label is name@version" in str(refused.value.diag.message_hint)


@pytest.mark.parametrize("bits", [7, 12, 4096])
def test_lengths_that_are_not_offered_are_refused(installed: Connection, bits: int) -> None:
    register(installed, "docs", exact_binarizer(3))
    for call in ("encode_query", "query_planes"):
        query = sql.SQL("SELECT bitryoshka.{}('docs@1', {}::vector, {})").format(
            sql.Identifier(call), sql.Literal(str([1] * 16)), sql.Literal(bits)
        )
        with pytest.raises(psycopg.errors.InvalidParameterValue, match=f"found {bits}"):
            installed.execute(query)


def test_a_generated_column_and_an_expression_index_by_the_constant_encoder(
    installed: Connection,
) -> None:
    binarizer = exact_binarizer(3)
    register(installed, "docs", binarizer)
    installed.execute("SELECT bitryoshka.create_encoder('docs@1')")
    installed.execute(
        f"CREATE TABLE items (id int, v vector(16), code bit({binarizer.bits}) "  # type: ignore[arg-type]
        "GENERATED ALWAYS AS (bitryoshka.encode_docs_1(v)) STORED)"
    )
    installed.execute(
        "CREATE INDEX ON items USING hnsw "  # type: ignore[arg-type]
        f"((bitryoshka.encode_docs_1(v)::bit({binarizer.bits})) bit_hamming_ops)"
    )
    vectors = integer_rows(0, 30)
    with installed.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO items (id, v) VALUES (%s, %s::vector)", list(enumerate(texts(vectors)))
        )
    found = installed.execute("SELECT code::text FROM items ORDER BY id").fetchall()
    codes = np.packbits([[int(d) for d in code] for (code,) in found], axis=1)
    np.testing.assert_array_equal(codes, binarizer.encode(vectors))


def test_the_score_is_inlined(installed: Connection) -> None:
    installed.execute("CREATE TABLE items (code bit(8))")
    plan = installed.execute(
        "EXPLAIN (VERBOSE) SELECT bitryoshka.asymmetric_score(code, "
        "array_fill(B'10101010'::varbit, ARRAY[8])::bit[]) FROM items"
    ).fetchall()
    assert "<~>" in str(plan)
    assert "asymmetric_score" not in str(plan)


def test_functions_are_safe_and_documented(installed: Connection) -> None:
    found = installed.execute(
        "SELECT p.oid::regprocedure::text, p.prosecdef, p.provolatile::text, p.proparallel::text, "
        "coalesce(array_to_string(p.proconfig, ' '), ''), p.prosqlbody IS NOT NULL, "
        "obj_description(p.oid) FROM pg_proc AS p WHERE pronamespace = 'bitryoshka'::regnamespace"
    ).fetchall()
    assert len(found) >= 9
    for name, definer, _, _, settings, bound, comment in found:
        assert not definer, name
        own_path = bound or "search_path=pg_catalog, pg_temp" in settings
        # the caller's filter runs under the caller's path, and all else in it is qualified
        assert own_path or name.startswith("bitryoshka.search("), name
        assert comment, name
    properties = {name.partition("(")[0]: (v, p) for name, _, v, p, *_ in found}
    assert properties["bitryoshka.encode"] == ("s", "s")
    assert properties["bitryoshka.asymmetric_score"] == ("i", "s")
    tables = installed.execute(
        "SELECT relname, obj_description(oid) FROM pg_class "
        "WHERE relnamespace = 'bitryoshka'::regnamespace AND relkind IN ('r', 'v')"
    ).fetchall()
    assert {name for name, comment in tables if not comment} == {"schema_version"}


def test_a_name_before_ours_in_the_callers_path_changes_nothing(installed: Connection) -> None:
    binarizer = exact_binarizer(3)
    register(installed, "docs", binarizer)
    installed.execute("CREATE SCHEMA evil")
    installed.execute(
        "CREATE FUNCTION evil.vector_dims(vector) RETURNS int LANGUAGE sql AS 'SELECT 1 / 0'"
    )
    installed.execute("SET search_path = evil, public, pg_catalog")
    found = by_sql(installed, "bitryoshka.encode('docs@1', v)", integer_rows(0, 5))
    np.testing.assert_array_equal(found, binarizer.encode(integer_rows(0, 5)))


INSTALLED = sorted(p.stem for p in (Path(__file__).parents[1] / "sql" / "install").glob("*.sql"))


@pytest.mark.parametrize("name", INSTALLED)
def test_installed_sql_passes_through_every_driver(name: str) -> None:
    text = read_install(name)
    assert "%" not in text
    assert not re.search(r"(?<![:\w\\]):\w", text)
