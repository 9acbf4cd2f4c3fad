"""Closed forms against the design's figures: ``python -m benchmarks.closed_form --data DIR [...]``.

Rows under ``library`` are `bitryoshka.fit` with ``method="sign"``, "itq" and "progressive", those
under ``independent`` plain NumPy that shares no code with it. Where the design names a figure of
one set, the target compares with that set. Its other figures are means over four sets, of which
two (scifact and wikiqa) are at hand: those targets compare the mean of the two, and say so.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import bitryoshka
from benchmarks import baselines
from benchmarks.datasets import read_dataset
from benchmarks.judge import Coded, Judge, Search, score_search
from benchmarks.quality_table import mean_rows
from benchmarks.results import Target, near, write

TOLERANCE = 0.02
AT_HAND = ("scifact", "wikiqa")

# figures of design section 5: recall@10, nDCG@10 retention; means over four sets
MEANS = {
    "sign 384, Hamming": (0.65, 0.91),
    "sign 384, asymmetric": (0.75, 0.95),
    "itq 384, Hamming": (0.69, 0.92),
    "itq 384, asymmetric": (0.79, 0.95),
    "progressive 384 m=160, asymmetric": (0.82, 0.96),
    "progressive 384 m=192, asymmetric": (0.82, 0.96),
    "progressive 384 m=192, funnel": (0.81, 0.955),
    "progressive 768 m=256, asymmetric": (0.91, 0.99),
    "progressive 768 m=256, funnel": (0.90, 0.99),
}
# recall@10 under Hamming distance that the design gives for one set alone
NAMED = {
    "scifact": {
        "sign 64, Hamming": 0.18,
        "sign 128, Hamming": 0.31,
        "sign 256, Hamming": 0.54,
        "sign 384, Hamming": 0.56,
        "itq 64, Hamming": 0.34,
        "itq 128, Hamming": 0.46,
        "itq 256, Hamming": 0.57,
        "itq 384, Hamming": 0.62,
        "first 64 of itq 384, Hamming": 0.22,
    }
}


class Code(NamedTuple):
    """A closed form: its method, length and number of sign bits."""

    method: str
    bits: int
    hamming_bits: int

    @property
    def label(self) -> str:
        """Name in tables."""
        m = f" m={self.hamming_bits}" if self.method == "progressive" else ""
        return f"{self.method} {self.bits}{m}"


CODES = (
    *(Code(method, bits, bits) for method in ("sign", "itq") for bits in (64, 128, 256, 384)),
    Code("progressive", 384, 160),
    Code("progressive", 384, 192),
    Code("progressive", 768, 256),
    Code("progressive", 1536, 384),
)

Rows = dict[str, dict[str, float]]


def library_rows(judge: Judge) -> Rows:
    """Every code as the library fits it: Hamming on the sign bits, float query, funnel."""
    rows: Rows = {}
    for code in CODES:
        kept = code.hamming_bits if code.method == "progressive" else None
        b = bitryoshka.fit(
            judge.data.documents, bits=code.bits, method=code.method, hamming_bits=kept
        ).binarizer
        coded = Coded.of(judge, b)
        searches: dict[str, Search] = {
            "Hamming": coded.hamming(code.bits),
            "asymmetric": coded.asymmetric(code.bits),
        }
        if code.method == "progressive":
            searches["funnel"] = coded.funnel(code.bits)
        for kind, search in searches.items():
            rows[f"{code.label}, {kind}"] = judge.figures(search)
        if code == Code("itq", 384, 384):
            rows["first 64 of itq 384, Hamming"] = judge.figures(coded.hamming(64))
    return rows


def independent_rows(judge: Judge) -> Rows:
    """The same codes without the library, decoded to floats; no funnel."""
    data, rows = judge.data, Rows()
    for code in CODES:
        if code.method == "sign":
            made = baselines.sign_codes(data.documents, data.queries, code.bits)
        elif code.method == "itq":
            made = baselines.itq_codes(data.documents, data.queries, code.bits)
        else:
            made = baselines.progressive_codes(
                data.documents, data.queries, code.bits, code.hamming_bits
            )
        signs = baselines.signs(made.documents)
        rows[f"{code.label}, Hamming"] = judge.figures(score_search(made.hamming, signs))
        rows[f"{code.label}, asymmetric"] = judge.figures(
            score_search(made.asymmetric, made.documents)
        )
    return rows


def targets(sets: Mapping[str, Any], two: Mapping[str, Any]) -> list[Target]:
    """Agreement with the design, and of the library with the independent code."""
    found = []
    for name, named in NAMED.items():
        for label, recall in named.items() if name in sets else ():
            measured = sets[name]["library"][label]["recall"]
            found.append(near(f"{name}: {label}: recall", recall, TOLERANCE, measured))
    for label, (recall, retention) in MEANS.items() if two else ():
        of = "scifact and wikiqa, the design's mean has two more sets"
        row = two["library"][label]
        found.append(near(f"{label}: recall ({of})", recall, TOLERANCE, row["recall"]))
        found.append(near(f"{label}: retention ({of})", retention, TOLERANCE, row["retention"]))
    for name, content in sets.items():
        gaps = {
            label: abs(row["recall"] - content["library"][label]["recall"])
            for label, row in content["independent"].items()
        }
        worst = max(gaps, key=lambda label: gaps[label])
        found.append(
            near(f"{name}: independent code, furthest ({worst})", 0, TOLERANCE, gaps[worst])
        )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.closed_form", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--name", default="closed_form", help="name of the result file")
    given = parser.parse_args(arguments)
    sets: dict[str, Any] = {}
    for folder in given.data:
        judge = Judge.of(read_dataset(folder))
        sets[folder.name] = {
            **judge.data.facts,
            "float_ndcg": judge.ndcg,
            "library": library_rows(judge),
            "independent": independent_rows(judge),
        }
        print(f"\n{folder.name}")
        for label, row in sets[folder.name]["library"].items():
            other = sets[folder.name]["independent"].get(label, {})
            print(f"  {label}: {_text(row)}" + (f"   independent {_text(other)}" if other else ""))
    at_hand = [sets[name] for name in AT_HAND if name in sets]
    two = mean_rows(at_hand) if len(at_hand) == len(AT_HAND) else {}
    for label, (recall, retention) in MEANS.items() if two else ():
        found = _text(two["library"][label])
        print(f"mean of two: {label}: {found}, design {recall:.3f} / {retention:.3f}")
    figures = {
        "comparison": "recall@10 / nDCG@10 retention; the design's means are over four sets",
        "design_means": {
            k: dict(zip(("recall", "retention"), v, strict=True)) for k, v in MEANS.items()
        },
        "mean_of_scifact_and_wikiqa": two or None,
        "sets": sets,
    }
    write(given.name, figures, targets(sets, two))


def _text(row: Mapping[str, float]) -> str:
    return " / ".join(f"{row[key]:.3f}" for key in ("recall", "retention") if key in row)


if __name__ == "__main__":
    main()
