"""Code columns in the catalogue, and how their tables are changed while in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from bitryoshka.errors import DatabaseError, TableError
from bitryoshka.postgres.locking import Advance, changed
from bitryoshka.postgres.own_session import require_own_session
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, refused_as, statement
from bitryoshka.postgres.target import BadVectors, Target

_LOCKS = 20


class Entry(NamedTuple):
    """A code column as the catalogue has it; ``search_name``: what searches call it."""

    id: int
    vector_column: str | None
    codec: str
    bad_vectors: BadVectors
    prefix_bits: int | None
    state: str
    code_column: str
    search_name: str


def find_entry(connection: Connection, oid: int, code_column: str) -> Entry | None:
    """The catalogue's entry of a code column, by its own name or what searches call it.

    Raises TableError where these are two columns.
    """
    found = [
        Entry(*row)
        for row in fetch(
            connection, statement("column_entry", oid=oid, code=sql.Literal(code_column))
        )
    ]
    if len(found) > 1:
        [itself] = [entry for entry in found if entry.code_column == code_column]
        [called] = [entry for entry in found if entry.search_name == code_column]
        raise TableError(
            f"{code_column!r} names two columns: itself, which searches call "
            f"{itself.search_name!r}, and {called.code_column!r}, which they call so: expected "
            "one of these two names"
        )
    return found[0] if found else None


def require_entry(connection: Connection, oid: int, title: str, code_column: str) -> Entry:
    """The catalogue's entry of a code column; TableError where there is none."""
    entry = find_entry(connection, oid, code_column)
    if entry is None:
        raise TableError(
            f"no codec is attached to column {code_column!r} of {title}: attach one, name another "
            "column by code_column= (--code-column), or adopt the codes that the table has"
        )
    return entry


class Functions(NamedTuple):
    """The functions of a code column's trigger.

    ``encoder``: its schema and name, None where it is gone. ``owners``: of both. ``owner``: of the
    table. ``present``: as this revision makes them. ``enabled``: on every partition. ``other``: a
    partition and its own trigger for the same column.
    """

    encoder: tuple[str, str] | None
    owners: frozenset[str]
    owner: str
    present: bool
    enabled: bool
    other: str | None


def find_functions(connection: Connection, oid: int, entry: Entry) -> Functions | None:
    """The functions of an entry; None where the table has no such trigger."""
    code = sql.Literal(entry.code_column)
    found = fetch(connection, statement("column_functions", oid=oid, column_id=entry.id, code=code))
    if not found:
        return None
    schema, name, fill_owner, encoder_owner, owner, present, enabled, other = found[0]
    owners = frozenset(filter(None, (fill_owner, encoder_owner)))
    return Functions((schema, name) if name else None, owners, owner, bool(present), enabled, other)


def trigger_problem(connection: Connection, oid: int, entry: Entry) -> str | None:
    """Why the trigger of a code column may not keep it true; None where it does."""
    found = find_functions(connection, oid, entry)
    if found is None:
        return "the trigger is gone: attach again, which makes it and looks at all codes"
    if found.encoder is None:
        return "the function that the trigger encodes by is gone: attach again"
    if not found.enabled:
        return (
            f"the trigger zz_bitryoshka_{entry.id} is disabled, or on a partition: attach again, "
            "which makes it anew and looks at all codes"
        )
    if found.other:
        return (
            f"a partition brought a trigger for the same column, {found.other}: attach again, "
            "which drops it and looks at all codes"
        )
    if strangers := found.owners - {found.owner}:
        return (
            f"functions of the trigger belong to {', '.join(sorted(strangers))}, who could change "
            f"what runs when somebody writes to the table of {found.owner}: attach again as a role "
            "that is both, or as a superuser"
        )
    if not found.present:
        return (
            "the trigger or its functions were changed, or are of an earlier revision, or the "
            "table was moved or a schema was renamed since: attach again"
        )
    return None


def require_idle(connection: Connection) -> None:
    """Raise DatabaseError unless every statement commits by itself."""
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    if not (connection.autocommit and idle):
        raise DatabaseError(
            "batches are committed one by one and indexes built concurrently: expected a "
            "connection in autocommit mode, outside a transaction"
        )


def refuse_hidden_rows(connection: Connection, oid: int) -> None:
    """Raise DatabaseError where policies hide rows of a table from this role."""
    if hidden := fetch(connection, statement("row_security", oid=oid)):
        # a backfill would pass over such rows without a word
        raise DatabaseError(
            f"row security of {hidden[0][0]} hides rows from this role, and all rows need their "
            "codes: use a role with BYPASSRLS, or the table's owner where it is not forced"
        )


@contextmanager
def step(connection: Connection, title: str, doing: str) -> Iterator[None]:
    """A part of the work on a table; DatabaseError, which names it, where a time limit ends it."""
    try:
        yield
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:
        [(statements, locks)] = fetch(connection, statement("time_limits"))
        raise DatabaseError(
            f"the server ended a statement while {doing} of {title}: "
            f"{error.diag.message_primary}. The session has statement_timeout = {statements} and "
            f"lock_timeout = {locks}: SET them to 0, or higher, then run the same call again, "
            "which goes on from here"
        ) from error


def restore(
    connection: Connection,
    target: Target,
    entry: Entry,
    advance: Advance,
    published: bool = False,
) -> None:
    """Give an attached table its column, under the names of ``target``, and its trigger again."""
    change = restoration(target, entry, published)
    with refused_changes():
        changed(
            connection, lambda: fetch(connection, change), target.lock("ACCESS EXCLUSIVE"), advance
        )


def restoration(target: Target, entry: Entry, published: bool = False) -> sql.Composed:
    """The statement of `restore`."""
    return statement(
        "restore_column",
        column_id=entry.id,
        vector=sql.Literal(target.vector_column),
        code=sql.Literal(target.code_column),
        published=sql.Literal(published),
    )


def refused_changes() -> AbstractContextManager[None]:
    """What the functions that change a table refuse, as a TableError."""
    return refused_as(
        TableError,
        psycopg.errors.DuplicateColumn,
        psycopg.errors.ObjectNotInPrerequisiteState,
        psycopg.errors.WrongObjectType,
    )


@contextmanager
def sole_worker(connection: Connection, oid: int, title: str) -> Iterator[None]:
    """Hold the table's advisory lock, and let the server notice a client that was killed."""
    require_own_session(connection)
    refuse_hidden_rows(connection, oid)
    number = _lock(connection, oid, title)
    [(interval,)] = fetch(connection, statement("get_check_interval"))
    fetch(connection, statement("set_check_interval", interval=sql.Literal("1s")))
    try:
        yield
    finally:
        if not connection.closed:
            fetch(connection, statement("set_check_interval", interval=sql.Literal(interval)))
            fetch(connection, statement("attach_unlock", oid=oid, number=number))


def _lock(connection: Connection, oid: int, title: str) -> int:
    """Take the table's advisory lock, or the next one while a stranger holds it; give its number.

    Raises DatabaseError where somebody holds it who may change the table.
    """
    for number in range(_LOCKS):
        key = {"oid": oid, "number": number}
        [(taken,)] = fetch(connection, statement("attach_lock", **key))
        if taken:
            return number
        holders = fetch(connection, statement("attach_lock_holder", **key))
        text = "; ".join(f"server process {pid}, role {role}" for pid, role, _ in holders)
        if not holders or any(may_change for _, _, may_change in holders):
            break
    raise DatabaseError(
        f"another attach, switch or detach is at work on {title} ({text or 'gone by now'}): "
        "wait for it, or end it by SELECT pg_terminate_backend(...)"
    )
