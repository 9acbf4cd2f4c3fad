"""Recall by length, up to eight bits a dimension: ``python -m benchmarks.sweep --data DIR ...``.

Each code is fitted to a set's documents anew for every length: signs of the first dimensions and
ITQ as far as the dimensions reach, signs of as many random rotations as the length needs, and the
library's closed form with precision bits. TurboQuant, in Qdrant's own engine, stands at the bytes
that it really takes. Recall counts the exact float top 10. The figures are drawn, too; without
``--data`` only that, from the result file.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bitryoshka
from benchmarks.datasets import Dataset, Floats, read_dataset
from benchmarks.judge import Coded, Judge
from benchmarks.peers import engine_figures
from benchmarks.quality_table import mean_rows
from benchmarks.results import FOLDER, read, write
from bitryoshka.qdrant.config import TURBO
from bitryoshka.qdrant.quantizers import turbo_quantizer
from bitryoshka.training.closed_form import Goal, itq_codes, rotation_codes, sign_codes

BITS = (64, 128, 192, 256, 384, 768, 1152, 1536, 2304, 3072)
PICTURE = Path(__file__).parent.parent / "docs" / "sweep.png"

# code, colour of Okabe and Ito, marker
_LINES = (
    ("progressive", "progressive (ours)", "#0072B2", "o"),
    ("turboquant", "TurboQuant in Qdrant", "#000000", "X"),
    ("itq", "ITQ", "#009E73", "^"),
    ("rotation", "signs of random rotations", "#D55E00", "s"),
    ("sign", "sign bits", "#CC79A7", "D"),
)

Rows = dict[str, Any]


def codes(documents: Floats, bits: int) -> dict[str, bitryoshka.Binarizer]:
    """Every code that has this length, by name."""
    goal = Goal(bits, (bits,), "cosine", 0)
    made = {"rotation": rotation_codes(documents, goal)}
    if bits <= documents.shape[1]:
        made["sign"] = sign_codes(documents, goal, "zero")
        made["itq"] = itq_codes(documents, goal)
    made["progressive"] = bitryoshka.fit(documents, bits=bits, method="progressive").binarizer
    return made


def set_rows(data: Dataset, lengths: Sequence[int] = BITS) -> Rows:
    """Figures by code, search and bits."""
    judge = Judge.of(data)
    rows: Rows = {}
    for bits in lengths:
        for name, binarizer in codes(data.documents, bits).items():
            coded = Coded.of(judge, binarizer)
            row = rows.setdefault(name, {})
            row.setdefault("asymmetric", {})[str(bits)] = judge.figures(coded.asymmetric(bits))
            if name != "progressive":
                row.setdefault("hamming", {})[str(bits)] = judge.figures(coded.hamming(bits))
        print(f"  {bits} bits", flush=True)
    found = [engine_figures(judge, turbo_quantizer(name)) for name in TURBO]
    return {**rows, "turboquant": {"asymmetric": {str(8 * f["code_bytes"]): f for f in found}}}


def draw(mean: Mapping[str, Any], sets: Sequence[str], dimensions: int, path: Path) -> None:
    """Recall against bits, Hamming distance on the left and float queries on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4.5), sharey=True, layout="constrained")
    searches = (("hamming", "bits against bits"), ("asymmetric", "float query against bits"))
    for axes, (kind, title) in zip(panels, searches, strict=True):
        for name, label, colour, marker in _LINES:
            if points := mean.get(name, {}).get(kind):
                lengths = sorted(points, key=int)
                recalls = [points[length]["recall"] for length in lengths]
                style = "--" if name == "turboquant" else "-"
                axes.plot(
                    [*map(int, lengths)], recalls, style, marker=marker, color=colour, label=label
                )
        axes.axvline(dimensions, color="#888888", linestyle=":", linewidth=1)
        axes.text(dimensions * 0.95, 0.96, "one bit a dimension", ha="right", size=8)
        axes.set_xscale("log", base=2)
        axes.set_xticks(BITS, [str(bits) for bits in BITS], rotation=60)
        axes.minorticks_off()
        axes.set_ylim(0, 1)
        axes.set_title(title)
        axes.set_xlabel("bits a vector")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="lower right")
    panels[0].set_ylabel("recall@10 of exact float search")
    figure.suptitle(f"Mean of {', '.join(sets)}; {dimensions} dimensions", size=9)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, save and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", default=(), metavar="DIR")
    parser.add_argument("--bits", type=int, nargs="+", default=BITS, metavar="BITS")
    given = parser.parse_args(arguments)
    if given.data:
        sets: Rows = {}
        for folder in given.data:
            print(folder.name, flush=True)
            data = read_dataset(folder)
            sets[folder.name] = {**data.facts, "rows": set_rows(data, given.bits)}
        mean = mean_rows([found["rows"] for found in sets.values()])
        write("sweep", {"k": 10, "mean_over": list(sets), "mean": mean, "sets": sets})
    figures = read(FOLDER / "sweep.json")["figures"]
    dimensions = next(iter(figures["sets"].values()))["dimensions"]
    draw(figures["mean"], figures["mean_over"], dimensions, PICTURE)


if __name__ == "__main__":
    main()
