"""A binarizer as statements that register it: for any driver, every value a literal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import bit_text
from bitryoshka.catalogue import Cells, check_limits, entry, tables
from bitryoshka.schema_scripts import filled, quoted

__all__ = ["register_statements"]

_ROWS = 100


def register_statements(name: str, version: int, binarizer: Binarizer) -> Iterator[str]:
    """Statements that write the codec, in their order; they do nothing where it is there already.

    Another binarizer under that name and version is an error of the database. Raises CodecError
    for a binarizer that Postgres cannot hold.
    """
    check_limits(binarizer)
    values = {key: _literal(value) for key, value in entry(binarizer).items()}
    yield filled("begin_codec", name=quoted(name), version=str(version), **values)
    codec_id = filled("codec_id", label=quoted(f"{name}@{version}"))
    for rows in tables(binarizer):
        columns = zip(
            *(_literals(cells, rows.height) for cells in rows.columns.values()), strict=True
        )
        written = [f"({codec_id}, {', '.join(row)})" for row in columns]
        for start in range(0, len(written), _ROWS):
            part = ",\n".join(written[start : start + _ROWS])
            names = ", ".join(rows.columns)
            yield filled("insert_codec_rows", table=rows.table, columns=names, rows=part)
    if binarizer.additive is not None:
        yield filled("write_gram", codec_id=codec_id)
    yield filled("make_query_functions", codec_id=codec_id)


def _literal(value: str | int | list[int]) -> str:
    if isinstance(value, list):
        return quoted("{" + ",".join(map(str, value)) + "}")
    return quoted(value) if isinstance(value, str) else str(value)


def _literals(cells: Cells, height: int) -> Iterable[str]:
    """A column as literals: the shortest text that reads back as the same number of its type."""
    kind, values = cells
    if not isinstance(values, np.ndarray):
        return repeat(quoted(values) if isinstance(values, str) else repr(values), height)
    if kind == "vector":
        return (quoted("[" + ",".join(_numbers(row)) + "]") for row in values)
    if kind == "bit varying":
        return (f"B'{bit_text(row)}'" for row in values)
    return _numbers(values)


def _numbers(column: NDArray[Any]) -> list[str]:
    found: list[str] = column.astype(str).tolist()
    return found
