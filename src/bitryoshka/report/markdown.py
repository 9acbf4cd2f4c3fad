"""The findings as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from bitryoshka.evaluation import Interval
from bitryoshka.report.advice import Option, named, size
from bitryoshka.report.findings import Curve, Findings

__all__ = ["PLAN_HEAD", "plan_cells", "to_markdown"]

PLAN_HEAD = ["candidates", "rescored by", "recall", "at least", "time of a query"]


def to_markdown(found: Findings) -> str:
    """One page: the advice first, then every figure with its 95 % interval."""
    kind = "rows held out" if found.queries_are_rows else "queries"
    parts = [
        f"# {found.advice.headline}",
        "\n".join(f"* {reason}" for reason in found.advice.reasons),
        f"{found.source}: {found.sampled:,} vectors of {found.dimensions} dimensions measured with "
        f"{found.queries} {kind}, for {found.rows:,} rows and recall@{found.k} "
        f"{found.target_recall:g}. `fit` takes {named(found.chosen)}; the cheapest plan is one "
        f"of {named(found.advised)}.",
        "## Plans",
        _table(
            ["code", *PLAN_HEAD], [[named(o.label), *plan_cells(o, found)] for o in found.options]
        ),
        f"## Recall@{found.k} by bits",
        curves([m.hamming._replace(name=f"{m.label}, Hamming") for m in found.methods]),
        curves([m.asymmetric._replace(name=f"{m.label}, float query") for m in found.methods]),
        f"## Recall@{found.k} by candidates, rescored exactly",
        curves([m.candidates for m in found.methods]),
    ]
    judged = [m.ndcg for m in found.methods if m.ndcg is not None]
    if judged and found.float_ndcg is not None:
        title = f"## nDCG@{found.k} as a share of exact search's {found.float_ndcg:.3f}"
        parts += [title, curves(judged)]
    parts += [
        "## Memory",
        _table(
            ["kept", "bytes a vector", "all vectors", "HNSW index"],
            [
                [m.name, str(m.bytes_per_vector), size(m.vectors), size(m.graph)]
                for m in found.memory
            ],
        ),
        f"## Bits\n\nMean entropy {found.entropy:.3f} bits a bit; ones between "
        f"{min(found.balance):.0%} and {max(found.balance):.0%}.",
        "## Worst queries",
        _table(
            ["query", f"recall@{found.k}", "exact", "found"],
            [
                [w.query, f"{w.recall:.1f}", "; ".join(w.expected), "; ".join(w.found)]
                for w in found.worst
            ],
        ),
        f"## Next\n\n    {found.advice.next_command}",
    ]
    return "\n\n".join(parts) + "\n"


def plan_cells(option: Option, found: Findings) -> list[str]:
    """An option's plan under `PLAN_HEAD`; the time beside that of the advised plan."""
    made, advised = option.plan, found.plan
    if made is None or advised is None:
        return ["target not reached", *[""] * (len(PLAN_HEAD) - 1)]
    return [
        f"{made.candidates} on {made.prefix_bits} bits",
        {None: "none", "asymmetric": "whole codes"}.get(made.rescore, "stored vectors"),
        f"{made.recall:.3f}",
        f"{made.recall_at_least:.3f}",
        f"{made.cost / advised.cost:.1f} times",
    ]


def curves(lines: Sequence[Curve]) -> str:
    """A table with a line for each curve and a column for each x."""
    xs = sorted({x for line in lines for x in line.x})
    rows = []
    for line in lines:
        values = dict(zip(line.x, line.y, strict=True))
        rows.append([named(line.name), *(ranged(values.get(x)) for x in xs)])
    return _table(["", *map(str, xs)], rows)


def ranged(value: Interval | None) -> str:
    """A mean with its interval."""
    return "" if value is None else f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _table(head: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(head) - 1)
    cells = [[_cell(text) for text in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *cells))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
