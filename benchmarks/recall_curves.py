"""What the benchmarks of databases share: rows, truth, lists, and points at equal recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import read_dataset

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Point = dict[str, float]

WANTED = (0.9, 0.95, 0.98, 0.99)
LISTS = (*range(10, 100, 10), *range(100, 200, 20), *range(200, 500, 50), *range(500, 1001, 100))
ENOUGH, TIMED = 0.992, 100
QUERIES, SAMPLE = 300, 20_000


def drawn(folders: Sequence[Path], *counts: int) -> list[Floats]:
    """So many different documents of all sets, at random; ValueError where there are too few."""
    every = np.unique(np.concatenate([read_dataset(f, 1).documents for f in folders]), axis=0)
    if len(every) < sum(counts):
        raise ValueError(f"expected {sum(counts):,} different documents, found {len(every):,}")
    order = np.random.default_rng(0).permutation(len(every))
    return [every[rows] for rows in np.split(order, np.cumsum(counts))[:-1]]


def at_recall(curves: Mapping[str, Sequence[Point]], wanted: float) -> dict[str, Point]:
    """Each search's shortest list that finds so much; searches that never do are left out."""
    found = {}
    for name, points in curves.items():
        enough = (point for point in points if point["recall"] >= wanted)
        if point := next(enough, None):
            found[name] = dict(point)
    return found
