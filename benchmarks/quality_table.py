"""What `benchmarks.quality` makes of its rows: means, the printed table, the targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.results import Target, at_least, at_most

# recall and retention of a float query, loss of recall by a Hamming list first, Hamming recall
WANTED = {
    "192": (0.785, 0.970, 0.005, 0.60),
    "256": (0.830, 0.985, 0.005, 0.64),
    "384": (0.875, 0.997, 0.003, 0.69),
    "768": (0.940, 1.000, 0.005, 0.71),
}
ABOVE_CLOSED_FORM = {"384": 0.02, "768": 0.01}
CUT_LOSS = 0.01
# of one code for all lengths, whose signs were trained by gradients
PREFIXES_BEFORE = {"64": 0.460, "128": 0.538}
DOCUMENTS = {"headlines32k": 0.80, "stackoverflow_titles": 0.82}
DOCUMENTS_FUNNEL = 0.005
LEAST_GAIN = 0.001
# codebooks of several times the documents' own size hold the small sets they were fitted to
MEMORISING = ("FAISS RQ", "FAISS LSQ")
PREFIX = {"faiss": "FAISS ", "libraries": ""}

Rows = Mapping[str, Any]


def mean_rows(sets: Sequence[Rows]) -> dict[str, Any]:
    """Mean of every recall and retention that all of the sets have."""
    if not sets:
        return {}
    result: dict[str, Any] = {}
    for key, value in sets[0].items():
        others = [rows[key] for rows in sets if key in rows]
        if len(others) < len(sets) or key in ("gain", "chosen"):
            continue
        if isinstance(value, Mapping):
            if inner := mean_rows(others):
                result[key] = inner
        elif key in ("recall", "retention"):
            result[key] = sum(others) / len(others)
    return result


def lines(rows: Rows) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """``(code, search, figures by length)`` of every row of the table."""
    for method, kinds in rows.items():
        for kind, lengths in kinds.items():
            if method in PREFIX:
                yield PREFIX[method] + kind, "", {str(8 * int(b)): f for b, f in lengths.items()}
            elif kind in ("hamming", "asymmetric", "funnel"):
                yield method, kind, lengths


def table(rows: Rows) -> str:
    """Markdown: recall@10 / nDCG@10 retention, one line a code and search, one column a length."""
    found = list(lines(rows))
    columns = sorted({bits for _, _, lengths in found for bits in lengths}, key=int)
    head = ["code", "search", *(f"{bits} bits" for bits in columns)]
    text = [head, ["---"] * len(head)]
    for code, search, lengths in found:
        text.append([code, search, *(_cell(lengths.get(bits)) for bits in columns)])
    return "\n".join("| " + " | ".join(line) + " |" for line in text)


def _cell(figures: Mapping[str, float] | None) -> str:
    if not figures:
        return ""
    retention = figures.get("retention")
    return f"{figures['recall']:.3f}" + (f" / {retention:.3f}" if retention is not None else "")


def targets(figures: Mapping[str, Any]) -> list[Target]:
    """Those targets whose rows were measured, on the mean of the judged sets."""
    mean, found = figures["mean"], list[Target]()
    if ours := mean.get("ours"):
        for bits, wanted in WANTED.items():
            found += _own_targets(ours, bits, *wanted)
        for family, sizes in _families(mean):
            for size, figure in sizes.items():
                if (bits := str(8 * int(size))) in ours["asymmetric"]:
                    gain = ours["asymmetric"][bits]["recall"] - figure["recall"]
                    found.append(at_least(f"{size} bytes: recall above {family}", 0, gain))
    if "half" in mean:
        for bits, margin in ABOVE_CLOSED_FORM.items():
            gain = (
                mean["half"]["ours"][bits]["recall"] - mean["half"]["progressive"][bits]["recall"]
            )
            name = f"fitted to half, {bits} bits: recall above the closed form"
            found.append(at_least(name, margin, gain))
    if ours and "nested" in mean:
        for bits, figure in mean["nested"]["asymmetric"].items():
            loss = ours["asymmetric"][bits]["recall"] - figure["recall"]
            name = f"nested, {bits} bits: recall lost to a code of that length"
            found.append(at_most(name, CUT_LOSS, loss))
        for bits, least in PREFIXES_BEFORE.items():
            recall = mean["nested"]["hamming"][bits]["recall"]
            found.append(at_least(f"nested, Hamming prefix of {bits} bits: recall", least, recall))
    for name, content in figures["sets"].items():
        found += _set_targets(name, content["rows"])
    return found


def _own_targets(
    ours: Rows, bits: str, recall: float, kept: float, loss: float, hamming: float
) -> list[Target]:
    figure = ours["asymmetric"][bits]
    lost = figure["recall"] - ours["funnel"][bits]["recall"]
    return [
        at_least(f"{bits} bits: recall", recall, figure["recall"]),
        at_least(f"{bits} bits: nDCG retention", kept, figure["retention"]),
        at_most(f"{bits} bits: recall lost to a Hamming list of 100", loss, lost),
        at_least(f"{bits} bits: Hamming recall", hamming, ours["hamming"][bits]["recall"]),
    ]


def _families(mean: Rows) -> Iterator[tuple[str, Rows]]:
    for method, prefix in PREFIX.items():
        for family, sizes in mean.get(method, {}).items():
            if prefix + family not in MEMORISING:
                yield prefix + family, sizes


def _set_targets(name: str, rows: Rows) -> list[Target]:
    found = []
    if name in DOCUMENTS and "ours" in rows:
        figure, first = (rows["ours"][kind]["384"]["recall"] for kind in ("asymmetric", "funnel"))
        found.append(at_least(f"{name}, 384 bits: recall", DOCUMENTS[name], figure))
        label = f"{name}, 384 bits: recall lost to a Hamming list of 100"
        found.append(at_most(label, DOCUMENTS_FUNNEL, figure - first))
    if "queries" in rows:
        gain = rows["queries"]["gain"]["mean"]
        found.append(at_least(f"{name}: recall gained by training queries", LEAST_GAIN, gain))
    return found
