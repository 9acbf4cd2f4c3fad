"""What a call of `attach` is about: an entry, a table, and whether they fit it."""

from __future__ import annotations

from typing import Literal, get_args

from psycopg import sql

from bitryoshka.errors import BitsError, FingerprintError, OptionError, TableError
from bitryoshka.postgres.attached_column import check_code_type
from bitryoshka.postgres.columns import Entry, find_entry, require_entry
from bitryoshka.postgres.narrow_table import find_codes, has_column, narrow_tables
from bitryoshka.postgres.narrow_trigger import has_trigger, problem_of
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.target import BadVectors, Relation, Target, find_target

Layout = Literal["row", "narrow"]


def find_attachment(
    connection: Connection, target: Target, layout: Layout, code_table: str | None
) -> tuple[Entry | None, Target, bool]:
    """The entry that a call means, the target with its codes' place, and whether that is there."""
    if layout == "narrow":
        target, entry = find_codes(connection, target, code_table)
        return entry, target, target.code_table.oid > 0
    entry, target = _find(connection, target)
    return entry, target, target.has_code_column


def check_layout(layout: str, code_table: str | None) -> None:
    """Raise OptionError for a layout that is none, or a table of codes that it has not."""
    if layout not in get_args(Layout):
        raise OptionError(f"layout must be one of {get_args(Layout)}, found {layout!r}")
    if layout == "row" and code_table is not None:
        raise OptionError(
            "code_table (--code-table) names the table of layout narrow, found it with layout row"
        )


def refuse_other_layout(
    connection: Connection, table: Relation, vector_column: str, code_column: str, layout: Layout
) -> None:
    """Raise TableError where codes of set-aside vectors lie in the other layout, without a trigger.

    They would grow stale beside those that a call of this layout makes, and searches use them.
    """
    if layout == "narrow":
        entry = find_entry(connection, table.oid, code_column)
        if entry is not None and entry.vector_column is None:
            raise TableError(
                f"column {entry.code_column!r} of {table.title} holds codes that no trigger keeps "
                "true: attach in layout row, which brings their vectors back where these were set "
                "aside, or detach it first"
            )
        return
    for narrow in narrow_tables(connection, table):
        if narrow.table.oid != table.oid or narrow.vector_column != vector_column:
            continue
        entry = find_entry(connection, narrow.codes.oid, narrow.code_column)
        if entry is not None and not has_trigger(connection, table, entry):
            raise TableError(
                f"{narrow.codes.title} holds codes of column {vector_column!r} of {table.title} "
                "that no trigger keeps true: attach in layout narrow, which brings their vectors "
                "back where these were set aside, or detach it first"
            )


def _find(connection: Connection, target: Target) -> tuple[Entry | None, Target]:
    """The entry that a call means, and the target with the code column's own name."""
    entry = find_entry(connection, target.oid, target.code_column)
    if entry is None:
        renamed = fetch(
            connection,
            statement("renamed_columns", oid=target.oid, codec=sql.Literal(target.codec.label)),
        )
        if target.has_code_column and len(renamed) == 1:
            entry = require_entry(connection, target.oid, target.title, renamed[0][0])
    elif entry.code_column != target.code_column and (
        not target.has_code_column or has_column(connection, target, entry.code_column)
    ):
        target = find_target(
            connection,
            target.name,
            target.vector_column,
            target.codec,
            entry.code_column,
            target.schema,
        )
    return entry, target


def is_broken(connection: Connection, target: Target, entry: Entry) -> bool:
    """Whether a column is not what its entry says, or its trigger does not keep it true."""
    named = (target.vector_column, target.code_column)
    return (
        named != (entry.vector_column, entry.code_column)
        or not target.has_code_column
        or problem_of(connection, target, entry) is not None
    )


def check_same(
    connection: Connection, target: Target, entry: Entry, bad_vectors: BadVectors
) -> None:
    """Raise FingerprintError or TableError where an entry is about other codes."""
    holder = target.code_table.title
    if entry.codec != target.codec.label:
        instead = (
            "attach to another column, then switch"
            if target.codes is None
            else "attach to another table, named by code_table= (--code-table)"
        )
        raise FingerprintError(
            f"column {target.code_column!r} of {holder} holds codes of {entry.codec}, "
            f"found {target.codec.label}: {instead}"
        )
    other = entry.vector_column != target.vector_column and (
        entry.vector_column is None or has_column(connection, target, entry.vector_column)
    )
    if other or entry.bad_vectors != bad_vectors:
        raise TableError(
            f"column {target.code_column!r} of {holder} is attached to "
            f"{entry.vector_column!r} with bad_vectors={entry.bad_vectors!r} (--bad-vectors "
            f"{entry.bad_vectors}): detach it first"
        )
    if target.has_code_column:
        check_code_type(target)


def check_prefix(target: Target, prefix_bits: int | None) -> int:
    """The length that an index covers; BitsError where the codec does not offer it."""
    codec = target.codec
    offered = [bits for bits in codec.nested_bits if bits <= codec.hamming_bits]
    if prefix_bits is not None and prefix_bits not in offered:
        raise BitsError(f"prefix_bits must be one of {offered}, found {prefix_bits}")
    return codec.hamming_bits if prefix_bits is None else prefix_bits
