"""Recall against bits, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

# colours of Okabe and Ito, told apart by colour-blind readers
_LINES = (
    ("ours", "asymmetric", "ours, float query", "#0072B2", "-", "o"),
    ("sign", "asymmetric", "sign bits, float query", "#D55E00", "-", "s"),
    ("ours", "hamming", "ours, Hamming", "#0072B2", "--", "o"),
    ("sign", "hamming", "sign bits, Hamming", "#D55E00", "--", "s"),
)


def plot_recall(quality: dict[str, Any], path: Path) -> None:
    """Draw recall@10 against the code's length for sign bits and ours."""
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for source, kind, label, colour, line, marker in _LINES:
        points = quality[source][kind]
        recalls = [p["recall"] for p in points.values()]
        axes.plot(list(points), recalls, line, marker=marker, color=colour, label=label)
    axes.set_xlabel("bits a vector")
    axes.set_ylabel("recall@10 of exact float search")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
