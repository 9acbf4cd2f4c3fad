"""`fit` and its choice: honest, reproducible, working on any input, clear about bad input."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic import clustered

import bitryoshka
from bitryoshka import (
    Binarizer,
    BitryoshkaError,
    BitsError,
    MissingExtraError,
    OptionError,
    VectorsError,
    fit,
)
from bitryoshka.evaluation import asymmetric_topk, exact_topk, hamming_topk, recall_at_k
from bitryoshka.training import Candidate, Comparison, FitResult, HeldOut, closed_form
from bitryoshka.training.comparison import PLAINNESS, beats, compare, measure_candidate
from bitryoshka.training.variants import CHANGES, hamming_sizes
from bitryoshka.vectors import normalized

METHODS = ("sign", "centred", "rotation", "itq", "progressive", "additive")


@pytest.fixture(autouse=True)
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitryoshka.training.variants.find_spec", lambda name: None)


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    return clustered(0, 1200)


@pytest.fixture(scope="module")
def result(vectors: NDArray[np.float32]) -> FitResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bitryoshka.training.variants.find_spec", lambda name: None)
        return fit(vectors, bits=48, nested_bits=(16, 32))


def assert_works(found: FitResult, vectors: NDArray[Any], bits: int) -> None:
    """A binarizer that encodes its own vectors, and held-out numbers that are numbers."""
    b = found.binarizer
    assert b.bits == bits
    assert b.hamming_bits <= bits
    codes = b.encode(vectors)
    assert codes.shape == (len(vectors), bits // 8)
    weights = b.query_weights(vectors[:5])
    assert np.isfinite(weights).all()
    assert np.isfinite(b.project(vectors)).all()
    for outcome in found.comparison.outcomes:
        for pair in (*outcome.hamming.values(), *outcome.asymmetric.values(), outcome.funnel):
            for values in pair:
                assert values.shape == (found.comparison.queries,)
                assert ((values >= 0) & (values <= 1)).all()
        assert np.isfinite(outcome.utility(found.comparison.lengths)).all()
    json.dumps(found.comparison.as_dict(), allow_nan=False)
    json.dumps(dict(b.info), allow_nan=False)


def assert_not_beaten(comparison: Comparison) -> None:
    """Nothing later is better with confidence; everything plainer is beaten by something later."""
    outcomes, lengths = comparison.outcomes, comparison.lengths
    methods = [o.candidate.method for o in outcomes]
    assert methods == sorted(methods, key=PLAINNESS.index)
    utilities = [o.utility(lengths) for o in outcomes]
    best = {
        m: max((i for i, n in enumerate(methods) if n == m), key=lambda i: utilities[i].mean())
        for m in methods
    }
    ranked = [best[m] for m in PLAINNESS if m in best]

    def beaten(i: int) -> bool:
        later = ranked[ranked.index(i) + 1 :]
        return any(beats(utilities[j], utilities[i]) for j in later)

    assert comparison.chosen in ranked
    assert not beaten(comparison.chosen)
    for plainer in ranked[: ranked.index(comparison.chosen)]:
        assert beaten(plainer)


def test_every_method_is_compared(result: FitResult, vectors: NDArray[np.float32]) -> None:
    labels = [o.candidate.label for o in result.comparison.outcomes]
    assert labels[:5] == ["sign", "centred (mean)", "centred (median)", "rotation", "itq"]
    assert labels[5] == "progressive (24 Hamming bits)"
    sizes = ("32 Hamming bits", "16 Hamming bits")
    changes = [f"32 Hamming bits, {change}" for change in CHANGES]
    assert labels[6:] == [f"additive ({label})" for label in (*sizes, *changes)]
    assert not result.comparison.skipped
    assert_works(result, vectors, 48)


def test_the_choice_is_not_beaten(result: FitResult) -> None:
    assert_not_beaten(result.comparison)
    chosen = result.comparison.outcomes[result.comparison.chosen].candidate
    assert result.binarizer.info["method"] == chosen.label
    assert result.binarizer.hamming_bits == chosen.binarizer.hamming_bits


def test_progressive_clearly_beats_sign(vectors: NDArray[np.float32]) -> None:
    queries = clustered(99, 100)
    exact = exact_topk(queries, vectors).rows
    recall = {}
    for method in ("sign", "progressive"):
        b = fit(vectors, bits=48, method=method).binarizer
        found = asymmetric_topk(b.query_weights(queries), b.encode(vectors)).rows
        recall[method] = recall_at_k(found, exact).mean()
    assert recall["progressive"] - recall["sign"] > 0.05


def test_held_out_figures_are_those_of_the_documented_searches(result: FitResult) -> None:
    """Measure one candidate again, with nothing but encode, weights and the searches."""
    rng = np.random.default_rng(1)
    rows, queries = clustered(3, 400), clustered(4, 50)
    rows, queries = normalized(rows, "cosine"), normalized(queries, "cosine")
    b = result.binarizer
    outcome = measure_candidate(Candidate("progressive", "x", b), HeldOut.of(queries, rows))
    exact = exact_topk(queries, rows).rows
    assert set(outcome.asymmetric) == set(b.nested_bits)
    assert set(outcome.hamming) == {n for n in b.nested_bits if n <= b.hamming_bits}
    for length, (recall, _) in outcome.asymmetric.items():
        found = asymmetric_topk(b.query_weights(queries, length), b.encode(rows, length)).rows
        np.testing.assert_array_equal(recall, recall_at_k(found, exact))
    for length, (recall, _) in outcome.hamming.items():
        found = hamming_topk(b.encode_queries(queries, length), b.encode(rows, length)).rows
        np.testing.assert_array_equal(recall, recall_at_k(found, exact))
    shuffled = rng.permutation(400)
    again = measure_candidate(Candidate("progressive", "x", b), HeldOut.of(queries, rows[shuffled]))
    np.testing.assert_allclose(again.funnel[0].mean(), outcome.funnel[0].mean(), atol=0.02)


def test_one_seed_one_result(vectors: NDArray[np.float32], result: FitResult) -> None:
    again = fit(vectors, bits=48, nested_bits=(16, 32))
    assert again.binarizer.fingerprint == result.binarizer.fingerprint
    assert again.binarizer.info == result.binarizer.info
    assert again.comparison.as_dict() == result.comparison.as_dict()
    first, other = (fit(vectors, bits=48, method="itq", seed=seed).binarizer for seed in (0, 1))
    assert first.fingerprint != other.fingerprint


def test_the_order_of_candidates_does_not_matter(result: FitResult) -> None:
    rows, queries = normalized(clustered(5, 300), "cosine"), normalized(clustered(6, 60), "cosine")
    held_out = HeldOut.of(queries, rows)
    candidates = [o.candidate for o in result.comparison.outcomes]
    orders = [candidates, candidates[::-1], candidates[3:] + candidates[:3]]
    comparisons = [compare(order, held_out) for order in orders]
    for comparison in comparisons:
        assert_not_beaten(comparison)
        names = {o.candidate.label for o in comparison.outcomes}
        assert names == {c.label for c in candidates}
    chosen = {c.outcomes[c.chosen].candidate.label for c in comparisons}
    assert len(chosen) == 1


def candidate(method: str, b: Binarizer) -> Candidate:
    return Candidate(method, method, b)


def test_a_tie_goes_to_the_plainest(result: FitResult) -> None:
    rows = normalized(clustered(5, 200), "cosine")
    held_out, b = HeldOut.of(rows[:40], rows), result.binarizer
    for methods in itertools.permutations(("progressive", "itq", "centred")):
        comparison = compare([candidate(m, b) for m in methods], held_out)
        assert comparison.outcomes[comparison.chosen].candidate.method == "centred"


def test_a_beaten_method_loses_however_plain(result: FitResult) -> None:
    rows = normalized(clustered(5, 200), "cosine")
    b = result.binarizer
    blind = closed_form.rotation_codes(
        np.random.default_rng(0).normal(size=(60, 48)).astype(np.float32),
        closed_form.Goal(48, b.nested_bits, "cosine", 0),
    )
    held_out = HeldOut.of(rows[:40], rows)
    comparison = compare([candidate("sign", blind), candidate("progressive", b)], held_out)
    assert comparison.outcomes[comparison.chosen].candidate.method == "progressive"
    comparison = compare([candidate("sign", b), candidate("progressive", blind)], held_out)
    assert comparison.outcomes[comparison.chosen].candidate.method == "sign"


def test_a_variant_that_is_better_for_sure_stands_for_its_method(
    result: FitResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    plain = rng.random(200)
    # a larger gain on the mean, but from few queries; a smaller one from all of them
    utilities = {
        "progressive": plain,
        "doubtful": plain + np.where(np.arange(200) == 0, 4, 0),
        "certain": plain + 0.01,
    }

    def measured(c: Candidate, held_out: HeldOut) -> Any:
        return SimpleNamespace(candidate=c, utility=lambda lengths: utilities[c.label])

    monkeypatch.setattr("bitryoshka.training.comparison.measure_candidate", measured)
    held_out = HeldOut.of(np.eye(8, 48, dtype=np.float32), np.eye(20, 48, dtype=np.float32))
    progressive = Candidate("progressive", "progressive", result.binarizer)
    learned = [Candidate("learned", name, result.binarizer) for name in ("doubtful", "certain")]
    assert utilities["doubtful"].mean() > utilities["certain"].mean()
    both = compare([progressive, *learned], held_out)
    assert both.outcomes[both.chosen].candidate.label == "certain"
    one = compare([progressive, learned[0]], held_out)
    assert one.outcomes[one.chosen].candidate.label == "progressive"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
def test_each_method_by_name(vectors: NDArray[np.float32], method: str, metric: Any) -> None:
    found = fit(vectors[:200], bits=40, method=method, metric=metric)
    assert {o.candidate.method for o in found.comparison.outcomes} == {method}
    assert found.binarizer.metric == metric
    assert_works(found, vectors, 40)


def test_the_final_fit_uses_the_held_out_rows_too(vectors: NDArray[np.float32]) -> None:
    found = fit(vectors, bits=64, method="progressive", hamming_bits=24, seed=5)
    goal = closed_form.Goal(64, None, "cosine", 5)
    expected = closed_form.progressive_codes(normalized(vectors, "cosine"), goal, 24)
    assert found.binarizer.fingerprint == expected.fingerprint


@pytest.mark.parametrize("nested", [(16, 40), [40, 16, 16, 96], (np.int64(8),), (96,)])
def test_nested_bits_are_honoured(vectors: NDArray[np.float32], nested: Any) -> None:
    found = fit(vectors[:200], bits=96, nested_bits=nested, method="progressive", hamming_bits=32)
    b = found.binarizer
    assert b.nested_bits == tuple(sorted({*map(int, nested), 32, 96}))
    assert all(type(n) is int for n in b.nested_bits)
    for n in b.nested_bits:
        assert b.encode(vectors[:3], n).shape == (3, n // 8)


def test_nested_bits_by_default(vectors: NDArray[np.float32]) -> None:
    found = fit(vectors[:200], bits=200, method="progressive", hamming_bits=40)
    assert found.binarizer.nested_bits == (32, 40, 64, 96, 128, 192, 200)


@pytest.mark.parametrize("method", ["rotation", "progressive", "auto"])
def test_more_bits_than_dimensions(method: str) -> None:
    x = clustered(0, 200, dimensions=20)
    found = fit(x, bits=64, method=method)
    assert_works(found, x, 64)
    if method == "auto":
        assert set(found.comparison.skipped) == {"sign", "centred", "itq"}
        assert found.comparison.skipped["sign"] == "at most 16 bits from 20 dimensions"
        assert_not_beaten(found.comparison)


def test_as_many_bits_as_can_be() -> None:
    x = clustered(0, 100, dimensions=10)
    assert_works(fit(x, bits=64, method="progressive"), x, 64)
    with pytest.raises(BitsError, match=r"no code of 72 bits .* from 10 dimensions"):
        fit(x, bits=72, method="progressive")


@pytest.mark.parametrize(
    ("bits", "dimensions", "expected"),
    [
        (384, 384, [128, 160, 192, 256]),
        (768, 384, [256, 320, 384]),
        (64, 1000, [24, 32, 40]),
        (8, 8, [8]),
        (512, 64, [64]),
        (512, 32, [32]),
    ],
)
def test_hamming_sizes_to_try(bits: int, dimensions: int, expected: list[int]) -> None:
    assert hamming_sizes(bits, dimensions) == expected


def hostile(name: str) -> tuple[NDArray[Any], int]:
    rng = np.random.default_rng(11)
    return {
        "100 rows": (clustered(1, 100), 40),
        "all positive": (np.abs(rng.normal(size=(300, 24))) + 0.1, 24),
        "off centre": (clustered(1, 300, off_centre=30.0), 40),
        "isotropic noise": (rng.normal(size=(300, 24)), 24),
        "duplicates": (np.repeat(clustered(1, 60), 5, axis=0), 40),
        "8 dimensions": (rng.normal(size=(300, 8)), 32),
        "8 dimensions, 8 bits": (rng.normal(size=(300, 8)), 8),
        "513 dimensions": (clustered(1, 120, dimensions=513), 40),
        "integers": (rng.integers(-3, 4, (300, 24)) + np.eye(300, 24, dtype=int) * 9, 24),
        "bytes": (rng.integers(1, 256, (300, 24)).astype(np.float16), 24),
        "nearly one direction": (100 + rng.normal(size=(300, 24)), 24),
        "empty columns": (np.pad(rng.normal(size=(300, 12)), ((0, 0), (0, 12))), 24),
        "wide range of lengths": (
            rng.normal(size=(300, 24)) * np.logspace(-9, 9, 300)[:, None],
            24,
        ),
        "half precision": (clustered(1, 300).astype(np.float16), 40),
        "fewest rows": (clustered(1, 50), 40),
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "100 rows",
        "all positive",
        "off centre",
        "isotropic noise",
        "duplicates",
        "8 dimensions",
        "8 dimensions, 8 bits",
        "513 dimensions",
        "integers",
        "bytes",
        "nearly one direction",
        "empty columns",
        "wide range of lengths",
        "half precision",
        "fewest rows",
    ],
)
def test_hostile_vectors_give_a_working_binarizer(name: str) -> None:
    x, bits = hostile(name)
    found = fit(x, bits=bits)
    assert_works(found, x, bits)
    assert_not_beaten(found.comparison)


def copies(of: int, rows: int, noise: float = 0.0) -> NDArray[np.float32]:
    """Rows of which so many are distinct, each as often as the others, in any order."""
    rng = np.random.default_rng(2)
    x = np.repeat(clustered(1, of), rows // of, axis=0)
    return rng.permutation(x * (1 + noise * rng.normal(size=x.shape).astype(np.float32)))


@pytest.mark.parametrize(
    ("make", "metric", "found"),
    [
        (lambda: copies(1, 100), "cosine", "found 1 among 100 "),
        (lambda: copies(1, 100), "inner_product", "found 1 among 100 "),
        (lambda: copies(1, 100, 1e-6), "cosine", "found 1 among 100 "),
        (lambda: copies(5, 100, 1e-6), "cosine", "found 5 among 100 "),
        (lambda: copies(49, 98), "cosine", "found 49 among 98 "),
        (lambda: copies(1, 100) * np.arange(1, 101)[:, None], "cosine", "found 1 among 100 "),
        (lambda: np.ones((100, 48), np.float64), "inner_product", "found 1 among 100 "),
        (lambda: np.zeros((100, 48)) + np.eye(1, 48), "inner_product", "found 1 among 100 "),
        (lambda: copies(40, 4000), "cosine", "found 40 among 1000 random ones "),
    ],
)
def test_too_few_distinct_vectors(make: Callable[[], Any], metric: Any, found: str) -> None:
    message = f"fit needs at least 50 distinct vectors, {found}.*less than 0.0001 of their length"
    with pytest.raises(VectorsError, match=message):
        fit(make(), bits=16, method="sign", metric=metric)


def test_lengths_tell_vectors_apart_under_inner_product() -> None:
    x = np.random.default_rng(0).random((300, 1)) * np.ones(24) + 0.5
    assert_works(fit(x, bits=24, metric="inner_product"), x, 24)
    longest = clustered(0, 100)
    longest[7] *= 1e6
    assert fit(longest, bits=16, method="sign", metric="inner_product").binarizer.bits == 16


def test_few_distinct_vectors_are_told() -> None:
    message = r"few of the vectors .* distinct, found 100 among 1000 random ones \("
    with pytest.warns(UserWarning, match=message) as caught:
        found = fit(copies(100, 4000), bits=16, method="sign")
    assert Path(caught[0].filename) == Path(__file__)
    assert found.binarizer.bits == 16
    mixed = np.concatenate([clustered(1, 58), np.repeat(clustered(2, 1), 242, axis=0)])
    with pytest.warns(UserWarning, match=r"distinct, found 59 among 300 \("):
        fit(mixed, bits=16, method="sign")


def test_zero_vectors_are_fine_under_inner_product() -> None:
    x = clustered(1, 200)
    x[::7] = 0
    assert_works(fit(x, bits=40, metric="inner_product", method="progressive"), x, 40)


def test_a_large_memory_mapped_file_is_sampled(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(30_000, 16)).astype(np.float32))
    mapped = np.load(path, mmap_mode="r")
    found = fit(mapped, bits=32, method="progressive", hamming_bits=16)
    info = found.binarizer.info
    assert (info["rows"], info["sample_rows"]) == (30_000, 20_000)
    assert (found.comparison.queries, found.comparison.rows) == (500, 10_000)
    assert found.binarizer.encode(mapped).shape == (30_000, 4)
    assert fit(mapped, bits=32, method="progressive", hamming_bits=16).binarizer.info == info


def test_an_unusable_row_of_a_sample_is_named_by_its_own_number() -> None:
    x = np.random.default_rng(0).normal(size=(30_000, 16)).astype(np.float32)
    x[24_000:24_010] = 0  # a few of them are among the 20,000 that are looked at
    with pytest.raises(VectorsError, match=r"row 2400\d is zero") as caught:
        fit(x, bits=16, method="sign")
    assert not x[caught.value.row].any()


def test_half_of_the_queries_judge(vectors: NDArray[np.float32]) -> None:
    found = fit(vectors, queries=clustered(9, 101), bits=40, method="itq")
    assert (found.comparison.queries, found.comparison.rows) == (50, 1200)
    assert_works(found, vectors, 40)


def test_documents_judge_where_queries_are_few_or_missing(vectors: NDArray[np.float32]) -> None:
    for queries in (None, clustered(9, 39)):
        found = fit(vectors, queries=queries, bits=40, method="itq")
        assert (found.comparison.queries, found.comparison.rows) == (240, 960)


def test_the_queries_are_what_it_is_judged_by(vectors: NDArray[np.float32]) -> None:
    rng = np.random.default_rng(2)
    easy = fit(vectors, queries=clustered(9, 200), bits=40, method="itq").comparison
    hard = fit(vectors, queries=rng.normal(size=(200, 48)), bits=40, method="itq").comparison
    recalls = [c.outcomes[0].funnel[0].mean() for c in (easy, hard)]
    assert abs(recalls[0] - recalls[1]) > 0.02


def test_info_says_where_it_came_from(vectors: NDArray[np.float32], tmp_path: Path) -> None:
    found = fit(vectors, bits=48, method="centred", seed=np.int64(3), source_model="acme/embed-v2")
    found.binarizer.save(tmp_path / "b")
    info = Binarizer.load(tmp_path / "b").info
    assert info["method"] in ("centred (mean)", "centred (median)")
    assert info["source_model"] == "acme/embed-v2"
    assert (info["rows"], info["sample_rows"], info["seed"]) == (1200, 1200, 3)
    assert len(info["sample_sha256"]) == 64
    comparison = found.comparison.as_dict()
    assert info["held_out"] == comparison["candidates"][found.comparison.chosen]
    assert comparison["chosen"] == info["method"]


def test_comparison_as_plain_data(result: FitResult) -> None:
    data = result.comparison.as_dict()
    assert json.loads(json.dumps(data)) == data
    assert (data["k"], data["held_out_queries"], data["rows"]) == (10, 240, 960)
    for line, outcome in zip(data["candidates"], result.comparison.outcomes, strict=True):
        low, high = line["funnel"]["recall_interval"]
        assert low <= line["funnel"]["recall"] <= high
        assert line["funnel"]["recall"] == pytest.approx(outcome.funnel[0].mean(), abs=1e-4)
        assert set(line["asymmetric"]) == {str(n) for n in outcome.candidate.binarizer.nested_bits}


def test_comparison_as_a_table(result: FitResult) -> None:
    comparison = result.comparison
    head, rule, *lines = comparison.to_markdown().splitlines()
    assert comparison.lengths == (16, 32, 48)
    assert head.count("|") == rule.count("|") == 2 * len(comparison.lengths) + 4
    assert len(lines) == len(comparison.outcomes)
    assert {line.count("|") for line in lines} == {head.count("|")}
    bold = [i for i, line in enumerate(lines) if "**" in line]
    assert bold == [comparison.chosen]


def test_the_library_prints_nothing_unless_asked(
    vectors: NDArray[np.float32], capfd: pytest.CaptureFixture[str]
) -> None:
    fit(vectors[:100], bits=16, method="sign")
    assert capfd.readouterr() == ("", "")


def test_progress_goes_to_standard_error(
    vectors: NDArray[np.float32], capfd: pytest.CaptureFixture[str]
) -> None:
    fit(vectors[:100], bits=16, method="sign", progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    stages = (
        r"fit \.\.\.\nfit: sign\nfit: done in .* s\nfit sign to all rows \.\.\.\n.*done in .* s\n"
    )
    assert re.fullmatch(stages, err)


def test_a_terminal_gets_a_bar(
    vectors: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fit(vectors[:100], bits=16, method="sign", progress=True)
    assert "fit:   0%" in capsys.readouterr().err


def test_progress_without_tqdm(
    vectors: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with pytest.raises(MissingExtraError, match="progress=True needs the extra 'cli': "):
        fit(vectors[:100], bits=16, method="sign", progress=True)
    assert fit(vectors[:100], bits=16, method="sign").binarizer.bits == 16


def test_learned_without_torch(vectors: NDArray[np.float32]) -> None:
    message = r"method='learned' needs the extra 'train': pip install '\.\[train\]'"
    with pytest.raises(MissingExtraError, match=message) as caught:
        fit(vectors, method="learned")
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, BitryoshkaError)


def spoiled(row: int, column: int, value: float) -> NDArray[np.float32]:
    x = clustered(0, 100)
    x[row, column] = value
    return x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: clustered(0, 49), "at least 50 vectors, found 49"),
        (lambda: clustered(0, 100)[:, :7], "at least 8 dimensions, found 7"),
        (lambda: np.broadcast_to(np.float32(1), (50, 16_385)), "at most 16384 dim.*, found 16385"),
        (lambda: spoiled(70, 3, np.nan), "finite.* found nan in row 70, column 3"),
        (lambda: spoiled(70, 3, np.inf), "finite.* found inf in row 70, column 3"),
        (lambda: spoiled(70, slice(None), 0), "non-zero .* row 70 is zero"),
        (lambda: np.ones((100, 16), np.uint8), "must be floats, found uint8, .*'ubinary'"),
        (lambda: np.ones((100, 16), np.int8), "must be floats, found int8, .*precision='int8'"),
        (lambda: np.ones((0, 16)), "no rows, expected at least one"),
        (lambda: np.ones((100, 0)), "no columns, expected at least one"),
        (lambda: np.ones(100), r"shape \(N, d\), found shape \(100,\)"),
        (lambda: np.full((100, 16), "x"), "real numbers, found dtype <U1"),
        (lambda: np.ones((100, 16), complex), "real numbers, found dtype complex128"),
    ],
)
def test_vectors_that_cannot_be_fitted(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(VectorsError, match=message) as caught:
        fit(make(), bits=16)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (np.ones((50, 47)), "queries must have 48 dimensions, found 47"),
        (np.full((50, 48), np.nan), "queries must be finite.* found nan in row 0, column 0"),
        (np.zeros((50, 48)), "queries must be non-zero .* row 0 is zero"),
        (np.ones((0, 48)), "queries has no rows"),
        (np.ones(48), r"queries must have shape \(N, d\), found shape \(48,\)"),
    ],
)
def test_queries_that_cannot_be_used(queries: NDArray[Any], message: str) -> None:
    with pytest.raises(VectorsError, match=message):
        fit(clustered(0, 100), queries=queries, bits=16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 20}, "bits must be a positive multiple of 8, found 20"),
        ({"bits": 0}, "bits must be a positive multiple of 8, found 0"),
        ({"bits": -8}, "bits must be a positive multiple of 8, found -8"),
        ({"bits": 16.0}, "bits must be an integer, found 16.0"),
        ({"bits": True}, "bits must be an integer, found True"),
        ({"bits": 10_000_000}, "bits must be at most 32768, found 10000000"),
        ({"bits": 2**63}, "bits must be at most 32768, found 9223372036854775808"),
        (
            {"bits": 392, "method": "rotation"},
            "no code of 392 bits .* at most 8 bits for each, 384",
        ),
        ({"bits": 32, "nested_bits": range(8, 2**62, 8)}, "at most 64 lengths, found more"),
        ({"bits": 32, "hamming_bits": 12}, "hamming_bits must be a positive .* found 12"),
        ({"bits": 32, "hamming_bits": 40}, "hamming_bits must be at most bits = 32, found 40"),
        ({"bits": 32, "nested_bits": 16}, "nested_bits must be a sequence of lengths, found 16"),
        ({"bits": 32, "nested_bits": (16, 20)}, "each of nested_bits must .* found 20"),
        ({"bits": 32, "nested_bits": (16, 64)}, "nested_bits must be at most bits = 32, found 64"),
        ({"bits": 56, "method": "sign"}, "sign codes of 48 dimensions have at most 48 bits"),
        ({"bits": 56, "method": "centred"}, "sign codes of 48 dimensions .* found bits=56"),
        ({"bits": 56, "method": "itq"}, "ITQ codes of 48 dimensions .* found bits=56"),
        ({"bits": 392, "method": "progressive"}, "no code of 392 bits .* from 48 dimensions"),
        (
            {"bits": 64, "method": "progressive", "hamming_bits": 56},
            "hamming_bits=56 can be made from 48 dimensions: expected at most 48 Hamming bits",
        ),
        (
            {"bits": 96, "method": "progressive", "hamming_bits": 8},
            "no code of 96 bits and hamming_bits=8 .* at most 8 bits for each",
        ),
    ],
)
def test_lengths_that_cannot_be_made(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BitsError, match=message) as caught:
        fit(clustered(0, 100), **settings)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, BitryoshkaError)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "pca"}, "method must be one of .*'auto', 'sign'.* found 'pca'"),
        ({"metric": "l2"}, "metric must be one of .*'cosine', 'inner_product'.* found 'l2'"),
        ({"seed": -1}, "seed must be an integer from 0 to [0-9]+, found -1"),
        ({"seed": None}, "seed must be an integer from 0 to [0-9]+, found None"),
        ({"method": None}, "method must be one of .* found None"),
        ({"metric": np.array(["cosine", "l2"])}, "metric must be one of .* found array"),
        ({"source_model": b"name"}, "source_model must be a name or None, found b'name'"),
        ({"callback": 5}, "callback must be a function or None, found 5"),
    ],
)
def test_options_that_are_not_known(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        fit(clustered(0, 100), bits=16, **settings)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, BitryoshkaError)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (1e30, r"at most 1e\+15 to be compared by inner product, found .*e\+30 in row"),
        (1e-30, r"at least 1e-15 to be compared by inner product, found .*e-30"),
    ],
)
def test_inner_products_that_float32_cannot_hold(scale: float, message: str) -> None:
    x = clustered(0, 100) * np.float32(scale)
    with pytest.raises(VectorsError, match=message):
        fit(x, bits=16, metric="inner_product")


def test_bad_settings_are_found_before_the_vectors_are_read() -> None:
    with pytest.raises(BitsError, match="found 20"):
        fit(np.full((100, 16), np.nan), bits=20)


def test_fit_is_the_public_one() -> None:
    assert bitryoshka.fit is fit
