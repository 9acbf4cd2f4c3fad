"""All that a fit can try: the closed forms, additive codes, and learned query weights."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitryoshka.binarizer import MAX_PLANES, Binarizer
from bitryoshka.errors import BitsError, MissingExtraError
from bitryoshka.training.additive import (
    Settings,
    additive_codes,
    hamming_start,
    usual_settings,
)
from bitryoshka.training.closed_form import (
    Goal,
    Projection,
    itq_codes,
    progressive_codes,
    rotation_codes,
    sign_codes,
)
from bitryoshka.training.comparison import HeldOut, quick_recall

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Report = Callable[[dict[str, Any]], None]

MIN_QUERIES = 40
# longer additive codes take long to fit and gain little over progressive ones
MOST_ADDITIVE_BITS = 2048
# what is tried for the settings of additive codes, one change at a time
CHANGES: dict[str, Callable[[Settings], Settings]] = {
    "light ridge": lambda usual: usual._replace(ridge=0.3 * usual.ridge),
    "heavy ridge": lambda usual: usual._replace(ridge=3 * usual.ridge),
    "score weight 4": lambda usual: usual._replace(score_weight=4.0),
    "more rounds": lambda usual: usual._replace(rounds=(3, 3)),
    "no neighbours": lambda usual: usual._replace(neighbour_weight=0.0),
}


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
    """One binarizer to fit: its method, its name in tables, how, and its part of the progress bar.

    ``guard``: label of the variant that one with labelled pairs must beat.
    """

    method: str
    label: str
    build: Callable[[Material, Watch], Binarizer]
    work: int
    guard: str | None = None


def variants_for(
    request: Request, dimensions: int, method: str, skipped: dict[str, str], labelled: bool = False
) -> list[Variant]:
    """Every variant that the method asks for and the length allows.

    ``labelled``: whether there are pairs to learn from, which is what "auto" trains weights for.
    """
    goal, most = request.goal, dimensions // 8 * 8
    found = [
        _closed("sign", "sign", sign_codes, goal, "zero"),
        _closed("centred", "centred (mean)", sign_codes, goal, "mean"),
        _closed("centred", "centred (median)", sign_codes, goal, "median"),
        _closed("rotation", "rotation", rotation_codes, goal),
        _closed("itq", "itq", itq_codes, goal),
    ]
    if method == "auto" and goal.bits > dimensions:
        for kind in ("sign", "centred", "itq"):
            skipped[kind] = f"at most {most} bits from {dimensions} dimensions"
    sizes = [request.hamming_bits] if request.hamming_bits else hamming_sizes(goal.bits, dimensions)
    sizes = [m for m in sizes if m <= most and goal.bits <= m * MAX_PLANES]
    if method == "auto":  # additive codes are better: one to compare them with
        sizes = sizes[len(sizes) // 2 :][:1]
    for m in sizes:
        label = f"progressive ({m} Hamming bits)"
        found.append(_closed("progressive", label, progressive_codes, goal, m))
    sizes = _additive_sizes(goal, request.hamming_bits, dimensions)
    if goal.bits > MOST_ADDITIVE_BITS:
        skipped["additive"] = skipped["learned"] = f"at most {MOST_ADDITIVE_BITS} bits"
    elif sizes:
        usual = usual_settings(goal.bits, dimensions)
        found += _additive(goal, sizes, usual)
        if method == "learned" or (labelled and torch_installed()):
            found.append(_learned(goal, sizes[0], usual))
    usable = [v for v in found if method in ("auto", v.method) and v.method not in skipped]
    if not usable:
        raise BitsError(
            f"no code of {goal.bits} bits and hamming_bits={request.hamming_bits} can be made "
            f"from {dimensions} dimensions: expected at most {most} Hamming bits, of additive "
            f"codes as many as bits, and at most {MAX_PLANES} bits for each, "
            f"{MOST_ADDITIVE_BITS} in all of additive codes"
        )
    return usable


def _closed(method: str, label: str, make: Callable[..., Binarizer], *settings: Any) -> Variant:
    return Variant(method, label, lambda material, watch: make(material.rows, *settings), 1)


def _additive(goal: Goal, sizes: list[int], usual: Settings) -> list[Variant]:
    """The usual settings with every number of Hamming bits, then every change of them."""
    tried = [(m, "", usual) for m in sizes]
    tried += [(sizes[0], f", {label}", change(usual)) for label, change in CHANGES.items()]
    starts: dict[tuple[int, int], Projection] = {}

    def variant(m: int, label: str, settings: Settings) -> Variant:
        def build(material: Material, watch: Watch) -> Binarizer:
            rows, key = material.rows, (id(material.rows), m)
            if key not in starts:  # settings do not change it
                starts[key] = hamming_start(rows, goal, m)
            return additive_codes(rows, material.queries, goal, m, settings, starts[key])

        return Variant("additive", f"additive ({m} Hamming bits{label})", build, 4)

    return [variant(*one) for one in tried]


def _additive_sizes(goal: Goal, hamming_bits: int | None, dimensions: int) -> list[int]:
    """Numbers of Hamming bits worth trying for an additive code, the usual one first.

    More than one for each dimension cost the float query a little, and are made where asked for.
    """
    if hamming_bits:
        return [hamming_bits]
    most = min(dimensions, goal.bits) // 8 * 8
    if cuts := [n for n in goal.nested_bits or () if n < goal.bits]:  # stages begin at cuts
        return sorted((n for n in cuts if n <= most), reverse=True)[:2] or [most]
    return sorted({most, max(8, most * 2 // 3 // 8 * 8)}, reverse=True)


def with_labels(variants: list[Variant], labelled: int, skipped: dict[str, str]) -> list[Variant]:
    """Learned variants see no labels; if there are enough, the last comes again with them."""
    learned = [v for v in variants if v.method == "learned"]
    blind = [v._replace(build=_without_labels(v.build)) if v in learned else v for v in variants]
    if not torch_installed():
        skipped["labels"] = str(MissingExtraError("learning from labelled pairs", "train"))
        return variants
    if labelled < MIN_QUERIES:
        skipped["labels"] = (
            f"{labelled} labelled pairs on the smaller side of the held-out split, "
            f"at least {MIN_QUERIES} are needed to tell whether they help"
        )
        return blind
    if not learned:
        return variants
    [*_, plain] = learned
    return [*blind, plain._replace(label=f"{plain.label}, labels", guard=plain.label)]


def _without_labels(
    build: Callable[[Material, Watch], Binarizer],
) -> Callable[[Material, Watch], Binarizer]:
    def blind(material: Material, watch: Watch) -> Binarizer:
        return build(material._replace(answers=np.full_like(material.answers, -1)), watch)

    return blind


def _learned(goal: Goal, hamming_bits: int, settings: Settings) -> Variant:
    """An additive code whose query weights are trained further (torch)."""
    from bitryoshka.training.distilling import NEIGHBOURS, Recipe
    from bitryoshka.training.neighbourhood import Neighbourhood
    from bitryoshka.training.weights import learn_weights

    recipe = Recipe()

    def build(material: Material, watch: Watch) -> Binarizer:
        code = additive_codes(material.rows, material.queries, goal, hamming_bits, settings)
        near = Neighbourhood.of(
            material.rows, material.queries, goal.seed, NEIGHBOURS, material.answers
        )
        held_out = watch.held_out
        judge = None if held_out is None else lambda b: quick_recall(b, held_out)
        return learn_weights(code, near, goal.seed, recipe, watch.report, judge)

    label = f"learned weights ({hamming_bits} Hamming bits)"
    return Variant("learned", label, build, recipe.steps)


def hamming_sizes(bits: int, dimensions: int) -> list[int]:
    """Numbers of sign bits worth trying for a progressive code of ``bits`` bits."""
    most = min(dimensions, bits) // 8 * 8
    sizes = {round(bits * share / 8) * 8 for share in (1 / 3, 5 / 12, 1 / 2, 2 / 3)}
    return sorted({min(most, max(8, -(-bits // MAX_PLANES // 8) * 8, m)) for m in sizes})


def torch_installed() -> bool:
    """Whether query weights can be learned."""
    return find_spec("torch") is not None
