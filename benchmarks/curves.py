"""Pictures of time against recall: ``python -m benchmarks.curves``, from the committed results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.results import FOLDER, read

DOCS = Path(__file__).parent.parent / "docs"
# colours of Okabe and Ito, told apart by colour-blind readers; shapes tell the same
STYLES = (
    ("#D55E00", "s"),
    ("#E69F00", "D"),
    ("#999999", "^"),
    ("#0072B2", "o"),
    ("#56B4E9", "v"),
    ("#009E73", "P"),
    ("#CC79A7", "X"),
    ("#000000", "*"),
)
WANTED = "0.98"
REACHED = 0.95
# searches of `benchmarks.memory` in the picture, and how many of them are pgvector's own
PICTURED = (
    *("HNSW, vector", "HNSW, halfvec", "binary_quantize, then vectors"),
    *("codes in the row, then vectors", "codes in their own table, 768 bits"),
    "codes alone, no vectors",
)
OWN = 3
# between two labels on a scale of factors
LINE = 1.16

Points = Sequence[Mapping[str, float]]


def draw(
    curves: Mapping[str, Points], growth: Sequence[Mapping[str, Any]], title: str, path: Path
) -> None:
    """Time against recall for all rows, and time at recall WANTED against rows."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
    for (name, points), (colour, marker) in zip(curves.items(), STYLES, strict=False):
        style = {"color": colour, "marker": marker, "markersize": 5}
        left.plot(_each(points, "recall"), _each(points, "milliseconds"), label=name, **style)
        sizes = [run for run in growth if name in run["at_recall"][WANTED]]
        times = [run["at_recall"][WANTED][name]["milliseconds"] for run in sizes]
        right.plot([run["rows"] for run in sizes], times, **style)
    left.set_xlim(0.7, 1)
    left.set_xlabel("recall@10 of exact search")
    left.set_title(title, fontsize="medium")
    right.set_xscale("log")
    right.set_xlabel("rows")
    right.set_title(f"at recall {WANTED}", fontsize="medium")
    for axes in (left, right):
        _finish(axes)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_memory(figures: Mapping[str, Any], path: Path) -> None:
    """Median time against the limit of memory, a line for each search, its name at its end."""
    figure, axes = pyplot.subplots(figsize=(10, 5.2), layout="constrained")
    whole = figures["bytes"]["float table"] + figures["bytes"]["float index"]
    sized = sorted(
        ((size or whole) / 2**20, name)
        for name, size in figures["limits"].items()
        if "buffers" not in name
    )
    ends = {}
    for number, name in enumerate(PICTURED):
        found = [(size, figures["layouts"][limit].get(name)) for size, limit in sized]
        points = [(size, at["p50_milliseconds"]) for size, at in found if at]
        colour, marker = STYLES[number % len(STYLES)]
        style = {"color": colour, "marker": marker, "markersize": 5}
        style["linestyle"] = "-" if number >= OWN else "--"
        if points:
            axes.plot(*zip(*points, strict=True), **style)
            ends[name] = (points[-1][1], colour)
    place = 0.0
    # upwards, each label at least a line's height above the one below it
    for name, (time, colour) in sorted(ends.items(), key=lambda end: end[1][0]):
        place = max(time, place * LINE)
        reached = "" if figures["chosen"][name]["recall"] >= REACHED else " (finds less)"
        axes.annotate(
            f"{name}{reached}",
            (sized[-1][0], place),
            (10, 0),
            textcoords="offset points",
            color=colour,
            fontsize="small",
            verticalalignment="center",
        )
    half = figures["bytes"]["float index"] / 2**21
    axes.axvline(half, color="0.6", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(sized[0][0] / 1.1, sized[-1][0] * 5)
    labels = ["no limit" if name == "none" else f"{size:.0f}" for size, name in sized]
    axes.set_xticks([size for size, _ in sized], labels)
    axes.minorticks_off()
    axes.set_xlabel("MiB of memory; the line: half of float HNSW's index")
    axes.set_title(
        f"{figures['rows']:,} rows, each search at recall {REACHED}", fontsize="medium", loc="left"
    )
    _finish(axes)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_scale(figures: Mapping[str, Any], path: Path) -> None:
    """Memory of a fast search against rows, a line for each layout, and what machines have."""
    figure, axes = pyplot.subplots(figsize=(10, 5.2), layout="constrained")
    for (name, found), (colour, marker) in zip(figures["layouts"].items(), STYLES, strict=False):
        points = [(int(rows), at["memory_bytes"] / 2**30) for rows, at in found["at"].items()]
        style = {"color": colour, "marker": marker, "markersize": 5}
        axes.plot(*zip(*points, strict=True), label=name, **style)
    for gib in figures["fits"]:
        axes.axhline(float(gib), color="0.6", linewidth=1)
        axes.annotate(f"{gib} GiB", (1.1e6, float(gib) * 1.1), color="0.4", fontsize="small")
    axes.set_xscale("log")
    axes.set_xlabel("rows")
    axes.set_yscale("log")
    axes.set_ylabel("GiB in memory for a fast search")
    axes.set_title(f"{figures['dimensions']} dimensions, reckoned", fontsize="medium", loc="left")
    axes.grid(alpha=0.3, which="both")
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _each(points: Points, key: str) -> list[float]:
    return [point[key] for point in points]


def _finish(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.set_ylabel("median milliseconds a query")
    axes.grid(alpha=0.3, which="both")


def main() -> None:
    """Draw what is there."""
    postgres = read(FOLDER / "postgres.json")["figures"]
    qdrant = read(FOLDER / "qdrant_curves.json")["figures"]
    for figures, left_out, title, name in (
        (postgres, (), "Postgres", "postgres-curves.png"),
        # no more than there are styles: the weakest of the peers stays in the table
        (qdrant, ("1-bit BQ",), "Qdrant's engine", "qdrant-curves.png"),
    ):
        search = figures["search"]
        curves = {name: p for name, p in search["curves"].items() if name not in left_out}
        title = f"{title}, {search['rows']:,} rows"
        draw(curves, [*figures["growth"], search], title, DOCS / name)
    draw_memory(read(FOLDER / "memory.json")["figures"], DOCS / "memory.png")
    draw_scale(read(FOLDER / "scale.json")["figures"], DOCS / "scale.png")


if __name__ == "__main__":
    main()
