"""Learned, nested binary codes for any embedding model's vectors, in the database you run."""

from bitryoshka.binarizer import Binarizer
from bitryoshka.drift import Drift, check_drift, recalibrate
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
from bitryoshka.evaluation import Evaluation, evaluate
from bitryoshka.planning import Plan, plan
from bitryoshka.search_parameters import SearchParameters
from bitryoshka.search_result import SearchResult
from bitryoshka.training import FitResult, fit
from bitryoshka.vector_files import read_vectors

__all__ = [
    "Binarizer",
    "BitryoshkaError",
    "BitsError",
    "CodecError",
    "CollectionError",
    "DatabaseError",
    "Drift",
    "Evaluation",
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
    "SearchResult",
    "ServerUnreachableError",
    "TableError",
    "VectorsError",
    "check_drift",
    "evaluate",
    "fit",
    "plan",
    "read_vectors",
    "recalibrate",
]
