"""What a schema or file says of a column of codes: whose they are, and how long."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from bitryoshka.errors import FingerprintError

_KEY = "bitryoshka:"


class CodeColumn(NamedTuple):
    """Whose codes a column holds: the binarizer's ``fingerprint``, and ``bits`` of a code."""

    fingerprint: str
    bits: int


def metadata_of(column: str, codes: CodeColumn) -> dict[bytes, bytes]:
    """The entry for a column, as Arrow schemas and Parquet files keep it."""
    return {(_KEY + column).encode(): json.dumps(codes._asdict()).encode()}


def described(
    metadata: Mapping[bytes, bytes] | None, column: str, place: str = "the schema"
) -> CodeColumn:
    """What the metadata says of a column; FingerprintError where it says nothing usable."""
    found = (metadata or {}).get((_KEY + column).encode())
    try:
        entry = json.loads(found or b"")
        return CodeColumn(str(entry["fingerprint"]), int(entry["bits"]))
    except (ValueError, TypeError, KeyError):
        raise FingerprintError(
            f"{place} does not say whose codes column {column!r} holds: its metadata have no "
            f"usable entry {_KEY + column!r}"
        ) from None


def check_described(
    metadata: Mapping[bytes, bytes] | None,
    column: str,
    fingerprint: str,
    place: str = "the schema",
) -> CodeColumn:
    """`described`; FingerprintError where the codes are another binarizer's."""
    found = described(metadata, column, place)
    if found.fingerprint != fingerprint:
        raise FingerprintError(
            f"column {column!r} of {place} holds codes of another binarizer: expected fingerprint "
            f"{fingerprint}, found {found.fingerprint}"
        )
    return found
