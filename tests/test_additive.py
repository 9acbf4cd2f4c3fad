"""Additive codes: the descent, its two forms, its fit, and what they promise."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from synthetic import additive_binarizer, clustered, quick

from bitryoshka import Binarizer, BitsError, FileFormatError, fit
from bitryoshka.additive import Additive, descent
from bitryoshka.additive.compiled import descend_compiled
from bitryoshka.additive.descent import Problem, State, descend_blocked
from bitryoshka.bits import unpack
from bitryoshka.evaluation import asymmetric_topk, exact_topk, hamming_topk, recall_at_k, rescore
from bitryoshka.training.additive import Settings, additive_codes, usual_settings
from bitryoshka.training.closed_form import Goal, itq_projection
from bitryoshka.training.decoding import Neighbours, regression
from bitryoshka.vectors import normalized

Floats = NDArray[np.float32]
Descend = Any

VARIANTS = {
    "one length": {},
    "fewer signs than bits": {"hamming_bits": 16},
    "three lengths": {"hamming_bits": 16, "lengths": (16, 24, 48)},
    "restarts": {"restarts": 3},
    "inner product": {"metric": "inner_product", "lengths": (24, 48)},
    "plain squared error": {"score_weight": 0.0},
}


@pytest.fixture(params=VARIANTS)
def binarizer(request: pytest.FixtureRequest) -> Binarizer:
    return additive_binarizer(3, **VARIANTS[request.param])


@pytest.fixture(params=[descend_blocked, descend_compiled])
def descend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Descend:
    monkeypatch.setattr(descent, "_descent", lambda: request.param)
    return request.param


def rows(seed: int = 0, count: int = 200) -> Floats:
    return np.random.default_rng(seed).normal(size=(count, 32)).astype(np.float32)


def naive_code(binarizer: Binarizer, row: Floats) -> NDArray[np.bool_]:
    """The definition: residuals themselves in double precision, one bit at a time."""
    additive = binarizer.additive
    assert additive is not None
    x = row.astype(np.float64)
    if binarizer.metric == "cosine":
        x = x / np.linalg.norm(x)
    parts = [
        (float(w), additive.decoder_of(n).astype(np.float64), c.astype(np.float64))
        for n, w, c in zip(additive.lengths, additive.length_weights, additive.centre, strict=True)
    ]

    def loss(s: NDArray[np.float64]) -> float:
        total = 0.0
        for weight, decoder, centre in parts:
            r = x - centre - s[: len(decoder)] @ decoder
            total += weight * (r @ r + additive.score_weight * (x @ r) ** 2)
        return total

    def descended(s: NDArray[np.float64]) -> NDArray[np.float64]:
        for _ in range(additive.sweeps):
            before = s.copy()
            for i in range(len(s)):
                up, down = s.copy(), s.copy()
                up[i], down[i] = 1, -1
                best = up if loss(up) <= loss(down) else down
                if s[i] == 0 or loss(best) < loss(s) - 1e-9:
                    s = best
            if (s == before).all():
                break
        return s

    s = np.zeros(additive.bits)
    m = len(binarizer.projection)
    s[:m] = np.where(binarizer.projection @ x > binarizer.offset, 1, -1)
    s = descended(s)
    for flip in unpack(additive.flips):
        tried = descended(np.where(flip, -s, s))
        if loss(tried) < loss(s) - 1e-6:
            s = tried
    return s > 0


def test_the_code_is_that_of_the_definition(binarizer: Binarizer, descend: Descend) -> None:
    x = rows()
    found = unpack(binarizer.encode(x))
    expected = np.array([naive_code(binarizer, row) for row in x])
    # a tie within rounding may be settled either way, and leads elsewhere
    assert (found == expected).all(axis=1).mean() > 0.97


def test_the_loss_never_rises_from_sweep_to_sweep(binarizer: Binarizer, descend: Descend) -> None:
    additive = binarizer.additive
    assert additive is not None
    unit = normalized(rows(1), binarizer.metric)
    start = np.sign(unit @ binarizer.projection.T - binarizer.offset)
    problem = additive.problem(unit)._replace(sweeps=1)
    signs = np.zeros((len(unit), additive.bits), np.float32)
    signs[:, : start.shape[1]] = start
    state = State.of(problem, signs)
    losses = [additive.loss(unit, np.packbits(state.signs > 0, axis=1))]
    for _ in range(12):
        descend(problem, state)
        losses.append(additive.loss(unit, np.packbits(state.signs > 0, axis=1)))
    # bits that were not set count as -1 before the first sweep
    drops = np.diff(losses[0 if len(binarizer.projection) == additive.bits else 1 :], axis=0)
    assert (drops <= 1e-5).all()
    assert losses[-1].mean() < 0.9 * losses[0].mean()
    # in the end no bit alone lowers the loss
    for i in range(additive.bits):
        turned = state.signs.copy()
        turned[:, i] *= -1
        assert (additive.loss(unit, np.packbits(turned > 0, axis=1)) >= losses[-1] - 1e-5).all()


def test_the_state_stays_that_of_its_signs(binarizer: Binarizer, descend: Descend) -> None:
    additive = binarizer.additive
    assert additive is not None
    unit = normalized(rows(2), binarizer.metric)
    problem = additive.problem(unit)
    state = State.of(problem, np.ones((len(unit), additive.bits), np.float32))
    descend(problem, state)
    for found, expected in zip(state, State.of(problem, state.signs), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


@quick
@given(seed=st.integers(0, 10_000), count=st.integers(1, 40), lengths=st.booleans())
def test_both_forms_find_the_same(seed: int, count: int, lengths: bool) -> None:
    b = additive_binarizer(seed, lengths=(16, 40) if lengths else (40,))
    assert b.additive is not None
    problem = b.additive.problem(normalized(rows(seed, count), b.metric))
    start = np.random.default_rng(seed).choice([-1, 1], (count, 40)).astype(np.float32)
    one, other = (State.of(problem, start.copy()) for _ in range(2))
    descend_blocked(problem, one)
    descend_compiled(problem, other)
    same = (one.signs == other.signs).all(axis=1)
    np.testing.assert_allclose(one.loss(problem)[same], other.loss(problem)[same], atol=1e-5)
    assert (~same).sum() <= max(1, count // 10)


def assert_same_but_for_ties(b: Binarizer, x: Floats, one: Any, other: Any) -> None:
    np.testing.assert_allclose(b.losses(x, one), b.losses(x, other), rtol=1e-4, atol=1e-6)
    assert (one == other).all(axis=1).mean() > 0.98


def test_a_code_depends_on_its_row_alone(binarizer: Binarizer, descend: Descend) -> None:
    x = rows(4, 1500)
    whole = binarizer.encode(x)
    order = np.random.default_rng(0).permutation(len(x))
    assert_same_but_for_ties(binarizer, x, whole[order][np.argsort(order)], whole)
    assert_same_but_for_ties(binarizer, x[order], binarizer.encode(x[order]), whole[order])
    single = np.concatenate([binarizer.encode(x[i : i + 1]) for i in range(100)])
    assert_same_but_for_ties(binarizer, x[:100], single, whole[:100])


def test_restarts_only_help() -> None:
    x = rows(5)
    without, given_more = (additive_binarizer(3, restarts=n) for n in (0, 6))
    before, after = without.losses(x), given_more.losses(x)
    assert (after <= before + 1e-5).all()
    assert after.mean() < before.mean()


def test_saved_and_loaded_exactly(binarizer: Binarizer, tmp_path: Path) -> None:
    binarizer.save(tmp_path / "x")
    again = Binarizer.load(tmp_path / "x")
    assert again.fingerprint == binarizer.fingerprint
    assert again.encode(rows()).tobytes() == binarizer.encode(rows()).tobytes()
    for name in ("decoder", "centre", "flips", "length_weights"):
        a, b = (getattr(found.additive, name) for found in (again, binarizer))
        assert a.tobytes() == b.tobytes()
        assert not a.flags.writeable


def test_a_cut_is_the_beginning_of_the_whole_code(binarizer: Binarizer, tmp_path: Path) -> None:
    whole = binarizer.encode(rows())
    for n in binarizer.nested_bits:
        cut = binarizer.truncate(n)
        assert cut.bits == n
        assert cut.hamming_bits == min(n, binarizer.hamming_bits)
        cut.save(tmp_path / str(n))
        for found in (cut, Binarizer.load(tmp_path / str(n))):
            assert found.encode(rows()).tobytes() == whole[:, : n // 8].tobytes()
            np.testing.assert_array_equal(
                found.query_weights(rows()), binarizer.query_weights(rows(), n)
            )
    if len(binarizer.nested_bits) > 1:
        with pytest.raises(BitsError, match="whole additive codes"):
            binarizer.truncate(binarizer.nested_bits[0]).losses(rows())


def test_losses_are_those_of_the_given_codes(binarizer: Binarizer) -> None:
    x, codes = rows(), binarizer.encode(rows())
    np.testing.assert_array_equal(binarizer.losses(x), binarizer.losses(x, codes))
    worse = codes.copy()
    worse[:, 0] ^= 0b1000_0000
    assert (binarizer.losses(x, worse) >= binarizer.losses(x, codes) - 1e-5).all()
    with pytest.raises(BitsError, match=r"shape \(200, 6\), found \(200, 5\)"):
        binarizer.losses(x, codes[:, :5])


def arrays(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "lengths": (16, 24),
        "length_weights": [0.5, 1],
        "decoder": np.ones((40, 4)),
        "centre": np.zeros((2, 4)),
        "flips": np.zeros((1, 3), np.uint8),
        "score_weight": 1.0,
        "sweeps": 4,
    }
    return fields | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": (24, 16)}, r"must rise, found \(24, 16\)"),
        ({"lengths": ()}, r"must rise, found \(\)"),
        ({"lengths": (12, 24)}, "each of lengths .* found 12"),
        ({"decoder": np.ones(4)}, r"decoder must be \(bits, d\), found shape \(4,\)"),
        ({"decoder": np.ones((39, 4))}, r"decoder must have shape \(40, 4\), found \(39, 4\)"),
        ({"decoder": np.full((40, 4), np.nan)}, "decoder holds NaN or infinity"),
        ({"centre": np.zeros((1, 4))}, r"centre must have shape \(2, 4\), found \(1, 4\)"),
        ({"flips": np.zeros((1, 2), np.uint8)}, r"flips must have shape \(1, 3\)"),
        ({"length_weights": [0, 1]}, "must be positive, the last of them 1"),
        ({"length_weights": [1, 2]}, "must be positive, the last of them 1"),
        ({"score_weight": -1.0}, "score_weight must be 0 or more, found -1.0"),
        ({"score_weight": np.inf}, "score_weight must be 0 or more, found inf"),
        ({"sweeps": 0}, "sweeps must be between 1 and 100, found 0"),
    ],
)
def test_arrays_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    Additive(**arrays())
    with pytest.raises(BitsError, match=message):
        Additive(**arrays(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_projection": None}, "weight_projection for their queries"),
        (
            {"nested_bits": (48, 56)},
            r"of 48 bits cannot start from 48 signs and be cut at \(48, 56\)",
        ),
        ({"nested_bits": (16,)}, "must have shape"),
        ({"additive": Additive(**arrays())}, "decoder must have 32 dimensions, found 4"),
    ],
)
def test_a_binarizer_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    b = additive_binarizer(3)
    fields = {
        "projection": b.projection,
        "offset": b.offset,
        "nested_bits": b.nested_bits,
        "weight_projection": b.weight_projection,
        "additive": b.additive,
    }
    Binarizer(**fields)
    with pytest.raises(BitsError, match=message):
        Binarizer(**(fields | changes))


def test_a_file_that_lacks_its_encoder(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    additive_binarizer(3).save(tmp_path / "x")
    with safe_open(tmp_path / "x", framework="numpy") as file:
        metadata = file.metadata()
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert metadata["format_version"] == "2"
    del kept["additive.decoder"]
    save_file(kept, tmp_path / "y", metadata)
    with pytest.raises(FileFormatError, match=r"lacks the arrays \['additive.decoder'\]"):
        Binarizer.load(tmp_path / "y")


def solved(parts: list[tuple[Floats, Floats, float]], ridge: float, bits: int) -> Any:
    """Least squares over all parts (features, target, weight), as one dense system."""
    size = parts[0][0].shape[1]
    a, b = np.eye(size) * 1e-12, np.zeros(size)
    for features, target, weight in parts:
        f = features.astype(np.float64)
        a += weight * f.T @ f
        b += weight * f.T @ target
    penalty = np.full(size, ridge * bits)
    return a + np.diag(penalty), b


@pytest.mark.parametrize("neighbour_weight", [0.0, 8.0])
def test_the_regression_is_the_minimum(neighbour_weight: float) -> None:
    """Against a dense solution of the same normal equations, Kronecker products and all."""
    rng = np.random.default_rng(0)
    x = normalized(rng.normal(size=(60, 4)), "cosine")
    signs = rng.choice([-1, 1], (60, 8)).astype(np.float32)
    around = Neighbours.of(x, x[:3], 0)
    found = regression(x, signs, 2.0, 0.5, around=around, neighbour_weight=neighbour_weight)
    design = np.concatenate([signs, np.ones((60, 1))], axis=1)
    # of vec(B), B (9, 4): the decoded vectors, and their products with the row itself
    plain = np.kron(design, np.eye(4))
    along = np.einsum("nb,nd->nbd", design, x).reshape(60, -1)
    parts = [(plain, x.ravel(), 1.0), (along, (x * x).sum(axis=1), 2.0)]
    centred, wanted = [], []
    for anchor, near in zip(*around, strict=True):
        features = np.einsum("kb,d->kbd", np.c_[signs[near], np.zeros(len(near))], anchor)
        features = features.reshape(len(near), -1)
        centred.append(features - features.mean(axis=0))
        scores = x[near] @ anchor
        wanted.append(scores - scores.mean())
    if neighbour_weight:
        weight = neighbour_weight * 60 / around.near.size
        parts.append((np.concatenate(centred), np.concatenate(wanted), weight))
    a, b = solved(parts, 0.0, 8)
    a[np.arange(32), np.arange(32)] += 0.5 * 8
    expected = np.linalg.solve(a, b).reshape(9, 4)
    np.testing.assert_allclose(found.rows, expected[:8], atol=2e-3)
    np.testing.assert_allclose(found.centre, expected[8], atol=2e-3)


def test_neighbours_leave_the_anchor_out() -> None:
    x = clustered(0, 80)
    x[40:] = x[:40]  # every row twice
    around = Neighbours.of(normalized(x, "cosine"), np.empty((0, 48), np.float32), 0)
    own = np.arange(80)
    assert around.near.shape == (80, 32)
    assert not (around.near == own[:, None]).any()


def recalls(b: Binarizer, documents: Floats, queries: Floats) -> tuple[float, float]:
    """Float query over all codes, and Hamming distance over the Hamming bits."""
    exact = exact_topk(queries, documents).rows
    codes = b.encode(documents)
    scored = asymmetric_topk(b.query_weights(queries), codes).rows
    nearest = hamming_topk(b.encode_queries(queries), codes[:, : b.hamming_bits // 8]).rows
    return recall_at_k(scored, exact).mean(), recall_at_k(nearest, exact).mean()


def test_additive_codes_clearly_beat_progressive_ones() -> None:
    documents, queries = clustered(0, 1500), clustered(9, 150)
    found = {
        method: recalls(fit(documents, bits=48, method=method).binarizer, documents, queries)
        for method in ("itq", "progressive", "additive")
    }
    assert found["additive"][0] > found["progressive"][0] + 0.03
    assert found["additive"][1] > found["itq"][1] - 0.03


@pytest.mark.parametrize("nested_bits", [None, (32, 64, 96)])
def test_more_hamming_bits_than_dimensions_find_more(nested_bits: tuple[int, ...] | None) -> None:
    rows_ = normalized(clustered(0, 1000), "cosine")
    queries = normalized(clustered(9, 150), "cosine")
    none, found = np.empty((0, 48), np.float32), {}
    for hamming_bits in (48, 96):
        goal = Goal(96, nested_bits, "cosine", 0)
        b = additive_codes(rows_, none, goal, hamming_bits, usual_settings(96, 48))
        assert (b.dimensions, b.hamming_bits) == (48, hamming_bits)
        found[hamming_bits] = recalls(b, rows_, queries)
    assert found[96][1] > found[48][1] + 0.05
    assert found[96][0] > found[48][0] - 0.05


def test_fit_makes_as_many_hamming_bits_as_it_is_asked_for() -> None:
    b = fit(clustered(0, 200), bits=64, method="additive", hamming_bits=64).binarizer
    assert (b.dimensions, b.hamming_bits, b.bits) == (48, 64, 64)


def test_further_rotations_are_others() -> None:
    """Of rows (N, 48) the first 48 are those of a code that has no more."""
    rows_ = normalized(clustered(0, 300), "cosine")
    whole, first = (itq_projection(rows_, m, 3, 5) for m in (120, 48))
    np.testing.assert_array_equal(whole.weights[:48], first.weights)
    assert whole.weights.shape == (120, 48)
    alike = np.abs(whole.weights @ whole.weights.T) - np.eye(120)
    assert alike.max() < 0.9


def test_a_hamming_list_first_loses_little() -> None:
    documents, queries = clustered(0, 1500), clustered(9, 150)
    b = fit(documents, bits=48, method="additive").binarizer
    codes, weights = b.encode(documents), b.query_weights(queries)
    exact = exact_topk(queries, documents).rows
    shortlist = hamming_topk(b.encode_queries(queries), codes[:, : b.hamming_bits // 8], 100).rows
    first = recall_at_k(rescore(weights, codes, shortlist).rows, exact).mean()
    assert first > recall_at_k(asymmetric_topk(weights, codes).rows, exact).mean() - 0.01


def test_cuts_that_are_asked_for_are_better_cuts() -> None:
    rows_ = normalized(clustered(0, 1500), "cosine")
    queries = normalized(clustered(9, 150), "cosine")
    exact = exact_topk(queries, rows_).rows
    none = np.empty((0, 48), np.float32)
    found = {}
    for nested in ((24, 64), None):
        b = additive_codes(rows_, none, Goal(64, nested, "cosine", 0), 24, Settings())
        assert b.additive is not None
        assert b.additive.lengths == (nested or (64,))
        codes = b.encode(rows_)
        found[nested] = [
            recall_at_k(
                asymmetric_topk(b.query_weights(queries, n), codes[:, : n // 8]).rows, exact
            ).mean()
            for n in (24, 64)
        ]
    asked, unasked = found.values()
    assert asked[0] > unasked[0] + 0.01
    assert asked[1] > unasked[1] - 0.02


@pytest.mark.parametrize("size", [1e-6, 30.0, 1e8])
def test_inner_products_do_not_depend_on_the_unit(size: float) -> None:
    documents, queries = clustered(0, 600), clustered(9, 1000)
    plain, resized = (
        fit(documents * np.float32(s), bits=48, metric="inner_product", method="additive").binarizer
        for s in (1, size)
    )
    exact = exact_topk(queries, documents, metric="inner_product").rows
    one, other = (
        recall_at_k(
            asymmetric_topk(
                b.query_weights(queries * np.float32(s)), b.encode(documents * np.float32(s))
            ).rows,
            exact,
        ).mean()
        for b, s in ((plain, 1), (resized, size))
    )
    assert abs(one - other) < 0.02, (one, other)


def test_numba_that_cannot_be_imported_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    descent._descent.cache_clear()
    monkeypatch.setitem(sys.modules, "bitryoshka.additive.compiled", None)
    assert descent._descent() is descend_blocked
    monkeypatch.undo()
    descent._descent.cache_clear()
    assert descent._descent() is descend_compiled


def test_queries_take_part_in_the_regression_of_their_weights() -> None:
    documents, queries = normalized(clustered(0, 600), "cosine"), normalized(rows(1, 100), "cosine")
    asked = np.pad(queries, ((0, 0), (0, 16)))
    goal = Goal(48, None, "cosine", 0)
    one, other = (additive_codes(documents, q, goal, 48, Settings()) for q in (asked[:0], asked))
    assert one.encode(documents).tobytes() == other.encode(documents).tobytes()
    assert one.weight_projection is not None
    assert other.weight_projection is not None
    assert not np.array_equal(one.weight_projection, other.weight_projection)


def test_problems_of_nothing_left() -> None:
    """Vectors that the centre explains: every bit is a tie, and none turns for ever."""
    zero = np.zeros((3, 8), np.float32)
    problem = Problem(
        np.zeros((8, 8), np.float32), zero, zero[None], np.zeros((1, 3), np.float32), 1.0, 8
    )
    for descend in (descend_blocked, descend_compiled):
        state = State.of(problem, -np.ones((3, 8), np.float32))
        descend(problem, state)
        assert np.isin(state.signs, (-1, 1)).all()
