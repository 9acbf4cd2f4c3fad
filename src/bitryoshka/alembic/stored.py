"""What the database has: columns of codes, those attached to a codec, and their indexes."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import BIT

from bitryoshka.alembic.code_index import CodeIndex, of_database
from bitryoshka.alembic.column_operations import AddCodeColumnOp
from bitryoshka.errors import DatabaseError
from bitryoshka.postgres_rules import untrusted_owner
from bitryoshka.sql_files import read_sql

# schema, table, and the name of a column or index
Place = tuple[str | None, str, str]


class Stored(NamedTuple):
    """``attached``: how each column that has a codec would be added."""

    default_schema: str | None
    bit_columns: dict[Place, BIT]
    attached: dict[Place, AddCodeColumnOp]
    indexes: dict[Place, CodeIndex]

    def place(self, schema: str | None, table: str, name: str) -> Place:
        """A key that is the same for the default schema, named or not."""
        return schema or self.default_schema, str(table), str(name)


def read_stored(connection: Any) -> Stored:
    """Read it by a Connection of SQLAlchemy's."""

    def rows(name: str) -> list[Any]:
        return list(connection.execute(text(read_sql(name).replace(":", "\\:"))))

    owners = rows("schema_owner")
    if owners and not owners[0][1]:
        raise DatabaseError(untrusted_owner(owners[0][0]))
    default = connection.dialect.default_schema_name
    attached: dict[Place, AddCodeColumnOp] = {}
    if rows("columns_view")[0][0] is not None:
        for schema, table, code, vector, codec, bad_vectors, prefix in rows("attached_columns"):
            attached[schema, table, code] = AddCodeColumnOp(
                table,
                vector,
                codec,
                code,
                schema=None if schema == default else schema,
                bad_vectors=bad_vectors,
                prefix_bits=prefix,
            )
    found = filter(None, map(of_database, rows("code_indexes")))
    return Stored(
        default,
        {(schema, table, name): BIT(bits) for schema, table, name, bits in rows("bit_columns")},
        attached,
        {(i.schema, i.table, i.name): i for i in found},
    )
