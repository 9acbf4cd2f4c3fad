"""Operations that register a binarizer in the database, and forget it."""

from __future__ import annotations

from dataclasses import KW_ONLY
from os import PathLike
from pathlib import Path

from alembic.operations import Operations

from bitryoshka.alembic.code_operation import CodeOperation, operation
from bitryoshka.alembic.sending import send, send_text
from bitryoshka.binarizer import Binarizer
from bitryoshka.codec_scripts import register_statements
from bitryoshka.errors import CodecError
from bitryoshka.limits import check_count
from bitryoshka.schema_scripts import quoted

Source = Binarizer | str | PathLike[str]


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
    for statement in register_statements(operation.name, operation.version, binarizer):
        send_text(operations, statement)


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
