"""Every error that bitryoshka raises on purpose.

Each is also a built-in kind, so that ``except ValueError`` works as expected::

    BitryoshkaError
    ├── VectorsError            (ValueError)       NaN, wrong dimension, too few rows, ...
    ├── BitsError               (ValueError)       a code length that is not offered
    ├── OptionError             (ValueError)       a word or number that no argument takes
    ├── FileFormatError         (ValueError)       a file that is no binarizer or no vectors
    ├── FingerprintError        (ValueError)       codes of two different binarizers
    ├── PlanError               (ValueError)       no plan reaches the target
    ├── SearchError             (ValueError)       a search or count that does not fit
    ├── MissingExtraError       (ImportError)      an optional dependency is not installed
    └── DatabaseError           (RuntimeError)
        ├── ServerUnreachableError (ConnectionError)
        ├── PgvectorError                          extension missing or too old
        ├── TableError          (ValueError)       table missing or of another shape
        ├── CodecError          (ValueError)       codec missing, misnamed or in use
        └── CollectionError     (ValueError)       collection or shard missing or of another shape
"""

from __future__ import annotations


class BitryoshkaError(Exception):
    """Base of all errors below."""


class VectorsError(BitryoshkaError, ValueError):
    """The input vectors cannot be used: shape, values or number of rows.

    ``row``: the one that is to blame, counted from 0, or None; the message names it too.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class BitsError(BitryoshkaError, ValueError):
    """A code length, or a packed code's width, that does not fit."""


class OptionError(BitryoshkaError, ValueError):
    """An argument that is none of the words offered, or a number outside its range."""


class FileFormatError(BitryoshkaError, ValueError):
    """A file that is truncated, foreign, of a newer format, or of an unknown kind."""


class FingerprintError(BitryoshkaError, ValueError):
    """Codes made by one binarizer were about to be mixed with those of another."""


class PlanError(BitryoshkaError, ValueError):
    """No way to search reaches the recall that was asked for."""


class SearchError(BitryoshkaError, ValueError):
    """Numbers that do not fit: more results than candidates, a count out of its range."""


class MissingExtraError(BitryoshkaError, ImportError):
    """A feature needs packages that are not installed; the message names the extra."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the extra {extra!r}: pip install '.[{extra}]' in a checkout, "
            f"'FILE.whl[{extra}]' for a wheel"
        )


class DatabaseError(BitryoshkaError, RuntimeError):
    """A database is not in the state that the call needs."""


class ServerUnreachableError(DatabaseError, ConnectionError):
    """No connection to the server could be made."""


class PgvectorError(DatabaseError):
    """The pgvector extension is missing or too old."""


class TableError(DatabaseError, ValueError):
    """A table is missing, or exists with another shape."""


class CodecError(DatabaseError, ValueError):
    """A codec is missing, has a name that is not allowed, or is still in use."""


class CollectionError(DatabaseError, ValueError):
    """A collection or shard is missing, damaged, locked, or exists with another configuration."""
