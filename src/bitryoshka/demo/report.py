"""What the demo says at its end: its figures as Markdown tables, each with what it means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitryoshka.demo.corpus import Corpus
from bitryoshka.search_parameters import K

HITS = 3
_SHOWN = 5


def report(summary: dict[str, Any]) -> str:
    """Codes by bytes, searches in Postgres, and indexes of more rows."""
    rows, searches = summary["documents"], summary["searches"]
    floats, ours = (searches[name] for name in ("float HNSW", "ours, HNSW, then exact"))
    times = f"{floats['milliseconds']:.1f} ms a query, ours {ours['milliseconds']:.1f} ms"
    return f"""
The same vectors in fewer bytes:

{_codes_table(summary)}

Recall is the share of exact float search's first {K} that are found. nDCG kept says how
near the top the right docstring stays, as a share of what exact float search does. Codes
are compared with a query of floats, or bits with bits (Hamming).

Searches in one PostgreSQL with pgvector, {rows:,} rows, one query at a time:

{searches_table(searches)}

"Then exact" orders what the codes found by the floats beside them; "codes only" needs no
floats in the database. {rows:,} rows of floats and their index fit in memory:
float HNSW takes {times}, so time is no reason to switch here.
An index is fast as long as it stays in memory, and this is what more rows would need:

{_sizes_table({"float HNSW": floats, "ours, HNSW": ours}, rows)}

Computed from the bytes a row above, not measured."""


def _codes_table(summary: dict[str, Any]) -> str:
    lines = [["float32", f"{summary['bytes_before']:,}", "1.000", "1.000"]]
    for source, name in (("sign", "sign bits"), ("ours", "ours")):
        for kind, query in (("hamming", "Hamming"), ("asymmetric", "float query")):
            bits, found = max(summary["quality"][source][kind].items())
            lines.append([f"{name}, {query}", str(bits // 8), *_quality(found)])
    return _markdown(["code", "bytes a vector", f"recall@{K}", f"nDCG@{K} kept"], lines)


def searches_table(searches: dict[str, dict[str, float]]) -> str:
    """Each search with its index, its time and what it finds."""
    lines = []
    for name, found in searches.items():
        costs = [
            f"{found[cost] / unit:.1f}" if cost in found else ""
            for cost, unit in (("index_bytes", 2**20), ("index_seconds", 1), ("milliseconds", 1))
        ]
        lines.append([name, *costs, *_quality(found)])
    head = ["search", "index MiB", "build s", "median ms", f"recall@{K}", f"nDCG@{K} kept"]
    return _markdown(head, lines)


def _sizes_table(indexes: dict[str, dict[str, float]], rows: int) -> str:
    lines = []
    for name, found in indexes.items():
        size = found["index_bytes"] / rows
        many = (f"{size * number / 2**30:.1f} GiB" for number in (10**6, 10**7))
        lines.append([name, f"{size:,.0f}", *many])
    return _markdown(["index", "bytes a row", "1,000,000 rows", "10,000,000 rows"], lines)


def _quality(found: dict[str, float]) -> list[str]:
    return [f"{found[measure]:.3f}" for measure in ("recall", "retention")]


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines))


def answers(corpus: Corpus, asked: list[int], hits: list[list[int]]) -> str:
    """How many of the questions that floats answer the codes answer, and what some found."""
    right = sum(corpus.answers[i] in rows for i, rows in zip(asked, hits, strict=True))
    lines = [
        f"\nExact float search has the right docstring among its first {HITS} for {len(asked)} of "
        f"{len(corpus.questions)}\nquestions. The others are skipped: there the model fails, not "
        f"the codes.\nOf these {len(asked)}, codes alone have it there for {right}. Some of them:"
    ]
    for at in range(0, len(asked), max(1, len(asked) // _SHOWN))[:_SHOWN]:
        answer = corpus.answers[asked[at]]
        lines.append(f"\n? {corpus.questions[asked[at]]}   (expected: {corpus.names[answer]})")
        for row in hits[at]:
            mark = "*" if row == answer else " "
            text = " ".join(corpus.texts[row].split())[:70]
            lines.append(f" {mark} {corpus.names[row]}: {text}")
    return "\n".join(lines)


def what_next(out: Path) -> str:
    """Files that were written, and commands for vectors of one's own."""
    return f"""
Written: {out}/docs.safetensors, {out}/demo.json, {out}/recall.png
Next, with your own vectors (.npy, .npz, .parquet or .jsonl):
  bitryoshka report VECTORS                     says whether codes pay on them
  bitryoshka fit VECTORS -o mine.safetensors    learns codes for them
  bitryoshka evaluate mine.safetensors VECTORS  says what these keep
With vectors in a Postgres table: bitryoshka install, register, attach (docs/tutorial.md)"""
