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
from bitryoshka.planning import Plan, plan
from bitryoshka.search_parameters import SearchParameters
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
    "SearchParameters",
    "ServerUnreachableError",
    "TableError",
    "VectorsError",
    "fit",
    "plan",
]
