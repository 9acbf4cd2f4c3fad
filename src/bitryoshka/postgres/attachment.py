"""Attach a codec to a table that is in use."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from bitryoshka.errors import BitsError, DatabaseError, FingerprintError, TableError, VectorsError
from bitryoshka.limits import check_count
from bitryoshka.postgres.backfill import backfill, backfill_statements
from bitryoshka.postgres.codecs import export, find_codec
from bitryoshka.postgres.column_index import build_index, index_statements
from bitryoshka.postgres.columns import (
    Entry,
    alone,
    find_entry,
    require_entry,
    require_idle,
)
from bitryoshka.postgres.locking import Advance, changed
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.target import BadVectors, Target, find_target
from bitryoshka.postgres.verification import Verification, count_rows, record, verify_target
from bitryoshka.progress import progress_bar

_LISTED = 5


@dataclass(frozen=True)
class Attached:
    """``filled``: rows whose codes were missing. ``verification``: what was found in the end."""

    filled: int
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

    Killed at any moment, the same call goes on from there. The connection must be in autocommit
    mode. Raises TableError, VectorsError, CodecError and BitsError for what does not fit,
    FingerprintError where the column belongs to another codec, and DatabaseError where another
    attach is at work on the table or the verification fails.
    """
    require_idle(connection)
    target = find_target(
        connection, table, vector_column, find_codec(connection, codec), code_column, schema
    )
    prefix = _check_prefix(target, prefix_bits) if index else None
    check_count(batch_rows, "batch_rows", BitsError)
    check_count(queries, "queries", least=0)
    binarizer = export(connection, codec)
    with alone(connection, target.oid, target.title):
        entry = find_entry(connection, target.oid, code_column)
        if entry is not None and entry.code_column != code_column:
            target = find_target(
                connection, table, vector_column, target.codec, entry.code_column, schema
            )
        if entry is not None:
            _check_same(target, entry, bad_vectors)
        elif target.has_code_column:
            raise TableError(
                f"table {target.title} has a column {code_column!r} that is not attached: choose "
                "another name for the codes, or drop it"
            )
        if entry is not None:
            # of an earlier revision, or a former owner's
            fetch(connection, statement("renew_column", column_id=entry.id))
        counts = count_rows(connection, target, target.has_code_column)
        if bad_vectors == "reject" and counts.bad:
            raise VectorsError(_bad_rows(connection, target, counts.bad))
        if entry is None:
            with progress_bar(0, "lock", progress, "attempts") as advance:
                column_id = _prepare(connection, target, prefix, bad_vectors, advance)
        else:
            column_id = entry.id
        with progress_bar(counts.missing, "encode", progress, "rows") as advance:
            filled = backfill(
                connection,
                target,
                column_id,
                None if in_database else binarizer,
                batch_rows,
                advance,
            )
        if prefix is None and entry:
            prefix = entry.prefix_bits
        if prefix is not None:
            build_index(connection, target, column_id, prefix)
        made = entry or require_entry(connection, target.oid, target.title, code_column)
        found = verify_target(connection, target, binarizer, made, prefix, queries)
        record(connection, column_id, prefix, found)
    if not found.good:
        raise DatabaseError(f"table {target.title} does not verify: {found.text()}")
    return Attached(filled, found)


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
    """The SQL by which `attach` would change the table, in its order; nothing is changed."""
    target = find_target(
        connection, table, vector_column, find_codec(connection, codec), code_column, schema
    )
    prefix = _check_prefix(target, prefix_bits) if index else None
    [(next_id,)] = fetch(connection, statement("next_column_id"))
    shown = [_addition(target, prefix, bad_vectors), *backfill_statements(target)]
    if prefix is not None:
        shown += index_statements(target, next_id, prefix)
    return [part.as_string(connection) for part in shown]


def _check_same(target: Target, entry: Entry, bad_vectors: BadVectors) -> None:
    if entry.codec != target.codec.label:
        raise FingerprintError(
            f"column {target.code_column!r} of {target.title} holds codes of {entry.codec}, "
            f"found {target.codec.label}: attach to another column, then switch"
        )
    if (entry.vector_column, entry.bad_vectors) != (target.vector_column, bad_vectors):
        raise TableError(
            f"column {target.code_column!r} of {target.title} is attached to "
            f"{entry.vector_column!r} with bad_vectors={entry.bad_vectors!r}: detach it first"
        )


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
    advance: Advance,
) -> int:
    """Entry, column and trigger in one statement: no row can be written between them."""
    column_id = 0

    def change() -> None:
        nonlocal column_id
        [(column_id,)] = fetch(connection, _addition(target, prefix, bad_vectors))

    changed(connection, change, target.lock("ACCESS EXCLUSIVE"), advance)
    return column_id


def _addition(target: Target, prefix: int | None, bad_vectors: BadVectors) -> sql.Composed:
    return statement(
        "add_code_column",
        table=target.literal,
        vector=sql.Literal(target.vector_column),
        codec=sql.Literal(target.codec.label),
        code=sql.Literal(target.code_column),
        bad_vectors=sql.Literal(bad_vectors),
        prefix_bits=sql.NULL if prefix is None else prefix,
    )


def _bad_rows(connection: Connection, target: Target, count: int) -> str:
    listed = fetch(
        connection,
        statement(
            "bad_rows",
            keys=target.key_texts,
            table=target.identifier,
            has_code=target.has_code(),
            limit=_LISTED,
            **target.parts,
        ),
    )
    keys = ", ".join("(" + ", ".join(key) + ")" for key in listed)
    return (
        f"{count} rows of {target.title} have vectors without a code, of another dimension than "
        f"{target.codec.dimensions} or of length 0, the first at {keys}: mend them, or attach "
        'with bad_vectors="skip"'
    )
