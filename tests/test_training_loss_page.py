"""docs/training_loss.md is true: its blocks run in their order, and training is for the better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.pages import blocks

from bitryoshka import Binarizer
from bitryoshka.evaluation import hamming_topk

PAGE = Path(__file__).parents[1] / "docs" / "training_loss.md"


def test_its_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks(PAGE):
        assert block.language == "python", block.place
        exec(compile(block.text, block.place, "exec"), names)
    trained = names["trained"]
    kept = Binarizer.load("trained/codes.safetensors")
    assert kept.fingerprint == trained.fingerprint
    assert _answered(trained, names) > 0.5


def _answered(binarizer: Binarizer, names: dict[str, Any]) -> float:
    """Share of the page's queries that have their row among the first ten."""
    queries = np.asarray(names["model"].encode(names["queries"]))
    rows = hamming_topk(binarizer.encode_queries(queries), names["codes"], 10).rows
    return float((rows == np.arange(len(rows))[:, None]).any(axis=1).mean())
