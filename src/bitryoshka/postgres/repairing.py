"""Codes that are not those of their vectors: found, and encoded anew."""

from __future__ import annotations

import time

from psycopg import sql

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import BitsError, DatabaseError
from bitryoshka.limits import check_count
from bitryoshka.postgres.attached_column import count_rows, find_attached
from bitryoshka.postgres.backfilling import batch_table, key_ranges, rows_of_leaf, write_codes
from bitryoshka.postgres.binary import (
    INTEGER,
    NUMBERS,
    TID,
    XID,
    bit_column,
    read_rows,
    vector_column,
)
from bitryoshka.postgres.code_check import wrong_codes
from bitryoshka.postgres.codecs import export
from bitryoshka.postgres.columns import require_idle, sole_worker, step
from bitryoshka.postgres.locking import retried, row_holders
from bitryoshka.postgres.narrow_trigger import problem_of, restore_any
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.target import Relation, Target
from bitryoshka.progress import progress_bar

_TRIES = 50
_PAUSE = 0.2


def repair(
    connection: Connection,
    table: str,
    *,
    schema: str = "public",
    code_column: str = "code",
    batch_rows: int = 5000,
    progress: bool = False,
) -> int:
    """Encode anew the rows of a code column that have a wrong code or none; give their number.

    A trigger that is gone, disabled or changed is made anew first. Every row is looked at,
    ``batch_rows`` keys at a time, and those whose code is right, as `verify` judges it, are not
    written; each batch is committed, so that a second call after a kill finds less to do. A code
    whose vector is gone becomes NULL. The connection must be in autocommit mode.
    Raises TableError where no codec is attached to the column or the table has no vectors, and
    DatabaseError where row security hides rows or rows stay locked.
    """
    require_idle(connection)
    check_count(batch_rows, "batch_rows", BitsError)
    target, entry = find_attached(connection, table, schema, code_column)
    binarizer = export(connection, entry.codec)
    with sole_worker(connection, target.oid, target.title):
        fetch(connection, statement("renew_column", column_id=entry.id))
        if problem_of(connection, target, entry) is not None:
            with progress_bar(0, "lock", progress, "attempts") as advance:
                restore_any(connection, target, entry, advance)
        mended = repair_rows(connection, target, binarizer, batch_rows, progress)
        connection.execute(statement("checked_column", column_id=entry.id))
    return mended


def repair_rows(
    connection: Connection,
    target: Target,
    binarizer: Binarizer,
    batch_rows: int,
    progress: bool,
) -> int:
    """As `repair`, once the table's trigger is in order."""
    mended = 0
    with step(connection, target.title, "counting the rows"):
        rows = count_rows(connection, target, True).rows
    with (
        progress_bar(rows, "check", progress, "rows") as advance,
        batch_table(connection, target),
        step(connection, target.title, "checking codes"),
    ):
        for leaf, within in key_ranges(connection, target, batch_rows):
            mended += _mend(connection, target, leaf, binarizer, within)
            advance(by=batch_rows)
        if target.codes is not None:
            orphans = statement("remove_orphans", table=target.identifier, **target.narrow_parts)
            mended += connection.execute(orphans).rowcount
    return mended


def _mend(
    connection: Connection,
    target: Target,
    leaf: Relation,
    binarizer: Binarizer,
    within: sql.Composable,
) -> int:
    """Mend a range of keys; rows that another session holds are tried again."""
    mended = 0
    for _ in range(_TRIES):
        found, written = retried(lambda: _batch(connection, target, leaf, binarizer, within))
        mended += written
        if written >= found:
            return mended
        time.sleep(_PAUSE)
    raise DatabaseError(
        f"rows of {leaf.title} stay locked by {row_holders(connection, leaf.oid)}: end their "
        "transactions, then run repair again"
    )


def _batch(
    connection: Connection,
    target: Target,
    leaf: Relation,
    binarizer: Binarizer,
    within: sql.Composable,
) -> tuple[int, int]:
    """How many rows were found wrong, and how many of them written, in one transaction."""
    source = rows_of_leaf(target, leaf, within)
    where = {"table": leaf.identifier, "within": within}
    columns = {
        "place": TID,
        "version": XID,
        "vector": vector_column(binarizer.dimensions, NUMBERS[target.vector_type]),
        "code": bit_column(binarizer.bits),
        "missing": INTEGER,
    }
    with connection.transaction():
        fetch(connection, statement("batch_settings"))
        if target.codes is None:
            clearing = statement("clear_batch", **where, **target.parts)
        else:
            clearing = statement("narrow_clear", **where, **target.narrow_parts)
        cleared = connection.execute(clearing).rowcount
        query = statement(
            "repair_out",
            source=source,
            within=within,
            zeros=sql.Literal("0"),
            bits=binarizer.bits,
            **target.parts,
        )
        rows = read_rows(connection, query, columns)
        wrong = rows["missing"] != 0
        wrong |= wrong_codes(binarizer, rows["vector"].astype("f4"), rows["code"])
        rows = rows[wrong]
        if not len(rows):
            return cleared, cleared
        written = write_codes(connection, target, leaf, binarizer, rows, sql.SQL("true"))
    return len(rows) + cleared, written + cleared
