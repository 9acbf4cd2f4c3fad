"""Learned, nested binary codes for any embedding model's vectors, in the database you run."""

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import (
    BitryoshkaError,
    BitsError,
    CodecError,
    CollectionError,
    DatabaseError,
    FileFormatError,
    FingerprintError,
    MissingExtraError,
    OptionError,
    PgvectorError,
    PlanError,
    SearchError,
    ServerUnreachableError,
    TableError,
    VectorsError,
)
from bitryoshka.plan import Plan
from bitryoshka.training import FitResult, fit

__all__ = [
    "Binarizer",
    "BitryoshkaError",
    "BitsError",
    "CodecError",
    "CollectionError",
    "DatabaseError",
    "FileFormatError",
    "FingerprintError",
    "FitResult",
    "MissingExtraError",
    "OptionError",
    "PgvectorError",
    "Plan",
    "PlanError",
    "SearchError",
    "ServerUnreachableError",
    "TableError",
    "VectorsError",
    "fit",
]
