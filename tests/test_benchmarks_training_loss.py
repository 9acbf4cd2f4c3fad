"""The benchmark of the training loss: its split, and its small form from end to end."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import readme, training_loss
from benchmarks.datasets import Dataset, read_dataset
from benchmarks.training_loss import CODES, DIFFERENCES, LENGTHS, TUNED, model_of, task_of
from numpy.typing import NDArray

DOCUMENTS, D = 400, 200


def noisy(rows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    return rows + np.random.default_rng(seed).normal(size=rows.shape).astype(np.float32) / D**0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set whose queries are its documents with noise, up to three to each."""
    folder = tmp_path_factory.mktemp("set")
    generator = np.random.default_rng(0)
    documents = generator.normal(size=(DOCUMENTS, D)).astype(np.float32) / D**0.5
    asked, answers = (generator.integers(0, 200, 300), generator.integers(0, DOCUMENTS, 80))
    np.save(folder / "corpus.npy", documents)
    np.save(folder / "queries_train.npy", noisy(documents[asked], 1))
    np.save(folder / "queries.npy", noisy(documents[answers], 2))
    ids = {"corpus": [f"d{i}" for i in range(DOCUMENTS)], "queries": [f"q{i}" for i in range(80)]}
    (folder / "ids.json").write_text(json.dumps(ids))
    for name, rows, prefix in (("qrels", answers, "q"), ("qrels_train", asked, "t")):
        lines = [f"{prefix}{i}\td{row}\t1" for i, row in enumerate(rows)]
        (folder / f"{name}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(lines))
    with gzip.open(folder / "queries_train.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"_id": f"t{i}", "text": ""}) + "\n" for i in range(300))
    return folder


@pytest.fixture(scope="module")
def data(folder: Path) -> Dataset:
    return read_dataset(folder)


def test_new_documents_are_in_no_pair(data: Dataset) -> None:
    task = task_of(data)
    trained_on = {row for _, row in task.pairs}
    trained_queries = {query for query, _ in task.pairs}
    assert len(trained_queries) + len(task.validation.queries) <= 300
    for asked in (task.validation, task.test):
        assert 10 < asked.known.sum() < len(asked.known)
        for known, judgement in zip(asked.known, asked.judgements, strict=True):
            assert all((row in trained_on) == known for row in judgement)
    with pytest.raises(ValueError, match="must have judgements and training pairs"):
        task_of(data._replace(training_pairs=None))


def test_before_training_the_layer_changes_nothing(data: Dataset) -> None:
    task = task_of(data)
    model = model_of(task)
    stored = np.asarray(model.encode(["3", str(DOCUMENTS + 5)]))
    assert np.allclose(stored, [task.documents[3], task.training[5]], atol=1e-6)
    assert np.allclose(training_loss.mapped(model, task.documents), task.documents, atol=1e-6)


def test_the_small_form(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    monkeypatch.setattr(training_loss, "write", lambda *given: written.append(given))
    measured = []
    measure = training_loss.measure
    monkeypatch.setattr(
        training_loss, "measure", lambda *a, **k: measured.append(measure(*a, **k)) or measured[-1]
    )
    training_loss.main(["--data", str(folder), "--small"])
    assert not written
    [found] = measured
    assert set(found["settings"]) == {TUNED, CODES}
    for group in found["groups"].values():
        assert set(group["differences"]) == set(DIFFERENCES)
        for name, (a, b) in DIFFERENCES.items():
            for key, interval in group["differences"][name].items():
                expected = group["ndcg"][a][key] - group["ndcg"][b][key]
                assert interval["mean"] == pytest.approx(expected)
                assert interval["low"] <= interval["mean"] <= interval["high"]
    figures = {"seeds": 1, **found}
    assert len(training_loss.targets(figures)) == 2
    table = readme.training_loss_table(figures)
    assert f"float query {LENGTHS[0]}" in table
    assert "queries to new documents" in table
