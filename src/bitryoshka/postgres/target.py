"""What a codec is attached to: a table, its vector column, its key and its partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple, get_args

from psycopg import sql

from bitryoshka.errors import TableError
from bitryoshka.postgres.codecs import Codec
from bitryoshka.postgres.locking import Mode, TableLock
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.table import VectorType
from bitryoshka.postgres_rules import check_name

BadVectors = Literal["reject", "skip"]

EVERYTHING = sql.SQL("true")


class Key(NamedTuple):
    """A column of a primary key, its type, and the schema of the operators that order it."""

    name: str
    type: str
    operators: str


@dataclass(frozen=True)
class Relation:
    """A table, or a partition of one."""

    oid: int
    schema: str
    name: str

    @property
    def identifier(self) -> sql.Identifier:
        """Schema and name, quoted."""
        return sql.Identifier(self.schema, self.name)

    @property
    def literal(self) -> sql.Literal:
        """Schema and name as text that regclass reads."""
        return sql.Literal(self.identifier.as_string(None))

    @property
    def title(self) -> str:
        """The table for messages."""
        return f"{self.schema}.{self.name}"

    def lock(self, mode: Mode) -> TableLock:
        """A lock of the table and its partitions."""
        return TableLock(self.oid, self.identifier, mode)


@dataclass(frozen=True)
class Target(Relation):
    """A table's vector column and the column of its codes, which may not exist yet.

    ``leaves``: the tables that hold the rows, its partitions or itself. ``codes``: the table that
    holds the codes, where they lie in one of their own, beside the same key.
    """

    vector_column: str
    vector_type: VectorType
    vector_dimensions: int | None
    code_column: str
    code_type: str | None
    key: tuple[Key, ...]
    leaves: tuple[Relation, ...]
    partitioned: bool
    pgvector: str
    codec: Codec
    codes: Relation | None = None

    @property
    def code_table(self) -> Target:
        """The table that has the code column, as an index on it takes it."""
        if self.codes is None:
            return self
        codes = self.codes
        return replace(
            self, oid=codes.oid, schema=codes.schema, name=codes.name, leaves=(codes,), codes=None
        )

    def with_codes(
        self, rows: sql.Composable, within: sql.Composable = EVERYTHING
    ) -> sql.Composable:
        """What to read vectors and codes from: ``rows``, joined to their codes if those are beside.

        ``within``: a condition on the key, which the rows that are read meet anyway.
        """
        if self.codes is None:
            return rows
        return statement(
            "with_codes",
            source=rows,
            within=within,
            columns=sql.SQL(", ").join([self.keys, self.parts["vector"]]),
            columns_of_t=sql.SQL(", ").join(
                [self.keys_of("t"), sql.Identifier("t", self.vector_column)]
            ),
            **self.narrow_parts,
        )

    @cached_property
    def narrow_parts(self) -> dict[str, sql.Composable]:
        """What statements on a table t and its table of codes, n, name."""
        vector = sql.Identifier("t", self.vector_column)
        return {
            **self.parts,
            "codes": (self.codes or self).identifier,
            "keys": self.keys,
            "t_keys": self.keys_of("t"),
            "same": self.same_key("t", "n"),
            "t_has_code": self.has_code(vector),
        }

    def keys_of(self, row: str) -> sql.Composed:
        """The columns of the primary key, of a row by its name in a statement."""
        return sql.SQL(", ").join(sql.Identifier(row, column.name) for column in self.key)

    def same_key(self, left: str, right: str) -> sql.Composed:
        """Condition that two rows, by their names in a statement, have the same key."""
        return same_key([(column.name, column.operators) for column in self.key], left, right)

    @property
    def has_code_column(self) -> bool:
        """Whether the table has a column of that name, of whatever type."""
        return self.code_type is not None

    @cached_property
    def parts(self) -> dict[str, sql.Composable]:
        """The columns as statements name them, and whether a vector, if not NULL, has a code."""
        vector = sql.Identifier(self.vector_column)
        return {
            "vector": vector,
            "code": sql.Identifier(self.code_column),
            "pgvector": sql.Identifier(self.pgvector),
            "has_code": self.has_code(vector),
        }

    def has_code(self, vector: sql.Composable) -> sql.Composable:
        """Condition that a vector, if not NULL, has a code."""
        names = {"vector": vector, "pgvector": sql.Identifier(self.pgvector)}
        conditions: list[sql.Composable] = []
        if self.vector_dimensions is None:
            size = self.codec.dimensions
            conditions.append(statement("has_dimensions", dimensions=size, **names))
        if self.codec.metric == "cosine":
            conditions.append(statement("has_length", **names))
        return sql.SQL(" AND ").join(conditions or [EVERYTHING])

    @cached_property
    def keys(self) -> sql.Composed:
        """The columns of the primary key."""
        return sql.SQL(", ").join(sql.Identifier(column.name) for column in self.key)

    @cached_property
    def key_texts(self) -> sql.Composed:
        """The primary key as text that its types read back."""
        return sql.SQL(", ").join(
            sql.SQL("{}::pg_catalog.text").format(sql.Identifier(column.name))
            for column in self.key
        )

    def compared(self, sign: Literal[">", "<="], values: list[str]) -> sql.Composable:
        """Condition that a row's key comes after one that is given as text, or does not."""
        given = [
            sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(column.type))
            for value, column in zip(values, self.key, strict=True)
        ]
        if len({column.operators for column in self.key}) == 1:
            schema = sql.Identifier(self.key[0].operators)
            return sql.SQL("({}) OPERATOR({}.{}) ({})").format(
                self.keys, schema, sql.SQL(sign), sql.SQL(", ").join(given)
            )
        # rows are compared by one operator, so columns that have others are compared in turn
        found: sql.Composable = sql.SQL("false")
        for column, value in reversed([*zip(self.key, given, strict=True)]):
            found = sql.SQL("({0} OPERATOR({1}.>) {2} OR {0} OPERATOR({1}.=) {2} AND {3})").format(
                sql.Identifier(column.name), sql.Identifier(column.operators), value, found
            )
        return found if sign == ">" else sql.SQL("NOT {}").format(found)


def same_key(columns: Sequence[tuple[str, str]], left: str, right: str) -> sql.Composed:
    """Condition that two rows have the same key, whose columns have operators of a schema each."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} OPERATOR({}.=) {}").format(
            sql.Identifier(left, name), sql.Identifier(operators), sql.Identifier(right, name)
        )
        for name, operators in columns
    )


def find_target(
    connection: Connection,
    table: str,
    vector_column: str,
    codec: Codec,
    code_column: str,
    schema: str,
) -> Target:
    """Look a table up, and check that the codec fits its column; TableError says what does not."""
    check_name(code_column)
    found, kind, has_children = find_table(connection, table, schema)
    oid, title = found.oid, found.title
    if kind == "r" and has_children:
        raise TableError(f"table {title} has tables that inherit from it: attach to each of them")
    columns = {
        name: tuple(rest) for name, *rest in fetch(connection, statement("column_types", oid=oid))
    }
    if vector_column not in columns:
        raise TableError(
            f"table {title} has no column {vector_column!r}: expected one of {sorted(columns)}"
        )
    type_, modifier, generated = columns[vector_column]
    if type_ not in get_args(VectorType):
        raise TableError(
            f"column {vector_column!r} of {title} must be of type vector or halfvec, found {type_}"
        )
    if generated:
        raise TableError(
            f"column {vector_column!r} of {title} is generated: triggers cannot see what it will "
            "hold: attach to the column that it is made of, or make codes by a generated column"
        )
    if modifier not in (-1, codec.dimensions):
        raise TableError(
            f"column {vector_column!r} of {title} has {modifier} dimensions, codec {codec.label} "
            f"expects {codec.dimensions}: fit and attach one for such vectors"
        )
    key = tuple(Key(*row) for row in fetch(connection, statement("primary_key", oid=oid)))
    if not key:
        raise TableError(f"table {title} has no primary key: the backfill goes by ranges of it")
    for column in key:
        if not column.operators:  # such as hstore
            raise TableError(
                f"column {column.name!r} of the primary key of {title} must be of a type that <= "
                f"and > order, found {column.type}: the backfill goes by ranges of the key"
            )
    [(pgvector,)] = fetch(connection, statement("pgvector_schema"))
    return Target(
        oid=oid,
        schema=schema,
        name=table,
        vector_column=vector_column,
        vector_type=type_,
        vector_dimensions=None if modifier == -1 else modifier,
        code_column=code_column,
        code_type=format_type(*columns[code_column][:2]) if code_column in columns else None,
        key=key,
        leaves=_leaves(connection, found),
        partitioned=kind == "p",
        pgvector=pgvector,
        codec=codec,
    )


def format_type(name: str, modifier: int) -> str:
    """A type as ``column_types`` gives it, such as bit(384)."""
    return name if modifier == -1 else f"{name}({modifier})"


def find_table(connection: Connection, table: str, schema: str) -> tuple[Relation, str, bool]:
    """A table, its kind, and whether it has children; TableError where none is."""
    for name in (schema, table):
        check_name(name)
    found = fetch(
        connection,
        statement("table_oid", schema=sql.Literal(schema), table=sql.Literal(table)),
    )
    if not found:
        raise TableError(
            f"there is no table {schema}.{table}: another schema is named by schema= (--schema)"
        )
    oid, kind, has_children = found[0]
    if kind not in ("r", "p"):
        raise TableError(f"{schema}.{table} is no ordinary or partitioned table")
    return Relation(oid, schema, table), kind, has_children


def _leaves(connection: Connection, table: Relation) -> tuple[Relation, ...]:
    found = fetch(connection, statement("leaves", oid=table.oid))
    foreign = [f"{schema}.{name}" for _, schema, name, kind in found if kind != "r"]
    if foreign:
        raise TableError(f"partitions {foreign} of {table.title} are no ordinary tables")
    return tuple(Relation(*row[:3]) for row in found) or (table,)
