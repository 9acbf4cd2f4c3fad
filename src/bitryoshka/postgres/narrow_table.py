"""Codes in a narrow table of their own beside a table: made, found, and dropped.

The table of codes has the key of the table that it belongs to and a foreign key to it, constraint
``bitryoshka_narrow``, whose comment names the column of vectors. In the catalogue it is an adopted
column of codes; a trigger ``zz_bitryoshka_narrow_<number of the entry>`` of the other table writes
its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import psycopg
from psycopg import sql

from bitryoshka.errors import FingerprintError, TableError
from bitryoshka.postgres.columns import Entry, find_entry, refused_changes
from bitryoshka.postgres.locking import Advance, changed
from bitryoshka.postgres.lone_codes import count_lone
from bitryoshka.postgres.narrow_keys import rename_keys, renamed_keys
from bitryoshka.postgres.narrow_trigger import (
    drop_lost,
    drop_triggers,
    has_trigger,
    keep_lone,
    making_trigger,
    naming,
)
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, refused_as, statement
from bitryoshka.postgres.target import BadVectors, Relation, Target, find_table, format_type
from bitryoshka.postgres_rules import CODEC_COMMENT, MAX_NAME_BYTES, check_name


@dataclass(frozen=True)
class NarrowTable:
    """A table of ``codes`` and the ``table`` that it belongs to."""

    codes: Relation
    table: Relation
    vector_column: str
    code_column: str


def find_narrow(connection: Connection, table: Relation, code_column: str) -> NarrowTable | None:
    """A table's codes beside it, or those of a table of codes itself; None where it has none.

    Raises TableError where the table has several whose column has that name.
    """
    found = [
        narrow
        for narrow in narrow_tables(connection, table)
        if narrow.codes.oid == table.oid or narrow.code_column == code_column
    ]
    if len(found) > 1:
        raise TableError(
            f"codes of {table.title} lie in {_titles(found)}: expected the name of one of these "
            "tables instead"
        )
    return found[0] if found else None


def narrow_tables(connection: Connection, table: Relation) -> list[NarrowTable]:
    """All tables of codes that a table has beside it, or itself where it is one."""
    rows = fetch(connection, statement("narrow_tables", oid=table.oid))
    return [NarrowTable(Relation(*row[:3]), Relation(*row[3:6]), *row[6:]) for row in rows]


def narrow_of(connection: Connection, table: Relation, code_column: str) -> NarrowTable | None:
    """As `find_narrow`, for a table that has no such column of codes itself."""
    found = find_narrow(connection, table, code_column)
    if found and found.codes.oid != table.oid and find_entry(connection, table.oid, code_column):
        return None
    return found


def _titles(found: Sequence[NarrowTable]) -> str:
    return " and ".join(narrow.codes.title for narrow in found)


def beside(connection: Connection, target: Target, narrow: NarrowTable) -> Target:
    """The target with its codes in a table of their own; TableError where it is not as it was."""
    columns = fetch(connection, statement("column_types", oid=narrow.codes.oid))
    types = {name: format_type(kind, modifier) for name, kind, modifier, _ in columns}
    code = narrow.code_column
    if types.get(code) != f"bit({target.codec.bits})":
        raise TableError(
            f"column {code!r} of {narrow.codes.title} must be bit({target.codec.bits}) for codes "
            f"of {target.codec.label}, found {types.get(code, 'none of that name')}: if it was "
            "renamed, name it so again; else detach, and attach anew"
        )
    if renamed := renamed_keys(connection, narrow.codes):
        raise TableError(
            f"columns {[new for _, new in renamed]} of the key of {narrow.table.title} are "
            f"{[old for old, _ in renamed]} in {narrow.codes.title}: attach in layout narrow "
            "names them alike"
        )
    return replace(target, codes=narrow.codes, code_column=code, code_type=types[code])


def follow_key(connection: Connection, table: Relation) -> None:
    """Name the key of the tables of codes as that of their table, where that was renamed."""
    for narrow in narrow_tables(connection, table):
        codes = narrow.codes
        if narrow.table.oid == table.oid and renamed_keys(connection, codes):
            with refused_changes():
                changed(
                    connection,
                    partial(rename_keys, connection, codes),
                    codes.lock("ACCESS EXCLUSIVE"),
                )


def find_codes(
    connection: Connection, target: Target, code_table: str | None
) -> tuple[Target, Entry | None]:
    """The target with its table of codes, and the entry of that; ``oid`` 0 where it is to be made.

    The entry has the column of vectors. Raises TableError where the target cannot have such a
    table, or another one has its name.
    """
    _refuse(connection, target)
    code = target.code_column
    if code in (target.vector_column, *(column.name for column in target.key)):
        raise TableError(
            f"{code!r} is a column of the key or of the vectors of {target.title}: name the column "
            "of codes otherwise by code_column= (--code-column)"
        )
    found = None
    if code_table is None:
        found = find_narrow(connection, target, code)
        code_table = found.codes.name if found else f"{target.name}_{code}"
        if len(code_table.encode()) > MAX_NAME_BYTES:
            raise TableError(
                f"{code_table!r} is longer than a name of Postgres: name the table of codes by "
                "code_table= (--code-table)"
            )
    if found is None:
        check_name(code_table)
        named = {"schema": sql.Literal(target.schema), "table": sql.Literal(code_table)}
        if not fetch(connection, statement("table_oid", **named)):
            return replace(target, codes=Relation(0, target.schema, code_table)), None
        holder, _, _ = find_table(connection, code_table, target.schema)
        found = find_narrow(connection, holder, code)
        if found is None or found.table.oid != target.oid:
            raise TableError(
                f"there is a table {holder.title}, which holds no codes of {target.title}: name "
                "another by code_table= (--code-table)"
            )
    target = beside(connection, target, found)
    entry = find_entry(connection, found.codes.oid, target.code_column)
    return target, entry and entry._replace(vector_column=found.vector_column)


def _refuse(connection: Connection, target: Target) -> None:
    [(partitioned, row_security, permanent, _)] = fetch(
        connection, statement("narrow_facts", oid=target.oid)
    )
    for refused, why in (
        (partitioned, "is partitioned: attach it in layout row"),
        (
            target.vector_column in [column.name for column in target.key],
            f"has column {target.vector_column!r} in its primary key: attach it in layout row",
        ),
        (row_security, "has row security, whose policies codes beside it would not obey"),
        (not permanent, "is unlogged or temporary"),
    ):
        if refused:
            raise TableError(f"{target.title} cannot have codes in a table of their own: it {why}")


def make_narrow(
    connection: Connection,
    target: Target,
    prefix: int | None,
    bad_vectors: BadVectors,
    published: bool,
    advance: Advance,
) -> None:
    """Table, entry and trigger in one transaction: no row can be written between them.

    A table of codes that came without its entry is taken as it is, and its codes are to be checked;
    DatabaseError where rows have codes in it and no vectors.
    """
    present = target.codes is not None and target.codes.oid > 0
    if present:
        _check_held(connection, target)

    def make() -> None:
        if present:
            keep_lone(connection, target)
        drop_lost(connection, target)
        for part in [] if present else _creation(connection, target):
            connection.execute(part)
        publications = statement("publications", table=target.code_table.literal)
        [(publishing,)] = fetch(connection, publications)
        if publishing and not published:
            raise TableError(
                f"{target.code_table.title} would be published by {publishing}, whose subscribers "
                "stop at a table that they lack: make it there first, then say published "
                "(--published)"
            )
        state = "checking" if present else "filling"
        entering = _entering(target, prefix, bad_vectors, state)
        [(column_id,)] = fetch(connection, entering)
        for part in making_trigger(connection, target, column_id, bad_vectors):
            connection.execute(part)

    with refused_changes(), refused_as(TableError, psycopg.errors.DuplicateTable):
        changed(connection, make, target.lock("SHARE ROW EXCLUSIVE"), advance)


def narrow_statements(
    connection: Connection,
    target: Target,
    entry: Entry | None,
    column_id: int,
    prefix: int | None,
    bad_vectors: BadVectors,
) -> list[sql.Composed]:
    """What `make_narrow` would send, or for an entry that is there what `restore_any` would."""
    making = making_trigger(connection, target, column_id, bad_vectors)
    if entry is not None:
        return making
    present = target.code_table.oid > 0
    entering = _entering(target, prefix, bad_vectors, "checking" if present else "filling")
    return [*([] if present else _creation(connection, target)), entering, *making]


def _creation(connection: Connection, target: Target) -> list[sql.Composed]:
    """The statements that create a table of codes."""
    [(*_, owner)] = fetch(connection, statement("narrow_facts", oid=target.oid))
    parts = target.narrow_parts
    made = [
        statement(
            "create_narrow",
            table=target.identifier,
            bits=target.codec.bits,
            codec=sql.Literal(f"bitryoshka codec {target.codec.label}"),
            owner=sql.Identifier(owner),
            **parts,
        ),
        naming(target),
    ]
    readers = fetch(connection, statement("narrow_readers", oid=target.oid))
    for (role,) in readers:
        grantee = sql.SQL("PUBLIC") if role is None else sql.Identifier(role)
        made.append(statement("grant_narrow", codes=parts["codes"], role=grantee))
    return made


def _entering(
    target: Target, prefix: int | None, bad_vectors: BadVectors, state: str
) -> sql.Composed:
    """What gives a table of codes its entry in the catalogue."""
    return statement(
        "enter_narrow",
        codes=target.code_table.literal,
        code=sql.Literal(target.code_column),
        codec_id=target.codec.id,
        bad_vectors=sql.Literal(bad_vectors),
        prefix_bits=sql.NULL if prefix is None else prefix,
        state=sql.Literal(state),
    )


def release(connection: Connection, narrow: NarrowTable, entry: Entry) -> None:
    """Take the trigger away; the codes stay, as those of a column that was adopted."""
    drop_triggers(connection, narrow.table, entry)


def drop_narrow(connection: Connection, narrow: NarrowTable) -> None:
    """Take a table of codes away, with its trigger and entry.

    Where the column of vectors is gone the table itself stays, and where it came back without them.
    """
    entry = find_entry(connection, narrow.codes.oid, narrow.code_column)
    spare = has_column(connection, narrow.table, narrow.vector_column) and not (
        (entry is None or not has_trigger(connection, narrow.table, entry))
        and count_lone(
            connection, narrow.table, narrow.codes, narrow.code_column, narrow.vector_column
        )
    )
    drop_triggers(connection, narrow.table, entry)
    if entry is not None:
        connection.execute(statement("forget_column", column_id=entry.id))
    if spare:
        connection.execute(statement("drop_narrow_table", codes=narrow.codes.identifier))


def has_column(connection: Connection, table: Relation, column: str) -> bool:
    """Whether a table has a column of that name."""
    columns = fetch(connection, statement("column_types", oid=table.oid))
    return any(name == column for name, *_ in columns)


def _check_held(connection: Connection, target: Target) -> None:
    """Raise FingerprintError unless a table that came without its entry holds the codec's codes."""
    holder = target.code_table
    comments = fetch(connection, statement("table_columns", table=holder.literal))
    [comment] = [text for column, _, text in comments if column == target.code_column]
    ours = (f"bitryoshka codec {target.codec.label}", CODEC_COMMENT + target.codec.fingerprint)
    if comment not in ours:
        raise FingerprintError(
            f"column {target.code_column!r} of {holder.title} holds {comment or 'no codes of ours'}"
            f", expected those of {target.codec.label}"
        )
