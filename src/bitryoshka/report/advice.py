"""To switch or not, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bitryoshka.evaluation import vectors_read
from bitryoshka.evaluation.parameter_choices import GRAPH_BYTES
from bitryoshka.planning import Plan

__all__ = ["Memory", "Option", "SwitchAdvice", "advise", "cheapest", "memory"]

# float indexes of this size fit beside everything else on the smallest servers
CHEAP_BYTES = 2**30
# plain sign bits need no file, no catalogue and no trigger: a method has to save more than this
WORTH = 1.1


class SwitchAdvice(NamedTuple):
    """``switch``: whether codes are recommended; ``headline`` and ``reasons`` for people."""

    switch: bool
    headline: str
    reasons: tuple[str, ...]


class Option(NamedTuple):
    """A method's cheapest plan, or why it has none; ``bits``: of its whole code."""

    method: str
    label: str
    bits: int
    plan: Plan | None
    failure: str

    @property
    def reads_vectors(self) -> bool:
        """Whether stored vectors are needed to search."""
        return self.plan is not None and self.plan.rescore == "exact"


class Memory(NamedTuple):
    """Bytes of one vector, of all, and of an HNSW index (a graph) over all."""

    name: str
    bytes_per_vector: int
    vectors: int
    graph: int


def memory(dimensions: int, lengths: tuple[int, ...], rows: int) -> list[Memory]:
    """Floats, half floats and codes; an index holds the vectors and 300 bytes a row of graph."""
    sizes = {"float32": 4 * dimensions, "float16": 2 * dimensions}
    sizes |= {f"{bits} bits": bits // 8 for bits in reversed(lengths)}
    return [Memory(name, n, n * rows, (n + GRAPH_BYTES) * rows) for name, n in sizes.items()]


def cheapest(options: Sequence[Option]) -> Option | None:
    """The option with the cheapest plan, or sign bits where nothing saves much against them."""
    reached = [(o.plan.cost, i, o) for i, o in enumerate(options) if o.plan is not None]
    if not reached:
        return None
    cost, _, best = min(reached)
    signs = min((found for found in reached if found[2].method == "sign"), default=None)
    return signs[2] if signs is not None and signs[0] <= WORTH * cost else best


def advise(
    best: Option | None, options: Sequence[Option], dimensions: int, rows: int
) -> SwitchAdvice:
    """Weigh size against what the best option finds, beside the others; None: none has a plan."""
    floats = (4 * dimensions + GRAPH_BYTES) * rows
    if floats <= CHEAP_BYTES:
        return SwitchAdvice(
            False,
            "Do not switch: exact vectors are cheap enough",
            (
                f"{rows:,} rows need {size(floats)} with a float HNSW index. Below "
                f"{size(CHEAP_BYTES)} codes save too little to pay for what they lose.",
            ),
        )
    if best is None or best.plan is None:
        return SwitchAdvice(
            False,
            "Do not switch: the target is not shown to be reached",
            (f"{_capital(options[0].failure)}.",),
        )
    reasons = _reasons(best.plan, floats, best.bits, rows)
    others = [o for o in options if o.plan is not None and o.method != best.method]
    if best.method == "sign":
        headline = "Switch to plain sign bits: they are enough here"
        reasons.append("The database makes them without a binarizer (pgvector: binary_quantize).")
        second = cheapest(others)
        if second is not None:
            reasons.append(f"The cheapest of the others: {_beside(second, best)}.")
    else:
        headline = f"Switch to {best.method} codes of {best.bits} bits"
        signs = cheapest([o for o in others if o.method == "sign"])
        reasons.append(
            "Plain sign bits do not reach the target."
            if signs is None
            else f"Plain sign bits reach the target too: {_beside(signs, best)}."
        )
    alone = cheapest([o for o in options if not o.reads_vectors])
    if best.reads_vectors:
        reasons.append(
            f"Without stored vectors, {best.bits} bits do not reach the target: longer codes may."
            if alone is None
            else f"Without stored vectors: {_beside(alone, best)}."
        )
    return SwitchAdvice(True, headline, tuple(reasons))


def _beside(option: Option, best: Option) -> str:
    """An option's plan and its cost, as a clause."""
    if option.plan is None or best.plan is None:
        raise TypeError("expected options with plans")
    return (
        f"{option.label}, {option.plan.candidates} candidates on {option.plan.prefix_bits} bits, "
        f"at {option.plan.cost / best.plan.cost:.1f} times the cost of a query"
    )


def _reasons(plan: Plan, floats: int, bits: int, rows: int) -> list[str]:
    """What a plan finds, saves and asks for."""
    index = (plan.prefix_bits // 8 + GRAPH_BYTES) * rows
    reasons = [
        f"{_capital(plan.text())}.",
        f"The index needs {size(index)} instead of {size(floats)} for {rows:,} rows.",
    ]
    if plan.rescore == "exact":
        reasons.append(
            "The vectors stay in the table, out of memory: each query reads "
            f"{vectors_read(plan)} of them."
        )
    else:
        reasons.append(f"No vectors are needed to search: {bits // 8} bytes a row hold everything.")
    if plan.rows < rows:
        reasons.append(
            f"Measured on {plan.rows:,} rows. Among {rows:,} the same number of candidates finds "
            "less: plan again on the whole table before you rely on the figure."
        )
    return reasons


def size(count: float) -> str:
    """Bytes in the unit that reads best."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
