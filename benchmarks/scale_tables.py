"""Tables of `benchmarks.scale`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from benchmarks.memory_tables import markdown

Figures = Mapping[str, Any]

UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"))
TIMES = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
# the block's name, and for how many rows
SIZES = {"1m": 10**6, "10m": 10**7, "100m": 10**8, "1b": 10**9}
DIMENSIONS_AT = 10**8


def shown_bytes(size: float) -> str:
    """In the largest unit of which there is one; two digits at least."""
    unit, name = next(((u, n) for u, n in UNITS if size >= u), UNITS[-1])
    value = size / unit
    return f"{value:.1f} {name}" if value < 10 else f"{value:,.0f} {name}"


def shown_time(seconds: float) -> str:
    """In the largest unit of which there are two, so that little is rounded away."""
    if not seconds:
        return ""
    unit, name = next(((u, n) for u, n in TIMES if seconds >= 2 * u), TIMES[-1])
    value = seconds / unit
    return f"{value:.1f} {name}" if value < 10 else f"{value:,.0f} {name}"


def _milliseconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def scale_block(rows: int, figures: Figures) -> str:
    """Every layout with so many rows."""
    lines = []
    for name, found in figures["layouts"].items():
        at = found["at"][str(rows)]
        reached = "" if found["recall"] >= 0.95 else f" ({found['recall']:.2f})"
        lines.append(
            [
                f"{name}{reached}",
                shown_bytes(at["table_bytes"]),
                shown_bytes(at["index_bytes"]),
                shown_bytes(at["memory_bytes"]),
                shown_bytes(at["build_memory_bytes"]),
                shown_time(at["encode_seconds"]),
                shown_time(at["load_seconds"]),
                shown_time(at["build_seconds"]),
                _milliseconds(at["milliseconds_in_memory"]),
                _milliseconds(at["milliseconds_from_disk"]),
                "" if at["pages_from_disk"] is None else f"{at['pages_from_disk']:,.0f}",
            ]
        )
    head = ["layout", "table", "index", "in memory", "to build", "encode", "load", "build"]
    head += ["ms in memory", "ms from disk", "pages from disk"]
    short = figures["memory_short_bytes"] / figures["measured_rows"]
    return (
        f"{markdown(head, lines)}\n\n{rows:,} rows of {figures['dimensions']} dimensions, "
        f"reckoned from {figures['measured_rows']:,} and fewer; in brackets a recall@10 below "
        f"0.95. From disk: with {short:,.0f} bytes of memory a row. Encode and load: of one "
        f"processor; build: of {figures['built_on_processors']}."
    )


def dimensions_block(figures: Figures) -> str:
    """Bytes in all and in memory by dimensions."""
    dimensions = list(figures["bits"])
    lines = []
    for name, found in figures["layouts"].items():
        cells = []
        for d in dimensions:
            sizes = found["bytes_a_row"][d]
            whole = (sizes["table"] + sizes["index"]) * DIMENSIONS_AT
            cells.append(f"{shown_bytes(whole)} / {shown_bytes(sizes['memory'] * DIMENSIONS_AT)}")
        lines.append([_any_bits(name), *cells])
    table = markdown(["layout", *(f"{d} dimensions" for d in dimensions)], lines)
    bits = ", ".join(
        f"{of['short codes']:,} and {of['long codes']:,}" for of in figures["bits"].values()
    )
    return (
        f"{table}\n\n{DIMENSIONS_AT:,} rows: in all / in memory for a fast search. Short and long "
        f"codes have {bits} bits."
    )


def fits_block(figures: Figures) -> str:
    """How many million rows a machine's memory holds, by dimensions."""
    dimensions, machines = list(figures["bits"]), list(figures["fits"])
    lines = [
        [
            _any_bits(name),
            *(
                " / ".join(f"{figures['fits'][gib][name][d] / 1e6:,.0f}" for gib in machines)
                for d in dimensions
            ),
        ]
        for name in figures["layouts"]
    ]
    table = markdown(["layout", *(f"{d} dimensions" for d in dimensions)], lines)
    return (
        f"{table}\n\nMillions of rows whose fast search fits into three quarters of "
        f"{' / '.join(machines)} GiB of memory."
    )


def _any_bits(name: str) -> str:
    """Codes are as long as the dimensions say."""
    return name.replace("256 bits", "short").replace("768 bits", "long")


def scale_qdrant_block(figures: Figures) -> str:
    """Qdrant's engine at every size."""
    qdrant = figures["qdrant"]
    lines = []
    for name, found in qdrant["layouts"].items():
        reached = "" if found["recall"] >= 0.95 else f" ({found['recall']:.2f})"
        for number, (rows, at) in enumerate(found["at"].items()):
            lines.append(
                [
                    "" if number else f"{name}{reached}",
                    f"{int(rows) // 10**6:,} million",
                    shown_bytes(at["disk_bytes"]),
                    shown_bytes(at["memory_bytes"]),
                    shown_time(at["build_seconds"]),
                    _milliseconds(at["milliseconds_in_memory"]),
                    _milliseconds(at["milliseconds_from_disk"]),
                ]
            )
    head = ["kept as", "rows", "on the disk", "in memory", "build", "ms in memory", "ms from disk"]
    table = markdown(head, lines)
    return (
        f"{table}\n\n{qdrant['dimensions']} dimensions, reckoned from "
        f"{qdrant['measured_rows']:,} rows; in brackets a recall@10 below 0.95. Build, upserts and "
        "encoding included: of one processor. From disk: with a quarter of the bytes of float "
        "vectors and their graph as memory."
    )


def sources_block(figures: Figures) -> str:
    """Where each figure comes from, and by what rule."""
    lines = [
        [what, ", ".join(f"`{file}`" for file in of["file"].split(", ")), of["rule"]]
        for what, of in figures["sources"].items()
    ]
    table = "\n".join(
        "| " + " | ".join(line) + " |"
        for line in (["figure", "from `benchmarks/results`", "rule"], ["---"] * 3, *lines)
    )
    checks = "; ".join(f"{name} {ratio:.3f}" for name, ratio in figures["checks"].items())
    growth = "; ".join(
        f"{name} {' to '.join(f'{pages:,.0f}' for pages in of['growth']['measured'].values())}"
        for name, of in figures["layouts"].items()
    )
    left = ", ".join(figures["not_reckoned"])
    return (
        f"{table}\n\nReckoned bytes over those that larger benchmarks measured: {checks}.\n\n"
        f"Pages a query that the growth goes through: {growth}."
        + (f"\n\nMeasured and not reckoned here: {left}." if left else "")
    )


BLOCKS: dict[str, tuple[str, Callable[[Figures], str]]] = {
    **{f"scale-{name}": ("scale", partial(scale_block, rows)) for name, rows in SIZES.items()},
    "scale-dimensions": ("scale", dimensions_block),
    "scale-fits": ("scale", fits_block),
    "scale-qdrant": ("scale", scale_qdrant_block),
    "scale-sources": ("scale", sources_block),
}
