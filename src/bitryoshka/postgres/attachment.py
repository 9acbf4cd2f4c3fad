"""Attach a codec to a table that is in use."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from bitryoshka.errors import BitsError, DatabaseError, FingerprintError, TableError, VectorsError
from bitryoshka.limits import check_count
from bitryoshka.postgres.attached_column import check_code_type, count_rows
from bitryoshka.postgres.backfilling import backfill, backfill_statements
from bitryoshka.postgres.codecs import export, find_codec
from bitryoshka.postgres.column_index import build_index, index_is_valid, index_statements
from bitryoshka.postgres.columns import (
    Entry,
    find_entry,
    refused_changes,
    require_entry,
    require_idle,
    restoration,
    restore,
    sole_worker,
    step,
    trigger_problem,
)
from bitryoshka.postgres.locking import Advance, changed
from bitryoshka.postgres.repairing import repair_rows
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.target import BadVectors, Target, find_target
from bitryoshka.postgres.verification import Verification, record, verify_target
from bitryoshka.progress import progress_bar

_LISTED = 5


@dataclass(frozen=True)
class Attached:
    """Rows ``filled``, whose codes were missing, and ``repaired``, whose codes were wrong.

    ``verification``: what was found in the end.
    """

    filled: int
    repaired: int
    verification: Verification


def attach(
    connection: Connection,
    table: str,
    vector_column: str,
    codec: str,
    *,
    schema: str = "public",
    code_column: str = "code",
    prefix_bits: int | None = None,
    index: bool = True,
    bad_vectors: BadVectors = "reject",
    in_database: bool = False,
    published: bool = False,
    batch_rows: int = 5000,
    queries: int = 20,
    progress: bool = False,
) -> Attached:
    """Give a table a column of codes that stays true, an index on it, and a catalogue entry.

    Adds ``code_column``, a trigger that fills it on INSERT and UPDATE, and codes for the rows that
    are there, ``batch_rows`` keys at a time, each batch committed; builds an HNSW index on the
    first ``prefix_bits`` (None: all Hamming bits) CONCURRENTLY; then verifies with ``queries`` rows
    as queries. A vector of another dimension, or zero under cosine, has no code: ``bad_vectors``
    "reject" refuses such rows now and later, "skip" leaves their codes NULL. Codes are made here
    by NumPy, or with ``in_database`` by the server.

    Killed at any moment, the same call goes on from there. It also takes up what was changed under
    it: a column that was renamed, given by its new name; codes that came by a dump without their
    entry; a column or a trigger that was dropped. Then all codes are looked at, and those that are
    wrong are encoded anew. A table in a publication is refused, since its subscribers stop at a
    column that they lack, unless ``published`` says that they have it.

    The connection must be in autocommit mode, and not go through a transaction pooler. Raises
    TableError, VectorsError, CodecError and BitsError for what does not fit, FingerprintError where
    the column belongs to another codec, and DatabaseError where another attach is at work on the
    table or the verification fails.
    """
    require_idle(connection)
    target = find_target(
        connection, table, vector_column, find_codec(connection, codec), code_column, schema
    )
    prefix = _check_prefix(target, prefix_bits) if index else None
    check_count(batch_rows, "batch_rows", BitsError)
    check_count(queries, "queries", least=0)
    binarizer = export(connection, codec)
    with sole_worker(connection, target.oid, target.title):
        entry, target = _find(connection, target)
        if entry is not None:
            _check_same(connection, target, entry, bad_vectors)
            # of an earlier revision, or a former owner's
            fetch(connection, statement("renew_column", column_id=entry.id))
        with step(connection, target.title, "counting the rows"):
            counts = count_rows(connection, target, target.has_code_column)
        if bad_vectors == "reject" and counts.bad:
            raise VectorsError(_bad_rows(connection, target, counts.bad))
        with progress_bar(0, "lock", progress, "attempts") as advance:
            if entry is None:
                _prepare(connection, target, prefix, bad_vectors, published, advance)
            elif _is_broken(connection, target, entry):
                restore(connection, target, entry, advance, published)
        entry = require_entry(connection, target.oid, target.title, target.code_column)
        with (
            progress_bar(counts.missing, "encode", progress, "rows") as advance,
            step(connection, target.title, "encoding a batch"),
        ):
            filled = backfill(
                connection,
                target,
                entry.id,
                None if in_database else binarizer,
                batch_rows,
                advance,
            )
        repaired = 0
        if entry.state == "checking":
            repaired = repair_rows(connection, target, binarizer, batch_rows, progress)
        prefix = prefix or entry.prefix_bits
        if prefix is not None:
            with (
                progress_bar(0, "index", progress, "steps") as advance,
                step(connection, target.title, "building the index"),
            ):
                build_index(connection, target, entry.id, prefix, advance)
        found = verify_target(connection, target, binarizer, entry, prefix, queries)
        record(connection, entry, prefix, found, looked_at_all=True)
    if not found.good:
        raise DatabaseError(
            f"table {target.title} does not verify: {found.text()}; repair mends its codes"
        )
    return Attached(filled, repaired, found)


def attach_statements(
    connection: Connection,
    table: str,
    vector_column: str,
    codec: str,
    *,
    schema: str = "public",
    code_column: str = "code",
    prefix_bits: int | None = None,
    index: bool = True,
    bad_vectors: BadVectors = "reject",
) -> list[str]:
    """The SQL by which `attach` would change the table, in its order; nothing is changed.

    Of a column that is attached, what a further call would do.
    """
    target = find_target(
        connection, table, vector_column, find_codec(connection, codec), code_column, schema
    )
    prefix = _check_prefix(target, prefix_bits) if index else None
    entry, target = _find(connection, target)
    shown: list[sql.Composed] = []
    if entry is None:
        [(column_id,)] = fetch(connection, statement("next_column_id"))
        shown.append(_addition(target, prefix, bad_vectors))
    else:
        column_id = entry.id
        _check_same(connection, target, entry, bad_vectors)
        if _is_broken(connection, target, entry):
            shown.append(restoration(target, entry))
    shown += backfill_statements(target)
    prefix = prefix or (entry and entry.prefix_bits)
    if prefix is not None and (entry is None or not index_is_valid(connection, target, prefix)):
        shown += index_statements(target, column_id, prefix)
    return [part.as_string(connection) for part in shown]


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
        not target.has_code_column or _has_column(connection, target, entry.code_column)
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


def _has_column(connection: Connection, target: Target, column: str) -> bool:
    columns = fetch(connection, statement("column_types", oid=target.oid))
    return any(name == column for name, *_ in columns)


def _is_broken(connection: Connection, target: Target, entry: Entry) -> bool:
    """Whether a column is not what its entry says, or its trigger does not keep it true."""
    named = (target.vector_column, target.code_column)
    return (
        named != (entry.vector_column, entry.code_column)
        or not target.has_code_column
        or trigger_problem(connection, target.oid, entry) is not None
    )


def _check_same(
    connection: Connection, target: Target, entry: Entry, bad_vectors: BadVectors
) -> None:
    if entry.codec != target.codec.label:
        raise FingerprintError(
            f"column {target.code_column!r} of {target.title} holds codes of {entry.codec}, "
            f"found {target.codec.label}: attach to another column, then switch"
        )
    other = entry.vector_column != target.vector_column and (
        entry.vector_column is None or _has_column(connection, target, entry.vector_column)
    )
    if other or entry.bad_vectors != bad_vectors:
        raise TableError(
            f"column {target.code_column!r} of {target.title} is attached to "
            f"{entry.vector_column!r} with bad_vectors={entry.bad_vectors!r} (--bad-vectors "
            f"{entry.bad_vectors}): detach it first"
        )
    if target.has_code_column:
        check_code_type(target)


def _check_prefix(target: Target, prefix_bits: int | None) -> int:
    codec = target.codec
    offered = [bits for bits in codec.nested_bits if bits <= codec.hamming_bits]
    if prefix_bits is not None and prefix_bits not in offered:
        raise BitsError(f"prefix_bits must be one of {offered}, found {prefix_bits}")
    return codec.hamming_bits if prefix_bits is None else prefix_bits


def _prepare(
    connection: Connection,
    target: Target,
    prefix: int | None,
    bad_vectors: BadVectors,
    published: bool,
    advance: Advance,
) -> None:
    """Entry, column and trigger in one statement: no row can be written between them."""
    addition = _addition(target, prefix, bad_vectors, published)
    with refused_changes():
        changed(
            connection,
            lambda: fetch(connection, addition),
            target.lock("ACCESS EXCLUSIVE"),
            advance,
        )


def _addition(
    target: Target, prefix: int | None, bad_vectors: BadVectors, published: bool = False
) -> sql.Composed:
    return statement(
        "add_code_column",
        table=target.literal,
        vector=sql.Literal(target.vector_column),
        codec=sql.Literal(target.codec.label),
        code=sql.Literal(target.code_column),
        bad_vectors=sql.Literal(bad_vectors),
        prefix_bits=sql.NULL if prefix is None else prefix,
        published=sql.Literal(published),
    )


def _bad_rows(connection: Connection, target: Target, count: int) -> str:
    listed = fetch(
        connection,
        statement(
            "bad_rows",
            keys=target.key_texts,
            table=target.identifier,
            limit=_LISTED,
            **target.parts,
        ),
    )
    keys = ", ".join("(" + ", ".join(key) + ")" for key in listed)
    return (
        f"{count} rows of {target.title} have vectors without a code, of another dimension than "
        f"{target.codec.dimensions} or of length 0, the first at {keys}: mend them, or attach "
        'with bad_vectors="skip" (--bad-vectors skip)'
    )
