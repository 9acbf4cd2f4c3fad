"""docs/training_loss.md is true: its blocks run in their order, and training is for the better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from tests.pages import blocks
from tests.tiny_models import made_pairs, static_model

from bitryoshka import Binarizer
from bitryoshka.evaluation import hamming_topk

PAGE = Path(__file__).parents[1] / "docs" / "training_loss.md"


def test_its_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    queries, rows = made_pairs(0, 300)
    names: dict[str, Any] = {
        "model": static_model(dimensions=64),
        "train_dataset": Dataset.from_dict({"query": queries, "row": rows}),
    }
    for block in blocks(PAGE):
        assert block.language == "python", block.place
        exec(compile(block.text, block.place, "exec"), names)
    trained = names["trained"]
    kept = Binarizer.load("trained/codes.safetensors")
    assert kept.fingerprint == trained.fingerprint
    asked = np.asarray(names["model"].encode(queries))
    before = _answered(names["before"], *(static_model(64).encode(v) for v in (queries, rows)))
    assert _answered(trained, asked, names["model"].encode(rows)) > before + 0.1


def _answered(binarizer: Binarizer, queries: Any, rows: Any) -> float:
    """Share of queries that have their row among the first ten."""
    found = hamming_topk(binarizer.encode_queries(queries), binarizer.encode(rows), 10).rows
    return float((found == np.arange(len(found))[:, None]).any(axis=1).mean())
