"""To switch or not, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bitryoshka.binarizer import MAX_PLANES
from bitryoshka.evaluation import vectors_read
from bitryoshka.evaluation.parameter_choices import GRAPH_BYTES
from bitryoshka.planning import Plan

__all__ = [
    "Memory",
    "Option",
    "SwitchAdvice",
    "advise",
    "advise_on_size",
    "cheapest",
    "memory",
    "named",
]

# float indexes of this size fit beside everything else on the smallest servers
CHEAP_BYTES = 2**30
# plain sign bits need no file, no catalogue and no trigger: a method has to save more than this
WORTH = 1.1


class SwitchAdvice(NamedTuple):
    """``switch``: whether codes are recommended; ``headline`` and ``reasons`` for people.

    ``next_command``: what to run next, in a shell, or SQL where plain sign bits are enough.
    """

    switch: bool
    headline: str
    reasons: tuple[str, ...]
    next_command: str


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
    sizes = {"float32 (vector)": 4 * dimensions, "float16 (halfvec)": 2 * dimensions}
    sizes |= {f"{bits} bits": bits // 8 for bits in reversed(lengths)}
    return [Memory(name, n, n * rows, _index_bytes(n, rows)) for name, n in sizes.items()]


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
    cheap = advise_on_size(dimensions, rows)
    if cheap is not None:
        return cheap
    if best is None or best.plan is None:
        return SwitchAdvice(
            False,
            "Do not switch: the target is not shown to be reached",
            (f"{_capital(options[0].failure)}.",),
            f"bitryoshka report VECTORS --bits {min(2 * options[0].bits, MAX_PLANES * dimensions)}",
        )
    reasons = _reasons(best.plan, dimensions, best.bits, rows)
    command = f"bitryoshka fit VECTORS -o binarizer.safetensors --bits {best.bits}"
    command += f" --method {best.method}"
    others = [o for o in options if o.plan is not None and o.method != best.method]
    if best.method == "sign":
        headline = "Switch to plain sign bits: they are enough here"
        reasons.append("The database makes them without a binarizer (pgvector: binary_quantize).")
        n = best.plan.prefix_bits
        signs_of = "embedding" if n == dimensions else f"subvector(embedding, 1, {n})"
        command = (
            f"CREATE INDEX ON docs USING hnsw ((binary_quantize({signs_of})::bit({n})) "
            "bit_hamming_ops)"
        )
        second = cheapest(others)
        if second is not None:
            reasons.append(f"The cheapest of the others: {_beside(second, best)}.")
    else:
        headline = f"Switch to {named(best.method)} codes of {best.bits} bits"
        signs = cheapest([o for o in others if o.method == "sign"])
        reasons.append(
            "Plain sign bits do not reach the target."
            if signs is None
            else f"Plain sign bits reach the target too: {_beside(signs, best)}."
        )
    by_codes = cheapest([o for o in options if not o.reads_vectors])
    if best.reads_vectors:
        reasons.append(
            f"Without stored vectors, {best.bits} bits do not reach the target: longer codes may."
            if by_codes is None
            else f"Without stored vectors: {_beside(by_codes, best)}."
        )
    return SwitchAdvice(True, headline, tuple(reasons), command)


def advise_on_size(dimensions: int, rows: int) -> SwitchAdvice | None:
    """That floats are cheap enough, where they are: it needs no fit to be known."""
    floats = _index_bytes(4 * dimensions, rows)
    if floats > CHEAP_BYTES:
        return None
    halves = _index_bytes(2 * dimensions, rows)
    many = CHEAP_BYTES // _index_bytes(4 * dimensions, 1) + 1
    return SwitchAdvice(
        False,
        "Do not switch: exact vectors are cheap enough",
        (
            f"{rows:,} rows need {size(floats)} with an HNSW index of float32, {size(halves)} of "
            f"float16 (halfvec). Below {size(CHEAP_BYTES)} of float32 codes save too little to "
            "pay for what they lose.",
        ),
        f"bitryoshka report VECTORS --rows {many}",
    )


def named(label: str) -> str:
    """A method or its variant in words."""
    return "ITQ" + label.removeprefix("itq") if label.startswith("itq") else label


def _index_bytes(bytes_per_vector: int, rows: int) -> int:
    """An HNSW index holds the vectors and a graph."""
    return (bytes_per_vector + GRAPH_BYTES) * rows


def _beside(option: Option, best: Option) -> str:
    """An option's plan and the time of its queries, as a clause."""
    if option.plan is None or best.plan is None:
        raise TypeError("expected options with plans")
    return (
        f"{named(option.label)}, {option.plan.candidates} candidates on "
        f"{option.plan.prefix_bits} bits, at {option.plan.cost / best.plan.cost:.1f} times the "
        "estimated time of a query"
    )


def _reasons(plan: Plan, dimensions: int, bits: int, rows: int) -> list[str]:
    """What a plan finds, saves and asks for."""
    index, halves, floats = (
        size(_index_bytes(n, rows)) for n in (plan.prefix_bits // 8, 2 * dimensions, 4 * dimensions)
    )
    reasons = [
        f"{_capital(plan.text())}.",
        f"The index needs {index} for {rows:,} rows, instead of {halves} of float16 (halfvec) or "
        f"{floats} of float32.",
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
