"""Operations that register a binarizer in the database, and forget it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from alembic.operations import MigrateOperation, Operations
from numpy.typing import NDArray

from bitryoshka.alembic.sending import send
from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import CodecError
from bitryoshka.schema_scripts import filled, quoted

Source = Binarizer | str | PathLike[str]

_ROWS = 100


@Operations.register_operation("register_codec")
class RegisterCodecOp(MigrateOperation):
    """A binarizer is in the database, under a name and a version."""

    def __init__(self, name: str, source: Source, version: int = 1) -> None:
        self.name, self.source, self.version = name, source, version

    @classmethod
    def register_codec(
        cls, operations: Operations, name: str, source: Source, version: int = 1
    ) -> None:
        """Write a binarizer into the database, every bit as it is, as plain INSERTs.

        ``source``: a Binarizer, or the path of its file, read when the migration runs; a relative
        path begins at the folder of env.py. Where the codec is there already, nothing changes;
        another binarizer under that name and version is an error of the database.
        """
        operations.invoke(cls(name, source, version))

    def reverse(self) -> DropCodecOp:
        """Forget the codec."""
        return DropCodecOp(f"{self.name}@{self.version}", _reverse=self)


@Operations.register_operation("drop_codec")
class DropCodecOp(MigrateOperation):
    """A codec is forgotten."""

    def __init__(self, codec: str, _reverse: RegisterCodecOp | None = None) -> None:
        self.codec, self._reverse = codec, _reverse

    @classmethod
    def drop_codec(cls, operations: Operations, codec: str) -> None:
        """Forget a codec (name@version); an error of the database while a column uses it."""
        operations.invoke(cls(codec))

    def reverse(self) -> RegisterCodecOp:
        """Register it again, where this is the reverse of that."""
        if self._reverse is None:
            raise ValueError(f"dropping codec {self.codec} has no reverse: its file is not known")
        return self._reverse


@Operations.implementation_for(RegisterCodecOp)
def _register(operations: Operations, operation: RegisterCodecOp) -> None:
    binarizer = _load(operations, operation.source)
    label = quoted(f"{operation.name}@{operation.version}")
    send(
        operations,
        "begin_codec",
        name=quoted(operation.name),
        version=str(int(operation.version)),
        fingerprint=quoted(binarizer.fingerprint),
        metric=quoted(binarizer.metric),
        dimensions=str(binarizer.dimensions),
        bits=str(binarizer.bits),
        hamming_bits=str(binarizer.hamming_bits),
        nested_bits=quoted("{" + ",".join(map(str, binarizer.nested_bits)) + "}"),
        info=quoted(json.dumps(dict(binarizer.info), sort_keys=True)),
    )
    codec_id = filled("codec_id", label=label)
    for table, columns, rows in _tables(binarizer):
        written = [f"({codec_id}, {', '.join(row)})" for row in rows]
        for start in range(0, len(written), _ROWS):
            part = ",\n".join(written[start : start + _ROWS])
            send(operations, "insert_codec_rows", table=table, columns=columns, rows=part)


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


def _tables(b: Binarizer) -> Iterator[tuple[str, str, Iterable[tuple[str, ...]]]]:
    """Of each table of a codec: its name, its columns, and its rows as literals."""
    yield _weights("row", 0, b.projection, b.offset, b.step, b.planes)
    if b.hamming_projection is not None or b.hamming_offset is not None:
        yield _weights("query bits", 0, b.hamming_projection, b.hamming_offset)
    if b.weight_projection is not None:
        parts = np.split(b.weight_projection, np.cumsum(b.nested_bits)[:-1])
        for cut, projection in zip(b.nested_bits, parts, strict=True):
            yield _weights("query weights", cut, projection)
    mask = np.left_shift(1, b.planes[b.bit_dimension].astype(np.int32) - 1 - b.bit_plane)
    layout = (_numbers(x) for x in (np.arange(b.bits), b.bit_dimension, b.bit_plane, mask))
    yield "code_bits", "position, dimension, plane, mask", zip(*layout, strict=True)
    cuts = zip(_numbers(np.array(b.nested_bits)), _vectors(b.levels), strict=True)
    yield "cuts", "bits, levels", cuts


def _weights(
    role: str,
    cut: int,
    weights: NDArray[np.float32] | None,
    *numbers: NDArray[Any] | None,
) -> tuple[str, str, Iterable[tuple[str, ...]]]:
    names = ["weights", "threshold", "step", "planes"]
    values: list[Iterable[str] | None] = [None if weights is None else _vectors(weights)]
    values += [None if column is None else _numbers(column) for column in numbers]
    given = {name: v for name, v in zip(names, values, strict=False) if v is not None}
    rows = zip(*given.values(), strict=True)
    keyed = ((quoted(role), str(cut), str(i), *row) for i, row in enumerate(rows))
    return "weights", ", ".join(("role", "cut", "dimension", *given)), keyed


def _numbers(column: NDArray[Any]) -> list[str]:
    """The shortest text that reads back as the same number of the column's type."""
    found: list[str] = column.astype(str).tolist()
    return found


def _vectors(rows: NDArray[np.float32]) -> Iterator[str]:
    return (quoted("[" + ",".join(_numbers(row)) + "]") for row in rows)
