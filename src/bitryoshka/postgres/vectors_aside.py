"""Codes alone: the vectors of a table are set aside, brought back, or dropped."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from bitryoshka.errors import DatabaseError, FingerprintError, TableError
from bitryoshka.postgres.attached_column import find_attached
from bitryoshka.postgres.attachment_checks import Layout, refuse_other_layout
from bitryoshka.postgres.codecs import export, find_codec
from bitryoshka.postgres.columns import Entry, find_entry, require_idle, sole_worker, step
from bitryoshka.postgres.installation import require_installed
from bitryoshka.postgres.locking import changed
from bitryoshka.postgres.lone_codes import aside_of, count_lone, refuse_lone
from bitryoshka.postgres.narrow_table import has_column, narrow_tables
from bitryoshka.postgres.narrow_trigger import drop_triggers
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, refused_as, statement
from bitryoshka.postgres.target import Relation, Target, find_table
from bitryoshka.postgres.verification import verify_target


@dataclass(frozen=True)
class VectorsAside:
    """Vectors that codes can do without, and where they go.

    ``rows`` have vectors, of ``vector_bytes`` in all, with indexes of ``index_bytes``; ``column``
    holds them once they are set aside. ``kept``: the column of codes, all of which were encoded
    anew and found right.
    """

    rows: int
    vector_bytes: int
    index_bytes: int
    column: str
    kept: str

    def text(self) -> str:
        """The findings in one line."""
        return (
            f"{self.rows} vectors take {self.vector_bytes} bytes and their indexes "
            f"{self.index_bytes}; kept are their codes, all verified, in {self.kept}"
        )


def weigh_vectors(
    connection: Connection,
    table: str,
    vector_column: str,
    codec: str,
    *,
    schema: str = "public",
    code_column: str = "code",
    progress: bool = False,
) -> VectorsAside:
    """What `set_vectors_aside` would do; nothing is changed.

    Raises what it raises.
    """
    target, entry = _find(connection, table, vector_column, codec, schema, code_column)
    return _weigh(connection, target, entry, progress)


def set_vectors_aside(
    connection: Connection,
    table: str,
    vector_column: str,
    codec: str,
    *,
    schema: str = "public",
    code_column: str = "code",
    progress: bool = False,
) -> VectorsAside:
    """Let a table go on with its codes alone, and keep the vectors under another name for now.

    Every code is encoded anew first, as `verify` with ``full`` does. Then, in one transaction, the
    column of vectors becomes ``<column>_dropped`` and may be NULL, and the codes those of a column
    that was adopted: searches go on, and whoever writes rows writes their codes. `attach` with the
    column's former name brings the vectors back; `drop_vectors` takes them away for good.

    Raises DatabaseError, with the counts, where any code is missing or wrong or any vector has no
    code, and TableError where no codec is attached to the column or a column has the other name
    already, FingerprintError where it holds another codec's codes. The connection must be in
    autocommit mode.
    """
    require_idle(connection)
    target, entry = _find(connection, table, vector_column, codec, schema, code_column)
    with sole_worker(connection, target.oid, target.title):
        found = _weigh(connection, target, entry, progress)
        with refused_as(TableError, psycopg.errors.InvalidTableDefinition):
            changed(
                connection,
                lambda: _set_aside(connection, target, entry),
                target.lock("ACCESS EXCLUSIVE"),
            )
    return found


def bring_vectors_back(
    connection: Connection,
    table: str,
    vector_column: str,
    schema: str,
    code_column: str,
    layout: Layout,
) -> None:
    """Undo `set_vectors_aside` where a table has such vectors; their codes are to be checked.

    Raises DatabaseError where rows were written since that have codes and no vectors, and
    TableError where the codes are of the other layout, and no trigger would keep them true.
    """
    found, _, _ = find_table(connection, table, schema)
    refuse_other_layout(connection, found, vector_column, code_column, layout)
    if not _is_aside(connection, found, vector_column):
        return
    with sole_worker(connection, found.oid, found.title):
        if _is_aside(connection, found, vector_column):  # after who was at work, too
            _bring_back(connection, found, vector_column, code_column)


def _is_aside(connection: Connection, table: Relation, vector_column: str) -> bool:
    aside = aside_of(vector_column)
    return has_column(connection, table, aside) and not has_column(connection, table, vector_column)


def _bring_back(
    connection: Connection, table: Relation, vector_column: str, code_column: str
) -> None:
    aside = aside_of(vector_column)
    entry = _adopted(connection, table, code_column)
    holders = _holders(connection, table, vector_column, code_column)
    lone = sum(count_lone(connection, table, *holder, aside) for holder in holders)
    refuse_lone(lone, table, aside)
    if not holders:
        return

    def rename() -> None:
        names = {"vector": sql.Identifier(aside), "aside": sql.Identifier(vector_column)}
        connection.execute(statement("rename_vectors", table=table.identifier, **names))
        if entry is not None:
            restoring = statement(
                "restore_column",
                column_id=entry.id,
                vector=sql.Literal(vector_column),
                code=sql.Literal(entry.code_column),
                published=sql.Literal(False),
            )
            fetch(connection, restoring)

    changed(connection, rename, table.lock("ACCESS EXCLUSIVE"))


def drop_vectors(
    connection: Connection,
    table: str,
    vector_column: str,
    *,
    schema: str = "public",
    code_column: str = "code",
) -> str:
    """Drop vectors that were set aside, for good; give the name of the column that they were in.

    ``vector_column``: its name before. The bytes stay in the table's file until VACUUM FULL, or an
    extension such as pg_repack, writes it anew. Raises TableError where no vectors were set aside,
    where no codes would be left, or where something depends on the column.
    """
    require_idle(connection)
    require_installed(connection)
    found, _, _ = find_table(connection, table, schema)
    aside = aside_of(vector_column)
    if not has_column(connection, found, aside):
        raise TableError(
            f"{found.title} has no column {aside!r}: vectors are set aside first, by "
            "set_vectors_aside (attach --layout codes-only)"
        )
    if not _holders(connection, found, vector_column, code_column):
        raise TableError(
            f"column {aside!r} of {found.title} holds no vectors that were set aside, of which "
            f"column {code_column!r} would keep the codes"
        )
    dropping = statement("drop_vectors", table=found.identifier, aside=sql.Identifier(aside))
    with refused_as(TableError, psycopg.errors.DependentObjectsStillExist):
        changed(connection, lambda: connection.execute(dropping), found.lock("ACCESS EXCLUSIVE"))
    return aside


def _find(
    connection: Connection,
    table: str,
    vector_column: str,
    codec: str,
    schema: str,
    code_column: str,
) -> tuple[Target, Entry]:
    target, entry = find_attached(connection, table, schema, code_column)
    if (label := find_codec(connection, codec).label) != entry.codec:
        raise FingerprintError(
            f"column {code_column!r} of {target.code_table.title} holds codes of {entry.codec}, "
            f"found {label}"
        )
    if target.vector_column != vector_column:
        raise TableError(
            f"column {code_column!r} of {target.code_table.title} holds codes of column "
            f"{target.vector_column!r}, found {vector_column!r}"
        )
    aside = aside_of(vector_column)
    if has_column(connection, target, aside):
        raise TableError(
            f"{target.title} has a column {aside!r} already, the name for vectors set aside"
        )
    mine = (target.code_table.title, target.code_column)
    others = [
        f"{narrow.codes.title}.{narrow.code_column}"
        for narrow in narrow_tables(connection, target)
        if narrow.vector_column == vector_column
        and (narrow.codes.title, narrow.code_column) != mine
    ]
    query = statement("columns_of_vectors", oid=target.oid, vector=sql.Literal(vector_column))
    others += [
        f"{target.title}.{name}"
        for (name,) in fetch(connection, query)
        if (target.title, name) != mine
    ]
    if others:
        raise TableError(
            f"{' and '.join(others)} hold codes of column {vector_column!r} too, and could not be "
            "kept true: detach them first"
        )
    query = statement("publications", table=target.literal)
    if publishing := fetch(connection, query)[0][0]:
        raise TableError(
            f"{target.title} is published by {publishing}, whose subscribers stop at a column that "
            "was renamed: publish it without its vectors first"
        )
    return target, entry


def _weigh(connection: Connection, target: Target, entry: Entry, progress: bool) -> VectorsAside:
    binarizer = export(connection, target.codec.label)
    found = verify_target(
        connection, target, binarizer, entry, None, 0, full=True, progress=progress
    )
    if not found.good or found.counts.bad:
        raise DatabaseError(
            f"the codes of {target.title} do not stand for its vectors: {found.text()}. Vectors "
            "are set aside where every one has its code: repair mends codes; set vectors that "
            "have none NULL"
        )
    with step(connection, target.title, "weighing the vectors"):
        [(rows, vector_bytes, index_bytes)] = fetch(
            connection,
            statement(
                "weigh_vectors",
                table=target.identifier,
                name=target.literal,
                vector=sql.Identifier(target.vector_column),
                column=sql.Literal(target.vector_column),
            ),
        )
    kept = f"column {target.code_column!r} of {target.code_table.title}"
    return VectorsAside(
        rows, int(vector_bytes), int(index_bytes), aside_of(target.vector_column), kept
    )


def _set_aside(connection: Connection, target: Target, entry: Entry) -> None:
    if target.codes is None:
        fetch(connection, statement("release_column", column_id=entry.id))
    else:
        drop_triggers(connection, target, entry)
    names = {
        "table": target.identifier,
        "vector": sql.Identifier(target.vector_column),
        "aside": sql.Identifier(aside_of(target.vector_column)),
    }
    connection.execute(statement("rename_vectors", **names))
    connection.execute(statement("allow_no_vectors", **names))


def _adopted(connection: Connection, table: Relation, code_column: str) -> Entry | None:
    """The entry of codes in the table itself that have no vectors."""
    entry = find_entry(connection, table.oid, code_column)
    return None if entry is None or entry.vector_column is not None else entry


def _holders(
    connection: Connection, table: Relation, vector_column: str, code_column: str
) -> list[tuple[Relation, str]]:
    """The tables, with their columns, that hold codes of vectors that are set aside."""
    entry = _adopted(connection, table, code_column)
    row = [] if entry is None else [(table, entry.code_column)]
    if has_column(connection, table, vector_column):
        return row
    beside = [
        (narrow.codes, narrow.code_column)
        for narrow in narrow_tables(connection, table)
        if narrow.vector_column == vector_column
    ]
    return row + beside
