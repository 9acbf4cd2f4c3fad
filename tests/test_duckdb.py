"""The funnel in DuckDB finds what the one in NumPy does, over files and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import additive_binarizer, clustered, exact_binarizer, integer_rows, quick

from bitryoshka.arrow import code_array, encode_batch, encode_stream, mark_codes
from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import largest_scores, prefix, query_planes
from bitryoshka.duckdb import SearchResult, read_codes, search
from bitryoshka.errors import (
    BitsError,
    FingerprintError,
    OptionError,
    SearchError,
    TableError,
    VectorsError,
)
from bitryoshka.evaluation import exact_topk, hamming_topk, rescore

ROWS, DIMENSIONS = 700, 32
VECTORS, QUERIES = clustered(0, ROWS, DIMENSIONS), clustered(1, 6, DIMENSIONS)
BINARIZER = additive_binarizer(0, hamming_bits=48, lengths=(48, 96))


def table(binarizer: Binarizer = BINARIZER, vectors: np.ndarray = VECTORS) -> pa.Table:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    rows = {"id": np.arange(len(vectors)), "tenant": np.arange(len(vectors)) % 7, "vector": lists}
    return encode_batch(pa.table(rows), binarizer)


@pytest.fixture(scope="module")
def connection() -> Any:
    with duckdb.connect() as opened:
        yield opened


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("codes") / "codes.parquet"
    pq.write_table(table(), path, row_group_size=200)
    return str(path)


@pytest.fixture(params=["parquet", "table", "bits", "arrow", "binary"])
def relation(request: pytest.FixtureRequest, connection: Any, file: str) -> Any:
    if request.param == "parquet":
        return read_codes(connection, file, BINARIZER)
    if request.param == "arrow":
        return connection.from_arrow(table())
    if request.param == "binary":
        plain = table()
        place = plain.schema.get_field_index("code")
        return connection.from_arrow(plain.set_column(place, "code", plain["code"].cast("binary")))
    chosen = "* REPLACE (code::BIT AS code)" if request.param == "bits" else "*"
    connection.sql(f"CREATE OR REPLACE TABLE stored AS SELECT {chosen} FROM '{file}'")
    return connection.table("stored")


def by_planes(binarizer: Binarizer, codes: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Scores (Q, N): the weights rounded to eight planes, bit by bit."""
    planes = query_planes(binarizer.query_weights(queries)).planes
    signs = np.unpackbits(codes, axis=1) * 2.0 - 1
    digits = np.unpackbits(planes, axis=2) * 2.0 - 1
    units = np.einsum("p,qpb->qb", 2.0 ** np.arange(7, -1, -1), digits)
    return units @ signs.T / largest_scores(planes)[:, None]


@pytest.mark.parametrize("prefix_bits", [None, 48])
def test_the_first_stage_alone(relation: Any, prefix_bits: int | None) -> None:
    found = search(relation, BINARIZER, QUERIES, 9, prefix_bits=prefix_bits, rescore=None)
    expected = hamming_topk(
        BINARIZER.encode_queries(QUERIES), prefix(BINARIZER.encode(VECTORS), 48), 9
    )
    assert isinstance(found, SearchResult)
    assert found.ids == expected.rows.tolist()
    np.testing.assert_allclose(found.scores, 1 + 2 * expected.scores / 48)


def test_the_float_query_ranks_the_candidates(relation: Any) -> None:
    found = search(relation, BINARIZER, QUERIES, 8, candidates=60)
    codes = BINARIZER.encode(VECTORS)
    listed = hamming_topk(BINARIZER.encode_queries(QUERIES), prefix(codes, 48), 60).rows
    scores = by_planes(BINARIZER, codes, QUERIES)
    for i, rows in enumerate(listed):
        best = sorted(rows.tolist(), key=lambda row: (-scores[i, row], row))[:8]
        assert found.ids[i] == best
        np.testing.assert_allclose(found.scores[i], scores[i, best])
    by_floats = rescore(BINARIZER.query_weights(QUERIES), codes, listed, 8).rows
    shared = [len({*a} & {*b}) for a, b in zip(found.ids, by_floats.tolist(), strict=True)]
    assert np.mean(shared) > 7


@pytest.mark.parametrize("shortlist", [None, 20])
def test_vectors_rank_what_is_left(relation: Any, shortlist: int | None) -> None:
    found = search(
        relation, BINARIZER, QUERIES, 5, candidates=80, rescore="exact", shortlist=shortlist
    )
    stage = search(
        relation,
        BINARIZER,
        QUERIES,
        shortlist or 80,
        candidates=80,
        rescore="asymmetric" if shortlist else None,
    )
    for i, rows in enumerate(stage.ids):
        exact = exact_topk(QUERIES[i : i + 1], VECTORS[rows], 5)
        assert found.ids[i] == [rows[row] for row in exact.rows[0]]
        np.testing.assert_allclose(found.scores[i], exact.scores[0], rtol=1e-5)


@quick
@given(
    seed=st.integers(0, 50),
    rows=st.integers(1, 40),
    k=st.integers(1, 12),
    more=st.integers(0, 30),
    data=st.data(),
)
def test_any_binarizer(seed: int, rows: int, k: int, more: int, data: st.DataObject) -> None:
    binarizer = exact_binarizer(seed)
    vectors, queries = integer_rows(seed, rows), integer_rows(seed + 1, 2)
    offered = [n for n in binarizer.nested_bits if n <= binarizer.hamming_bits]
    bits = data.draw(st.sampled_from(offered))
    with duckdb.connect(config={"threads": 1}) as connection:
        relation = connection.from_arrow(table(binarizer, vectors))
        found = search(relation, binarizer, queries, k, candidates=k + more, prefix_bits=bits)
    codes = binarizer.encode(vectors)
    count = min(k + more, rows)
    listed = hamming_topk(binarizer.encode_queries(queries, bits), prefix(codes, bits), count).rows
    scores = by_planes(binarizer, codes, queries)
    for i, candidates in enumerate(listed.tolist()):
        assert found.ids[i] == sorted(candidates, key=lambda row: (-scores[i, row], row))[:k]


def test_a_condition_holds_before_candidates_are_counted(relation: Any) -> None:
    found = search(relation, BINARIZER, QUERIES, 10, candidates=10, where="tenant = 3")
    assert all(len(ids) == 10 and {i % 7 for i in ids} == {3} for ids in found.ids)
    expression = duckdb.ColumnExpression("tenant") == duckdb.ConstantExpression(3)
    again = search(relation, BINARIZER, QUERIES, 10, candidates=10, where=expression)
    assert again.ids == found.ids
    exact = search(relation, BINARIZER, QUERIES, 10, rescore="exact", where="tenant = 3")
    assert all({i % 7 for i in ids} == {3} for ids in exact.ids)
    few = search(relation, BINARIZER, QUERIES[:1], 10, where="id < 4")
    assert sorted(few.ids[0]) == [0, 1, 2, 3]


def test_other_names_keys_of_text_and_rows_without_codes(connection: Any) -> None:
    codes = code_array(BINARIZER.encode(VECTORS[:50]))
    missing = pa.array([None] * 10, codes.type)
    rows = pa.table(
        {
            'a "key"': [f"row {i}" for i in range(60)],
            "the code": pa.chunked_array([codes, missing]),
            "emb": VECTORS[:60].tolist(),
        }
    )
    names = {"id_column": 'a "key"', "code_column": "the code", "vector_column": "emb"}
    relation = connection.from_arrow(rows)
    for kind in (None, "asymmetric", "exact"):
        found = search(relation, BINARIZER, VECTORS[:3], 60, rescore=kind, **names)
        assert [len(ids) for ids in found.ids] == [50, 50, 50]
        assert {*found.ids[0]} == {f"row {i}" for i in range(50)}
    assert [ids[0] for ids in found.ids] == ["row 0", "row 1", "row 2"]


def test_inner_products(connection: Any) -> None:
    binarizer = exact_binarizer(3)
    vectors, queries = integer_rows(0, 40), integer_rows(1, 3)
    relation = connection.from_arrow(table(binarizer, vectors))
    found = search(relation, binarizer, queries, 5, rescore="exact")
    expected = exact_topk(queries, vectors, 5, "inner_product")
    assert found.ids == expected.rows.tolist()
    np.testing.assert_allclose(found.scores, expected.scores)


@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
def test_rows_whose_vectors_give_no_score_come_last(connection: Any, metric: str) -> None:
    if metric == "cosine":
        binarizer, vectors = BINARIZER, VECTORS[:8].tolist()
        vectors[3] = [0.0] * DIMENSIONS
    else:
        binarizer, vectors = exact_binarizer(3), integer_rows(0, 8).tolist()
        vectors[3] = None
    codes = code_array(binarizer.encode(VECTORS[:8] if metric == "cosine" else integer_rows(0, 8)))
    vectors[1], vectors[6] = None, [float("nan"), *vectors[6][1:]]
    rows = pa.table({"id": np.arange(8), "code": codes, "vector": vectors})
    query = np.array(vectors[5], np.float32)[None]
    connection.execute("SET default_null_order = 'nulls_first'")
    try:
        found = search(connection.from_arrow(rows), binarizer, query, 8, rescore="exact")
    finally:
        connection.execute("RESET default_null_order")
    (ids,), (scores,) = found
    present = [0, 2, 4, 5, 7]
    exact = exact_topk(query, np.array([vectors[i] for i in present], np.float32), 5, metric)
    assert ids == [*(present[i] for i in exact.rows[0]), 1, 3, 6]
    np.testing.assert_allclose(scores[:5], exact.scores[0], rtol=1e-5)
    assert np.isnan(scores[5:]).all()


def test_what_is_no_relation_name_or_condition(connection: Any, file: str) -> None:
    relation = connection.from_arrow(table())
    for wrong in (connection, file):
        with pytest.raises(OptionError, match="expected a relation of DuckDB"):
            search(wrong, BINARIZER, QUERIES)
    for name in ("id_column", "code_column", "vector_column"):
        with pytest.raises(OptionError, match=r"the name of one column, found list"):
            search(relation, BINARIZER, QUERIES, **{name: ["id", "tenant"]})
    for condition, message in [
        ("", "the condition is empty"),
        (" \n", "the condition is empty"),
        (True, r"expected a condition.*found bool"),
    ]:
        with pytest.raises(OptionError, match=message):
            search(relation, BINARIZER, QUERIES, where=condition)
    text = table().set_column(3, "code", pa.array(["01" * 48] * ROWS))
    with pytest.raises(TableError, match="as BLOB or BIT in column 'code', found VARCHAR"):
        search(connection.from_arrow(text), BINARIZER, QUERIES)


def test_what_does_not_fit(connection: Any) -> None:
    relation = connection.from_arrow(table())
    with pytest.raises(SearchError, match="at least k = 10 candidates"):
        search(relation, BINARIZER, QUERIES, candidates=5)
    with pytest.raises(SearchError, match=r"prefix_bits must be one of \(48,\)"):
        search(relation, BINARIZER, QUERIES, prefix_bits=96)
    with pytest.raises(VectorsError, match="must have 32 dimensions"):
        search(relation, BINARIZER, QUERIES[:, :16])
    longer = additive_binarizer(0, hamming_bits=48, lengths=(48, 104))
    with pytest.raises(BitsError, match="expected codes of 104 bits, found others"):
        search(relation, longer, QUERIES)
    with pytest.raises(duckdb.BinderException, match="nothing"):
        search(relation, BINARIZER, QUERIES, code_column="nothing")


# files


def test_files_of_another_binarizer_are_refused(connection: Any, file: str, tmp_path: Path) -> None:
    other = additive_binarizer(1, hamming_bits=48, lengths=(48, 96))
    with pytest.raises(FingerprintError, match=f"expected fingerprint {other.fingerprint}, found"):
        read_codes(connection, file, other)
    pq.write_table(table(), tmp_path / "a.parquet")
    pq.write_table(table(other), tmp_path / "b.parquet")
    with pytest.raises(FingerprintError, match=r"'code' of .*b\.parquet holds codes of another"):
        read_codes(connection, str(tmp_path / "*.parquet"), BINARIZER)
    pq.write_table(table().replace_schema_metadata({}), tmp_path / "b.parquet")
    with pytest.raises(FingerprintError, match=r"b\.parquet does not say whose codes"):
        read_codes(connection, [file, str(tmp_path / "b.parquet")], BINARIZER)
    both = read_codes(connection, [file, str(tmp_path / "a.parquet")], BINARIZER)
    assert both.aggregate("count(*)").fetchall() == [(2 * ROWS,)]
    with pytest.raises(duckdb.IOException, match="No files found"):
        read_codes(connection, str(tmp_path / "none*.parquet"), BINARIZER)


def test_paths(connection: Any, file: str) -> None:
    count = [(ROWS,)]
    for files in (Path(file), [Path(file)], (name for name in [file])):
        assert read_codes(connection, files, BINARIZER).aggregate("count(*)").fetchall() == count
    for wrong in (3, [3], None, file.encode()):
        with pytest.raises(OptionError, match=r"expected a path or pattern, or several, found"):
            read_codes(connection, wrong, BINARIZER)
    with pytest.raises(OptionError, match="expected a connection of DuckDB, found str"):
        read_codes(file, file, BINARIZER)


def test_files_that_others_wrote_are_marked_again(connection: Any, tmp_path: Path) -> None:
    import polars

    frame = polars.from_arrow(encode_stream(table().drop("code"), BINARIZER))
    frame.write_parquet(tmp_path / "polars.parquet")
    with pytest.raises(FingerprintError, match="does not say whose codes"):
        read_codes(connection, tmp_path / "polars.parquet", BINARIZER)
    pq.write_table(mark_codes(frame.to_arrow(), BINARIZER), tmp_path / "marked.parquet")
    entry = pq.read_schema(tmp_path / "marked.parquet").metadata[b"bitryoshka:code"].decode()
    connection.execute(
        f"COPY (FROM '{tmp_path}/polars.parquet') TO '{tmp_path}/copied.parquet' "
        "(KV_METADATA {'bitryoshka:code': $1})",
        [entry],
    )
    expected = search(connection.from_arrow(table()), BINARIZER, QUERIES)
    for name in ("marked", "copied"):
        docs = read_codes(connection, tmp_path / f"{name}.parquet", BINARIZER)
        assert search(docs, BINARIZER, QUERIES).ids == expected.ids
