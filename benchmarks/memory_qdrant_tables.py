"""Tables of `benchmarks.memory_qdrant`: times by limit, and what each layout takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.memory_tables import MIB, markdown

Figures = Mapping[str, Any]

ENDED = "too little"


def qdrant_times_block(figures: Figures) -> str:
    """Median and slow times of one thread, by limit."""
    table = _by_limit(
        figures, lambda found: f"{found['p50_milliseconds']:.2f} ({found['p99_milliseconds']:.1f})"
    )
    whole = figures["built"]["float32 in memory"]
    taken = (whole["vector_bytes"] + whole["graph_bytes"]) / MIB
    return (
        f"{table}\n\nMilliseconds a query, median (99th percentile); {figures['rows']:,} rows of "
        f"{figures['dimensions']} dimensions. Shares are of the vectors and the graph of float "
        f'HNSW ({taken:.0f} MiB). "{ENDED.capitalize()}": the kernel ended the process, or the '
        f"queries were not answered within {figures['patience_seconds']:.0f} seconds."
    )


def qdrant_rates_block(figures: Figures) -> str:
    """Queries a second of several threads, by limit."""

    def show(found: Figures) -> str:
        return f"{found['queries_a_second']:.0f}" if found["queries_a_second"] else ENDED

    return f"{_by_limit(figures, show)}\n\nQueries a second of {figures['threads']} threads."


def qdrant_reads_block(figures: Figures) -> str:
    """KiB that a query has read from the disk, by limit."""
    table = _by_limit(figures, lambda found: f"{found['disk_bytes_a_query'] / 1024:.0f}")
    return f"{table}\n\nKiB a query from the disk, with read-ahead."


def _by_limit(figures: Figures, show: Any) -> str:
    head = ["kept as"]
    for limit in figures["layouts"]:
        allowed = figures["limits"][limit]
        head.append(f"{limit}, {allowed / MIB:.0f} MiB" if allowed else "no limit")

    def cell(of: Figures, name: str) -> str:
        if name not in of:
            return ""
        return show(of[name]) if of[name] else ENDED

    rows = [
        [name, *(cell(of, name) for of in figures["layouts"].values())]
        for name in figures["chosen"]
    ]
    return markdown(head, rows)


def qdrant_settings_block(figures: Figures) -> str:
    """What every search was taken at, and what a layout takes on the disk and in memory."""
    free = figures["layouts"]["none"]
    rows = []
    for name, chosen in figures["chosen"].items():
        built, found = figures["built"][name], free.get(name)
        least = figures["least_limit_bytes"].get(name)
        rows.append(
            [
                name,
                f"{chosen['length']:.0f}",
                f"{chosen['shortlist']:.0f}" if chosen["shortlist"] else "",
                f"{found['recall']:.3f}" if found else "",
                f"{found['processor_milliseconds']:.2f}" if found else "",
                f"{found['resident_bytes'] / MIB:.0f}" if found else "",
                f"{found['own_bytes'] / MIB:.1f}" if found else "",
                f"{least / MIB:.0f}" if least else "",
                f"{built['disk_bytes'] / MIB:.0f}",
                f"{built['upsert_seconds'] + built['index_seconds']:.0f}",
            ]
        )
    head = ["kept as", "list", "compared by vectors", "recall@10", "processor ms"]
    head += ["resident MiB, no limit", "of its own", "least limit MiB", "disk MiB", "build s"]
    return (
        f"{markdown(head, rows)}\n\nResident: with the files that are mapped; of its own: what no "
        "limit takes away. Builds in seconds of processor time, upserts included."
    )


BLOCKS: dict[str, tuple[str, Callable[[Figures], str]]] = {
    "memory-qdrant-times": ("memory_qdrant", qdrant_times_block),
    "memory-qdrant-rates": ("memory_qdrant", qdrant_rates_block),
    "memory-qdrant-reads": ("memory_qdrant", qdrant_reads_block),
    "memory-qdrant-settings": ("memory_qdrant", qdrant_settings_block),
}
