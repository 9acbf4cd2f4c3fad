"""To switch or not, and why."""

from __future__ import annotations

from typing import NamedTuple

from bitryoshka.plan import Plan
from bitryoshka.search_ways import GRAPH_BYTES

__all__ = ["Advice", "Memory", "advise", "memory"]

# float indexes of this size fit beside everything else on the smallest servers
CHEAP_BYTES = 2**30


class Advice(NamedTuple):
    """``switch``: whether codes are recommended; ``headline`` and ``reasons`` for people."""

    switch: bool
    headline: str
    reasons: tuple[str, ...]


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


def advise(
    plan: Plan | None,
    failure: str,
    sign_plan: Plan | None,
    method: str,
    dimensions: int,
    bits: int,
    rows: int,
) -> Advice:
    """Weigh size against what the plan, if there is one, finds."""
    floats = (4 * dimensions + GRAPH_BYTES) * rows
    if floats <= CHEAP_BYTES:
        return Advice(
            False,
            "Do not switch: exact vectors are cheap enough",
            (
                f"{rows:,} rows need {size(floats)} with a float HNSW index. Below "
                f"{size(CHEAP_BYTES)} codes save too little to pay for what they lose.",
            ),
        )
    if plan is None:
        return Advice(
            False,
            "Do not switch: the target is not shown to be reached",
            (f"{_capital(failure)}.",),
        )
    signs_do = sign_plan is not None and (method == "sign" or sign_plan.cost <= plan.cost)
    reasons = _reasons(sign_plan if signs_do and sign_plan else plan, floats, bits, rows)
    if signs_do and sign_plan is not None:
        headline = "Switch to plain sign bits: they are enough here"
        reasons.append("The database makes them without a binarizer (pgvector: binary_quantize).")
        if method != "sign":
            times = plan.cost / sign_plan.cost
            reasons.append(f"With {method} codes a query would cost {times:.1f} times as much.")
        return Advice(True, headline, tuple(reasons))
    if sign_plan is None:
        reasons.append("Plain sign bits do not reach the target.")
    else:
        reasons.append(
            f"Plain sign bits reach the target too, at {sign_plan.cost / plan.cost:.1f} times the "
            f"cost of a query ({sign_plan.candidates} candidates on {sign_plan.prefix_bits} bits)."
        )
    return Advice(True, f"Switch to {method} codes of {bits} bits", tuple(reasons))


def _reasons(plan: Plan, floats: int, bits: int, rows: int) -> list[str]:
    """What a plan finds, saves and asks for."""
    index = (plan.prefix_bits // 8 + GRAPH_BYTES) * rows
    reasons = [
        f"{_capital(plan.text())}.",
        f"The index needs {size(index)} instead of {size(floats)} for {rows:,} rows.",
    ]
    if plan.exact:
        reasons.append(
            f"The vectors stay in the table, out of memory: each query reads {plan.exact} of them."
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
