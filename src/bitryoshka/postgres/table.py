"""Tables that hold codes: made, checked and indexed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import psycopg
from psycopg import sql

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import check_bits
from bitryoshka.errors import BitsError, TableError
from bitryoshka.postgres.server import MADE_MEANWHILE, Connection, prepare_database
from bitryoshka.postgres.statements import fetch, pgvector_schema, prefix_expression, statement
from bitryoshka.postgres_rules import (
    CODEC_COMMENT,
    EF_CONSTRUCTION,
    M,
    check_codec,
    check_name,
    name_within,
)

VectorType = Literal["vector", "halfvec"]


@dataclass(frozen=True)
class CodeTable:
    """A table of ``id bigint``, ``code bit(bits)`` and, if kept, ``vector`` with its type.

    ``fingerprint`` names the binarizer whose codes the table holds.
    """

    schema: str
    name: str
    bits: int
    hamming_bits: int
    dimensions: int
    vector_type: VectorType | None
    fingerprint: str

    @property
    def identifier(self) -> sql.Identifier:
        """Schema and name, quoted."""
        return sql.Identifier(self.schema, self.name)

    def columns(self) -> list[tuple[str, str]]:
        """Names and types, as Postgres prints them."""
        found = [("id", "bigint"), ("code", f"bit({self.bits})")]
        if self.vector_type is not None:
            found.append(("vector", f"{self.vector_type}({self.dimensions})"))
        return found


def create_table(
    connection: Connection,
    name: str,
    binarizer: Binarizer,
    vector_type: VectorType | None = None,
    schema: str = "public",
) -> CodeTable:
    """Create a table for a binarizer's codes, and pgvector where it is missing.

    ``vector_type``: keep the vectors too, as "vector" or "halfvec", for exact rescoring; None
    keeps codes alone. A table of the same shape and fingerprint that exists already is taken
    as it is. Raises TableError if it has another shape, FingerprintError if it holds another
    binarizer's codes, PgvectorError if pgvector cannot be used; nothing is changed then.
    """
    table = _described(schema, name, binarizer, vector_type)
    vector_column: sql.Composable = sql.SQL("")
    with connection.transaction():
        prepare_database(connection)
        if _columns(connection, table):
            return open_table(connection, name, binarizer, vector_type, schema)
        if vector_type is not None:
            vector_column = statement(
                "vector_column",
                pgvector=pgvector_schema(connection),
                vector_type=sql.Identifier(vector_type),
                dimensions=binarizer.dimensions,
            )
        try:
            with connection.transaction():
                connection.execute(
                    statement(
                        "create_table",
                        table=table.identifier,
                        bits=table.bits,
                        vector_column=vector_column,
                    )
                )
                connection.execute(
                    statement(
                        "comment_codec",
                        table=table.identifier,
                        codec=sql.Literal(CODEC_COMMENT + table.fingerprint),
                    )
                )
        except MADE_MEANWHILE:
            return open_table(connection, name, binarizer, vector_type, schema)
    return table


def open_table(
    connection: Connection,
    name: str,
    binarizer: Binarizer,
    vector_type: VectorType | None = None,
    schema: str = "public",
) -> CodeTable:
    """An existing table, after checking its columns and that its codes are this binarizer's.

    Raises TableError if it is missing or has another shape, FingerprintError if another
    binarizer wrote it.
    """
    table = _described(schema, name, binarizer, vector_type)
    found = _columns(connection, table)
    if not found:
        raise TableError(f"there is no table {schema}.{name}: make it with create_table")
    shape = [(column, type_) for column, type_, _ in found]
    if shape != table.columns():
        raise TableError(
            f"table {schema}.{name} has another shape: expected columns {_text(table.columns())}, "
            f"found {_text(shape)}; choose another name, or give the table that there is a column "
            "of codes with attach"
        )
    codec = next(comment for column, _, comment in found if column == "code")
    check_codec(f"{schema}.{name}", codec, binarizer.fingerprint)
    return table


def _described(
    schema: str, name: str, binarizer: Binarizer, vector_type: VectorType | None
) -> CodeTable:
    if vector_type is not None and vector_type not in get_args(VectorType):
        raise TableError(
            f"vector_type must be None or one of {get_args(VectorType)}, found {vector_type!r}"
        )
    for text in (schema, name):
        check_name(text)
    return CodeTable(
        schema,
        name,
        binarizer.bits,
        binarizer.hamming_bits,
        binarizer.dimensions,
        vector_type,
        binarizer.fingerprint,
    )


def _columns(connection: Connection, table: CodeTable) -> list[tuple[str, str, str | None]]:
    name = table.identifier.as_string(None)
    found = fetch(connection, statement("table_columns", table=sql.Literal(name)))
    return [(column, type_, comment) for column, type_, comment in found]


def _text(columns: list[tuple[str, str]]) -> str:
    return "(" + ", ".join(f"{name} {type_}" for name, type_ in columns) + ")"


def create_index(
    connection: Connection,
    table: CodeTable,
    prefix_bits: int | None = None,
    m: int = M,
    ef_construction: int = EF_CONSTRUCTION,
) -> str:
    """Build an HNSW index over the Hamming distance of the first ``prefix_bits``; give its name.

    ``prefix_bits``: None takes all Hamming bits, as a search does. ``m`` and ``ef_construction``
    are pgvector's; its own defaults, 16 and 64, suit float vectors, whose lists are short.

    Raises TableError if an index of that name exists.
    """
    prefix_bits = _prefix_length(table, prefix_bits)
    name = name_within(table.name, f"_code_{prefix_bits}_hnsw")
    try:
        connection.execute(
            statement(
                "create_index",
                index=sql.Identifier(name),
                table=table.identifier,
                prefix=prefix_expression(prefix_bits, table.bits),
                pgvector=pgvector_schema(connection),
                m=m,
                ef_construction=ef_construction,
            )
        )
    except psycopg.errors.DuplicateTable as error:
        raise TableError(f"there is already an index {name}: drop it first") from error
    return name


def _prefix_length(table: CodeTable, prefix_bits: int | None) -> int:
    """The prefix length in bits, all Hamming bits for None; BitsError if it is too long."""
    if prefix_bits is None:
        return table.hamming_bits
    length = check_bits(prefix_bits, "prefix_bits")
    if length > table.bits:
        raise BitsError(f"prefix_bits must be at most the code's {table.bits}, found {prefix_bits}")
    return length
