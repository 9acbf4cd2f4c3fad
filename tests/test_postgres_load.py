"""Bulk load: what arrives is what was given, bit by bit, or nothing arrives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from psycopg import errors
from stored_rows import count, on_server, stored
from synthetic import exact_binarizer, integer_rows

from bitryoshka import Binarizer, BitryoshkaError, BitsError, TableError, VectorsError
from bitryoshka.postgres import CodeTable, bulk, create_table, load
from bitryoshka.postgres.server import Connection

INT64 = np.iinfo(np.int64)
ROWS, DIMENSIONS = 20, 16

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
halves = st.floats(-65519, 65519, width=32)


@pytest.fixture(scope="module")
def binarizer() -> Binarizer:
    return exact_binarizer(3)


@pytest.fixture(scope="module")
def codes(binarizer: Binarizer) -> NDArray[np.uint8]:
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (ROWS, binarizer.bits // 8), np.uint8)


@pytest.fixture
def table(connection: Connection, binarizer: Binarizer) -> CodeTable:
    return create_table(connection, "items", binarizer)


@pytest.fixture
def wide(connection: Connection, binarizer: Binarizer) -> CodeTable:
    return create_table(connection, "wide", binarizer, "vector")


@pytest.fixture
def half(connection: Connection, binarizer: Binarizer) -> CodeTable:
    return create_table(connection, "half", binarizer, "halfvec")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_BLOCK_ROWS", 8)


@on_server
@given(st.data())
def test_codes_and_ids_arrive_bit_by_bit(
    connection: Connection, table: CodeTable, data: st.DataObject
) -> None:
    ids = data.draw(st.lists(st.integers(INT64.min, INT64.max), min_size=1, unique=True))
    codes = data.draw(hnp.arrays(np.uint8, (len(ids), table.bits // 8)))
    with connection.transaction(force_rollback=True):
        assert load(connection, table, ids, codes) == len(ids)
        found = stored(connection, table)
        order = np.argsort(np.array(ids, np.int64))
        assert found.ids.tolist() == sorted(ids)
        np.testing.assert_array_equal(found.codes, codes[order])
    assert count(connection, table) == 0


@on_server
@given(vectors=hnp.arrays(np.float32, (5, DIMENSIONS), elements=finite))
def test_vectors_arrive_exactly(
    connection: Connection, wide: CodeTable, codes: NDArray[np.uint8], vectors: NDArray[np.float32]
) -> None:
    with connection.transaction(force_rollback=True):
        load(connection, wide, np.arange(5), codes[:5], vectors)
        found = stored(connection, wide).vectors
        assert found is not None
        np.testing.assert_array_equal(found.view(np.uint32), vectors.view(np.uint32))


@on_server
@given(vectors=hnp.arrays(np.float32, (5, DIMENSIONS), elements=halves))
def test_half_vectors_are_rounded_as_the_server_rounds(
    connection: Connection, half: CodeTable, codes: NDArray[np.uint8], vectors: NDArray[np.float32]
) -> None:
    with connection.transaction(force_rollback=True):
        load(connection, half, np.arange(5), codes[:5], vectors)
        for i, row in enumerate(vectors.astype(float).tolist()):
            kept = connection.execute(
                "SELECT vector::text, %s::vector::halfvec::text FROM half WHERE id = %s",
                [str(row), i],
            ).fetchone()
            assert kept is not None
            assert kept[0] == kept[1]


@pytest.mark.parametrize(
    "ids", [[INT64.min, -1, 0, INT64.max], [2**53 + 1, 3, 2**63 - 1, -(2**53)]]
)
def test_ids_may_be_any_64_bit_integers(
    connection: Connection, table: CodeTable, codes: NDArray[np.uint8], ids: list[int]
) -> None:
    load(connection, table, ids, codes[:4])
    assert stored(connection, table).ids.tolist() == sorted(ids)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint8, np.uint64, ">i4"])
def test_ids_of_any_integer_type(
    connection: Connection, table: CodeTable, codes: NDArray[np.uint8], dtype: Any
) -> None:
    load(connection, table, np.arange(ROWS).astype(dtype), codes)
    assert stored(connection, table).ids.tolist() == list(range(ROWS))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64])
def test_vectors_of_any_real_type(
    connection: Connection, wide: CodeTable, codes: NDArray[np.uint8], dtype: Any
) -> None:
    vectors = integer_rows(0, ROWS)
    load(connection, wide, np.arange(ROWS), codes, vectors.astype(dtype))
    np.testing.assert_array_equal(stored(connection, wide).vectors, vectors)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("rows", [1, 7, 8, 9, 20])
def test_every_row_arrives_whatever_the_blocks(
    connection: Connection, wide: CodeTable, codes: NDArray[np.uint8], rows: int
) -> None:
    vectors = integer_rows(0, rows)
    assert load(connection, wide, np.arange(rows), codes[:rows], vectors) == rows
    found = stored(connection, wide)
    np.testing.assert_array_equal(found.ids, np.arange(rows))
    np.testing.assert_array_equal(found.codes, codes[:rows])
    np.testing.assert_array_equal(found.vectors, vectors)


@pytest.mark.usefixtures("small_blocks")
def test_memory_mapped_and_strided_input(
    connection: Connection, wide: CodeTable, codes: NDArray[np.uint8], tmp_path: Path
) -> None:
    vectors = integer_rows(0, ROWS)
    for name, array in {"ids": np.arange(ROWS), "codes": codes, "vectors": vectors}.items():
        np.save(tmp_path / f"{name}.npy", array)
    ids, mapped, floats = (
        np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("ids", "codes", "vectors")
    )
    load(connection, wide, ids[::-2], mapped[::-2], np.asfortranarray(floats)[::-2])
    load(connection, wide, ids[::2], mapped[::2], floats[::2])
    found = stored(connection, wide)
    np.testing.assert_array_equal(found.ids, np.arange(ROWS))
    np.testing.assert_array_equal(found.codes, codes)
    np.testing.assert_array_equal(found.vectors, vectors)


@pytest.fixture
def unharmed(connection: Connection, table: CodeTable, wide: CodeTable) -> Iterator[None]:
    """After the test: nothing was loaded, and the connection still works."""
    yield
    assert (count(connection, table), count(connection, wide)) == (0, 0)


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(
    ("ids", "kind", "message"),
    [
        (
            np.arange(ROWS, dtype=np.uint64) + np.uint64(2**63 - 5),
            TableError,
            "at most 9223372036854775807, found 9223372036854775822",
        ),
        ([2**64] * ROWS, TableError, "ids must be integers"),
        (np.arange(ROWS) / 2, TableError, r"ids must be integers \(N,\), found float64 \(20,\)"),
        (np.arange(ROWS) > 3, TableError, "found bool"),
        ([str(i) for i in range(ROWS)], TableError, "ids must be integers"),
        (np.arange(ROWS)[:, None], TableError, r"found int64 \(20, 1\)"),
        (np.arange(ROWS - 1), VectorsError, r"equal numbers of rows: \[19, 20\]"),
        (np.arange(ROWS) // 2, TableError, r"would have one twice: .*\(id\)=\(0\)"),
    ],
)
def test_ids_that_cannot_be_loaded(
    connection: Connection,
    table: CodeTable,
    codes: NDArray[np.uint8],
    ids: Any,
    kind: type[Exception],
    message: str,
) -> None:
    with pytest.raises(kind, match=message):
        load(connection, table, np.asarray(ids), codes)


@pytest.mark.usefixtures("small_blocks")
def test_ids_that_exist_are_refused_with_all_of_their_batch(
    connection: Connection, table: CodeTable, codes: NDArray[np.uint8]
) -> None:
    load(connection, table, [19], codes[:1])
    with pytest.raises(TableError, match="DELETE those that are there, or TRUNCATE"):
        load(connection, table, np.arange(ROWS), codes)
    assert stored(connection, table).ids.tolist() == [19]


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda codes: codes[:, 1:], BitsError, "holds 88 bits, found codes of 80"),
        (lambda codes: np.hstack([codes, codes]), BitsError, "holds 88 bits, found codes of 176"),
        (lambda codes: codes.astype(np.int64), BitsError, "dtype uint8"),
        (lambda codes: codes[0], BitsError, "packed codes of shape"),
        (lambda codes: codes[:-1], VectorsError, r"equal numbers of rows: \[20, 19\]"),
    ],
)
def test_codes_that_do_not_fit(
    connection: Connection,
    table: CodeTable,
    codes: NDArray[np.uint8],
    change: Any,
    kind: type[BitryoshkaError],
    message: str,
) -> None:
    with pytest.raises(kind, match=message):
        load(connection, table, np.arange(ROWS), change(codes))


def last_row(value: float) -> NDArray[np.float64]:
    vectors = integer_rows(0, ROWS).astype(np.float64)
    vectors[-1, 3] = value
    return vectors


@pytest.mark.usefixtures("unharmed", "small_blocks")
@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (last_row(np.nan), "found nan in row 19, column 3"),
        (last_row(-np.inf), "found -inf in row 19, column 3"),
        (last_row(1e39), "found inf in row 19, column 3"),
        (integer_rows(0, ROWS, 8), "16 dimensions, found 8"),
        (integer_rows(0, ROWS - 1), r"equal numbers of rows: \[20, 20, 19\]"),
        (integer_rows(0, ROWS)[0], r"shape \(N, d\), found shape \(16,\)"),
        (np.full((ROWS, DIMENSIONS), "x"), "real numbers"),
        (np.ones((ROWS, DIMENSIONS), np.int8), "must be floats, found int8"),
    ],
)
def test_vectors_that_do_not_fit(
    connection: Connection,
    wide: CodeTable,
    codes: NDArray[np.uint8],
    vectors: NDArray[Any],
    message: str,
) -> None:
    with pytest.raises(VectorsError, match=message):
        load(connection, wide, np.arange(ROWS), codes, vectors)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("value", [65520, -65520, 1e30])
def test_numbers_beyond_halfvec_are_refused(
    connection: Connection, half: CodeTable, codes: NDArray[np.uint8], value: float
) -> None:
    with pytest.raises(
        VectorsError, match=r"largest number is 65504, found .* in row 19, column 3"
    ):
        load(connection, half, np.arange(ROWS), codes, last_row(value))
    assert count(connection, half) == 0
    load(connection, half, np.arange(ROWS), codes, last_row(np.sign(value) * 65519))
    found = stored(connection, half).vectors
    assert found is not None
    assert found[-1, 3] == np.sign(value) * 65504


@pytest.mark.usefixtures("unharmed")
def test_vectors_go_exactly_where_they_are_kept(
    connection: Connection, table: CodeTable, wide: CodeTable, codes: NDArray[np.uint8]
) -> None:
    with pytest.raises(TableError, match="items keeps no vectors, found vectors"):
        load(connection, table, np.arange(ROWS), codes, integer_rows(0, ROWS))
    with pytest.raises(TableError, match="wide keeps vector, found none"):
        load(connection, wide, np.arange(ROWS), codes)


@pytest.mark.usefixtures("unharmed")
def test_empty_input_is_refused(connection: Connection, table: CodeTable, wide: CodeTable) -> None:
    ids, codes = np.empty(0, np.int64), np.empty((0, table.bits // 8), np.uint8)
    with pytest.raises(VectorsError, match="no rows, expected at least one"):
        load(connection, table, ids, codes)
    with pytest.raises(VectorsError, match="no rows, expected at least one"):
        load(connection, wide, ids, codes, np.empty((0, DIMENSIONS), np.float32))


@pytest.mark.usefixtures("unharmed")
def test_a_load_belongs_to_the_callers_transaction(
    connection: Connection, table: CodeTable, codes: NDArray[np.uint8]
) -> None:
    with connection.transaction(force_rollback=True):
        load(connection, table, np.arange(ROWS), codes)
        with pytest.raises(TableError, match="DELETE those that are there, or TRUNCATE"):
            load(connection, table, np.arange(ROWS), codes)
        assert count(connection, table) == ROWS


def test_a_table_that_is_gone_is_named(
    connection: Connection, table: CodeTable, codes: NDArray[np.uint8]
) -> None:
    connection.execute("DROP TABLE items")
    with pytest.raises(errors.UndefinedTable, match=r"public\.items"):
        load(connection, table, np.arange(ROWS), codes)


def test_progress_is_shown_only_when_asked_for(
    connection: Connection,
    table: CodeTable,
    codes: NDArray[np.uint8],
    capsys: pytest.CaptureFixture[str],
) -> None:
    load(connection, table, np.arange(ROWS), codes)
    assert capsys.readouterr() == ("", "")
    load(connection, table, np.arange(ROWS) + ROWS, codes, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("load ...\nload: done in ")
