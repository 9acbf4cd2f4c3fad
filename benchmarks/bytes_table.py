"""Tables of `benchmarks.quality` by bytes: a few codes, more of them, and everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Rows = Mapping[str, Any]
Place = tuple[str, str, str]
"""Method, kind and length of a row: ``("faiss", "RaBitQ", "48")``."""

PEERS = {
    "faiss": "FAISS ",
    "libraries": "",
    "sentence_transformers": "sentence-transformers ",
    "qdrant": "Qdrant ",
    "truncated": "",
}
SEARCHES = {"hamming": "Hamming", "asymmetric": "float query", "funnel": "funnel"}
NAMES = {
    "sign": "sign bits",
    "itq": "ITQ",
    "progressive": "ours, progressive",
    "ours": "ours",
    "nested": "ours, one code for all lengths",
}
SIZES = (48, 96)
OURS = "**ours**"

FIRST: dict[str, tuple[Place | None, Place | None]] = {
    "the first floats, as float16": (
        ("truncated", "first float16", "48"),
        ("truncated", "first float16", "96"),
    ),
    "principal components, as int8": (
        ("truncated", "principal int8", "48"),
        ("truncated", "principal int8", "96"),
    ),
    "sign bits, Hamming (`binary_quantize`)": (("sign", "hamming", "384"), None),
    "sentence-transformers binary, own rescoring": (
        ("sentence_transformers", "binary, own rescoring", "48"),
        None,
    ),
    "Qdrant BQ of 1 and 2 bits, 8-bit query": (
        ("qdrant", "1-bit BQ, 8-bit query", "48"),
        ("qdrant", "2-bit BQ, 8-bit query", "96"),
    ),
    "Qdrant TurboQuant of 1 and 2 bits (56 and 104 bytes)": (
        ("qdrant", "TurboQuant 1 bits", "56"),
        ("qdrant", "TurboQuant 2 bits", "104"),
    ),
    "FAISS RaBitQ": (("faiss", "RaBitQ", "48"), ("faiss", "RaBitQ", "96")),
    "FAISS OPQ+PQ": (("faiss", "OPQ+PQ", "48"), ("faiss", "OPQ+PQ", "96")),
    OURS: (("ours", "asymmetric", "384"), ("ours", "asymmetric", "768")),
}
FEW = {
    "sign bits, Hamming (`binary_quantize`)": "sign bits (pgvector's `binary_quantize`)",
    "sentence-transformers binary, own rescoring": "sign bits, float query (sentence-transformers)",
    "Qdrant TurboQuant of 1 and 2 bits (56 and 104 bytes)": "Qdrant TurboQuant of 1 bit (56 bytes)",
    "FAISS OPQ+PQ": "FAISS OPQ+PQ",
    OURS: OURS,
}
MEASURES = {"recall@10": "recall", "nDCG@10": "retention"}


class Line(NamedTuple):
    """One code at one size, with its figures."""

    code: str
    code_bytes: int
    figures: Mapping[str, Any]


def _at(mean: Rows, place: Place | None) -> Mapping[str, Any] | None:
    if place is None:
        return None
    method, kind, length = place
    found: Mapping[str, Any] | None = mean.get(method, {}).get(kind, {}).get(length)
    return found


def _cells(figures: Mapping[str, Any] | None) -> list[str]:
    if figures is None:
        return ["", "", ""]
    again = figures.get("rescored", {}).get("recall")
    last = "" if again is None else f"{again:.3f}"
    return [f"{figures['recall']:.3f}", f"{figures['retention']:.3f}", last]


def first_table(mean: Rows) -> str:
    """Markdown: recall, nDCG retention and rescored recall of what was measured, by size."""
    head = ["code"]
    for size in SIZES:
        head += [f"recall@10, {size} B", "nDCG kept", "rescored"]
    text = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for label, places in FIRST.items():
        found = [_at(mean, place) for place in places]
        if any(found):
            text.append([label, *(cell for figures in found for cell in _cells(figures))])
    return "\n".join("| " + " | ".join(line) + " |" for line in text)


def losses(mean: Rows) -> Iterator[str]:
    """A sentence for each size: which peers are ahead of ours, and in what."""
    for column, size in enumerate(SIZES):
        ours = _at(mean, FIRST[OURS][column])
        if ours is None:
            continue
        parts = []
        for name, measure in MEASURES.items():
            ahead = [
                f"{label} ({found[measure]:.3f})"
                for label, places in FIRST.items()
                if "ours" not in label
                and (found := _at(mean, places[column]))
                and found[measure] > ours[measure]
            ]
            parts.append(f"in {name} {'; '.join(ahead) or 'none'}")
        yield f"Of these, ahead of ours at {size} bytes: {', and '.join(parts)}."


def few_block(figures: Mapping[str, Any]) -> str:
    """Five codes of the smaller size, and the one that finds more of what it was trained on."""
    mean = figures["mean"]
    text = [
        "| code | top 10 found | nDCG kept | found with floats |",
        "| --- | ---: | ---: | ---: |",
    ]
    for label, name in FEW.items():
        text.append(f"| {name} | {' | '.join(_cells(_at(mean, FIRST[label][0])))} |")
    seen, unseen = (mean["faiss"][name]["48"]["recall"] for name in ("RQ", "RQ, unseen documents"))
    return "\n".join(text) + (
        f"\n\nMean of {', '.join(figures['mean_over'])}, all-MiniLM-L6-v2. FAISS RQ finds "
        f"{seen:.3f} of documents that it was trained on, and {unseen:.3f} of others."
    )


def first_block(figures: Mapping[str, Any]) -> str:
    """The first table, what it is a mean of, and where we lose."""
    mean, sets = figures["mean"], figures["sets"]
    width = next(iter(sets.values()))["dimensions"]
    sizes = f"{width:,} float32 dimensions are {4 * width:,} bytes"
    text = [first_table(mean), f"Mean of {', '.join(figures['mean_over'])}; {sizes}."]
    return "\n\n".join([*text, "\n".join(f"* {sentence}" for sentence in losses(mean))])


def byte_lines(mean: Rows) -> list[Line]:
    """Every code and search, the smallest first."""
    found = []
    for method, kinds in mean.items():
        for kind, lengths in kinds.items():
            for length, figures in lengths.items():
                if method in PEERS:
                    found.append(Line(f"{PEERS[method]}{kind}", int(length), figures))
                elif method in NAMES and kind in SEARCHES:
                    code = f"{NAMES[method]}, {SEARCHES[kind]}"
                    found.append(Line(code, int(length) // 8, figures))
    return sorted(found, key=lambda line: (line.code_bytes, -line.figures["recall"]))


def byte_table(mean: Rows) -> str:
    """Markdown: everything that was measured, by bytes and then by recall."""
    text = ["| bytes | code, search | recall@10 / nDCG@10 kept | rescored |"]
    text.append("| ---: | --- | ---: | ---: |")
    for code, code_bytes, figures in byte_lines(mean):
        again = figures.get("rescored")
        cells = [f"{f['recall']:.3f} / {f['retention']:.3f}" if f else "" for f in (figures, again)]
        text.append(f"| {code_bytes} | {code} | {cells[0]} | {cells[1]} |")
    return "\n".join(text)
