"""Tables of `benchmarks.memory`: times by limit, what happens under one limit, and builds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]

MIB = 2**20
REACHED = 0.95
# from much memory to little; the name in a result file, and how a page has it
SHOWN = {
    "none": "no limit",
    "3/4": "3/4",
    "1/2": "1/2",
    "half the index": "half the index",
    "half the index with more buffers": "half the index, 2/5 shared buffers",
    "half the index with most buffers": "half the index, 3/5 shared buffers",
    "1/5": "1/5",
    "1/10": "1/10",
}


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with numbers to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rows))


def _by_limit(figures: Figures, show: Any) -> str:
    measured = [limit for limit in SHOWN if limit in figures["layouts"]]
    head = ["search"]
    for limit in measured:
        allowed = figures["limits"][limit]
        head.append(SHOWN[limit] + (f", {allowed / MIB:.0f} MiB" if allowed else ""))
    by_limit = [figures["layouts"][limit] for limit in measured]
    rows = [
        [name, *(show(found[name]) if name in found else "" for found in by_limit)]
        for name in figures["chosen"]
        if any(name in found for found in by_limit)
    ]
    return markdown(head, rows)


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
    narrow = figures["layouts"]["half the index"]
    free = figures["layouts"].get("none", {})
    rows = [
        [
            name,
            f"{found['length']:.0f}",
            f"{found['shortlist']:.0f}" if found["shortlist"] else "",
            # of the most queries: what is found does not depend on memory
            f"{free.get(name, narrow[name])['recall']:.3f}",
            f"{narrow[name]['pages']:.0f}",
            f"{narrow[name]['disk_pages']:.0f}",
            f"{free[name]['processor_milliseconds']:.1f}" if name in free else "",
            f"{narrow[name]['processor_milliseconds']:.0f}",
            f"{figures['bytes'][name] / MIB:.0f}",
        ]
        for name, found in figures["chosen"].items()
        if name in narrow
    ]
    head = ["search", "list", "compared by vectors", "recall@10", "pages a query"]
    head += [
        "from the disk, half the index",
        "processor ms, no limit",
        "half the index",
        "MiB in all",
    ]
    return markdown(head, rows)


def builds_block(figures: Figures) -> str:
    """Seconds of two builds with little memory."""
    small = figures["small_memory"]
    rows = [
        [
            f"HNSW, {name}",
            f"{small[name]['seconds']:.0f}",
            f"{small[name]['bytes'] / MIB:.0f}",
            f"{small[name]['in_memory']:,.0f}",
        ]
        for name in small
        if name != "rows"
    ]
    head = ["built within 64 MiB", "seconds", "MiB", "rows before the graph outgrew that memory"]
    return f"{markdown(head, rows)}\n\n{small['rows']['rows']:,} rows."


def line_block(figures: Figures) -> str:
    """Float HNSW and codes, each by its fastest, with memory for all and with little of it."""
    enough = [name for name, found in figures["chosen"].items() if found["recall"] >= REACHED]
    ways = {
        "float HNSW": [name for name in enough if name == "HNSW, vector"],
        "codes": [name for name in enough if name.startswith("codes")],
    }
    limits = {
        "with memory for everything": ["none"],
        "with half of float HNSW's index as memory": [
            limit for limit in figures["layouts"] if limit.startswith("half")
        ],
    }
    said = []
    for where, among in limits.items():
        found = []
        for way, names in ways.items():
            runs = [figures["layouts"][limit].get(name) for limit in among for name in names]
            best = min((run for run in runs if run), key=lambda run: run["p50_milliseconds"])
            time, rate = best["p50_milliseconds"], best["queries_a_second"]
            found.append(f"{time:.1f} ms by {way} ({rate:.0f} a second)")
        said.append(f"{where} {' and '.join(found)}")
    return (
        f"{figures['rows']:,} rows of {figures['dimensions']} dimensions, a search at a recall of "
        f"{REACHED}: {'; '.join(said)}."
    )
