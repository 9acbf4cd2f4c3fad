"""How far one machine goes, reckoned from what was measured: ``python -m benchmarks.scale``.

Nothing is measured here. It reads the result files that `SOURCES` names, reckons for ROWS what
each layout takes, and says for every figure where it comes from and by what rule. A layout or
series that a file no longer has is an error; those of `benchmarks.memory` that are not reckoned are
named.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.results import FOLDER, Target, at_least, near, read, write
from benchmarks.scale_growth import growth_of, wanted
from benchmarks.scale_parts import KEY, LONG, SHORT, VECTORS, WITH_CODES
from benchmarks.scale_qdrant import reckon_qdrant

Figures = Mapping[str, Any]

ROWS = (10**6, 10**7, 10**8, 10**9)
# GiB of machines, and how much of them is for what a search needs
MACHINES, SHARE = (64, 256, 1024), 0.75
# the limits of `benchmarks.memory` that times come from
FREE, SHORT_OF_MEMORY = "none", "half the index"
FLOAT, HALF = "HNSW, vector", "HNSW, halfvec"
QUANTIZED, ROW = "binary_quantize, then vectors", "codes in the row, then vectors"
NARROW = "codes in their own table, 256 bits"
NARROW_LONG = "codes in their own table, 768 bits"
ALONE = "codes alone, no vectors"

SOURCES = {
    "bytes of tables and indexes": (
        "scale_parts.json",
        "bytes a row, measured for each number of dimensions; linear in rows",
    ),
    "in memory": (
        "scale_parts.json",
        "bytes of the relations that a search reads page by page, as said above; linear",
    ),
    "memory to build": ("scale_parts.json", "bytes a row of the graph while it is built; linear"),
    "encode": ("scale_parts.json", "rows a second of one processor, additive codes; linear"),
    "load": ("scale_parts.json", "processor time of COPY in the server; linear"),
    "build": (
        "postgres.json, scale_parts.json",
        "seconds a row at the largest size measured, on its two processors, times what a row costs "
        "with these dimensions over what it costs with those, times ln(rows) / ln(rows measured)",
    ),
    "ms in memory": (
        "memory.json, postgres.json",
        "median without a limit, times the growth of pages a query at recall 0.95, which is a line "
        "in ln(rows) through what was measured at three sizes",
    ),
    "ms from disk": (
        "memory.json, postgres.json",
        "median where float HNSW's index is twice the memory, times the same growth; memory is "
        "taken to grow with the rows",
    ),
    "Qdrant": (
        "memory_qdrant.json, qdrant_curves.json",
        "bytes linear; build of an index times ln(rows) / ln(rows measured); ms times the growth "
        "of a line in ln(rows) through two sizes",
    ),
}


class Layout(NamedTuple):
    """What a layout keeps, by kind ("table" or "index") and name in scale_parts.json.

    ``fast``: what a search reads page by page, and so has to be in memory. ``built``: the index.
    ``growth``: the search in postgres.json whose pages grow as this one's do. ``copied`` and
    ``encoded``: what is loaded, and which codes are made.
    """

    kept: tuple[tuple[str, str], ...]
    fast: tuple[tuple[str, str], ...]
    built: str
    growth: str
    copied: tuple[str, ...]
    encoded: str | None = None


_TABLE, _KEY = ("table", VECTORS), ("table", KEY)


def _own(index: str, growth: str, fast: tuple[tuple[str, str], ...] = ()) -> Layout:
    kept = (_TABLE, _KEY, ("index", index))
    return Layout(kept, (("index", index), *fast), index, growth, (VECTORS,))


def _apart(codes: str) -> Layout:
    narrow = (("table", codes), ("index", codes))
    kept, fast = (*narrow, _KEY, _TABLE, _KEY), (*narrow, _KEY)
    return Layout(kept, fast, codes, "ours, 256 bits, narrow table", (VECTORS, codes), codes)


LAYOUTS = {
    FLOAT: _own("vector", "HNSW, vector"),
    HALF: _own("halfvec", "HNSW, halfvec"),
    # every row of the list is compared by its vector
    QUANTIZED: _own("binary_quantize", "binary_quantize", (_TABLE,)),
    ROW: Layout(
        (("table", WITH_CODES), _KEY, ("index", WITH_CODES)),
        (("table", WITH_CODES), ("index", WITH_CODES)),
        WITH_CODES,
        "ours, 256 bits",
        (VECTORS,),
        LONG,
    ),
    NARROW: _apart(SHORT),
    NARROW_LONG: _apart(LONG),
    ALONE: Layout(
        (("table", LONG), _KEY, ("index", LONG)),
        (("table", LONG), ("index", LONG)),
        LONG,
        "ours, 256 bits, narrow table",
        (LONG,),
        LONG,
    ),
}


def build_seconds(
    rows: int, layout: Layout, parts: Figures, dimensions: str, postgres: Figures
) -> float:
    """Seconds on the processors that built the largest index that was measured.

    What a row took there, times what other dimensions cost, times the growth of a graph's steps.
    """
    run, wide = postgres["search"], str(postgres["dimensions"])
    built = wanted(run["indexes"], layout.growth, "postgres.json, indexes")
    cost = [
        wanted(parts["dimensions"], d, "scale_parts.json")["build_microseconds_a_row"][layout.built]
        for d in (dimensions, wide)
    ]
    steps = math.log(rows) / math.log(run["rows"])
    return float(built["seconds"] / run["rows"] * rows * cost[0] / cost[1] * steps)


def bytes_a_row(layout: Layout, found: Figures) -> dict[str, float]:
    """By what they are for, of one number of dimensions."""

    def total(parts: Sequence[tuple[str, str]], kind: str | None = None) -> float:
        return sum(found[f"{k}_bytes_a_row"][name] for k, name in parts if kind in (None, k))

    return {
        "table": total(layout.kept, "table"),
        "index": total(layout.kept, "index"),
        "memory": total(layout.fast),
        "build_memory": found["graph_memory_bytes_a_row"][layout.built],
    }


def at_rows(
    rows: int, layout: Layout, found: Figures, times: Mapping[str, Any]
) -> dict[str, float | None]:
    """What so many rows take, but for the build; ``times``: see `searches`."""
    bytes_ = {f"{what}_bytes": size * rows for what, size in bytes_a_row(layout, found).items()}
    speed = found["encoded_rows_per_processor_second"]
    growth = times["line"].growth(rows, times["rows"])
    copied = sum(found["copy_microseconds_a_row"][name] for name in layout.copied)
    return {
        **bytes_,
        "encode_seconds": rows / speed[layout.encoded] if layout.encoded else 0.0,
        "load_seconds": rows * copied / 1e6,
        "milliseconds_in_memory": times["free"] and times["free"] * growth,
        "milliseconds_from_disk": times["short"] and times["short"] * growth,
        "pages_from_disk": None if times["pages"] is None else times["pages"] * growth,
    }


def searches(memory: Figures, postgres: Figures, name: str) -> dict[str, Any]:
    """A layout's median times, pages from the disk and recall, and how they grow."""
    under = wanted(memory["layouts"], SHORT_OF_MEMORY, "memory.json").get(name, {})
    free = wanted(memory["layouts"], FREE, "memory.json").get(name, {})
    chosen = wanted(memory["chosen"], name, "memory.json, chosen")
    return {
        "rows": memory["rows"],
        "free": free.get("p50_milliseconds"),
        "short": under.get("p50_milliseconds"),
        "pages": under.get("disk_pages"),
        "recall": chosen["recall"],
        "line": growth_of(postgres, LAYOUTS[name].growth, "pages", "postgres.json"),
    }


def reckon(folder: Path = FOLDER) -> dict[str, Any]:
    """All figures; ScaleError where a file lacks what they need."""
    parts, memory, postgres = (
        read(folder / f"{name}.json")["figures"] for name in ("scale_parts", "memory", "postgres")
    )
    searched, layouts = str(memory["dimensions"]), {}
    found = wanted(parts["dimensions"], searched, "scale_parts.json")
    for name, layout in LAYOUTS.items():
        times = searches(memory, postgres, name)
        layouts[name] = {
            "recall": times["recall"],
            "growth": times["line"]._asdict(),
            "bytes_a_row": {d: bytes_a_row(layout, of) for d, of in parts["dimensions"].items()},
            "at": {
                str(rows): {
                    **at_rows(rows, layout, found, times),
                    "build_seconds": build_seconds(rows, layout, parts, searched, postgres),
                }
                for rows in ROWS
            },
        }
    return {
        "sources": {what: {"file": f, "rule": rule} for what, (f, rule) in SOURCES.items()},
        "dimensions": memory["dimensions"],
        "bits": {d: found["bits"] for d, found in parts["dimensions"].items()},
        "measured_rows": memory["rows"],
        "built_on_processors": read(folder / "postgres.json")["environment"]["cores"],
        "memory_short_bytes": wanted(memory["limits"], SHORT_OF_MEMORY, "memory.json, limits"),
        "layouts": layouts,
        "fits": {str(gib): fits(layouts, gib) for gib in MACHINES},
        "qdrant": reckon_qdrant(folder, ROWS),
        "not_reckoned": [name for name in memory["chosen"] if name not in LAYOUTS],
        "checks": checks(parts, memory, postgres),
    }


def fits(layouts: Mapping[str, Any], gib: int) -> dict[str, dict[str, int]]:
    """Rows whose fast search SHARE of so much memory holds, by layout and dimensions."""
    return {
        name: {d: int(SHARE * gib * 2**30 / b["memory"]) for d, b in found["bytes_a_row"].items()}
        for name, found in layouts.items()
    }


def checks(parts: Figures, memory: Figures, postgres: Figures) -> dict[str, float]:
    """What is reckoned from few made-up rows over what larger benchmarks measured."""
    rows, found = memory["rows"], parts["dimensions"][str(memory["dimensions"])]
    reckoned = {n: bytes_a_row(LAYOUTS[n], found) for n in (FLOAT, HALF, NARROW, ALONE)}
    ratios = {
        f"{name}, {memory['dimensions']} dimensions": rows
        * (sizes["table"] + sizes["index"])
        / wanted(memory["bytes"], name, "memory.json, bytes")
        for name, sizes in reckoned.items()
    }
    search, wide = postgres["search"], parts["dimensions"][str(postgres["dimensions"])]
    for name, series in (("vector", "HNSW, vector"), ("halfvec", "HNSW, halfvec")):
        built = wanted(search["indexes"], series, "postgres.json, indexes")
        ratios[f"index of {series}, {postgres['dimensions']} dimensions"] = (
            search["rows"] * wide["index_bytes_a_row"][name] / built["bytes"]
        )
    return ratios


def targets(figures: Figures) -> list[Target]:
    """Reckoned bytes have to be the measured ones; and what codes were to save."""
    found = [
        near(f"bytes reckoned over bytes measured: {name}", 1, 0.05, ratio)
        for name, ratio in figures["checks"].items()
    ]
    dimensions = figures["layouts"][FLOAT]["bytes_a_row"]
    memory = {
        name: figures["layouts"][name]["bytes_a_row"] for name in (FLOAT, HALF, NARROW_LONG, ALONE)
    }
    for d in dimensions:
        found.append(
            at_least(
                f"{d} dimensions: memory of float HNSW over that of codes in their own table",
                4,
                memory[FLOAT][d]["memory"] / memory[NARROW_LONG][d]["memory"],
            )
        )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Reckon and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.parse_args(arguments)
    figures = reckon()
    write("scale", figures, targets(figures))


if __name__ == "__main__":
    main()
