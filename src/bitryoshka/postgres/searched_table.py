"""What a search by a table's name goes to: its own column of codes, or a table beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from psycopg import sql

from bitryoshka.errors import SearchError, TableError
from bitryoshka.postgres.exchange import Exchange
from bitryoshka.postgres.statements import percent_doubled, statement
from bitryoshka.postgres.target import same_key
from bitryoshka.postgres_rules import check_name


class Beside(NamedTuple):
    """A table of codes; ``vector_type`` is None where the column of vectors is gone."""

    schema: str
    name: str
    vector_column: str
    vector_type: str | None
    metric: str


@dataclass(frozen=True)
class Searched:
    """A table, its key with the schema of each column's operators, and pgvector's schema."""

    schema: str
    name: str
    key: tuple[tuple[str, str], ...]
    pgvector: str
    narrow: Beside | None

    @property
    def table(self) -> sql.Identifier:
        """Schema and name, quoted."""
        return sql.Identifier(self.schema, self.name)

    @property
    def codes(self) -> sql.Identifier:
        """The table that has the codes, quoted."""
        where = self.narrow or self
        return sql.Identifier(where.schema, where.name)

    def keys_of(self, row: str) -> sql.Composed:
        """The columns of the key, of a row by its name in a statement."""
        return sql.SQL(", ").join(sql.Identifier(row, name) for name, _ in self.key)

    def filter(self, where: sql.Composable) -> sql.Composable:
        """A condition on the table's rows as one on the rows of its codes."""
        if self.narrow is None:
            return where
        same = same_key(self.key, "bitryoshka_item", "bitryoshka_row")
        return statement("narrow_filter", table=self.table, same=same, where=where)

    def found(self, row: str) -> sql.Composed:
        """Condition that a row has the key of an item that a search of the codes has found."""
        return sql.SQL(" AND ").join(
            sql.SQL("{} OPERATOR({}.=) (b.item).{}").format(
                sql.Identifier(row, name), sql.Identifier(operators), sql.Identifier(name)
            )
            for name, operators in self.key
        )

    def similarity(self, row: str, query: sql.Composable) -> sql.Composed:
        """The score of a row by its vector; SearchError where that is gone."""
        narrow = self.narrow
        if narrow is None or narrow.vector_type not in ("vector", "halfvec"):
            raise SearchError(
                f"{self.schema}.{self.name} has codes alone, in {narrow and narrow.name}, and no "
                "column of vectors to compare: found rescore='exact'"
            )
        pgvector = sql.Identifier(self.pgvector)
        cosine = narrow.metric == "cosine"
        return sql.SQL(
            "{best} OPERATOR(pg_catalog.-) ({vector} OPERATOR({pgvector}.{operator}) "
            "{query}::{pgvector}.vector::{pgvector}.{kind})"
        ).format(
            best=sql.SQL("1" if cosine else "0"),
            vector=sql.Identifier(row, narrow.vector_column),
            operator=sql.SQL("<=>" if cosine else "<#>"),
            query=query,
            pgvector=pgvector,
            kind=sql.Identifier(narrow.vector_type),
        )

    def statement(self, values: Mapping[str, sql.Composable]) -> sql.Composed:
        """The search of all queries among the codes, whose key is the table's."""
        keys = [sql.SQL("(s.item).{}").format(sql.Identifier(name)) for name, _ in self.key]
        return statement(
            "search_column",
            keys=percent_doubled(sql.SQL(", ").join(keys)),
            table=percent_doubled(self.codes),
            pgvector=percent_doubled(sql.Identifier(self.pgvector)),
            **values,
        )

    def exact_statement(self, values: Mapping[str, sql.Composable]) -> sql.Composed:
        """The same, and then the vectors of its items, looked up by the key."""
        return statement(
            "narrow_search",
            table=percent_doubled(self.table),
            codes=percent_doubled(self.codes),
            pgvector=percent_doubled(sql.Identifier(self.pgvector)),
            t_keys=percent_doubled(self.keys_of("t")),
            s_keys=percent_doubled(self.keys_of("s")),
            found=percent_doubled(self.found("t")),
            similarity=percent_doubled(self.similarity("t", sql.SQL("q.query"))),
            **values,
        )


def find_searched(schema: str, table: str, code_column: str) -> Exchange[Searched]:
    """Look a table up; TableError where it has no key, or codes in several tables."""
    for name in (schema, table):
        check_name(name)
    asked = {"schema": schema, "table": table, "code": code_column}
    query = statement("key_of", **{name: sql.Placeholder(name) for name in asked})
    rows = yield query, asked
    if not rows:
        raise TableError(f"there is no table {schema}.{table} with a primary key")
    _, pgvector, oid, in_row = rows[0]
    # by names alone; operators are asked for where keys are compared
    key = [(name, "pg_catalog") for name, *_ in rows]
    narrow: list[Beside] = []
    if not in_row:
        query = statement("searched_codes", oid=oid, code=sql.Placeholder("code"))
        rows = yield query, {"code": code_column}
        narrow = [Beside(*row) for row in rows]
    if narrow:
        rows = yield statement("primary_key", oid=oid), {}
        key = [(name, operators) for name, _, operators in rows]
    if len(narrow) > 1:
        raise TableError(
            f"codes of {schema}.{table} lie in "
            f"{' and '.join(f'{one.schema}.{one.name}' for one in narrow)}: expected the name of "
            "one of these tables, or another code_column"
        )
    return Searched(schema, table, tuple(key), pgvector, next(iter(narrow), None))
