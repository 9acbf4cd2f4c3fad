"""Fragments of Lance data sets are pieces as row groups of Parquet files are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import lance
import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from piece_files import GROUP, PER_FILE, ROWS, check_arrived, write_files
from test_loading import run

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import VectorsError
from bitryoshka.loading import PIECES, PieceLoader, pieces
from bitryoshka.postgres.server import Connection

FRAGMENTS = ROWS // GROUP


@pytest.fixture
def given(database: str, tmp_path: Path) -> tuple[str, PieceLoader, Binarizer]:
    """A data set with the rows of `write_files`."""
    files, path, binarizer = write_files(tmp_path)
    data = str(tmp_path / "docs.lance")
    rows = pa.concat_tables(map(pq.read_table, files))
    lance.write_dataset(rows, data, max_rows_per_file=GROUP)
    loader = PieceLoader(dsn=database, table="docs", binarizer=path, load="first")
    loader.prepare()
    return data, loader, binarizer


def test_all_of_it_arrives_once(given: Any, connection: Connection) -> None:
    data, loader, binarizer = given
    found = pieces([data])
    assert found.schema == PIECES
    assert found["file"].to_pylist() == [data] * FRAGMENTS
    assert found["number"].to_pylist() == list(range(FRAGMENTS))
    assert found["rows"].to_pylist() == [GROUP] * FRAGMENTS
    assert run(loader, found.slice(0, 3)) == [True] * 3
    assert run(loader, found) == [False] * 3 + [True] * 5
    check_arrived(connection, "docs", binarizer)


def test_rows_that_were_added_are_loaded_alone(given: Any, connection: Connection) -> None:
    data, loader, _ = given
    run(loader, pieces([data]))
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(320, "float32")), 16)
    lance.write_dataset(pa.table({"id": np.arange(20) + ROWS, "emb": lists}), data, mode="append")
    left = loader.remaining(pieces([data]))
    assert left.to_pylist() == [{"file": data, "number": FRAGMENTS, "rows": 20}]
    assert run(loader, left) == [True]
    assert connection.execute("SELECT count(*) FROM docs").fetchone() == (ROWS + 20,)


def test_rows_that_were_deleted_do_not_come(given: Any, connection: Connection) -> None:
    data, loader, _ = given
    listed = pieces([data])
    lance.dataset(data).delete(f"id < 7 or id >= {PER_FILE}")
    found = pieces([data])
    assert found["rows"].to_pylist() == [GROUP - 7] + [GROUP] * 3
    assert all(run(loader, found))
    assert connection.execute("SELECT min(id), max(id), count(*) FROM docs").fetchone() == (
        7,
        PER_FILE - 1,
        PER_FILE - 7,
    )
    with pytest.raises(VectorsError, match=r"docs\.lance#7 has 0 rows, expected 150"):
        run(loader, listed.slice(7))


def test_what_was_rewritten_meanwhile_is_an_error(given: Any, connection: Connection) -> None:
    data, loader, _ = given
    listed = pieces([data])
    lance.dataset(data).optimize.compact_files()
    with pytest.raises(VectorsError, match=r"docs\.lance#0 has 0 rows, expected 150"):
        run(loader, listed)
    assert connection.execute("SELECT count(*) FROM docs").fetchone() == (0,)


def test_errors_name_fragment_and_row(given: Any) -> None:
    data, loader, _ = given
    bad = pa.array([[1.0] * 16] * 5 + [[float("nan")] * 16], pa.list_(pa.float32(), 16))
    lance.write_dataset(pa.table({"id": np.arange(6) + ROWS, "emb": bad}), data, mode="append")
    with pytest.raises(VectorsError, match=r"docs\.lance#8: .*nan in row 5, column 0"):
        run(loader, pieces([data]).slice(8))


def test_a_table_of_lancedb_is_a_data_set(
    given: Any, connection: Connection, tmp_path: Path
) -> None:
    data, loader, binarizer = given
    tables = lancedb.connect(str(tmp_path / "tables"))
    tables.create_table("docs", lance.dataset(data).to_table())
    assert run(loader, pieces([tmp_path / "tables" / "docs.lance"])) == [True]
    check_arrived(connection, "docs", binarizer)


def test_the_extra_is_named(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.modules['lance'] = None\n"
        "import bitryoshka.loading\n"
        "try:\n"
        "    bitryoshka.loading.pieces(['docs.lance'])\n"
        "except ImportError as error:\n"
        "    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.startswith("reading docs.lance needs the extra 'lance': pip install")
