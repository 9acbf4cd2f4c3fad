"""A column of codes as its table has it now: found, told where it is not as it was, counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from bitryoshka.errors import TableError
from bitryoshka.postgres.codecs import find_codec
from bitryoshka.postgres.columns import Entry, find_entry, require_entry
from bitryoshka.postgres.installation import require_installed
from bitryoshka.postgres.lone_codes import aside_of
from bitryoshka.postgres.narrow_table import NarrowTable, beside, has_column, narrow_of
from bitryoshka.postgres.narrow_trigger import has_lost_triggers, has_trigger
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.target import Target, find_table, find_target


@dataclass(frozen=True)
class Counts:
    """Rows of a table.

    Of them ``empty`` have no vector, ``bad`` one that has no code, ``missing`` no code yet, and
    ``extra`` a code although they should have none; a table of codes may have further ones, whose
    rows are gone.
    """

    rows: int
    empty: int
    bad: int
    missing: int
    extra: int


def count_rows(connection: Connection, target: Target, has_codes: bool) -> Counts:
    """Count the rows; where the code column does not exist yet, every code is missing."""
    parts: dict[str, Any] = dict(target.parts)
    source: sql.Composable = target.identifier
    if has_codes:
        source = target.with_codes(source)
    else:
        parts["code"] = sql.NULL
    counts = Counts(*fetch(connection, statement("count_rows", table=source, **parts))[0])
    if target.codes is None or not has_codes:
        return counts
    orphans = statement("narrow_orphans", table=target.identifier, **target.narrow_parts)
    return replace(counts, extra=counts.extra + int(fetch(connection, orphans)[0][0]))


def find_attached(
    connection: Connection, table: str, schema: str, code_column: str
) -> tuple[Target, Entry]:
    """A table's code column and its entry; TableError where it has no codec, or no vectors."""
    require_installed(connection)
    found, _, _ = find_table(connection, table, schema)
    if narrow := narrow_of(connection, found, code_column):
        return _find_beside(connection, narrow)
    if find_entry(connection, found.oid, code_column) is None and has_lost_triggers(
        connection, found
    ):
        raise TableError(
            f"the table of codes of {found.title} was dropped, and its trigger is left, which "
            "refuses writes: attach in layout narrow makes it anew, detach ends it"
        )
    entry = require_entry(connection, found.oid, found.title, code_column)
    if entry.vector_column is None:
        raise TableError(f"{found.title} has codes alone, and no vectors to check them by")
    if not has_column(connection, found, entry.vector_column):
        raise TableError(
            f"column {entry.vector_column!r} of {found.title}, which column "
            f"{entry.code_column!r} holds codes of, is gone: if it was renamed, attach "
            f"{entry.codec} to its new name; if it was dropped, adopt keeps the codes and detach "
            "drops them"
        )
    codec = find_codec(connection, entry.codec)
    target = find_target(connection, table, entry.vector_column, codec, entry.code_column, schema)
    check_code_type(target)
    return target, entry


def _find_beside(connection: Connection, narrow: NarrowTable) -> tuple[Target, Entry]:
    table, codes = narrow.table, narrow.codes
    entry = find_entry(connection, codes.oid, narrow.code_column)
    if entry is None:
        raise TableError(
            f"{codes.title} has codes of {table.title}, and no entry in the catalogue: attach in "
            "layout narrow takes it up"
        )
    if not has_column(connection, table, narrow.vector_column):
        raise TableError(_gone(connection, narrow, entry))
    codec = find_codec(connection, entry.codec)
    target = find_target(
        connection, table.name, narrow.vector_column, codec, narrow.code_column, table.schema
    )
    return beside(connection, target, narrow), entry


def _gone(connection: Connection, narrow: NarrowTable, entry: Entry) -> str:
    """What became of vectors whose codes lie beside them."""
    table, column = narrow.table, narrow.vector_column
    if has_trigger(connection, table, entry):
        return (
            f"column {column!r} of {table.title}, which {narrow.codes.title} holds codes of, is "
            f"gone: if it was renamed, attach {entry.codec} to its new name in layout narrow"
        )
    aside = aside_of(column)
    if has_column(connection, table, aside):
        return (
            f"the vectors of {table.title} are set aside, in column {aside!r}, and no trigger "
            f"keeps their codes in {narrow.codes.title}: attach {entry.codec} to {column!r} in "
            "layout narrow brings them back"
        )
    return (
        f"{table.title} has codes alone, in {narrow.codes.title}: column {column!r} was set aside "
        "and is gone for good, so that there are no vectors to check codes by; searches by codes "
        f"go on. If it was only renamed, attach {entry.codec} to its new name in layout narrow"
    )


def check_code_type(target: Target) -> None:
    """Raise TableError unless an attached column is there and of the codec's type."""
    if target.code_type is None:
        raise TableError(
            f"column {target.code_column!r} of {target.title}, which held codes of "
            f"{target.codec.label}, is gone: attach makes it again, or takes it up where it was "
            "renamed and is the code column named; detach forgets it"
        )
    if target.code_type != f"bit({target.codec.bits})":
        raise TableError(
            f"column {target.code_column!r} of {target.title} must be bit({target.codec.bits}) for "
            f"codes of {target.codec.label}, found {target.code_type}: detach drops it, attach "
            "makes one anew"
        )
