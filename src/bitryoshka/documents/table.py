"""The table behind a store: its columns, its creation, and what is checked before its use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import Column, Connection, Index, MetaData, Table, Text, inspect, quoted_name
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import NoSuchTableError, ProgrammingError
from sqlalchemy.schema import CreateTable, SetColumnComment

from bitryoshka.binarizer import Binarizer
from bitryoshka.documents.engines import sqlstates
from bitryoshka.errors import DatabaseError, PgvectorError, TableError
from bitryoshka.postgres_rules import (
    CODEC_COMMENT,
    MAY_NOT_CREATE,
    check_available,
    check_codec,
    check_name,
    check_pgvector_version,
    name_within,
)
from bitryoshka.search_parameters import check_prefix_bits
from bitryoshka.sql_files import read_sql
from bitryoshka.sqlalchemy import Code, prefix_index

VectorType = Literal["vector", "halfvec"]
_NOT_ALLOWED = "42501"


def define_table(
    name: str, schema: str, binarizer: Binarizer, vector_type: VectorType | None
) -> Table:
    """``id``, ``content``, ``metadata``, ``code`` and, if kept, ``vector``; nothing is created."""
    for text in (schema, name):
        check_name(text)
    columns: list[Column[Any]] = [
        Column("id", Text, primary_key=True),
        Column("content", Text, nullable=False),
        Column("metadata", JSONB, nullable=False),
        Column(
            "code",
            Code(binarizer.bits),
            nullable=False,
            comment=CODEC_COMMENT + binarizer.fingerprint,
        ),
    ]
    if vector_type is not None:
        if vector_type not in get_args(VectorType):
            raise TableError(
                f"vector_type must be None or one of {get_args(VectorType)}, found {vector_type!r}"
            )
        kind = HALFVEC if vector_type == "halfvec" else VECTOR
        columns.append(Column("vector", kind(binarizer.dimensions), nullable=False))
    return Table(quoted_name(name, True), MetaData(), *columns, schema=quoted_name(schema, True))


def define_index(table: Table, binarizer: Binarizer, prefix_bits: int | None) -> Index:
    """The HNSW index on the prefix that searches use; SearchError for one that is not offered."""
    bits = binarizer.hamming_bits if prefix_bits is None else prefix_bits
    check_prefix_bits(bits, [n for n in binarizer.nested_bits if n <= binarizer.hamming_bits])
    name = name_within(table.name, f"_code_{bits}_hnsw")
    return prefix_index(quoted_name(name, True), table.c.code, bits)


def create_table(connection: Connection, table: Table, without: Index | None) -> None:
    """Create table, comment and indexes, and pgvector where it is missing."""
    _prepare_database(connection)
    connection.execute(CreateTable(table))
    connection.execute(SetColumnComment(table.c.code))
    for index in table.indexes:
        if index is not without:
            index.create(connection)


def table_exists(connection: Connection, table: Table) -> bool:
    """Whether there is a table of this name."""
    return inspect(connection).has_table(table.name, schema=table.schema)


def _prepare_database(connection: Connection) -> None:
    [(installed, available)] = connection.exec_driver_sql(read_sql("pgvector_version"))
    if installed is not None:
        check_pgvector_version(installed)
        return
    check_available(available)
    try:
        connection.exec_driver_sql(read_sql("create_pgvector"))
    except ProgrammingError as error:
        if _NOT_ALLOWED in sqlstates(error):
            raise PgvectorError(MAY_NOT_CREATE) from error
        raise


def check_table(connection: Connection, table: Table, binarizer: Binarizer) -> None:
    """TableError where it is missing or has other columns, FingerprintError for another codec."""
    name = f"{table.schema}.{table.name}"
    try:
        reflected = inspect(connection).get_columns(table.name, schema=table.schema)
    except NoSuchTableError:
        raise TableError(f"there is no table {name}: make it with create_table") from None
    types = {c["name"]: c["type"].compile(connection.dialect) for c in reflected}
    expected = {c.name: c.type.compile(connection.dialect) for c in table.columns}
    # others are the user's own, but vectors that no upsert changes would not be those of the codes
    found = {n: t for n, t in types.items() if n in expected or n == "vector"}
    if found != expected:
        raise TableError(
            f"table {name} has another shape: expected columns {_text(expected)}, "
            f"found {_text(types)}; choose another name, or drop the table"
        )
    [comment] = [c["comment"] for c in reflected if c["name"] == "code"]
    check_codec(name, comment, binarizer.fingerprint)


def check_pgvector(connection: Connection) -> None:
    """PgvectorError where it is missing, or so old that an index scan cannot go on."""
    [(installed, _)] = connection.exec_driver_sql(read_sql("pgvector_version"))
    if installed is None:
        raise PgvectorError("pgvector is not in this database: run CREATE EXTENSION vector")
    check_pgvector_version(installed)


def check_functions(connection: Connection) -> None:
    """Raise DatabaseError unless the database has what scores a float query against codes."""
    if not inspect(connection).has_schema("bitryoshka"):
        raise DatabaseError(
            "the asymmetric score needs schema bitryoshka in this database, found none: run "
            "`bitryoshka install`, or bitryoshka.postgres.install(connection); or keep vectors "
            "and leave rescore='auto', which needs no schema"
        )


def _text(columns: Mapping[str, str]) -> str:
    return "(" + ", ".join(f"{name} {type_.lower()}" for name, type_ in columns.items()) + ")"
