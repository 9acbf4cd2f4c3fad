"""How a search's cost grows with the rows, and what `benchmarks.scale` finds in result files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Figures = Mapping[str, Any]

RECALL = "0.95"


class ScaleError(ValueError):
    """A result file that lacks what is reckoned with."""


def wanted(found: Figures, name: str, place: str) -> Any:
    """What a file has under a name; ScaleError with what it has instead."""
    if name not in found:
        raise ScaleError(f"{place}: expected {name!r}, found {', '.join(map(repr, found))}")
    return found[name]


class Line(NamedTuple):
    """y = at_one + slope * ln(rows), by least squares; ``measured``: what it goes through."""

    at_one: float
    slope: float
    measured: dict[str, float]

    @classmethod
    def through(cls, points: Mapping[int, float]) -> Line:
        """A line that does not fall: more rows take no fewer steps."""
        slope, at_one = np.polyfit(np.log([*points]), [*points.values()], 1)
        if slope < 0:
            slope, at_one = 0.0, float(np.mean([*points.values()]))
        return cls(float(at_one), float(slope), {str(n): y for n, y in points.items()})

    def growth(self, rows: int, since: int) -> float:
        """How many times as much as at another number of rows."""
        return (self.at_one + self.slope * math.log(rows)) / (
            self.at_one + self.slope * math.log(since)
        )


def growth_of(figures: Figures, series: str, what: str, place: str) -> Line:
    """How a search's cost at RECALL grows, over all sizes that a file has."""
    points = {}
    for run in (*figures["growth"], figures["search"]):
        found = wanted(run["at_recall"][RECALL], series, f"{place}, {run['rows']:,} rows")
        points[run["rows"]] = found[what]
    return Line.through(points)
