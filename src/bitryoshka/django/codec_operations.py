"""Operations that register a binarizer in the database, and forget it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db.migrations.operations.base import OperationCategory

from bitryoshka.binarizer import Binarizer
from bitryoshka.codec_scripts import register_statements
from bitryoshka.django.operations import PACKAGE, CodeOperation, send, send_text
from bitryoshka.errors import CodecError
from bitryoshka.limits import check_count
from bitryoshka.schema_scripts import quoted

Source = str | PathLike[str]


class RegisterCodec(CodeOperation):
    """Write a binarizer into the database, every bit as it is; backwards, forget the codec.

    ``source``: the path of its file, read when the migration runs; a relative path begins at the
    folder of the app. Where the codec is there already, nothing changes; another binarizer under
    that ``name`` and ``version`` is an error of the database. Backwards it is one while a column
    uses the codec. CodecError for a file that is missing.
    """

    __module__ = PACKAGE
    category = OperationCategory.ADDITION

    def __init__(self, name: str, source: Source, version: int = 1) -> None:
        self.name, self.source = name, source
        self.version = check_count(version, "version", CodecError)

    @property
    def codec(self) -> str:
        """Name and version, such as docs@1."""
        return f"{self.name}@{self.version}"

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Register."""
        if self.allowed(schema_editor, app_label):
            _register(schema_editor, app_label, self.name, self.version, self.source)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Drop."""
        if self.allowed(schema_editor, app_label):
            send(schema_editor, "drop_codec", label=quoted(self.codec))

    def reduce(self, operation: Any, app_label: str) -> Any:
        """Nothing is left of a codec that is dropped again."""
        if isinstance(operation, DropCodec) and operation.codec == self.codec:
            return []
        return super().reduce(operation, app_label)

    def describe(self) -> str:
        """What ``migrate --plan`` shows."""
        return f"Register codec {self.codec}"

    @property
    def migration_name_fragment(self) -> str:
        """Part of a migration's name."""
        return f"register_{_words(self.codec)}"


class DropCodec(CodeOperation):
    """Forget a codec (name@version); an error of the database while a column uses it.

    Backwards it is registered again from ``source``, as `RegisterCodec` does; without one there is
    no way back. CodecError for a label that is none.
    """

    __module__ = PACKAGE
    category = OperationCategory.REMOVAL

    def __init__(self, codec: str, source: Source | None = None) -> None:
        name, _, version = codec.rpartition("@")
        if not name or not version.isdecimal():
            raise CodecError(f"expected a codec name@version, such as 'docs@1', found {codec!r}")
        self.codec, self.source, self.name, self.version = codec, source, name, int(version)

    @property
    def reversible(self) -> bool:  # type: ignore[override]
        """Whether its file is known."""
        return self.source is not None

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Drop."""
        if self.allowed(schema_editor, app_label):
            send(schema_editor, "drop_codec", label=quoted(self.codec))

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Register."""
        if self.source is not None and self.allowed(schema_editor, app_label):
            _register(schema_editor, app_label, self.name, self.version, self.source)

    def describe(self) -> str:
        """What ``migrate --plan`` shows."""
        return f"Drop codec {self.codec}"

    @property
    def migration_name_fragment(self) -> str:
        """Part of a migration's name."""
        return f"drop_{_words(self.codec)}"


def _register(schema_editor: Any, app_label: str, name: str, version: int, source: Source) -> None:
    path = Path(apps.get_app_config(app_label).path) / source
    if not path.is_file():
        raise CodecError(
            f"expected a binarizer's file {path}, found none: a relative path begins at the folder "
            f"of the app"
        )
    for statement in register_statements(name, version, Binarizer.load(path)):
        send_text(schema_editor, statement)


def _words(codec: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in codec.lower())
