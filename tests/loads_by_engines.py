"""Loads by Ray and by Spark, each with a worker killed in the middle: ``make test-engines``.

Not part of the suite: both are large, and Spark needs Java. What they share is tested in
test_loading.py without them.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from piece_files import (
    GROUP,
    ROWS,
    CollectionKilledOnce,
    KilledOnce,
    check_arrived,
    check_upserted,
    write_files,
)
from qdrant_client import QdrantClient
from tests.pages import blocks
from tests.qdrant_http import served
from tests.test_readme import commands

from bitryoshka.arrow import check_fingerprint, codes_of, encode_array
from bitryoshka.errors import FingerprintError
from bitryoshka.loading import PieceLoader, pieces
from bitryoshka.postgres.server import Connection
from bitryoshka.qdrant import collection_config, create_collection, open_collection

ROOT = Path(__file__).parents[1]
# of the engines' own libraries
pytestmark = pytest.mark.filterwarnings("default")


def example(engine: str) -> Any:
    """The module `load` of an example."""
    path = ROOT / "examples" / f"{engine}_load" / "load.py"
    spec = importlib.util.spec_from_file_location(f"{engine}_load", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def workers_path() -> Iterator[None]:
    """Workers import what the tests do."""
    with pytest.MonkeyPatch.context() as patch:
        folders = [ROOT / "src", ROOT / "tests", ROOT]
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, folders)))
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("PYSPARK_DRIVER_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        yield


@pytest.fixture(scope="module")
def spark(workers_path: None) -> Iterator[Any]:
    from pyspark.sql import SparkSession

    # two tasks at once, four attempts of each
    built = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false")
    session = built.config("spark.driver.memory", "1g").getOrCreate()
    yield session
    session.stop()


@pytest.fixture(scope="module")
def ray(workers_path: None) -> Iterator[Any]:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


@pytest.fixture(params=["ray", "spark"])
def engine(request: pytest.FixtureRequest) -> Callable[[Any, pa.Table], int]:
    module = example(request.param)
    started = request.getfixturevalue(request.param)
    if request.param == "ray":
        return module.load_with_ray
    return partial(module.load_with_spark, started)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[QdrantClient]:
    """Of a server that workers reach."""
    (tmp_path / "server").mkdir()
    with served(tmp_path / "server") as url, closing(QdrantClient(url=url)) as client:
        yield client


def test_a_killed_worker_loses_nothing_and_doubles_nothing(
    engine: Callable[[Any, pa.Table], int],
    database: str,
    connection: Connection,
    tmp_path: Path,
) -> None:
    files, path, binarizer = write_files(tmp_path)
    marker = tmp_path / "killed"
    loader = KilledOnce(
        dsn=database,
        table="docs",
        binarizer=path,
        load="first",
        marker=str(marker),
        victim=2 * GROUP + 1,
    )
    loader.prepare()
    assert engine(loader, pieces(files)) == ROWS
    assert marker.exists(), "no worker was killed"
    check_arrived(connection, "docs", binarizer)
    ledger = connection.execute("SELECT count(*), sum(rows) FROM docs_loads").fetchone()
    assert ledger == (ROWS // GROUP, ROWS)
    assert engine(loader, pieces(files)) == 0


def test_a_worker_killed_within_a_piece_doubles_nothing_in_qdrant(
    engine: Callable[[Any, pa.Table], int], client: QdrantClient, tmp_path: Path
) -> None:
    files, path, binarizer = write_files(tmp_path)
    create_collection(client, "docs", collection_config(binarizer, quantization="code"))
    marker = tmp_path / "killed"
    loader = CollectionKilledOnce(
        url=client.init_options["url"],
        collection="docs",
        binarizer=path,
        marker=str(marker),
        victim=2 * GROUP + 1,
    )
    assert engine(loader, pieces(files)) == ROWS
    assert marker.exists(), "no worker was killed"
    check_upserted(open_collection(client, "docs", binarizer))
    assert engine(loader, pieces(files)) == 0


def test_a_second_run_loads_what_the_first_one_left(
    engine: Callable[[Any, pa.Table], int],
    database: str,
    connection: Connection,
    tmp_path: Path,
) -> None:
    """Fragments of a Lance data set, which are read by workers as row groups are."""
    files, path, binarizer = write_files(tmp_path)
    data = str(tmp_path / "docs.lance")
    loader = PieceLoader(dsn=database, table="docs", binarizer=path, load="first")
    loader.prepare()
    for file in files:
        rows = pq.read_table(file)
        lance.write_dataset(rows, data, mode="append", max_rows_per_file=GROUP)
        assert engine(loader, loader.remaining(pieces([data]))) == ROWS // 2
    check_arrived(connection, "docs", binarizer)


def test_batches_become_files_of_codes(ray: Any, spark: Any, tmp_path: Path) -> None:
    """What docs/loading.md says of codes in Parquet."""
    files, _, binarizer = write_files(tmp_path)
    namespace = {
        "ray": ray,
        "spark": spark,
        "binarizer": binarizer,
        "folder": str(tmp_path),
        "files": files,
    }
    ran = [b for b in blocks(ROOT / "docs" / "loading.md") if "map_batches" in b.text]
    ran += [b for b in blocks(ROOT / "docs" / "loading.md") if "mapInArrow" in b.text]
    assert len(ran) == 2
    for block in ran:
        exec(compile(block.text, block.place, "exec"), namespace)
    vectors = pa.chunked_array([pq.read_table(file)["emb"].combine_chunks() for file in files])
    expected = codes_of(encode_array(vectors, binarizer))
    for made in ("ray_codes", "spark_codes"):
        found = pq.read_table(tmp_path / made).sort_by("id")
        assert found["id"].to_pylist() == list(range(ROWS))
        np.testing.assert_array_equal(codes_of(found["code"].combine_chunks()), expected)
    assert check_fingerprint(ds.dataset(tmp_path / "ray_codes"), binarizer)
    with pytest.raises(FingerprintError, match="does not say"):
        check_fingerprint(ds.dataset(tmp_path / "spark_codes"), binarizer)


@pytest.mark.parametrize("engine_name", ["ray", "spark"])
def test_the_commands_of_the_readme(
    engine_name: str,
    database: str,
    connection: Connection,
    client: QdrantClient,
    tmp_path: Path,
    workers_path: None,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The README.md of each example, in this process' own session."""
    (tmp_path / "vectors").mkdir()
    write_files(tmp_path / "vectors")
    (tmp_path / "vectors" / "b.safetensors").rename(tmp_path / "docs.safetensors")
    started = request.getfixturevalue(engine_name)
    if engine_name == "ray":
        monkeypatch.setattr(started, "init", lambda: None)
    else:
        monkeypatch.setattr(type(started), "stop", lambda _session: None)
    monkeypatch.chdir(tmp_path)
    folder = ROOT / "examples" / f"{engine_name}_load"
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "load", raising=False)
    url = str(client.init_options["url"])
    ran = [c for block in blocks(folder / "README.md") for c in commands(block)]
    for program, script, *arguments in ran:
        assert program == "python"
        given = [a.replace("$DSN", database).replace("$URL", url) for a in arguments]
        monkeypatch.setattr(sys, "argv", [script, *given])
        runpy.run_path(str(folder / script), run_name="__main__")
    assert [script for _, script, *_ in ran] == ["load.py", "load_qdrant.py"]
    assert connection.execute("SELECT count(*) FROM docs").fetchone() == (ROWS,)
    assert client.count("docs").count == ROWS
