"""Geometry of the page's charts: plain numbers for SVG, no drawing library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from bitryoshka.report.findings import Curve

__all__ = ["Chart", "Line", "Tick", "bars", "lines"]

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 38, 352, 12, 214


class Tick(NamedTuple):
    """A place on an axis, and its label."""

    at: float
    text: str


class Line(NamedTuple):
    """A polyline, the band of its intervals, its markers, and its number for colour and dash."""

    name: str
    number: int
    points: str
    band: str
    markers: tuple[tuple[float, float], ...]


class Chart(NamedTuple):
    """What one SVG shows; ``summary`` is read aloud in its place."""

    title: str
    x_title: str
    summary: str
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    lines: tuple[Line, ...]


def lines(title: str, x_title: str, curves: Sequence[Curve]) -> Chart:
    """Curves with values in [0, 1] or a little above; x in logarithms."""
    xs = sorted({x for curve in curves for x in curve.x})
    values = [v for curve in curves for interval in curve.y for v in (interval.low, interval.high)]
    step = 0.1 if max(values) - min(values) <= 0.5 else 0.2
    low = math.floor(min(values) / step) * step
    high = max(1.0, math.ceil(round(max(values) / step, 6)) * step)
    first, last = math.log(xs[0]), math.log(xs[-1])

    def across(x: float) -> float:
        share = (math.log(x) - first) / ((last - first) or 1)
        return round(LEFT + 8 + (RIGHT - LEFT - 16) * share, 1)

    def up(y: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (y - low) / (high - low), 1)

    drawn = []
    for number, curve in enumerate(curves):
        at = [(across(x), up(v.mean)) for x, v in zip(curve.x, curve.y, strict=True)]
        upper = [(across(x), up(v.high)) for x, v in zip(curve.x, curve.y, strict=True)]
        lower = [(across(x), up(v.low)) for x, v in zip(curve.x, curve.y, strict=True)]
        drawn.append(Line(curve.name, number, _path(at), _path(upper + lower[::-1]), tuple(at)))
    steps = [low + step * i for i in range(round((high - low) / step) + 1)]
    best = max(curves, key=lambda c: c.y[-1].mean)
    return Chart(
        title,
        x_title,
        f"{title}. At {best.x[-1]} {x_title}, {best.name} has {best.y[-1].mean:.3f}.",
        _ticks([Tick(across(x), str(x)) for x in xs]),
        tuple(Tick(up(y), f"{y:.1f}") for y in steps),
        tuple(drawn),
    )


def bars(title: str, x_title: str, values: Sequence[float]) -> Chart:
    """One line through values in [0, 1], by their number."""
    step = (RIGHT - LEFT) / max(len(values), 1)

    def up(y: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * y, 1)

    points = [(round(LEFT + step * (i + 0.5), 1), up(v)) for i, v in enumerate(values)]
    shown = sorted({round(len(values) * i / 4) or 1 for i in range(5)})
    return Chart(
        title,
        x_title,
        f"{title}: {len(values)} values from {min(values):.2f} to {max(values):.2f}.",
        tuple(Tick(points[i - 1][0], str(i)) for i in shown),
        tuple(Tick(up(i / 5), f"{i / 5:.1f}") for i in range(6)),
        (Line(title, 0, _path(points), "", ()),),
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def _ticks(ticks: Sequence[Tick]) -> tuple[Tick, ...]:
    """Those labels that do not touch the one before; the last always stays."""
    kept: list[Tick] = []
    for tick in reversed(ticks):
        if not kept or kept[-1].at - tick.at >= 6.2 * (len(tick.text) + 1):
            kept.append(tick)
    return tuple(reversed(kept))
