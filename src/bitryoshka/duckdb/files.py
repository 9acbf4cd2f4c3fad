"""Parquet files of codes, once it is sure whose codes they are."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
from duckdb import ColumnExpression

from bitryoshka.binarizer import Binarizer
from bitryoshka.code_metadata import check_described


def read_codes(
    connection: duckdb.DuckDBPyConnection,
    files: str | Sequence[str],
    binarizer: Binarizer,
    code_column: str = "code",
) -> duckdb.DuckDBPyRelation:
    """``connection.read_parquet(files)``, once all files say that their codes are the binarizer's.

    ``files``: a path or pattern, or several, as DuckDB takes them; what `bitryoshka.arrow` and
    ``bitryoshka encode`` write says so. Raises FingerprintError where a file says otherwise or
    nothing, and DuckDB's errors for files that cannot be read.
    """
    patterns = [files] if isinstance(files, str) else list(files)
    entries: dict[str, dict[bytes, bytes]] = {
        name: {}
        for (name,) in connection.table_function("parquet_file_metadata", [patterns])
        .select(ColumnExpression("file_name"))
        .fetchall()
    }
    for name, key, value in (
        connection.table_function("parquet_kv_metadata", [patterns])
        .select(*map(ColumnExpression, ("file_name", "key", "value")))
        .fetchall()
    ):
        entries[name][bytes(key)] = value
    for name, entry in entries.items():
        check_described(entry, code_column, binarizer.fingerprint, name)
    return connection.read_parquet(patterns)
