"""Codes in DuckDB: its own bit functions search Parquet files, tables and Arrow data."""

from bitryoshka.errors import MissingExtraError

try:
    import duckdb  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.duckdb", "duckdb") from error

from bitryoshka.duckdb.files import read_codes
from bitryoshka.duckdb.searching import search
from bitryoshka.search_result import SearchResult

__all__ = ["SearchResult", "read_codes", "search"]
