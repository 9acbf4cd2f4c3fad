"""What the database has: columns of codes, those attached to a codec, and their indexes."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import BIT

from bitryoshka.alembic.code_index import CodeIndex, of_database
from bitryoshka.alembic.column_operations import AddCodeColumnOp, DropCodeColumnOp
from bitryoshka.alembic.note_operation import NoteOp
from bitryoshka.alembic.trigger_operations import ReleaseCodeColumnOp, RestoreCodeColumnOp
from bitryoshka.errors import DatabaseError
from bitryoshka.postgres_rules import untrusted_owner
from bitryoshka.sql_files import read_sql

# schema, table, and the name of a column or index
Place = tuple[str | None, str, str]


class Held(NamedTuple):
    """A column in the catalogue, as it would be added.

    ``addition`` has no vector column where the codes were adopted; ``dimensions`` are the codec's.
    ``whole``: the table has the columns that the entry names.
    """

    addition: AddCodeColumnOp
    dimensions: int
    whole: bool

    @property
    def adopted(self) -> bool:
        """Whether somebody else writes the codes: there is no trigger."""
        return not self.addition.vector_column

    def agrees(self, wanted: AddCodeColumnOp) -> bool:
        """Whether it is attached as a model wants it."""
        made = self.addition
        same = (made.codec, made.vector_column) == (wanted.codec, wanted.vector_column)
        return self.whole and same

    def is_restorable(self, wanted: AddCodeColumnOp) -> bool:
        """Whether its codes are those that a model wants, and nothing but a trigger is missing."""
        made = self.addition
        same = (made.codec, made.bad_vectors) == (wanted.codec, wanted.bad_vectors)
        return same and (self.adopted or not self.whole)

    def removal(self) -> DropCodeColumnOp:
        """The operation that takes it out of the catalogue, and what it added off the table."""
        made = self.addition
        if self.whole and not self.adopted:
            return made.reverse()
        note = (
            f"codes of {made.codec} in {made.code_column} of {made.table_name} were adopted: after "
            "this, bitryoshka.postgres.adopt."
        )
        return DropCodeColumnOp(
            made.table_name,
            made.code_column,
            schema=made.schema,
            _reverse=NoteOp(note if self.adopted else ""),
        )

    def release(self) -> ReleaseCodeColumnOp:
        """The operation that takes its trigger away, and leaves the codes."""
        made = self.addition
        # nobody could make its codes again
        back = self.restoration(made.vector_column, backfill=False)
        return ReleaseCodeColumnOp(
            made.table_name,
            made.code_column,
            schema=made.schema,
            _reverse=back if self.whole else NoteOp(""),
        )

    def restoration(self, vector_column: str, backfill: bool = True) -> RestoreCodeColumnOp:
        """The operation that makes its trigger anew."""
        made = self.addition
        table, code, schema = made.table_name, made.code_column, made.schema
        return RestoreCodeColumnOp(
            table,
            vector_column,
            code,
            schema=schema,
            backfill=backfill,
            _reverse=ReleaseCodeColumnOp(table, code, schema=schema) if self.adopted else None,
        )


class Stored(NamedTuple):
    """``held``: what the catalogue has."""

    default_schema: str | None
    bit_columns: dict[Place, BIT]
    held: dict[Place, Held]
    indexes: dict[Place, CodeIndex]

    def on(self, schema: str | None, table: str) -> dict[Place, Held]:
        """The columns of one table in the catalogue."""
        there = self.place(schema, table, "")[:2]
        return {place: held for place, held in self.held.items() if place[:2] == there}

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
    held: dict[Place, Held] = {}
    if rows("columns_view")[0][0] is not None:
        for schema, table, code, vector, codec, dimensions, bad, prefix, whole in rows(
            "attached_columns"
        ):
            made = AddCodeColumnOp(
                table,
                vector or "",
                codec,
                code,
                schema=None if schema == default else schema,
                bad_vectors=bad,
                prefix_bits=prefix,
            )
            held[schema, table, code] = Held(made, dimensions, whole)
    found = filter(None, map(of_database, rows("code_indexes")))
    return Stored(
        default,
        {(schema, table, name): BIT(bits) for schema, table, name, bits in rows("bit_columns")},
        held,
        {(i.schema, i.table_name, i.index_name): i for i in found},
    )
