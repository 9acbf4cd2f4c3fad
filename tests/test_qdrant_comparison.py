"""Codes for a byte budget, the comparison with Qdrant's quantizers, and plans."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import qdrant as benchmark
from qdrant_engines import settle
from synthetic import clustered

import bitryoshka
from bitryoshka import Binarizer, BitsError, CollectionError, SearchError, VectorsError
from bitryoshka.evaluation import asymmetric_topk, exact_topk, recall_at_k
from bitryoshka.qdrant import (
    ComparedQuantizer,
    choose_for_budget,
    collection_config,
    compare,
    comparison,
    plan_search,
    search,
    upsert,
)
from bitryoshka.qdrant.edge import create_shard, open_shard
from bitryoshka.qdrant.quantizers import code_quantizer, qdrant_quantizers, try_quantizer
from bitryoshka.qdrant.searching import mean_recall

ROWS = clustered(0, 1200, 128, 60)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
QUERIES = clustered(1, 100, 128, 60)
QUERIES /= np.linalg.norm(QUERIES, axis=1, keepdims=True)
EXACT = exact_topk(QUERIES, ROWS, 10).rows


@pytest.fixture(scope="module")
def binarizer() -> Binarizer:
    return bitryoshka.fit(ROWS, bits=256, hamming_bits=128, method="progressive").binarizer


def recall(binarizer: Binarizer) -> float:
    weights, codes = binarizer.query_weights(QUERIES), binarizer.encode(ROWS)
    return float(recall_at_k(asymmetric_topk(weights, codes, 10).rows, EXACT).mean())


def test_every_quantizer_takes_the_bytes_that_it_should(binarizer: Binarizer) -> None:
    expected = {
        "1-bit BQ": 16,
        "1-bit BQ, 8-bit query": 16,
        "2-bit BQ, 8-bit query": 32,
        "TurboQuant 1 bits": 16 + 8,
        "TurboQuant 2 bits": 32 + 8,
        "TurboQuant 4 bits": 64 + 8,
    }
    recalls = {}
    for quantizer in qdrant_quantizers():
        found = try_quantizer(quantizer, ROWS, QUERIES, repeats=1)
        if quantizer.label in expected:
            assert found.bytes == expected[quantizer.label]
        recalls[quantizer.label] = float(recall_at_k(found.rows, EXACT).mean())
        assert recall_at_k(found.rescored_rows, EXACT).mean() > recalls[quantizer.label]
    assert recalls["TurboQuant 4 bits"] > recalls["TurboQuant 2 bits"] > recalls["1-bit BQ"]
    ours = try_quantizer(code_quantizer(binarizer, quantization="code"), ROWS, QUERIES, repeats=1)
    assert ours.bytes == 32
    assert abs(recall_at_k(ours.rows, EXACT).mean() - recall(binarizer)) < 0.02


def test_a_choice_fits_its_budget_and_is_kept_as_it_was_judged() -> None:
    choice = choose_for_budget(ROWS, 32, held_out=100)
    assert choice.bytes <= 32
    assert choice.recall == max(choice.tried.values())
    assert list(choice.tried) == [
        *("additive, 256 bits", "progressive, 104 dimensions, 256 bits"),
        "128 dimensions, TurboQuant 1 bits",
        "96 dimensions, TurboQuant 2 bits",
        "32 dimensions, TurboQuant 4 bits",
    ]
    assert choice.binarizer.info["method"] == "additive, 256 bits"
    assert (choice.quantization, choice.binarizer.bits) == ("code", 256)
    again = choose_for_budget(ROWS, 32, held_out=100)
    assert again.binarizer.fingerprint == choice.binarizer.fingerprint
    quantizer = code_quantizer(choice.binarizer, quantization=choice.quantization)
    found = try_quantizer(quantizer, ROWS, QUERIES, with_rescoring=False)
    assert found.bytes == choice.bytes
    turbo = next(q for q in qdrant_quantizers() if q.label == "TurboQuant 1 bits")
    theirs = try_quantizer(turbo, ROWS, QUERIES, with_rescoring=False)
    assert recall_at_k(found.rows, EXACT).mean() > recall_at_k(theirs.rows, EXACT).mean() + 0.05


def test_budgets_that_cannot_be_kept() -> None:
    with pytest.raises(BitsError, match="at least 16 bytes, found 15"):
        choose_for_budget(ROWS, 15)
    for dimensions, budget in ((8, 16), (16, 64)):
        short = choose_for_budget(ROWS[:, :dimensions], budget, held_out=50)
        assert short.bytes <= budget
    with pytest.raises(VectorsError, match="cannot hold 500 of 300 rows out"):
        choose_for_budget(ROWS[:300], 32)


def test_the_comparison_says_what_to_take(binarizer: Binarizer) -> None:
    judgements = [{int(row): 1.0} for row in EXACT[:, 0]]
    report = compare(
        ROWS, QUERIES, binarizer=binarizer, judgements=judgements, budgets=(16,), held_out=100
    )
    labels = [row.label for row in report.rows]
    assert len(set(labels)) == len(labels)
    for length in binarizer.nested_bits:
        assert any(f"ours {length} bits" in label for label in labels)
    assert [a.budget for a in report.advice] == [24, 32, 40, 72]
    for advice in report.advice:
        rows = {row.label: row for row in report.rows}
        taken = rows[advice.take]
        assert taken.bytes <= advice.budget
        assert taken.ours == (advice.low > 0)
    for row in report.rows:
        assert row.ndcg is not None
        assert row.rescored_ndcg is not None
        assert row.rescored_recall >= row.recall - 0.02
    json.dumps(report.as_dict())
    held_out = compare(ROWS[:500], budgets=(16,), held_out=50)
    assert (held_out.held_out, held_out.vectors, held_out.queries) == (True, 450, 50)


def row(label: str, ours: bool, recall_: float, bytes_: float = 50) -> ComparedQuantizer:
    return ComparedQuantizer(label, ours, bytes_, recall_, None, 1.0, None, 0.1, 0.2)


@pytest.mark.parametrize(
    ("ours", "theirs", "taken"),
    [(0.9, 0.7, "ours"), (0.7, 0.9, "TurboQuant 1 bits"), (0.8, 0.8, "TurboQuant 1 bits")],
)
def test_turbo_quant_is_taken_where_it_is_not_beaten_for_sure(
    ours: float, theirs: float, taken: str
) -> None:
    rows = [row("TurboQuant 1 bits", False, theirs), row("ours", True, ours, 48)]
    noise = np.random.default_rng(0).normal(scale=0.1, size=200)
    [advice] = comparison._advice(rows, [np.full(200, theirs), ours + noise - noise.mean()])
    assert advice.take == taken
    assert comparison._advice([rows[0], replace(rows[1], bytes=51)], [noise, noise]) == ()


def test_what_cannot_be_compared(binarizer: Binarizer) -> None:
    with pytest.raises(BitsError, match="is for metric 'cosine'"):
        compare(ROWS, binarizer=binarizer, metric="inner_product")
    with pytest.raises(VectorsError, match="expected 100 judgements"):
        compare(ROWS, QUERIES, judgements=[{}])
    with pytest.raises(VectorsError, match="cannot hold 5000"):
        compare(ROWS, held_out=5000)


def test_a_plan_reaches_its_target(binarizer: Binarizer, tmp_path: Path) -> None:
    create_shard(tmp_path / "a", collection_config(binarizer, indexing_threshold=1))
    with open_shard(tmp_path / "a", binarizer) as collection:
        upsert(collection, range(len(ROWS)), ROWS)
        settle(collection)
        codes = search(collection, QUERIES, rescore=None)
        alone = recall_at_k([[h.id for h in hits] for hits in codes], EXACT).mean()
        easy = plan_search(collection, QUERIES, alone - 0.05)
        assert easy.reached
        assert easy.rescore is None
        hard = plan_search(collection, QUERIES, 0.97)
        assert hard.reached
        assert hard.rescore == "exact"
        again = search(collection, QUERIES, **hard.search_arguments())
        assert recall_at_k([[h.id for h in hits] for hits in again], EXACT).mean() > 0.96
        for target in (0, 1.01, float("nan")):
            with pytest.raises(SearchError, match="at most 1, found"):
                plan_search(collection, QUERIES, target)
    for name, chosen, words in (
        ("b", {"keep_vectors": False}, "does not keep the vectors"),
        ("c", {}, "holds no vectors"),
    ):
        create_shard(tmp_path / name, collection_config(binarizer, **chosen))
        with (
            open_shard(tmp_path / name, binarizer) as collection,
            pytest.raises(CollectionError, match=words),
        ):
            plan_search(collection, QUERIES)


def test_a_plan_on_a_prefix_takes_the_first_way_that_reaches_its_target(
    binarizer: Binarizer, tmp_path: Path
) -> None:
    first = min(binarizer.nested_bits)
    config = collection_config(
        binarizer, quantization="code", prefixes=(first,), indexing_threshold=1
    )
    create_shard(tmp_path / "a", config)
    with open_shard(tmp_path / "a", binarizer) as collection:
        upsert(collection, range(len(ROWS)), ROWS)
        settle(collection)
        exact = [hits[:10] for hits in search(collection, QUERIES, candidates=len(ROWS))]
        ways: list[dict[str, Any]] = [
            {"rescore": None},
            *({"rescore": "asymmetric", "candidates": 40 * n} for n in (1, 2, 4, 8, 16)),
            *({"shortlist": 10 * n, "candidates": 40 * n} for n in (1, 2, 4, 8, 16)),
        ]
        recalls = [
            mean_recall(search(collection, QUERIES, prefix_bits=first, **way), exact)
            for way in ways
        ]
        for target in (recalls[0], max(recalls[:6]), max(recalls)):
            wanted = target - 0.01
            plan = plan_search(collection, QUERIES, wanted, prefix_bits=first)
            assert plan.reached
            taken = plan.search_arguments().items()
            [chosen] = [n for n, way in enumerate(ways) if way.items() <= taken]
            # the graph that the plan's truth comes of gives some hits more or less than another
            assert plan.recall == pytest.approx(recalls[chosen], abs=0.01)
            assert recalls[chosen] >= wanted - 0.01
            assert max(recalls[:chosen], default=0) < wanted + 0.01
        missed = plan_search(collection, QUERIES, 1.0, k=1, prefix_bits=first)
        assert not missed.reached
        assert 0.5 < missed.recall < 1


def test_the_engine_is_asked_for_before_anything_is_fitted() -> None:
    code = """
import sys
sys.modules["qdrant_edge"] = None
from bitryoshka import MissingExtraError
from bitryoshka.qdrant import choose_for_budget, compare
for call in (lambda: compare([]), lambda: choose_for_budget([], 48)):
    try:
        call()
    except MissingExtraError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.count("needs the extra 'edge': ") == 2, done.stderr


def test_the_benchmark_of_costs_measures_both_ways() -> None:
    found = benchmark.costs(benchmark.made_up(2000), rounds=1)
    assert found["rows"] == 2000
    assert found["upsert_ratio"] > 0
    assert found["search_ratio"] > 0
