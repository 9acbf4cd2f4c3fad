"""Codes for a byte budget, the comparison with Qdrant's quantizers, and plans."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks import qdrant as benchmark
from qdrant_engines import settle
from synthetic import clustered

import bitryoshka
from bitryoshka import Binarizer, BitsError, CollectionError, VectorsError
from bitryoshka.evaluation import asymmetric_topk, exact_topk, recall_at_k
from bitryoshka.qdrant import SearchPlan, collection_config, plan_search, search, upsert
from bitryoshka.qdrant import peers as peers_module
from bitryoshka.qdrant.budget import choose_for_budget
from bitryoshka.qdrant.edge import create_shard, open_shard
from bitryoshka.qdrant.measuring import measure
from bitryoshka.qdrant.peers import PeerRow, compare
from bitryoshka.qdrant.ways import our_way, plain_ways

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


def test_every_way_takes_the_bytes_that_it_should(binarizer: Binarizer) -> None:
    expected = {
        "1-bit BQ": 16,
        "1-bit BQ, 8-bit query": 16,
        "2-bit BQ, 8-bit query": 32,
        "TurboQuant 1 bits": 16 + 8,
        "TurboQuant 2 bits": 32 + 8,
        "TurboQuant 4 bits": 64 + 8,
    }
    recalls = {}
    for way in plain_ways():
        found = measure(way, ROWS, QUERIES, repeats=1)
        if way.label in expected:
            assert found.bytes == expected[way.label]
        recalls[way.label] = float(recall_at_k(found.found, EXACT).mean())
        assert recall_at_k(found.rescored, EXACT).mean() > recalls[way.label]
    assert recalls["TurboQuant 4 bits"] > recalls["TurboQuant 2 bits"] > recalls["1-bit BQ"]
    ours = measure(our_way(binarizer, quantization="code"), ROWS, QUERIES, repeats=1)
    assert ours.bytes == 32
    assert abs(recall_at_k(ours.found, EXACT).mean() - recall(binarizer)) < 0.02


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
    way = our_way(choice.binarizer, quantization=choice.quantization)
    found = measure(way, ROWS, QUERIES, with_rescoring=False)
    assert found.bytes == choice.bytes
    turbo = next(w for w in plain_ways() if w.label == "TurboQuant 1 bits")
    theirs = measure(turbo, ROWS, QUERIES, with_rescoring=False)
    assert recall_at_k(found.found, EXACT).mean() > recall_at_k(theirs.found, EXACT).mean() + 0.05


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


def row(label: str, ours: bool, recall_: float, bytes_: float = 50) -> PeerRow:
    return PeerRow(label, ours, bytes_, recall_, None, 1.0, None, 0.1, 0.2)


@pytest.mark.parametrize(
    ("ours", "theirs", "taken"),
    [(0.9, 0.7, "ours"), (0.7, 0.9, "TurboQuant 1 bits"), (0.8, 0.8, "TurboQuant 1 bits")],
)
def test_turbo_quant_is_taken_where_it_is_not_beaten_for_sure(
    ours: float, theirs: float, taken: str
) -> None:
    rows = [row("TurboQuant 1 bits", False, theirs), row("ours", True, ours, 48)]
    noise = np.random.default_rng(0).normal(scale=0.1, size=200)
    [advice] = peers_module._advice(rows, [np.full(200, theirs), ours + noise - noise.mean()])
    assert advice.take == taken
    assert peers_module._advice([rows[0], replace(rows[1], bytes=51)], [noise, noise]) == ()


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
        codes = [[h.id for h in hits] for hits in search(collection, QUERIES, SearchPlan())]
        alone = recall_at_k(codes, EXACT).mean()
        easy = plan_search(collection, QUERIES, alone - 0.05)
        assert easy.reached
        assert easy.plan.rescore == "none"
        hard = plan_search(collection, QUERIES, 0.97)
        assert hard.reached
        assert hard.plan.rescore == "original"
        again = search(collection, QUERIES, hard.plan)
        assert recall_at_k([[h.id for h in hits] for hits in again], EXACT).mean() > 0.96
        assert not plan_search(collection, QUERIES, 1.01).reached
    create_shard(tmp_path / "b", collection_config(binarizer, exact=False))
    with (
        open_shard(tmp_path / "b", binarizer) as collection,
        pytest.raises(CollectionError, match="does not keep the vectors"),
    ):
        plan_search(collection, QUERIES)


def test_the_benchmark_of_costs_measures_both_ways() -> None:
    found = benchmark.costs(benchmark.made_up(2000), rounds=1)
    assert found["rows"] == 2000
    assert found["upsert_ratio"] > 0
    assert found["search_ratio"] > 0
