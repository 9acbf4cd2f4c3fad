"""Whose codes a table, stream, file or dataset holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from bitryoshka.binarizer import Binarizer
from bitryoshka.code_metadata import CodeColumn, check_described, described
from bitryoshka.errors import FingerprintError


def code_column(source: Any, column: str = "code") -> CodeColumn:
    """Whose codes a column holds, as the encoder wrote it into the schema.

    ``source``: a schema, a table, batch or reader, an opened `pyarrow.parquet.ParquetFile`, or a
    `pyarrow.dataset.Dataset`, all of whose files must say the same. Raises FingerprintError where
    one does not say, or where two differ.
    """
    (place, first), *others = [
        (place, described(schema.metadata, column, place)) for place, schema in _schemas(source)
    ]
    for other, found in others:
        if found != first:
            raise FingerprintError(
                f"column {column!r} holds codes of two binarizers or lengths: {place} has {first}, "
                f"{other} has {found}"
            )
    return first


def check_fingerprint(source: Any, binarizer: Binarizer, column: str = "code") -> CodeColumn:
    """`code_column`, where the codes are this binarizer's; FingerprintError otherwise."""
    for place, schema in _schemas(source):
        check_described(schema.metadata, column, binarizer.fingerprint, place)
    return code_column(source, column)


def _schemas(source: Any) -> Iterator[tuple[str, pa.Schema]]:
    """Every schema of a source with the name of its place; of a dataset, each file's own."""
    if isinstance(source, pa.Schema):
        yield "the schema", source
    elif hasattr(source, "get_fragments"):
        fragments = list(source.get_fragments())
        for fragment in fragments:
            yield getattr(fragment, "path", "a fragment"), fragment.physical_schema
        if not fragments:
            yield "the dataset, which has no files,", source.schema
    else:
        yield "the schema", getattr(source, "schema_arrow", None) or source.schema
