"""Plans: what they promise, what they cost, and that back ends take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import clustered

from bitryoshka import Binarizer, FileFormatError, Plan, PlanError, SearchError, VectorsError, fit
from bitryoshka.evaluation import (
    exact_topk,
    hamming_topk,
    recall_at_k,
    recalls_by_parameters,
    rescore,
)
from bitryoshka.planning import choose, lower_bound, plan
from bitryoshka.postgres import attach, create_table, load, register, search, search_column
from bitryoshka.postgres.server import Connection
from bitryoshka.search_parameters import SearchParameters

ROWS, QUERIES = clustered(0, 1500), clustered(1, 300)


@pytest.fixture(scope="module", params=["progressive", "additive"])
def binarizer(request: pytest.FixtureRequest) -> Binarizer:
    return fit(ROWS, bits=96, method=request.param).binarizer


@pytest.fixture(scope="module")
def planned(binarizer: Binarizer) -> Plan:
    return plan(binarizer, ROWS, QUERIES, target_recall=0.9)


class TestLowerBound:
    def test_is_rarely_above_the_mean(self) -> None:
        rng = np.random.default_rng(0)
        above = [lower_bound(rng.beta(9, 1, 80)) > 0.9 for _ in range(300)]
        assert np.mean(above) <= 0.05

    def test_comes_near_the_mean_where_values_vary_little(self) -> None:
        values = np.random.default_rng(0).normal(0.95, 0.02, 2000).clip(0, 1)
        assert 0.94 < lower_bound(values) < 0.95

    def test_few_perfect_values_prove_little(self) -> None:
        assert lower_bound(np.ones(30)) < 0.9 < lower_bound(np.ones(200))

    @pytest.mark.parametrize("values", [[], [1.5], [[1.0]], [np.nan]])
    def test_values_that_are_none(self, values: list[float]) -> None:
        with pytest.raises(VectorsError):
            lower_bound(values)


def test_recalls_are_those_of_a_search_stage_by_stage(binarizer: Binarizer) -> None:
    unit = QUERIES[:40] / np.linalg.norm(QUERIES[:40], axis=1, keepdims=True)
    found = recalls_by_parameters(
        binarizer, ROWS, unit, 10, ("asymmetric", "exact", "shortlist"), 200
    )
    exact = exact_topk(QUERIES[:40], ROWS, 10).rows
    codes, weights = binarizer.encode(ROWS), binarizer.query_weights(unit)
    scores = unit @ (ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)).T

    def by_floats(rows: np.ndarray) -> np.ndarray:
        order = np.argsort(-np.take_along_axis(scores, rows, 1), axis=1)[:, :10]
        return np.take_along_axis(rows, order, 1)

    for way in found:
        width = way.prefix_bits // 8
        signs = binarizer.encode_queries(unit, way.prefix_bits)
        rows = hamming_topk(signs, codes[:, :width], way.candidates).rows
        if way.rescore == "asymmetric" or way.shortlist:
            rows = rescore(weights, codes, rows, way.shortlist or 10).rows
        if way.rescore == "exact":
            rows = by_floats(rows)
        np.testing.assert_allclose(found[way], recall_at_k(rows, exact, 10), err_msg=str(way))
    assert {w.rescore for w in found} == {None, "asymmetric", "exact"}
    assert any(w.shortlist for w in found)


def test_the_cheapest_way_that_surely_passes_is_taken() -> None:
    rng = np.random.default_rng(0)

    def ways(shares: dict[int, float]) -> dict[SearchParameters, np.ndarray]:
        found = {}
        for n, share in shares.items():
            way = SearchParameters(candidates=n, prefix_bits=64, rescore="exact")
            found[way] = rng.binomial(10, share, 600) / 10
        return found

    way, tested = choose(ways({10: 0.7, 20: 0.95, 40: 0.99}), 10, 0.9, 0.95, 0)
    assert (way.candidates, len(tested)) == (20, 400)
    with pytest.raises(PlanError, match=r"no plan reaches recall@10 0.9.*: the best of 2, 20"):
        choose(ways({10: 0.7, 20: 0.85}), 10, 0.9, 0.95, 0)


def test_plans_are_kept_on_fresh_queries(binarizer: Binarizer) -> None:
    unit = clustered(2, 2000)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    found = recalls_by_parameters(binarizer, ROWS, unit, 10)
    kept = []
    for trial in range(100):
        order = np.random.default_rng(trial).permutation(len(unit))
        way, _ = choose({w: r[order[:200]] for w, r in found.items()}, 10, 0.9, 0.95, trial)
        kept.append(found[way][order[200:]].mean() >= 0.9)
    assert np.mean(kept) >= 0.95


def test_a_higher_target_costs_more(binarizer: Binarizer, planned: Plan) -> None:
    higher = plan(binarizer, ROWS, QUERIES, target_recall=0.97)
    assert planned.cost < higher.cost
    assert 0.9 <= planned.recall_at_least <= planned.recall < higher.recall
    assert planned.fingerprint == binarizer.fingerprint


def test_rows_are_held_out_where_no_queries_are_given(binarizer: Binarizer) -> None:
    found = plan(binarizer, ROWS, target_recall=0.9)
    assert (found.rows, found.queries) == (1200, 200)


def test_too_few_queries_say_so(binarizer: Binarizer) -> None:
    with pytest.raises(PlanError, match=r"27 queries cannot show recall@10 0\.95"):
        plan(binarizer, ROWS, QUERIES[:40])
    with pytest.raises(VectorsError, match="at least 30 queries"):
        plan(binarizer, ROWS, QUERIES[:20])


@pytest.mark.parametrize(
    "wrong",
    [{"k": 0}, {"k": 2000}, {"target_recall": 1.0}, {"confidence": 0}, {"rescoring": ["best"]}],
)
def test_numbers_that_do_not_fit(binarizer: Binarizer, wrong: dict[str, object]) -> None:
    with pytest.raises(SearchError, match=next(iter(wrong))):
        plan(binarizer, ROWS, QUERIES, **wrong)  # type: ignore[arg-type]


def test_an_unusable_row_is_named_by_its_own_number(binarizer: Binarizer) -> None:
    rows = ROWS.copy()
    rows[[300, 900]] = 0
    with pytest.raises(VectorsError, match=r"^vectors .* row 300 is zero$"):
        plan(binarizer, rows)


def test_a_plan_is_saved_as_json(planned: Plan, tmp_path: Path) -> None:
    planned.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == planned
    for text in ("", "[]", '{"k": 1}', "{", planned.text()):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(FileFormatError, match="is no plan"):
            Plan.load(tmp_path / "other.json")


@pytest.mark.parametrize("kinds", [("exact",), ("shortlist",), ("asymmetric",)])
def test_a_code_table_takes_a_plan(
    connection: Connection, binarizer: Binarizer, kinds: tuple[str, ...]
) -> None:
    found = plan(binarizer, ROWS, QUERIES, target_recall=0.5, rescoring=kinds)  # type: ignore[arg-type]
    table = create_table(connection, "docs", binarizer, vector_type="vector")
    load(connection, table, range(len(ROWS)), binarizer.encode(ROWS), vectors=ROWS)
    ids, _ = search(connection, table, binarizer, QUERIES[:50], **found.search_arguments())
    recall = recall_at_k(np.array(ids), exact_topk(QUERIES[:50], ROWS, 10).rows).mean()
    assert recall >= 0.5


@pytest.mark.parametrize("kinds", [("exact",), ("shortlist",), ("asymmetric",)])
def test_an_attached_column_takes_a_plan(
    installed: Connection, binarizer: Binarizer, kinds: tuple[str, ...]
) -> None:
    found = plan(binarizer, ROWS, QUERIES, target_recall=0.6, rescoring=kinds)  # type: ignore[arg-type]
    installed.execute("CREATE TABLE docs (id bigint PRIMARY KEY, embedding vector(48))")
    with installed.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO docs VALUES (%s, %s::vector)",
            [(i, str(row.tolist())) for i, row in enumerate(ROWS)],
        )
    codec = register(installed, "docs", binarizer)
    attach(installed, "docs", "embedding", codec.label, index=False)
    ids, _ = search_column(installed, "docs", QUERIES[:30], **found.search_arguments())
    recall = recall_at_k(np.array(ids), exact_topk(QUERIES[:30], ROWS, 10).rows).mean()
    assert recall >= found.recall - 0.15
