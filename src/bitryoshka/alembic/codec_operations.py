"""Operations that register a binarizer in the database, and forget it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY
from itertools import repeat
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from alembic.operations import Operations
from numpy.typing import NDArray

from bitryoshka.alembic.code_operation import CodeOperation, operation
from bitryoshka.alembic.sending import send
from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import bit_text
from bitryoshka.catalogue import Cells, check_limits, entry, tables
from bitryoshka.errors import CodecError
from bitryoshka.limits import check_count
from bitryoshka.schema_scripts import filled, quoted

Source = Binarizer | str | PathLike[str]

_ROWS = 100


@operation("register_codec")
class RegisterCodecOp(CodeOperation):
    """Write a binarizer into the database, every bit as it is, as plain INSERTs.

    ``source``: a Binarizer, or the path of its file, read when the migration runs; a relative path
    begins at the folder of env.py. Where the codec is there already, nothing changes; another
    binarizer under that name and version is an error of the database.
    """

    name: str
    source: Source
    version: int = 1

    def __post_init__(self) -> None:
        self.version = check_count(self.version, "version", CodecError)

    def reverse(self) -> DropCodecOp:
        """Forget the codec."""
        return DropCodecOp(f"{self.name}@{self.version}", _reverse=self)


@operation("drop_codec")
class DropCodecOp(CodeOperation):
    """Forget a codec (name@version); an error of the database while a column uses it."""

    codec: str
    _: KW_ONLY
    _reverse: RegisterCodecOp | None = None

    def reverse(self) -> RegisterCodecOp:
        """Register it again; CodecError unless this is the reverse of that."""
        if self._reverse is None:
            raise CodecError(f"dropping codec {self.codec} has no reverse: its file is not known")
        return self._reverse


@Operations.implementation_for(RegisterCodecOp)
def _register(operations: Operations, operation: RegisterCodecOp) -> None:
    binarizer = _load(operations, operation.source)
    check_limits(binarizer)
    label = quoted(f"{operation.name}@{operation.version}")
    send(
        operations,
        "begin_codec",
        name=quoted(operation.name),
        version=str(operation.version),
        **{name: _literal(value) for name, value in entry(binarizer).items()},
    )
    codec_id = filled("codec_id", label=label)
    for rows in tables(binarizer):
        columns = zip(
            *(_literals(cells, rows.height) for cells in rows.columns.values()), strict=True
        )
        written = [f"({codec_id}, {', '.join(row)})" for row in columns]
        for start in range(0, len(written), _ROWS):
            part = ",\n".join(written[start : start + _ROWS])
            names = ", ".join(rows.columns)
            send(operations, "insert_codec_rows", table=rows.table, columns=names, rows=part)
    if binarizer.additive is not None:
        send(operations, "write_gram", codec_id=codec_id)
    send(operations, "make_query_functions", codec_id=codec_id)


@Operations.implementation_for(DropCodecOp)
def _drop(operations: Operations, operation: DropCodecOp) -> None:
    send(operations, "drop_codec", label=quoted(operation.codec))


def _load(operations: Operations, source: Source) -> Binarizer:
    if isinstance(source, Binarizer):
        return source
    environment = operations.get_context().environment_context
    folder = Path(environment.script.dir if environment else ".")
    path = folder / source
    if not path.is_file():
        raise CodecError(
            f"expected a binarizer's file {path.resolve()}, found none: a relative path begins at "
            f"the folder of env.py"
        )
    return Binarizer.load(path)


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
