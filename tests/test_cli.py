from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from progress_lines import without_progress
from synthetic import additive_binarizer, exact_signs, signed_rows

import bitryoshka
from bitryoshka import Binarizer, cli, demo
from bitryoshka.arrow import check_fingerprint, codes_of
from bitryoshka.bits import prefix
from bitryoshka.cli import fit as commands
from bitryoshka.cli import sample
from bitryoshka.cli.app import app
from bitryoshka.demo.defaults import LIMIT
from bitryoshka.evaluation import (
    asymmetric_topk,
    exact_topk,
    hamming_topk,
    ndcg_at_k,
    ratio_interval,
    recall_at_k,
    rescore,
)

ROWS, DIMENSIONS, BITS = 400, 32, 64


def make_vectors(rows: int, seed: int = 0) -> np.ndarray:
    """Vectors with a spectrum like that of embeddings, around a mean that is not 0."""
    spectrum = np.random.default_rng(99).normal(size=(8, DIMENSIONS))
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(rows, DIMENSIONS)) * 0.3
    return (generator.normal(size=(rows, 8)) @ spectrum + noise + 0.2).astype(np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder with vectors, queries, and a binarizer fitted on them; not to be written to."""
    folder = tmp_path_factory.mktemp("data")
    vectors = make_vectors(ROWS)
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "queries.npy", make_vectors(60, 1))
    np.savez(folder / "vectors.npz", emb=vectors, other=vectors[:3])
    fitted = bitryoshka.fit(vectors, bits=BITS, nested_bits=[16, 32], method="progressive")
    fitted.binarizer.save(folder / "b.safetensors")
    return folder


class Outcome:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, without_progress(err)
        self.progress = err

    @property
    def json(self) -> dict:
        assert self.code == 0, self.err
        assert self.err == ""
        return json.loads(self.out)


@pytest.fixture
def run(capsys):
    def run(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as end:
            cli.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Outcome(end.value.code, captured.out, captured.err)

    return run


def assert_fails(outcome: Outcome, *parts: str) -> None:
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err
    for part in parts:
        assert part in outcome.err


def fit_arguments(data: Path, output: Path, *more: object) -> list[object]:
    return ["fit", data / "vectors.npy", "-o", output, "--bits", BITS, *more]


# fit


def test_fit_writes_what_the_library_fits(run, data, tmp_path):
    output = tmp_path / "b.safetensors"
    found = run(
        *fit_arguments(data, output, "--method", "progressive", "--nested-bits", "16,32"),
        *("--source-model", "some/model", "--json"),
    ).json
    b = Binarizer.load(output)
    assert b.fingerprint == Binarizer.load(data / "b.safetensors").fingerprint
    assert found["fingerprint"] == b.fingerprint
    assert found["file"] == str(output)
    assert found["nested_bits"] == list(b.nested_bits)
    assert found["info"]["source_model"] == "some/model"
    assert found["comparison"]["chosen"] == b.info["method"]
    assert [p.name for p in tmp_path.iterdir()] == ["b.safetensors"]


def test_fit_passes_every_option_on(run, data, tmp_path):
    output = tmp_path / "b.safetensors"
    run(
        *("fit", data / "vectors.npz", "-o", output, "--column", "emb", "--bits", 48),
        *("--queries", data / "queries.npy", "--hamming-bits", 16, "--metric", "inner_product"),
        *("--method", "progressive", "--seed", 5, "--quiet"),
    )
    expected = bitryoshka.fit(
        np.load(data / "vectors.npy"),
        np.load(data / "queries.npy"),
        bits=48,
        method="progressive",
        seed=5,
        hamming_bits=16,
        metric="inner_product",
    ).binarizer
    assert Binarizer.load(output).fingerprint == expected.fingerprint


def test_fit_shows_tables_and_is_quiet_when_asked(run, data, tmp_path):
    arguments = fit_arguments(data, tmp_path / "b.safetensors", "--method", "progressive")
    shown = run(*arguments)
    assert (shown.code, shown.err) == (0, "")
    for text in ("candidate", "recall@10", "Hamming", "asymmetric", "wrote"):
        assert text in shown.out
    quiet = run(*arguments, "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--bits", "12"], "bits must be a positive multiple of 8, found 12"),
        (["--nested-bits", "16,x"], "numbers such as 64,128, found '16,x'"),
        (["--nested-bits", "12"], "multiple of 8"),
        (["--nested-bits", "4096"], "nested_bits must be at most bits"),
        (["--queries", "nowhere.npy"], "nowhere.npy: no such file"),
        (["--column", "x"], "no columns"),
    ],
)
def test_fit_refuses_bad_options(more, message, run, data, tmp_path):
    output = tmp_path / "b.safetensors"
    assert_fails(run(*fit_arguments(data, output, "--method", "progressive", *more)), message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [["--method", "magic"], ["--metric", "l2"], ["--seed", "-1"], []])
def test_wrong_usage_exits_with_2(more, run, data):
    outcome = run("fit", data / "vectors.npy", *more)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "Error" in outcome.err
    assert "Traceback" not in outcome.err


def with_nan() -> np.ndarray:
    vectors = make_vectors(100)
    vectors[70, 3] = np.nan
    return vectors


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (make_vectors(49), "fit needs at least 50 vectors, found 49"),
        (make_vectors(100)[:, :4], "at least 8 dimensions, found 4"),
        (make_vectors(100)[0], "shape (N, d), found shape (32,)"),
        (with_nan(), "found nan in row 70, column 3"),
        (np.zeros((100, 32)), "row 0 is zero"),
        (np.empty((0, 32)), "no rows"),
    ],
)
def test_fit_refuses_bad_vectors_and_keeps_the_old_binarizer(vectors, message, run, tmp_path):
    np.save(tmp_path / "v.npy", vectors)
    output = tmp_path / "b.safetensors"
    output.write_text("the old one")
    arguments = ("fit", tmp_path / "v.npy", "-o", output, "--bits", 16, "--method", "progressive")
    assert_fails(run(*arguments), message)
    assert output.read_text() == "the old one"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.safetensors", "v.npy"]


def test_fit_tells_of_few_distinct_vectors(run, tmp_path):
    np.save(tmp_path / "v.npy", np.repeat(make_vectors(100), 20, axis=0))
    arguments = ("fit", tmp_path / "v.npy", "-o", tmp_path / "b.safetensors", "--method", "sign")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        shown = run(*arguments, "--bits", 16)
    assert shown.code == 0
    assert shown.err.startswith("warning: few of the vectors to fit to are distinct, found 100 ")
    assert shown.err.count("\n") == 1
    assert "fitting.py" not in shown.err


def test_too_little_memory_is_one_line_too(run, data, tmp_path, monkeypatch):
    def too_much(*_arguments):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(sample, "read_vectors", too_much)
    assert_fails(run(*fit_arguments(data, tmp_path / "b.safetensors")), "Unable to allocate")


# where results go


def test_an_output_equal_to_an_input_is_refused(run, data, tmp_path):
    vectors = tmp_path / "vectors.npy"
    np.save(vectors, make_vectors(100))
    before = vectors.read_bytes()
    os.link(vectors, tmp_path / "link.npy")
    (tmp_path / "soft.safetensors").symlink_to(vectors)
    for output in (vectors, tmp_path / "link.npy"):
        outcome = run("encode", data / "b.safetensors", vectors, "-o", output)
        assert_fails(outcome, "is the input", "choose another output")
    assert_fails(run("fit", vectors, "-o", tmp_path / "soft.safetensors"), "is the input")
    assert vectors.read_bytes() == before


def test_an_impossible_output_is_refused_before_the_work(run, data, tmp_path, monkeypatch):
    def forbidden(*_args, **_options):
        raise AssertionError("the work has begun")

    for module in (commands, sample):
        monkeypatch.setattr(module, "read_vectors", forbidden)
    (tmp_path / "folder.safetensors").mkdir()
    for name, message in [
        ("none/b.safetensors", "no such folder"),
        ("folder.safetensors", "found a directory"),
        ("b.txt", "must be called .safetensors"),
    ]:
        assert_fails(run("fit", data / "vectors.npy", "-o", tmp_path / name), message)
    encode = ("encode", data / "b.safetensors", data / "vectors.npy", "-o")
    assert_fails(run(*encode, tmp_path / "codes.bin"), "must be called .npy")
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    assert_fails(run(*encode, tmp_path / "codes.npy"), "no permission")


# encode


@pytest.mark.parametrize("bits", [None, 16])
def test_encode_writes_the_codes(bits, run, data, tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "ENCODE_ROWS", 150)
    output = tmp_path / "codes.npy"
    more = [] if bits is None else ["--bits", bits]
    found = run(
        "encode", data / "b.safetensors", data / "vectors.npy", "-o", output, "--json", *more
    ).json
    b = Binarizer.load(data / "b.safetensors")
    codes = np.load(output)
    np.testing.assert_array_equal(codes, b.encode(np.load(data / "vectors.npy"), bits))
    assert codes.dtype == np.uint8
    assert found == {
        "file": str(output),
        "rows": ROWS,
        "bits": bits or BITS,
        "bytes_per_vector": (bits or BITS) // 8,
        "fingerprint": b.truncate(bits or BITS).fingerprint,
    }
    umask = os.umask(0)
    os.umask(umask)
    assert output.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("name", ["vectors.npy", "vectors.parquet"])
def test_encode_to_parquet(name, run, data, tmp_path):
    vectors, b = np.load(data / "vectors.npy"), Binarizer.load(data / "b.safetensors").truncate(16)
    pq.write_table(
        pa.table({"key": [f"k{i}" for i in range(ROWS)], "emb": vectors.tolist()}),
        tmp_path / "vectors.parquet",
    )
    source = (data if name.endswith("npy") else tmp_path) / name
    arguments = ("encode", data / "b.safetensors", source, "-o", tmp_path / "c.parquet")
    found = run(*arguments, "--bits", 16, "--json").json
    assert (found["rows"], found["bits"], found["fingerprint"]) == (ROWS, 16, b.fingerprint)
    codes = pq.read_table(tmp_path / "c.parquet")
    assert check_fingerprint(codes, b) == (b.fingerprint, 16)
    np.testing.assert_array_equal(codes_of(codes["code"].combine_chunks()), b.encode(vectors))
    if name.endswith("npy"):
        assert codes["id"].to_pylist() == list(range(ROWS))
    else:
        assert codes.schema.names == ["key", "code"]
        assert codes["key"][7].as_py() == "k7"


def test_a_row_group_is_not_held_as_a_whole(data, tmp_path):
    rows = np.random.default_rng(0).normal(size=(160_000, DIMENSIONS)).astype("float32")
    lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), DIMENSIONS)
    pq.write_table(pa.table({"v": lists}), tmp_path / "v.parquet", row_group_size=len(rows))
    # a process of its own, since Arrow's record of the most memory cannot be put back
    measured = (
        "import sys, pyarrow; from bitryoshka.cli.app import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "print(pyarrow.default_memory_pool().max_memory())"
    )
    files = (data / "b.safetensors", tmp_path / "v.parquet", "-o", tmp_path / "c.parquet")
    command = [sys.executable, "-c", measured, "encode", *map(str, files), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert pq.read_metadata(tmp_path / "c.parquet").num_rows == len(rows)
    assert int(done.stdout.split()[-1]) < rows.nbytes * 3 / 4


def test_encode_to_parquet_fails_as_a_whole(run, data, tmp_path):
    rows = with_nan()
    pq.write_table(pa.table({"emb": rows.tolist()}), tmp_path / "v.parquet")
    encode = ("encode", data / "b.safetensors", tmp_path / "v.parquet")
    output = ("-o", tmp_path / "c.parquet")
    assert_fails(run(*encode, *output), "v.parquet: vectors must be finite", "row 70, column 3\n")
    assert_fails(run(*encode, "--column", "x", *output), "v.parquet: no column of number lists 'x'")
    whole = (tmp_path / "v.parquet").read_bytes()
    (tmp_path / "v.parquet").write_bytes(whole[:100])
    assert_fails(run(*encode, *output), "is truncated or no .parquet file")
    (tmp_path / "v.parquet").unlink()
    assert_fails(run(*encode, *output), "v.parquet")
    assert list(tmp_path.iterdir()) == []


def test_encode_says_what_it_wrote(run, data, tmp_path):
    encode = ("encode", data / "b.safetensors", data / "vectors.npz", "--column", "emb", "-o")
    shown = run(*encode, tmp_path / "codes.npy")
    assert "400 codes of 64 bits" in shown.out
    assert run(*encode, tmp_path / "codes.npy", "--quiet").out == ""


def test_a_failed_encode_leaves_nothing(run, data, tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "ENCODE_ROWS", 64)
    np.save(tmp_path / "v.npy", with_nan())
    output = tmp_path / "codes.npy"
    encode = ("encode", data / "b.safetensors", tmp_path / "v.npy", "-o", output)
    assert_fails(run(*encode), "v.npy: vectors must be finite", "found nan in row 70, column 3\n")
    output.write_text("the old one")
    assert_fails(run(*encode), "found nan")
    assert output.read_text() == "the old one"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["codes.npy", "v.npy"]


def test_encode_on_a_full_disk(run, data, tmp_path):
    """A child whose files may not grow: the write fails as it does where no space is left."""
    encode = ("encode", data / "b.safetensors", data / "vectors.npy", "-o", tmp_path / "c.npy")
    script = (
        "import resource, signal, sys; from bitryoshka.cli import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, encode)],
        capture_output=True,
        text=True,
    )
    assert_fails(Outcome(done.returncode, done.stdout, done.stderr), "File too large")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bits", [24, 12, 128, -8])
def test_encode_refuses_lengths_that_are_not_offered(bits, run, data, tmp_path):
    arguments = ("encode", data / "b.safetensors", data / "vectors.npy", "--bits", bits)
    assert_fails(run(*arguments, "-o", tmp_path / "codes.npy"), f"found {bits}")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_dimension(run, data, tmp_path):
    np.save(tmp_path / "v.npy", make_vectors(60)[:, :16])
    for arguments in (
        ("encode", data / "b.safetensors", tmp_path / "v.npy", "-o", tmp_path / "c.npy"),
        ("evaluate", data / "b.safetensors", tmp_path / "v.npy"),
        ("evaluate", data / "b.safetensors", data / "vectors.npy", "--queries", tmp_path / "v.npy"),
    ):
        assert_fails(run(*arguments), "must have 32 dimensions, found 16")


@pytest.mark.parametrize("command", ["encode", "evaluate", "inspect"])
def test_a_file_that_is_no_binarizer(command, run, data, tmp_path):
    whole = (data / "b.safetensors").read_bytes()
    cases = {"cut": whole[: len(whole) // 2], "foreign": b"{}", "empty": b""}
    more = {"inspect": [], "evaluate": [data / "vectors.npy"]}
    more["encode"] = [data / "vectors.npy", "-o", tmp_path / "c.npy"]
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        assert_fails(run(command, tmp_path / name, *more[command]), name)
    assert_fails(run(command, tmp_path / "missing", *more[command]), "missing: no such file")


# evaluate


def figures(found: dict, search: str, bits: int) -> dict:
    (line,) = [x for x in found["results"] if (x["search"], x["bits"]) == (search, bits)]
    return line


def test_evaluate_gives_the_recall_of_the_free_functions(run, data):
    found = run(
        *("evaluate", data / "b.safetensors", data / "vectors.npy"),
        *("--queries", data / "queries.npy", "--candidates", 40, "--json"),
    ).json
    b = Binarizer.load(data / "b.safetensors")
    vectors, queries = np.load(data / "vectors.npy"), np.load(data / "queries.npy")
    exact = exact_topk(queries, vectors, 10).rows
    codes, m = b.encode(vectors), b.hamming_bits

    def recall(rows: np.ndarray) -> float:
        return round(float(recall_at_k(rows, exact, 10).mean()), 4)

    expected = {}
    for n in b.nested_bits:
        if n <= m:
            expected["hamming", n] = hamming_topk(b.encode_queries(queries, n), prefix(codes, n))
        weights = b.query_weights(queries, n)
        expected["asymmetric", n] = asymmetric_topk(weights, prefix(codes, n))
    shortlist = hamming_topk(b.encode_queries(queries), prefix(codes, m), 40).rows
    expected["funnel", BITS] = rescore(b.query_weights(queries), codes, shortlist)
    assert {(x["search"], x["bits"]) for x in found["results"]} == set(expected)
    for (search, bits), ranking in expected.items():
        line = figures(found, search, bits)
        assert line["recall"]["mean"] == recall(ranking.rows)
        assert line["recall"]["low"] <= line["recall"]["mean"] <= line["recall"]["high"]
        assert line["bytes"] == bits // 8
        assert line["ndcg_retention"] is None
    assert (found["queries"], found["queries_are_rows"]) == (60, False)
    assert found["candidates"] == 40


def test_evaluate_names_a_bad_row_among_all(run, data, tmp_path):
    vectors = make_vectors(2000)
    vectors[1500:] = 0
    np.save(tmp_path / "v.npy", vectors)
    found = run("evaluate", data / "b.safetensors", tmp_path / "v.npy")
    assert_fails(found, "error: vectors must be non-zero")
    assert not vectors[int(found.err.split()[-3])].any()


def test_evaluate_puts_plain_sign_bits_beside(run, data):
    found = run(
        *("evaluate", data / "b.safetensors", data / "vectors.npy"),
        *("--queries", data / "queries.npy", "--json"),
    ).json
    vectors, queries = np.load(data / "vectors.npy"), np.load(data / "queries.npy")
    exact = exact_topk(queries, vectors, 10).rows
    signs = bitryoshka.fit(vectors, bits=32, nested_bits=[16], method="sign").binarizer
    codes = signs.encode(vectors)
    for bits in (16, 32):
        part = prefix(codes, bits)
        rows = asymmetric_topk(signs.query_weights(queries, bits), part).rows
        expected = recall_at_k(rows, exact).mean()
        line = figures(found, "asymmetric", bits)
        assert line["sign"]["recall"]["mean"] == pytest.approx(expected, abs=1e-4)
        rows = hamming_topk(signs.encode_queries(queries, bits), part).rows
        if bits <= found["results"][0]["bits"]:
            line = figures(found, "hamming", bits)
            expected = recall_at_k(rows, exact).mean()
            assert line["sign"]["recall"]["mean"] == pytest.approx(expected, abs=1e-4)
    # 64 bits cannot be had from 32 dimensions by signs
    assert figures(found, "asymmetric", BITS)["sign"] is None
    assert figures(found, "funnel", BITS)["sign"] is None


def test_evaluate_without_queries_leaves_each_row_out_of_its_own_search(run, data):
    found = run("evaluate", data / "b.safetensors", data / "vectors.npy", "-k", 5, "--json").json
    assert (found["queries"], found["queries_are_rows"]) == (ROWS, True)
    vectors = np.load(data / "vectors.npy")
    b = Binarizer.load(data / "b.safetensors")

    def others(scores: np.ndarray) -> np.ndarray:
        np.fill_diagonal(scores, -np.inf)
        return np.argsort(-scores, axis=1, kind="stable")[:, :5]

    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    exact = others(unit @ unit.T)
    signs = np.unpackbits(b.encode(vectors), axis=1) * 2.0 - 1
    expected = recall_at_k(others(b.query_weights(vectors) @ signs.T), exact, 5).mean()
    line = figures(found, "asymmetric", BITS)
    assert line["recall"]["mean"] == pytest.approx(expected, abs=2e-3)


def test_a_row_hidden_among_its_copies_is_left_out_as_well(run, tmp_path):
    """Equal codes are ordered by row number, so a late copy is not in its own shortlist."""
    np.save(tmp_path / "v.npy", np.repeat(signed_rows(0, 20), 30, axis=0))
    # signs alone: no score of these rows is ever rounded, in whatever order it is summed
    exact_signs(16).save(tmp_path / "b.safetensors")
    found = run("evaluate", tmp_path / "b.safetensors", tmp_path / "v.npy", "--json").json
    # the first ten copies other than the row itself, by float search and by codes alike
    assert [line["recall"]["mean"] for line in found["results"]] == [1, 1, 1]
    assert found["queries"] == 500


def test_the_interval_of_a_ratio_is_that_of_the_ratio():
    reference = np.random.default_rng(0).uniform(0.1, 1, 50)
    assert ratio_interval(reference / 4, reference) == (0.25, 0.25, 0.25)
    assert ratio_interval(reference, np.zeros(50)) is None


def write_judgements(folder: Path, named: bool) -> list[dict[int, float]]:
    vectors, queries = np.load(folder / "vectors.npy"), np.load(folder / "queries.npy")
    nearest = exact_topk(queries, vectors, 3).rows
    grades = [{int(rows[0]): 2.0, int(rows[2]): 1.0, 7: 0.0} for rows in nearest]
    q, d = ("q", "d") if named else ("", "")
    lines = [f"{q}{i}\t{d}{row}\t{x:g}" for i, g in enumerate(grades) for row, x in g.items()]
    text = "query-id\tcorpus-id\tscore\n" + "\n".join(lines) + "\n"
    (folder / f"qrels{q}.tsv").write_text(text)
    ids = {"corpus": [f"d{i}" for i in range(ROWS)], "queries": [f"q{i}" for i in range(60)]}
    (folder / "ids.json").write_text(json.dumps(ids))
    return grades


@pytest.mark.parametrize("named", [False, True])
def test_evaluate_with_judgements(named, run, data):
    grades = write_judgements(data, named)
    judged = ["--qrels", data / "qrelsq.tsv", "--ids", data / "ids.json"]
    if not named:
        judged = ["--qrels", data / "qrels.tsv"]
    arguments = ["evaluate", data / "b.safetensors", data / "vectors.npy"]
    arguments += ["--queries", data / "queries.npy", *judged]
    found = run(*arguments, "--json").json
    b = Binarizer.load(data / "b.safetensors")
    vectors, queries = np.load(data / "vectors.npy"), np.load(data / "queries.npy")
    reference = ndcg_at_k(exact_topk(queries, vectors).rows, grades).mean()
    rows = asymmetric_topk(b.query_weights(queries), b.encode(vectors)).rows
    retention = figures(found, "asymmetric", BITS)["ndcg_retention"]
    assert found["float_ndcg"] == pytest.approx(reference, abs=1e-4)
    expected = ndcg_at_k(rows, grades).mean() / reference
    assert retention["mean"] == pytest.approx(expected, abs=1e-4)
    assert retention["low"] < retention["mean"] < retention["high"]
    shown = run(*arguments)
    assert (shown.code, shown.err) == (0, "")
    for text in ("nDCG@10 retention", "sign recall@10", "funnel (100)", "exact float search"):
        assert text in shown.out


def test_evaluate_shows_that_queries_are_rows(run, data):
    shown = run("evaluate", data / "b.safetensors", data / "vectors.npy")
    assert "each left out of its own search" in shown.out


HEAD = "query-id\tcorpus-id\tscore\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "found 'an empty file'"),
        ("0\t1\t1\n", "expected the tab-separated header query-id corpus-id score"),
        (HEAD + "0\t1\n", "line 2: expected 3 tab-separated fields, found 2"),
        (HEAD + "0\t1\tmuch\n", "line 2: score must be a number, found 'much'"),
        (HEAD + "0\t1\t1\n\n60\t1\t1\n", "line 4: query-id must be a row number from 0 to 59"),
        (HEAD + "0\t400\t1\n", "corpus-id must be a row number from 0 to 399"),
        (HEAD + "0\t-1\t1\n", "corpus-id must be a row number"),
        (HEAD + "0\t1\t0\n", "no query has a relevant row"),
    ],
)
def test_bad_judgements(content, message, run, data, tmp_path):
    (tmp_path / "qrels.tsv").write_text(content)
    arguments = ["evaluate", data / "b.safetensors", data / "vectors.npy"]
    arguments += ["--queries", data / "queries.npy", "--qrels", tmp_path / "qrels.tsv"]
    assert_fails(run(*arguments), message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nonsense", "is no JSON"),
        ("[]", "expected an object with 'corpus' and 'queries'"),
        ('{"queries": 3}', "expected a list of ids under 'queries'"),
        ('{"queries": ["a"]}', "expected 60 different ids under 'queries', one a row, found 1"),
        (json.dumps({"queries": [1] * 60}), "found 60, 1 of them different"),
        (
            json.dumps({"queries": list(range(60)), "corpus": list(range(400))}),
            "line 2: query-id 'q0' is not among the 60 ids",
        ),
    ],
)
def test_bad_ids(content, message, run, data, tmp_path):
    (tmp_path / "ids.json").write_text(content)
    (tmp_path / "qrels.tsv").write_text(HEAD + "q0\td0\t1\n")
    arguments = ["evaluate", data / "b.safetensors", data / "vectors.npy"]
    arguments += ["--queries", data / "queries.npy", "--qrels", tmp_path / "qrels.tsv"]
    assert_fails(run(*arguments, "--ids", tmp_path / "ids.json"), message)


def test_evaluate_refuses_options_that_do_not_fit(run, data):
    evaluate = ("evaluate", data / "b.safetensors", data / "vectors.npy")
    assert_fails(run(*evaluate, "--qrels", "q.tsv"), "--qrels needs --queries")
    assert_fails(run(*evaluate, "--ids", "ids.json"), "--ids needs --qrels")
    assert_fails(run(*evaluate, "-k", 400), "the best 400 rows of each query need more rows")
    assert_fails(run(*evaluate, "--candidates", 5), "candidates must be at least k = 10, found 5")


# plan


def test_plan(run, data, tmp_path):
    arguments = ("plan", data / "b.safetensors", data / "vectors.npy", "--target-recall", 0.5)
    arguments += ("-k", 5, "--rescoring", "asymmetric,exact")
    shown = run(*arguments, "-o", tmp_path / "plan.json")
    expected = bitryoshka.plan(
        Binarizer.load(data / "b.safetensors"),
        np.load(data / "vectors.npy"),
        k=5,
        target_recall=0.5,
        rescoring=("asymmetric", "exact"),
    )
    assert shown.out == f"{expected.text()}\nwrote {tmp_path / 'plan.json'}\n"
    assert bitryoshka.Plan.load(tmp_path / "plan.json") == expected
    assert run(*arguments, "--json").json == asdict(expected)
    assert_fails(run(*arguments, "--rescoring", "magic"), "rescoring must be of", "['magic']")
    assert_fails(run(*arguments, "--target-recall", 95), "found 95.0; 95 percent are 0.95")
    assert_fails(run(*arguments, "-o", tmp_path / "plan.txt"), "must be called .json")


# inspect


def test_inspect(run, data):
    found = run("inspect", data / "b.safetensors", "--json").json
    b = Binarizer.load(data / "b.safetensors")
    assert found["fingerprint"] == b.fingerprint
    assert found["nested_bits"] == list(b.nested_bits)
    assert sum(found["bits_per_plane"]) == b.bits
    assert found["bits_per_plane"][0] == found["hamming_bits"] == b.hamming_bits
    assert found["file_bytes"] == (data / "b.safetensors").stat().st_size
    assert (found["bytes_per_vector"], found["float32_bytes_per_vector"]) == (8, 128)
    assert found["times_smaller"] == 16
    assert found["info"]["rows"] == ROWS
    shown = run("inspect", data / "b.safetensors")
    for text in (b.fingerprint, "bits per plane", "held-out recall", "cosine", "progressive"):
        assert text in shown.out
    assert len(found["info"]["reference"]["mean"]) == b.hamming_bits
    assert "reference" not in shown.out
    assert shown.out.count("\n") < 40


def test_inspect_tells_how_additive_codes_are_found(run, tmp_path):
    path = tmp_path / "a.safetensors"
    additive_binarizer(0, hamming_bits=16, lengths=(24, 48), restarts=2).save(path)
    found = run("inspect", path, "--json").json
    assert (found["encoder"], found["searched_lengths"]) == ("additive", [24, 48])
    assert (found["sweeps"], found["restarts"], found["format_version"]) == (8, 2, 2)
    assert "additive" in run("inspect", path).out


def test_inspect_a_binarizer_without_info_and_with_brackets_in_its_name(run, data, tmp_path):
    path = tmp_path / "[bold]b.safetensors"
    Binarizer.load(data / "b.safetensors").truncate(16).save(path)
    assert "[bold]b.safetensors" in run("inspect", path).out


def test_inspect_shows_escapes_of_a_terminal_as_text(run, data, tmp_path):
    path = tmp_path / "b.safetensors"
    evil = "\x1b[2J\x1b]0;title\x07 \x9b31m \u202e"
    info = {"source_model": evil, f"key{evil}": [evil], "held_out": {"label": evil}}
    replace(Binarizer.load(data / "b.safetensors"), info=info).save(path)
    shown = run("inspect", path)
    assert not set(shown.out) & set("\x1b\x07\x9b\u202e")
    assert r"\x1b[2J" in shown.out
    assert run("inspect", path, "--json").json["info"] == info
    found = run("inspect", tmp_path / f"none{evil}")
    assert "\x1b" not in found.err
    assert r"\x1b[2J" in found.err


@pytest.mark.parametrize("held_out", ["text", {}, {"asymmetric": 1}, {"asymmetric": {"a": 1}}])
def test_inspect_of_info_that_another_program_wrote(run, data, tmp_path, held_out):
    path = tmp_path / "b.safetensors"
    replace(Binarizer.load(data / "b.safetensors"), info={"held_out": held_out}).save(path)
    assert run("inspect", path).code == 0


# demo


def test_demo_passes_its_options_on(run, tmp_path, monkeypatch):
    calls = []

    def fake(**options):
        calls.append(options)
        print("noise of some library")
        if options["echo"]:
            options["echo"]("a table")
        return {"recall": 0.5}

    monkeypatch.setattr(demo, "run", fake)
    shown = run("demo", "--limit", 7, "--out", tmp_path, "--model", "m", "--dsn", "d", "--refresh")
    assert shown.out == "noise of some library\na table\n"
    options = calls[0]
    assert callable(options.pop("echo"))
    assert options == {
        "model": "m",
        "out": tmp_path,
        "limit": 7,
        "bits": 384,
        "dsn": "d",
        "shard": False,
        "refresh": True,
        "progress": True,
    }
    outcome = run("demo", "--json", "--shard")
    assert outcome.code == 0
    assert json.loads(outcome.out) == {"recall": 0.5}
    assert outcome.err == "noise of some library\n"
    assert calls[1]["echo"] is None
    assert calls[1]["shard"] is True
    assert (calls[1]["out"], calls[1]["limit"]) == (Path("demo-out"), LIMIT)


def test_demo_without_its_packages(run, monkeypatch):
    def fake(**_options):
        raise bitryoshka.MissingExtraError("the demo", "demo")

    monkeypatch.setattr(demo, "run", fake)
    assert_fails(run("demo"), "the demo needs the extra 'demo': pip install '.[demo]'")


# the process


def in_process(*arguments: object, program: Sequence[str] = ("-m", "bitryoshka")) -> Outcome:
    done = subprocess.run(
        [sys.executable, *program, *map(str, arguments)], capture_output=True, text=True
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_version():
    done = in_process("--version")
    assert (done.code, done.out) == (0, f"bitryoshka {version('bitryoshka')}\n")


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_typer_one_line_says_what_to_install(missing):
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom bitryoshka.cli import main; main()"
    assert_fails(in_process("--version", program=("-c", code)), "pip install '.[cli]'")


def test_commands_load_neither_torch_nor_a_database_driver():
    code = (
        "import sys, bitryoshka.cli.app\n"
        "print({'torch', 'psycopg', 'pyarrow', 'matplotlib'} & set(sys.modules))"
    )
    assert in_process(program=("-c", code)).out == "set()\n"


# help


def all_commands(group=None, above=()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Names and command, each command once."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from all_commands(command, (*above, name))
        else:
            yield (*above, name), command


COMMANDS = dict(all_commands())


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_help_ends_with_an_example_that_parses(names, run):
    shown = run(*names, "-h")
    *_, title, example = shown.out.rstrip().splitlines()
    assert (shown.code, title.strip()) == (0, "Example:")
    program, *words = shlex.split(example)
    assert (program, *words[: len(names)]) == ("bitryoshka", *names)
    with COMMANDS[names].make_context(names[-1], words[len(names) :]):
        pass


@pytest.mark.parametrize("group", [(), ("qdrant",)])
def test_help_lists_every_command_in_whole_sentences(group, run):
    shown, asked = run(*group), run(*group, "-h")
    listed = {line.split()[0] for line in asked.out.partition("Commands:")[2].splitlines() if line}
    within = {names[len(group)] for names in COMMANDS if names[: len(group)] == group}
    assert listed == within
    assert "..." not in asked.out.partition("Commands:")[2]
    assert asked.out in shown.out + shown.err


def test_a_misspelt_command_is_guessed(run):
    assert "Did you mean 'evaluate'?" in run("evalute").err
    assert "Did you mean 'search'?" in run("qdrant", "serch").err


def test_the_shell_completes_commands(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    asked = {"_BITRYOSHKA_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    for name, value in {**asked, "COMP_WORDS": "bitryoshka eva"}.items():
        monkeypatch.setenv(name, value)
    assert in_process().out == "evaluate\n"


# Ctrl-C


def interrupted(*arguments: object, ready: Callable[[], bool]) -> Outcome:
    """The command gets SIGINT as soon as it is ready."""
    with subprocess.Popen(
        [sys.executable, "-m", "bitryoshka", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # which a shell's background jobs ignore
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while not ready():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    return Outcome(process.returncode, out, err)


def test_an_interrupted_encode_leaves_nothing(data, tmp_path):
    np.save(tmp_path / "v.npy", np.tile(make_vectors(1000), (1000, 1)))
    encode = ("encode", data / "b.safetensors", tmp_path / "v.npy", "-o", tmp_path / "c.npy")

    def writing() -> bool:
        return any(p.name.startswith(".c.npy") and p.stat().st_size for p in tmp_path.iterdir())

    done = interrupted(*encode, ready=writing)
    assert (done.code, done.out, done.err) == (130, "", "interrupted: nothing was written\n")
    assert [p.name for p in tmp_path.iterdir()] == ["v.npy"]


def test_progress_is_told_unless_quiet(run, data, tmp_path):
    arguments = ("encode", data / "b.safetensors", data / "vectors.npy", "-o", tmp_path / "c.npy")
    outcome = run(*arguments, "--json")
    assert outcome.json["rows"] == ROWS
    assert re.fullmatch(r"encode \.\.\.\nencode: done in .* s\n", outcome.progress)
    assert run(*arguments, "--json", "--quiet").progress == ""
