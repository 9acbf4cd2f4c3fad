"""Parquet files of codes, once it is sure whose codes they are."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import duckdb
from duckdb import ColumnExpression

from bitryoshka.binarizer import Binarizer
from bitryoshka.code_metadata import check_described
from bitryoshka.kinds import check_kind


def read_codes(
    connection: duckdb.DuckDBPyConnection,
    files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    binarizer: Binarizer,
    code_column: str = "code",
) -> duckdb.DuckDBPyRelation:
    """``connection.read_parquet(files)``, once all files say that their codes are the binarizer's.

    ``files``: a path or pattern, or several, as DuckDB takes them; what `bitryoshka.arrow` and
    ``bitryoshka encode`` write says so. Raises FingerprintError where a file says otherwise or
    nothing, OptionError for what is no connection or path, and DuckDB's errors for files that
    cannot be read.
    """
    check_kind(connection, duckdb.DuckDBPyConnection, "a connection of DuckDB")
    given: list[Any] = (
        list(files) if isinstance(files, Iterable) and not isinstance(files, str) else [files]
    )
    for file in given:
        check_kind(file, (str, os.PathLike), "a path or pattern, or several")
    patterns = [os.fspath(file) for file in given]
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
