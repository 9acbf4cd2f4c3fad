"""Pieces of files arrive once, whoever loads them, and whoever is killed meanwhile."""

from __future__ import annotations

import multiprocessing
import pickle
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from piece_files import GROUP, ROWS, KilledOnce, check_arrived, write_files
from synthetic import exact_binarizer
from tests.pages import blocks
from tests.qdrant_http import served

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import FingerprintError, TableError, VectorsError
from bitryoshka.loading import LOADED, PIECES, PieceLoader, pieces
from bitryoshka.postgres import open_table
from bitryoshka.postgres.chunks import chunk_once, create_ledger, loaded_chunks
from bitryoshka.postgres.server import Connection


@pytest.fixture
def given(database: str, tmp_path: Path) -> tuple[list[str], PieceLoader, Binarizer]:
    files, path, binarizer = write_files(tmp_path)
    loader = PieceLoader(dsn=database, table="docs", binarizer=path, load="first")
    loader.prepare()
    return files, loader, binarizer


def run(loader: PieceLoader, found: pa.Table) -> list[bool]:
    return [row["loaded"] for batch in loader(found.to_batches()) for row in batch.to_pylist()]


def test_the_blocks_of_the_page(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/loading.md, but for what a cluster runs: `loads_by_engines` does."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server").mkdir()
    page = Path(__file__).parents[1] / "docs" / "loading.md"
    ran = [b for b in blocks(page) if not re.search("map_batches|mapInArrow", b.text)]
    assert len(ran) == 3
    with served(tmp_path / "server") as url:
        namespace: dict[str, Any] = {"dsn": database, "url": url}
        for block in ran:
            exec(compile(block.text, block.place, "exec"), namespace)
        namespace["client"].close()


def test_pieces_are_the_row_groups(given: Any) -> None:
    files, _, _ = given
    found = pieces(files)
    assert found.schema == PIECES
    assert found["file"].to_pylist() == [files[0]] * 4 + [files[1]] * 4
    assert found["number"].to_pylist() == [0, 1, 2, 3] * 2
    assert found["rows"].to_pylist() == [GROUP] * 8
    assert pieces([]).num_rows == 0


def test_all_of_it_arrives_once(given: Any, connection: Connection) -> None:
    files, loader, binarizer = given
    found = pieces(files)
    batches = list(pickle.loads(pickle.dumps(loader))(found.slice(0, 3).to_batches()))
    assert [batch.schema for batch in batches] == [LOADED] * 3
    assert loader.remaining(found).equals(found.slice(3))
    loader.prepare()
    assert run(loader, found) == [False] * 3 + [True] * 5
    assert run(loader, found) == [False] * 8
    check_arrived(connection, "docs", binarizer)


@pytest.mark.parametrize("kept", ["vector", "halfvec"])
def test_vectors_come_along(kept: Any, given: Any, connection: Connection) -> None:
    files, loader, _ = given
    other = replace(loader, table="wide", vector_type=kept)
    other.prepare()
    run(other, pieces(files))
    found = connection.execute("SELECT count(*), count(vector) FROM wide").fetchone()
    assert found == (ROWS, ROWS)


def test_a_killed_worker_loses_nothing_and_doubles_nothing(
    given: Any, connection: Connection, tmp_path: Path
) -> None:
    files, loader, binarizer = given
    killed = KilledOnce(**vars(loader), marker=str(tmp_path / "killed"), victim=2 * GROUP + 1)
    found = pieces(files)
    worker = multiprocessing.get_context("spawn").Process(target=run, args=(killed, found))
    worker.start()
    worker.join(60)
    assert worker.exitcode == -9
    table = open_table(connection, "docs", binarizer)
    assert len(loaded_chunks(connection, table, "first")) == 2
    assert connection.execute("SELECT count(*) FROM docs").fetchone() == (2 * GROUP,)
    assert run(loader, loader.remaining(found)) == [True] * 6
    check_arrived(connection, "docs", binarizer)


def test_two_workers_on_one_piece(
    given: Any, connection: Connection, another_connection: Callable[[], Connection]
) -> None:
    files, loader, _ = given
    piece = pieces(files).slice(0, 1)
    table = open_table(connection, "docs", exact_binarizer(1))
    found: list[bool] = []
    name = f"{files[0]}#0"

    def second() -> None:
        found.extend(run(loader, piece))

    for undone, expected in ((True, True), (False, False)):
        found.clear()
        thread = threading.Thread(target=second)
        try:
            with chunk_once(another_connection(), table, "first", name, GROUP) as due:
                assert due
                thread.start()
                thread.join(0.5)
                assert thread.is_alive(), "it waits"
                if undone:
                    raise KeyError
        except KeyError:
            pass
        thread.join(60)
        assert found == [expected]
        connection.execute("TRUNCATE docs, docs_loads")


def test_what_fails_leaves_nothing(given: Any, connection: Connection, tmp_path: Path) -> None:
    files, loader, _ = given
    rows = pq.read_table(files[0]).to_pylist()
    rows[GROUP + 7]["emb"] = [float("nan")] * 16
    bad = str(tmp_path / "bad.parquet")
    pq.write_table(pa.Table.from_pylist(rows), bad, row_group_size=GROUP)
    with pytest.raises(VectorsError, match=r"bad\.parquet#1: .*nan in row 7, column 0"):
        run(loader, pieces([bad]))
    assert connection.execute("SELECT count(*) FROM docs").fetchone() == (GROUP,)
    with pytest.raises(TableError, match="load adds rows"):
        run(loader, pieces(files))
    other = replace(loader, load="second")
    assert len(other.remaining(pieces(files))) == 8


def test_null_vectors_are_left_out(given: Any, connection: Connection, tmp_path: Path) -> None:
    _, loader, _ = given
    path = str(tmp_path / "gaps.parquet")
    kind = pa.list_(pa.float32())
    emb = pa.array([None, [1.0] * 16, None], kind)
    pq.write_table(pa.table({"id": [1, 2, 3], "emb": emb}), path)
    none = str(tmp_path / "none.parquet")
    pq.write_table(pa.table({"id": [4], "emb": pa.array([None], kind)}), none)
    assert run(loader, pieces([path, none])) == [True, True]
    assert connection.execute("SELECT id FROM docs").fetchall() == [(2,)]


def test_other_data_under_the_same_name(given: Any) -> None:
    files, loader, _ = given
    found = pieces(files).slice(0, 1)
    run(loader, found)
    table = pq.read_table(files[0])
    pq.write_table(table, files[0], row_group_size=100)
    with pytest.raises(VectorsError, match=r"part-0\.parquet#0 has 100 rows, expected 150"):
        run(replace(loader, load="second"), found)
    with pytest.raises(TableError, match="arrived with 150 rows, expected 100"):
        run(loader, pieces(files[:1]).slice(0, 1))


def test_another_binarizer(given: Any, tmp_path: Path) -> None:
    files, loader, _ = given
    exact_binarizer(2).save(tmp_path / "other.safetensors")
    other = replace(loader, binarizer=str(tmp_path / "other.safetensors"))
    with pytest.raises((FingerprintError, TableError)):
        run(other, pieces(files))


def test_ledgers_of_workers_that_start_at_once(
    given: Any, connection: Connection, another_connection: Callable[[], Connection]
) -> None:
    table = open_table(connection, "docs", exact_binarizer(1))
    connection.execute("DROP TABLE docs_loads")
    opened = [another_connection() for _ in range(4)]
    errors: list[BaseException] = []

    def make(session: Connection) -> None:
        try:
            create_ledger(session, table)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=make, args=(session,)) for session in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert loaded_chunks(connection, table, "first") == {}
