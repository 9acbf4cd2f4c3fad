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


if __name__ == "__main__":
    main()
