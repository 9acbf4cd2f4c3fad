"""Relevance judgements from files, as row numbers."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bitryoshka.errors import FileFormatError

__all__ = ["read_judgements"]

HEADER = ("query-id", "corpus-id", "score")


def read_judgements(
    qrels: str | os.PathLike[str],
    ids: str | os.PathLike[str] | None,
    queries: int,
    rows: int,
) -> list[dict[int, float]]:
    """Grades by row number for each of ``queries`` queries over ``rows`` vectors.

    ``qrels``: tab-separated, with the header ``query-id corpus-id score`` (as in BEIR). ``ids``: a
    JSON file ``{"corpus": [...], "queries": [...]}``, the ids in row order; None: the ids in
    ``qrels`` are row numbers, from 0.

    Raises FileNotFoundError, or FileFormatError for another layout, another number of ids than
    rows, and ids that are not known.
    """
    query_rows, corpus_rows = _read_ids(Path(ids), queries, rows) if ids else (None, None)
    grades: list[dict[int, float]] = [{} for _ in range(queries)]
    try:
        lines = Path(qrels).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{qrels} is no UTF-8 text: {error}") from error
    if not lines or tuple(lines[0].split("\t")) != HEADER:
        raise FileFormatError(
            f"{qrels}: expected the tab-separated header {' '.join(HEADER)}, "
            f"found {lines[0][:60] if lines else 'an empty file'!r}"
        )
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        place = f"{qrels}, line {number}"
        fields = line.split("\t")
        if len(fields) != 3:
            raise FileFormatError(f"{place}: expected 3 tab-separated fields, found {len(fields)}")
        query = _row(place, "query-id", fields[0], query_rows, queries)
        row = _row(place, "corpus-id", fields[1], corpus_rows, rows)
        try:
            grades[query][row] = float(fields[2])
        except ValueError:
            raise FileFormatError(f"{place}: score must be a number, found {fields[2]!r}") from None
    return grades


def _read_ids(file: Path, queries: int, rows: int) -> tuple[dict[str, int], dict[str, int]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{file} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise FileFormatError(f"{file}: expected an object with 'corpus' and 'queries'")
    found = []
    for key, expected in (("queries", queries), ("corpus", rows)):
        names = content.get(key)
        if not isinstance(names, list):
            raise FileFormatError(f"{file}: expected a list of ids under {key!r}")
        numbered = {str(name): i for i, name in enumerate(names)}
        if len(names) != expected or len(numbered) != expected:
            raise FileFormatError(
                f"{file}: expected {expected} different ids under {key!r}, one a row, "
                f"found {len(names)}, {len(numbered)} of them different"
            )
        found.append(numbered)
    return found[0], found[1]


def _row(place: str, name: str, text: str, known: dict[str, int] | None, count: int) -> int:
    if known is not None:
        if text not in known:
            raise FileFormatError(f"{place}: {name} {text!r} is not among the {count} ids")
        return known[text]
    if not text.isdecimal() or int(text) >= count:
        raise FileFormatError(
            f"{place}: {name} must be a row number from 0 to {count - 1} (or give the ids), "
            f"found {text!r}"
        )
    return int(text)
