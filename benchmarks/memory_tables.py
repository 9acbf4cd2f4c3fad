"""Tables of `benchmarks.memory`: times by limit, what happens under one limit, and builds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]

MIB = 2**20
# from much memory to little; the name in a result file, and how a page has it
SHOWN = {
    "none": "no limit",
    "1": "all of it",
    "1/2": "1/2",
    "half the index": "half the index",
    "1/5": "1/5",
    "1/10": "1/10",
}


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rows))


def _by_limit(figures: Figures, show: Any) -> str:
    measured = [limit for limit in SHOWN if limit in figures["layouts"]]
    head = ["search"]
    for limit in measured:
        allowed = figures["limits"][limit]
        head.append(SHOWN[limit] + (f", {allowed / MIB:.0f} MiB" if allowed else ""))
    rows = [
        [name, *(show(figures["layouts"][limit][name]) for limit in measured)]
        for name in figures["chosen"]
    ]
    return _markdown(head, rows)


def times_block(figures: Figures) -> str:
    """Median and slow times of one client by limit."""
    table = _by_limit(
        figures, lambda found: f"{found['p50_milliseconds']:.1f} ({found['p99_milliseconds']:.0f})"
    )
    return (
        f"{table}\n\nMilliseconds a query, median (99th percentile); {figures['rows']:,} rows of "
        f"{figures['dimensions']} dimensions. Shares are of the table and the index of float HNSW "
        f"({(figures['bytes']['float table'] + figures['bytes']['float index']) / MIB:.0f} MiB)."
    )


def rates_block(figures: Figures) -> str:
    """Queries a second of several clients by limit."""
    table = _by_limit(figures, lambda found: f"{found['queries_a_second']:.0f}")
    return f"{table}\n\nQueries a second of {figures['clients']} clients together."


def settings_block(figures: Figures) -> str:
    """What every search was taken at, what it reads and what it takes."""
    layouts = figures["layouts"]
    narrow = layouts["half the index"]
    free = layouts.get("none", narrow)
    rows = [
        [
            name,
            f"{found['length']:.0f}",
            f"{found['shortlist']:.0f}" if found["shortlist"] else "",
            f"{narrow[name]['recall']:.3f}",
            f"{narrow[name]['pages']:.0f}",
            f"{narrow[name]['disk_pages']:.0f}",
            f"{free[name]['processor_milliseconds']:.1f}",
            f"{figures['bytes'][name] / MIB:.0f}",
        ]
        for name, found in figures["chosen"].items()
    ]
    head = ["search", "list", "compared by vectors", "recall@10", "pages a query"]
    head += ["from the disk, half the index", "processor ms, no limit", "MiB in all"]
    return _markdown(head, rows)


def builds_block(figures: Figures) -> str:
    """Seconds of the builds with much memory, and of two with little."""
    small = figures["small_memory"]
    codes, halves = small["codes"], small["halfvec"]
    seconds = {
        name: taken for name, taken in figures["build_seconds"].items() if "_load" not in name
    }
    rows = [[INDEXES.get(name, name), f"{taken:.0f}"] for name, taken in seconds.items()]
    return (
        f"{_markdown(['built with 2 GB', 'seconds'], rows)}\n\n"
        f"Within 64 MiB, of {small['rows']['rows']:,} rows: HNSW over codes "
        f"{codes['seconds']:.0f} s, with {codes['in_memory']:,.0f} rows before the graph outgrew "
        f"that memory, over halfvecs {halves['seconds']:.0f} s, with {halves['in_memory']:,.0f}."
    )


INDEXES = {
    "floats_vector": "HNSW, vector",
    "floats_halfvec": "HNSW, halfvec",
    "floats_quantized": "HNSW, binary_quantize",
    "coded_backfill": "codes for the rows of a table",
    "coded_code": "HNSW, codes in the row",
    "outside_backfill": "codes for the rows of a table, vectors out of line",
    "outside_code": "HNSW, codes in the row, vectors out of line",
    "narrow_code": "HNSW, codes in a table of their own",
    "alone_code": "HNSW, codes alone",
}
