"""Attach a codec to a table that is in use."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from bitryoshka.errors import (
    BitsError,
    DatabaseError,
    VectorsError,
)
from bitryoshka.limits import check_count
from bitryoshka.postgres.attached_column import count_rows
from bitryoshka.postgres.attachment_checks import (
    Layout,
    check_layout,
    check_prefix,
    check_same,
    find_attachment,
    is_broken,
    refuse_other_layout,
)
from bitryoshka.postgres.backfilling import backfill, backfill_statements
from bitryoshka.postgres.codecs import export, find_codec
from bitryoshka.postgres.column_index import build_index, index_is_valid, index_statements
from bitryoshka.postgres.columns import (
    refused_changes,
    require_entry,
    require_idle,
    restoration,
    sole_worker,
    step,
)
from bitryoshka.postgres.locking import Advance, changed
from bitryoshka.postgres.narrow_table import follow_key, make_narrow, narrow_statements
from bitryoshka.postgres.narrow_trigger import restore_any
from bitryoshka.postgres.repairing import repair_rows
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.target import BadVectors, Target, find_table, find_target
from bitryoshka.postgres.vectors_aside import bring_vectors_back
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
    layout: Layout = "row",
    code_table: str | None = None,
) -> Attached:
    """Give a table a column of codes that stays true, an index on it, and a catalogue entry.

    ``layout``: "row" adds the column to the table itself; "narrow" makes a table of the key and the
    codes beside it, ``code_table`` (None: ``<table>_<code_column>``), whose rows come and go with
    those of the table. Searches of either are those of `search_column` by the table's own name.

    Adds ``code_column``, a trigger that fills it on INSERT and UPDATE, and codes for the rows that
    are there, ``batch_rows`` keys at a time, each batch committed; builds an HNSW index on the
    first ``prefix_bits`` (None: all Hamming bits) CONCURRENTLY; then verifies with ``queries`` rows
    as queries. A vector of another dimension, or zero under cosine, has no code: ``bad_vectors``
    "reject" refuses such rows now and later, "skip" leaves their codes NULL. Codes are made here
    by NumPy, or with ``in_database`` by the server.

    Vectors that were set aside by `set_vectors_aside` come back first. Killed at any moment, the
    same call goes on from there. It also takes up what was changed under
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
    check_layout(layout, code_table)
    check_count(batch_rows, "batch_rows", BitsError)
    check_count(queries, "queries", least=0)
    found = find_codec(connection, codec)
    if layout == "narrow":
        follow_key(connection, find_table(connection, table, schema)[0])
    bring_vectors_back(connection, table, vector_column, schema, code_column, layout)
    target = find_target(connection, table, vector_column, found, code_column, schema)
    prefix = check_prefix(target, prefix_bits) if index else None
    binarizer = export(connection, codec)
    with sole_worker(connection, target.oid, target.title):
        entry, target, present = find_attachment(connection, target, layout, code_table)
        if entry is not None:
            check_same(connection, target, entry, bad_vectors)
            # of an earlier revision, or a former owner's
            fetch(connection, statement("renew_column", column_id=entry.id))
        with step(connection, target.title, "counting the rows"):
            counts = count_rows(connection, target, present)
        if bad_vectors == "reject" and counts.bad:
            raise VectorsError(_bad_rows(connection, target, counts.bad))
        with progress_bar(0, "lock", progress, "attempts") as advance:
            if entry is not None:
                if is_broken(connection, target, entry):
                    restore_any(connection, target, entry, advance, published)
            elif layout == "narrow":
                make_narrow(connection, target, prefix, bad_vectors, published, advance)
            else:
                _prepare(connection, target, prefix, bad_vectors, published, advance)
        if layout == "narrow":  # which is there by now
            _, target, _ = find_attachment(connection, target, layout, code_table)
        holder = target.code_table
        entry = require_entry(connection, holder.oid, holder.title, target.code_column)
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
                build_index(connection, holder, entry.id, prefix, advance)
        verified = verify_target(connection, target, binarizer, entry, prefix, queries)
        record(connection, entry, prefix, verified, looked_at_all=True)
    if not verified.good:
        raise DatabaseError(
            f"table {target.title} does not verify: {verified.text()}; repair mends its codes"
        )
    return Attached(filled, repaired, verified)


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
    layout: Layout = "row",
    code_table: str | None = None,
) -> list[str]:
    """The SQL by which `attach` would change the table, in its order; nothing is changed.

    Of a column that is attached, what a further call would do.
    """
    check_layout(layout, code_table)
    found = find_codec(connection, codec)
    relation, _, _ = find_table(connection, table, schema)
    refuse_other_layout(connection, relation, vector_column, code_column, layout)
    target = find_target(connection, table, vector_column, found, code_column, schema)
    prefix = check_prefix(target, prefix_bits) if index else None
    entry, target, _ = find_attachment(connection, target, layout, code_table)
    if entry is None:
        [(column_id,)] = fetch(connection, statement("next_column_id"))
    else:
        column_id = entry.id
        check_same(connection, target, entry, bad_vectors)
    shown: list[sql.Composed] = []
    if entry is None or is_broken(connection, target, entry):
        if layout == "narrow":
            shown += narrow_statements(connection, target, entry, column_id, prefix, bad_vectors)
        else:
            shown.append(
                _addition(target, prefix, bad_vectors)
                if entry is None
                else restoration(target, entry)
            )
    shown += backfill_statements(target)
    prefix = prefix or (entry and entry.prefix_bits)
    holder = target.code_table
    if prefix is not None and (entry is None or not index_is_valid(connection, holder, prefix)):
        shown += index_statements(holder, column_id, prefix)
    return [part.as_string(connection) for part in shown]


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
