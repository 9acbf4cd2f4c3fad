"""Codes in Arrow and Parquet: vectors in and codes out without copies of either."""

from bitryoshka.errors import MissingExtraError

try:
    import pyarrow  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.arrow", "arrow") from error

from bitryoshka.arrow.code_arrays import byte_lists, code_array, codes_of
from bitryoshka.arrow.encoding import encode_array, encode_batch, encode_stream
from bitryoshka.arrow.fingerprints import check_fingerprint, code_column, mark_codes
from bitryoshka.code_metadata import CodeColumn

__all__ = [
    "CodeColumn",
    "byte_lists",
    "check_fingerprint",
    "code_array",
    "code_column",
    "codes_of",
    "encode_array",
    "encode_batch",
    "encode_stream",
    "mark_codes",
]
