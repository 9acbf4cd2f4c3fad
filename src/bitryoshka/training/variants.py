"""Every way to fit a binarizer: the closed forms, and the learned method where torch is there."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitryoshka.binarizer import MAX_PLANES, Binarizer
from bitryoshka.errors import BitsError, MissingExtraError
from bitryoshka.training.closed_form import (
    Goal,
    itq_codes,
    nested_start,
    progressive_codes,
    rotation_codes,
    sign_codes,
)
from bitryoshka.training.comparison import HeldOut, quick_recall
from bitryoshka.training.decoding import retrieval_weights

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Report = Callable[[dict[str, Any]], None]

MIN_QUERIES = 40
SHORT_BITS = 64


class Request(NamedTuple):
    """What the candidates are fitted for; ``hamming_bits`` None tries several."""

    goal: Goal
    hamming_bits: int | None


class Material(NamedTuple):
    """Rows (N, d) and queries (Q, d) to fit on, and the row that answers each, or -1, (Q,)."""

    rows: Floats
    queries: Floats
    answers: Rows


class Watch(NamedTuple):
    """What a fit tells each step, and the queries that judge it on the way, None for none."""

    report: Report
    held_out: HeldOut | None


class Variant(NamedTuple):
    """A way to fit: its method, its name in tables, how, and its part of the progress bar.

    ``guard``: label of the variant that one with labelled pairs must beat.
    """

    method: str
    label: str
    build: Callable[[Material, Watch], Binarizer]
    work: int
    guard: str | None = None


def variants_for(
    request: Request, dimensions: int, method: str, skipped: dict[str, str]
) -> list[Variant]:
    """Every way to fit that the method asks for and the length allows."""
    goal, most = request.goal, dimensions // 8 * 8
    sizes = [request.hamming_bits] if request.hamming_bits else hamming_sizes(goal.bits, dimensions)
    sizes = [m for m in sizes if m <= most and goal.bits <= m * MAX_PLANES]
    found = [
        _closed("sign", "sign", sign_codes, goal, "zero"),
        _closed("centred", "centred (mean)", sign_codes, goal, "mean"),
        _closed("centred", "centred (median)", sign_codes, goal, "median"),
        _closed("rotation", "rotation", rotation_codes, goal),
        _closed("itq", "itq", itq_codes, goal),
        *(
            _closed("progressive", f"progressive ({m} Hamming bits)", progressive_codes, goal, m)
            for m in sizes
        ),
    ]
    usual = min(sizes, key=lambda m: abs(m - min(goal.bits / 2, dimensions * 2 / 3)), default=0)
    if usual:
        label = f"regressed ({usual} Hamming bits)"
        found.append(Variant("regressed", label, _regressed(goal, usual), 2))
    if method in ("auto", "closed") and goal.bits > dimensions:
        for kind in ("sign", "centred", "itq"):
            skipped[kind] = f"at most {most} bits from {dimensions} dimensions"
    if method not in ("auto", "learned"):
        pass  # torch stays unloaded
    elif not torch_installed():
        skipped["learned"] = str(MissingExtraError("it", "train"))
    elif not usual:
        skipped["learned"] = "no progressive code of this length to start from"
    else:
        found += _learned(goal, usual)
    wanted = ("auto", "closed")
    usable = [v for v in found if method in (*wanted, v.method) and v.method not in skipped]
    if not usable:
        raise BitsError(
            f"no code of {goal.bits} bits and hamming_bits={request.hamming_bits} can be made "
            f"from {dimensions} dimensions: expected at most {most} Hamming bits, and at most "
            f"{MAX_PLANES} bits for each"
        )
    return usable


def _closed(method: str, label: str, make: Callable[..., Binarizer], *settings: Any) -> Variant:
    return Variant(method, label, lambda material, watch: make(material.rows, *settings), 1)


def _regressed(goal: Goal, hamming_bits: int) -> Callable[[Material, Watch], Binarizer]:
    def build(material: Material, watch: Watch) -> Binarizer:
        code = progressive_codes(material.rows, goal, hamming_bits)
        return retrieval_weights(code, material.rows, material.queries, goal.seed)

    return build


def with_labels(
    variants: list[Variant], material: Material, held_out: HeldOut, skipped: dict[str, str]
) -> list[Variant]:
    """Learned variants see no labels; if there are enough, the last comes again with them."""
    learned = [v for v in variants if v.method == "learned"]
    blind = [v._replace(build=_without_labels(v.build)) if v in learned else v for v in variants]
    fewest = min(int((found >= 0).sum()) for found in (material.answers, held_out.answers))
    if not learned:
        return variants
    if fewest < MIN_QUERIES:
        skipped["labels"] = (
            f"{fewest} labelled pairs on the smaller side of the held-out split, "
            f"at least {MIN_QUERIES} are needed to tell whether they help"
        )
        return blind
    [*_, plain] = learned
    return [*blind, plain._replace(label=f"{plain.label}, labels", guard=plain.label)]


def _without_labels(
    build: Callable[[Material, Watch], Binarizer],
) -> Callable[[Material, Watch], Binarizer]:
    def blind(material: Material, watch: Watch) -> Binarizer:
        return build(material._replace(answers=np.full_like(material.answers, -1)), watch)

    return blind


def _learned(goal: Goal, hamming_bits: int) -> list[Variant]:
    """Learned query weights over closed-form codes, and learned signs with learned weights."""
    from bitryoshka.training.distilling import NEIGHBOURS, Recipe
    from bitryoshka.training.neighbourhood import Neighbourhood
    from bitryoshka.training.signs import learn_signs
    from bitryoshka.training.weights import learn_weights

    recipe = Recipe()
    stops: dict[bool, int] = {}

    def around(material: Material) -> Neighbourhood:
        return Neighbourhood.of(
            material.rows, material.queries, goal.seed, NEIGHBOURS, material.answers
        )

    def judge(watch: Watch) -> Callable[[Binarizer], float] | None:
        held_out = watch.held_out
        return None if held_out is None else lambda b: quick_recall(b, held_out)

    def weights(material: Material, watch: Watch) -> Binarizer:
        start = progressive_codes(material.rows, goal, hamming_bits)
        near = around(material)
        return learn_weights(start, near, goal.seed, recipe, watch.report, judge(watch))

    def signs(material: Material, watch: Watch) -> Binarizer:
        near, labelled = around(material), bool((material.answers >= 0).any())
        start = nested_start(material.rows, goal, hamming_bits, SHORT_BITS)
        found = learn_signs(
            start, near, goal.seed, recipe, watch.report, judge(watch), stops.get(labelled)
        )
        stops[labelled] = found.steps
        code = found.binarizer
        return learn_weights(code, near, goal.seed, recipe, watch.report, judge(watch))

    size = f"{hamming_bits} Hamming bits"
    both = recipe.sign_steps + recipe.weight_steps
    return [
        Variant("learned", f"learned weights ({size})", weights, recipe.weight_steps),
        Variant("learned", f"learned ({size})", signs, both),
    ]


def hamming_sizes(bits: int, dimensions: int) -> list[int]:
    """Numbers of sign bits worth trying for a progressive code of ``bits`` bits."""
    most = min(dimensions, bits) // 8 * 8
    sizes = {round(bits * share / 8) * 8 for share in (1 / 3, 5 / 12, 1 / 2, 2 / 3)}
    return sorted({min(most, max(8, -(-bits // MAX_PLANES // 8) * 8, m)) for m in sizes})


def torch_installed() -> bool:
    """Whether the learned method can be used."""
    return find_spec("torch") is not None
