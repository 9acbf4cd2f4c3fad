"""What `benchmarks.quality` makes of its rows: means, the printed table, the targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.results import Target, at_least, at_most

ABOVE_ITQ = {"64": 0.03, "128": 0.03, "256": 0.02}
ABOVE_CLOSED_FORM = {"192": 0.02, "384": 0.015, "768": 0.01}
RETENTION = {"384": 0.98, "768": 0.99}
FUNNEL_LOSS = 0.01
LEAST_GAIN = 0.001
BITS_OF = {"48": "384", "96": "768"}
ABOVE_FAISS = ("OPQ+PQ", "RaBitQ", "ITQ+LSH")
PREFIX = {"faiss": "FAISS ", "libraries": ""}

Rows = Mapping[str, Any]


def mean_rows(sets: Sequence[Rows]) -> dict[str, Any]:
    """Mean of every recall and retention that all of the sets have."""
    if not sets:
        return {}
    result: dict[str, Any] = {}
    for key, value in sets[0].items():
        others = [rows[key] for rows in sets if key in rows]
        if len(others) < len(sets) or key in ("gain", "hamming_bits"):
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
    ours = mean.get("ours")
    if ours and "itq" in mean:
        for bits, margin in ABOVE_ITQ.items():
            gain = ours["hamming"][bits]["recall"] - mean["itq"]["hamming"][bits]["recall"]
            found.append(at_least(f"Hamming {bits}: recall above separate ITQ", margin, gain))
    if ours and "progressive" in mean:
        found += _against_closed_form(ours["asymmetric"], mean["progressive"]["asymmetric"])
    if ours:
        for bits, lowest in RETENTION.items():
            kept = ours["asymmetric"][bits]["retention"]
            found.append(at_least(f"asymmetric {bits}: nDCG retention", lowest, kept))
        for bits, funnel in ours["funnel"].items():
            loss = ours["asymmetric"][bits]["recall"] - funnel["recall"]
            found.append(at_most(f"funnel {bits}: recall lost to the shortlist", FUNNEL_LOSS, loss))
    if ours and "faiss" in mean:
        for family in (kind for kind in mean["faiss"] if kind in ABOVE_FAISS):
            for size, bits in BITS_OF.items():
                if size in mean["faiss"][family]:
                    recall = mean["faiss"][family][size]["recall"]
                    gain = ours["asymmetric"][bits]["recall"] - recall
                    found.append(at_least(f"{size} bytes: recall above FAISS {family}", 0, gain))
    for name, content in figures["sets"].items():
        if "queries" in content["rows"]:
            gain = content["rows"]["queries"]["gain"]["mean"]
            found.append(at_least(f"{name}: recall gained by training queries", LEAST_GAIN, gain))
    return found


def _against_closed_form(ours: Rows, closed: Rows) -> list[Target]:
    found = []
    for bits, margin in ABOVE_CLOSED_FORM.items():
        name = f"asymmetric {bits}"
        gain = ours[bits]["recall"] - closed[bits]["recall"]
        kept = ours[bits]["retention"] - closed[bits]["retention"]
        found.append(at_least(f"{name}: recall above the closed form", margin, gain))
        found.append(at_least(f"{name}: nDCG retention above the closed form", 0, kept))
    return found
