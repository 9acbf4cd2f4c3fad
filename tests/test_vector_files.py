from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import exact_signs

from bitryoshka import vector_files as module
from bitryoshka.cli.report import read_texts
from bitryoshka.errors import FileFormatError, MissingExtraError, VectorsError
from bitryoshka.vector_files import read_vectors
from bitryoshka.vectors import blocks

VECTORS = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)


def write_parquet(path: Path, **columns: pa.Array) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=1000)
    return path


def write_lines(path: Path, *lines: object) -> Path:
    text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def make(kind: str, folder: Path) -> Path:
    path = folder / f"vectors{kind}"
    if kind == ".npy":
        np.save(path, VECTORS)
    elif kind == ".npz":
        np.savez(path, anything=VECTORS)
    elif kind == ".parquet":
        write_parquet(path, id=pa.array(range(7)), emb=pa.array(VECTORS.tolist()))
    else:
        write_lines(path, *VECTORS.tolist())
    return path


@pytest.mark.parametrize("kind", [".npy", ".npz", ".parquet", ".jsonl", ".jsonl.gz"])
def test_every_kind_gives_the_same_vectors(kind, tmp_path):
    found = read_vectors(make(kind, tmp_path))
    assert found.shape == (7, 5)
    np.testing.assert_array_equal(np.asarray(found, np.float32), VECTORS)


def test_the_extension_may_be_in_capitals(tmp_path):
    make(".npy", tmp_path).rename(tmp_path / "V.NPY")
    assert read_vectors(str(tmp_path / "V.NPY")).shape == (7, 5)


def test_npy_is_memory_mapped(tmp_path):
    assert isinstance(read_vectors(make(".npy", tmp_path)), np.memmap)


def test_npy_keeps_float16_and_fortran_order(tmp_path):
    np.save(tmp_path / "v.npy", np.asfortranarray(VECTORS.astype(np.float16)))
    found = read_vectors(tmp_path / "v.npy")
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, VECTORS.astype(np.float16))


def test_npz_by_name(tmp_path):
    np.savez_compressed(tmp_path / "v.npz", a=VECTORS, b=VECTORS * 2)
    np.testing.assert_array_equal(read_vectors(tmp_path / "v.npz", "b"), VECTORS * 2)
    with pytest.raises(FileFormatError, match=r"expected one array.*found: a, b"):
        read_vectors(tmp_path / "v.npz")
    with pytest.raises(FileFormatError, match="no array 'c', found: a, b"):
        read_vectors(tmp_path / "v.npz", "c")


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float64()),
        pa.large_list(pa.float32()),
        pa.list_(pa.float32(), 5),
        pa.list_(pa.float16()),
    ],
)
def test_parquet_list_kinds(kind, tmp_path):
    values = pa.array(VECTORS.astype(np.float16).astype(np.float32).tolist()).cast(kind)
    path = write_parquet(tmp_path / "v.parquet", text=pa.array(["x"] * 7), emb=values)
    found = read_vectors(path)
    np.testing.assert_array_equal(found.astype(np.float16), VECTORS.astype(np.float16))


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
@pytest.mark.parametrize("end", [".npy", ".npz", ".parquet"])
def test_quantized_vectors_are_no_vectors(end, kind, tmp_path):
    array, path = np.ones((7, 5), kind), tmp_path / f"v{end}"
    if end == ".parquet":
        write_parquet(path, emb=pa.array(array.tolist(), pa.list_(pa.from_numpy_dtype(kind))))
    else:
        (np.save if end == ".npy" else np.savez)(path, array)
    with pytest.raises(VectorsError, match=f"v{end} must be floats, found {array.dtype}, which"):
        read_vectors(path)


def test_integers_are_numbers(tmp_path):
    (tmp_path / "v.jsonl").write_text("[1, 0, 2]\n[3, 4, -5]\n")
    write_parquet(tmp_path / "v.parquet", emb=pa.array([[1, 0, 2], [3, 4, -5]]))
    np.save(tmp_path / "v.npy", [[1, 0, 2], [3, 4, -5]])
    for name in ("v.jsonl", "v.parquet", "v.npy"):
        assert read_vectors(tmp_path / name).tolist() == [[1, 0, 2], [3, 4, -5]]


def test_parquet_by_column(tmp_path):
    lists = pa.array(VECTORS.tolist())
    path = write_parquet(tmp_path / "v.parquet", id=pa.array(range(7)), a=lists, b=lists)
    assert read_vectors(path, "b").shape == (7, 5)
    with pytest.raises(FileFormatError, match=r"expected one column.*id \(int64\), a \(list<"):
        read_vectors(path)
    with pytest.raises(FileFormatError, match=r"no column of number lists 'id', found: id \(int"):
        read_vectors(path, "id")
    with pytest.raises(FileFormatError, match="no column of number lists 'c'"):
        read_vectors(path, "c")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0], [3.0]], "row 1 has 1 numbers, expected 2"),
        ([[1.0], [2.0], [3.0], [4.0], [5.0, 6.0]], "row 4 has 2 numbers, expected 1"),
        ([[1.0], [2.0], [3.0], None], r"row 3 has no vector \(null\)"),
        ([[1.0, 2.0], [3.0, None]], "row 1 has a null"),
        ([["a"], ["b"]], "expected one column of number lists"),
    ],
)
def test_bad_parquet_rows(rows, message, tmp_path):
    path = write_parquet(tmp_path / "v.parquet", emb=pa.array(rows))
    with pytest.raises(FileFormatError, match=message):
        read_vectors(path)


def test_parquet_rows_are_counted_over_the_whole_file(tmp_path):
    rows = [[1.0]] * 70_000 + [[2.0, 3.0]]
    path = write_parquet(tmp_path / "v.parquet", emb=pa.array(rows))
    with pytest.raises(FileFormatError, match="row 70000 has 2 numbers, expected 1"):
        read_vectors(path)
    pq.write_table(pa.table({"emb": pa.array([[float(i)] for i in range(70_000)])}), path)
    np.testing.assert_array_equal(read_vectors(path)[:, 0], np.arange(70_000))


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    path = make(".parquet", tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"a .parquet file needs the extra 'arrow': "):
        read_vectors(path)


@pytest.mark.parametrize("key", ["vector", "embedding", "v"])
def test_jsonl_objects(key, tmp_path):
    path = write_lines(tmp_path / "v.jsonl", {"id": 1, key: [1, 2.5]}, "", {key: [3, 4]})
    column = key if key == "v" else None
    np.testing.assert_array_equal(read_vectors(path, column), [[1, 2.5], [3, 4]])


@pytest.mark.parametrize(
    ("lines", "column", "message"),
    [
        (([1, 2], "nonsense"), None, "line 2 is no JSON"),
        (([1, 2], "", "[1, 2"), None, "line 3 is no JSON"),
        (("[" * 100_000,), None, "line 1 is no JSON"),
        (([1, 2], [3]), None, "line 2: found 1 numbers, expected 2"),
        (({"id": 1, "v": [1]},), None, "no key 'vector' or 'embedding', found: id, v"),
        (({"vector": [1]},), "v", "no key 'v', found: vector"),
        (([1, 2],), "v", "expected an object with the key 'v', found a list"),
        (({"vector": "abc"},), None, "expected a list of numbers, found abc"),
        ((["1", "2"],), None, "expected a list of numbers"),
        (([1, None],), None, "expected a list of numbers"),
        (([True, False],), None, "expected a list of numbers"),
        (([[1, 2], [3, 4]],), None, "expected a list of numbers"),
        (([[1, 2], 3],), None, "expected a list of numbers"),
        (([],), None, "expected a list of numbers"),
        ((7,), None, "expected a list of numbers, found 7"),
    ],
)
@pytest.mark.parametrize("kind", [".jsonl", ".jsonl.gz"])
def test_bad_json_lines(kind, lines, column, message, tmp_path):
    with pytest.raises(FileFormatError, match=message):
        read_vectors(write_lines(tmp_path / f"v{kind}", *lines), column)


def test_jsonl_that_is_no_text(tmp_path):
    (tmp_path / "v.jsonl").write_bytes(b"[1]\n\xff\xfe\n")
    with pytest.raises(FileFormatError, match="line 2 is no UTF-8"):
        read_vectors(tmp_path / "v.jsonl")


@pytest.mark.parametrize("kind", [".npy", ".npz", ".parquet", ".jsonl.gz"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.95])
def test_truncated(kind, kept, tmp_path):
    path = make(kind, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises((FileFormatError, VectorsError), match=str(path)):
        read_vectors(path)


@pytest.mark.parametrize("kind", [".npy", ".npz", ".parquet", ".jsonl", ".jsonl.gz"])
def test_foreign_content(kind, tmp_path):
    path = tmp_path / f"v{kind}"
    path.write_bytes(b"something else entirely\n" * 20)
    with pytest.raises(FileFormatError, match=str(path)):
        read_vectors(path)


@pytest.mark.parametrize("kind", [".npy", ".npz", ".parquet", ".jsonl", ".jsonl.gz"])
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4))
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_damaged_bytes_never_give_another_error(kind, changes, tmp_path):
    path = make(kind, tmp_path)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        # mostly in the first kilobyte, where the headers are
        content[int(place * (min(len(content), 1024) - 1))] = value
    path.unlink()
    path.write_bytes(content)
    try:
        found = read_vectors(path)
    except (FileFormatError, VectorsError):
        return
    assert found.ndim == 2


@pytest.mark.parametrize("kind", [".npy", ".npz"])
def test_pickled_objects_are_refused(kind, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    path = tmp_path / f"v{kind}"
    save = np.save if kind == ".npy" else np.savez
    save(path, np.array([[Bomb()]], dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError, match="objects"):
        read_vectors(path)
    assert not (tmp_path / "exploded").exists()


def test_npz_content_under_the_name_npy_and_back(tmp_path):
    make(".npz", tmp_path).rename(tmp_path / "a.npy")
    make(".npy", tmp_path).rename(tmp_path / "b.npz")
    for name in ("a.npy", "b.npz"):
        with pytest.raises(FileFormatError):
            read_vectors(tmp_path / name)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), r"must have shape \(N, d\), found shape \(5,\)"),
        (np.zeros((2, 3, 4)), r"found shape \(2, 3, 4\)"),
        (np.zeros((0, 4)), "has no rows"),
        (np.zeros((4, 0)), "has no columns"),
        (np.array([["a"]]), "must hold real numbers"),
        (np.zeros((2, 2), np.complex64), "must hold real numbers"),
    ],
)
@pytest.mark.parametrize("kind", [".npy", ".npz"])
def test_unusable_arrays(kind, array, message, tmp_path):
    path = tmp_path / f"v{kind}"
    (np.save if kind == ".npy" else np.savez)(path, array)
    with pytest.raises(VectorsError, match=message):
        read_vectors(path)


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
def test_no_rows(kind, tmp_path):
    path = tmp_path / f"v{kind}"
    if kind == ".jsonl":
        path.write_text("\n\n")
    else:
        write_parquet(path, emb=pa.array([], pa.list_(pa.float32())))
    with pytest.raises(VectorsError, match="has no rows"):
        read_vectors(path)


def test_missing_and_unknown_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"v\.npy: no such file"):
        read_vectors(tmp_path / "v.npy")
    (tmp_path / "v.csv").write_text("1,2\n")
    with pytest.raises(FileFormatError, match=r"v\.csv: expected .*\.npy, .*\.jsonl\.gz"):
        read_vectors(tmp_path / "v.csv")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(FileFormatError, match="found a directory"):
        read_vectors(tmp_path / "folder.npy")


def test_a_column_of_npy_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="no columns"):
        read_vectors(make(".npy", tmp_path), "a")


def test_npy_cut_short_while_it_is_read(tmp_path):
    path = tmp_path / "v.npy"
    np.save(path, np.ones((5000, 64), np.float32))
    found = read_vectors(path)
    read = blocks(found, norms=False, block_rows=1000)
    next(read)
    os.truncate(path, 5000)
    for use in (lambda: next(read), lambda: exact_signs(64).encode(found[10:20])):
        with pytest.raises(VectorsError, match=r"cut short while it is read, .*found 5000"):
            use()


def test_npy_whose_header_promises_more(tmp_path):
    path = tmp_path / "v.npy"
    np.save(path, VECTORS)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(FileFormatError, match="expected 268 bytes by its header, found 267"):
        read_vectors(path)


def test_npy_replaced_between_header_and_numbers(tmp_path, monkeypatch):
    path, other = tmp_path / "v.npy", tmp_path / "other.npy"
    np.save(path, VECTORS)
    np.save(other, np.zeros((5, 7), np.float32))
    memmap = np.memmap

    class Replaced(memmap):
        def __new__(cls, *args, **kwargs):
            other.replace(path)
            return memmap(*args, **kwargs)

    monkeypatch.setattr(np, "memmap", Replaced)
    found = read_vectors(path)
    monkeypatch.undo()
    np.testing.assert_array_equal(found, VECTORS)


def zeros(kind, path, rows):
    """A small file of many zeros."""
    array = np.zeros((rows, 64), np.float32)
    if kind == ".npz":
        np.savez_compressed(path, a=array)
    elif kind == ".parquet":
        write_parquet(path, emb=pa.array(list(array)))
    else:
        path.write_bytes(gzip.compress(b"[0, 0, 0, 0]\n" * rows * 20))
    return path


@pytest.mark.parametrize("kind", [".npz", ".parquet", ".jsonl.gz"])
def test_files_that_unpack_to_more_than_they_may(kind, tmp_path, monkeypatch):
    path = zeros(kind, tmp_path / f"v{kind}", 4000)
    assert len(read_vectors(path)) >= 4000
    monkeypatch.setattr(module, "UNPACKED_BYTES", 2**16)
    with pytest.raises(FileFormatError, match=r"unpacks to \d+ bytes or more, expected at most"):
        read_vectors(path)
    assert len(read_vectors(path, max_bytes=2**21)) >= 4000
    with pytest.raises(FileFormatError, match="expected at most 1000: max_bytes"):
        read_vectors(path, max_bytes=1000)


@pytest.mark.parametrize("kind", [".npz", ".parquet"])
def test_too_much_is_refused_before_it_is_unpacked(kind, tmp_path, monkeypatch):
    path = zeros(kind, tmp_path / f"v{kind}", 4000)

    def unpacked(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(np.lib.format, "read_array", unpacked)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", unpacked)
    with pytest.raises(FileFormatError, match="unpacks to 102"):
        read_vectors(path, max_bytes=1_000_000)


def test_a_gzip_file_of_texts_is_bounded_too(tmp_path, monkeypatch):
    path = tmp_path / "texts.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a"}\n' * 20_000))
    assert read_texts(path) == ["a"] * 20_000
    monkeypatch.setattr(module, "UNPACKED_BYTES", 2**16)
    with pytest.raises(FileFormatError, match="unpacks to 65537 bytes or more"):
        read_texts(path)


def test_one_endless_line_is_not_read_whole(tmp_path):
    path = tmp_path / "v.jsonl.gz"
    path.write_bytes(gzip.compress(b"[" + b"0," * 1_000_000 + b"0]"))
    with pytest.raises(FileFormatError, match="unpacks to 1001 bytes or more"):
        read_vectors(path, max_bytes=1000)
