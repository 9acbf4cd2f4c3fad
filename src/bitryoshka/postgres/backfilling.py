"""Codes for the rows that a table has already: in batches by key, each committed at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import DatabaseError
from bitryoshka.postgres.binary import (
    NUMBERS,
    TID,
    XID,
    bit_column,
    read_rows,
    rows_of,
    vector_column,
    write_rows,
)
from bitryoshka.postgres.columns import find_functions, require_entry
from bitryoshka.postgres.locking import Advance, retried, row_holders
from bitryoshka.postgres.narrow_trigger import encoder_beside
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.target import Relation, Target

# gives the number of rows of a range of keys that it has filled
Fill = Callable[[Relation, sql.Composable], int]

_PASSES = 100
# passes after which rows that nobody holds have their codes, whatever was changed meanwhile
_FEW = 10
_PAUSE = 0.2


def backfill(
    connection: Connection,
    target: Target,
    column_id: int,
    binarizer: Binarizer | None,
    batch_rows: int,
    advance: Advance,
) -> int:
    """Fill the code column where it is NULL; give the number of rows filled.

    ``binarizer``: None encodes in the database. What was done before a kill is not done again.
    A row that another session holds is filled in a later pass; DatabaseError where rows are
    still held after many.
    """
    filled = 0
    with _filler(connection, target, binarizer) as fill:
        for leaf in target.leaves:
            for number in range(_PASSES):
                filled += _pass(connection, target, leaf, column_id, fill, batch_rows, advance)
                if not _has_missing(connection, target, leaf):
                    break
                if number >= _FEW and (count := _unlocked(connection, target, leaf)):
                    raise DatabaseError(
                        f"{count} rows of {leaf.title} have no code although it was written "
                        f"{number + 1} times, and no other session holds them: what else writes "
                        f"column {target.code_column!r}? A trigger after "
                        f"zz_bitryoshka_{column_id}, or a rule, may undo it"
                    )
                time.sleep(_PAUSE)
            else:
                raise DatabaseError(
                    f"rows of {leaf.title} stay locked by {row_holders(connection, leaf.oid)}: end "
                    "their transactions, then run attach again, which goes on from here"
                )
    return filled


def backfill_statements(target: Target) -> list[sql.Composed]:
    """What a batch runs, with all keys in its range."""
    found = []
    for leaf in target.leaves:
        whole = _key_range(target, None, None)
        found.append(_reading(target, leaf, whole))
        found.append(_writing(target, leaf, _missing(target)))
    return found


@contextmanager
def _filler(connection: Connection, target: Target, binarizer: Binarizer | None) -> Iterator[Fill]:
    if binarizer is None:
        encoder = _encoder(connection, target)
        yield lambda leaf, within: _fill_in_database(connection, target, encoder, leaf, within)
        return
    with batch_table(connection, target):
        yield lambda leaf, within: _fill_by_numpy(connection, target, binarizer, leaf, within)


@contextmanager
def batch_table(connection: Connection, target: Target) -> Iterator[None]:
    """A temporary table for the codes of a batch."""
    connection.execute(statement("drop_batch"))
    connection.execute(statement("create_batch", bits=target.codec.bits))
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute(statement("drop_batch"))


def _encoder(connection: Connection, target: Target) -> sql.Identifier:
    """The function that the column's trigger encodes by."""
    if target.codes is not None:
        encoder = encoder_beside(connection, target)
    else:
        entry = require_entry(connection, target.oid, target.title, target.code_column)
        found = find_functions(connection, target.oid, entry)
        encoder = sql.Identifier(*found.encoder) if found and found.encoder else None
    if encoder is None:
        raise DatabaseError(
            f"the trigger of column {target.code_column!r} of {target.title}, or its encoder, is "
            "gone: run attach again, which makes them anew"
        )
    return encoder


def _pass(
    connection: Connection,
    target: Target,
    leaf: Relation,
    column_id: int,
    fill: Fill,
    batch_rows: int,
    advance: Advance,
) -> int:
    """Once through the keys, from where the last pass was interrupted."""
    where: dict[str, Any] = {"column_id": column_id, "oid": leaf.oid}
    saved = fetch(connection, statement("last_key", **where))
    last: list[str] | None = saved[0][0] if saved else None
    filled = 0
    while True:
        end = _batch_end(connection, target, leaf, last, batch_rows)
        within = _key_range(target, last, end)
        done = retried(partial(_batch, connection, leaf, fill, within, end, where))
        filled += done
        advance(by=done)
        if end is None:
            return filled
        last = end


def _batch(
    connection: Connection,
    leaf: Relation,
    fill: Fill,
    within: sql.Composable,
    end: list[str] | None,
    where: dict[str, Any],
) -> int:
    """Fill a batch and keep its last key, in one transaction."""
    with connection.transaction():
        fetch(connection, statement("batch_settings"))
        done = fill(leaf, within)
        if end is None:
            connection.execute(statement("forget_keys", **where))
        else:
            key = sql.Literal(end)
            connection.execute(statement("save_key", key=key, rows=done, **where))
    return done


def _missing(target: Target) -> sql.Composed:
    row = "t" if target.codes is None else "n"
    return sql.SQL("{} IS NULL").format(sql.Identifier(row, target.code_column))


def rows_of_leaf(target: Target, leaf: Relation, within: sql.Composable) -> sql.Composable:
    """What the rows of a range of keys are read from, with their codes."""
    return target.with_codes(sql.SQL("ONLY {}").format(leaf.identifier), within)


def _reading(target: Target, leaf: Relation, within: sql.Composable) -> sql.Composed:
    source = rows_of_leaf(target, leaf, within)
    return statement("batch_out", source=source, within=within, **target.parts)


def _writing(target: Target, leaf: Relation, due: sql.Composable) -> sql.Composed:
    if target.codes is None:
        return statement("apply_batch", due=due, table=leaf.identifier, **target.parts)
    return statement("narrow_apply", due=due, table=leaf.identifier, **target.narrow_parts)


def _batch_end(
    connection: Connection, target: Target, leaf: Relation, last: list[str] | None, rows: int
) -> list[str] | None:
    """The last key of the next batch; None where the table ends before."""
    query = statement(
        "batch_end",
        texts=target.key_texts,
        keys=target.keys,
        table=leaf.identifier,
        within=_key_range(target, last, None),
        skip=rows - 1,
    )
    # a transaction of its own: triggers and defaults of the user's keep their settings
    with connection.transaction():
        fetch(connection, statement("key_settings"))
        found = fetch(connection, query)
    end = list(found[0]) if found else None
    if end is not None and end == last:
        raise DatabaseError(
            f"keys of {leaf.schema}.{leaf.name} do not read back from their text, the first is "
            f"{end}: the backfill goes by ranges of the primary key, make one of another type"
        )
    return end


def key_ranges(
    connection: Connection, target: Target, batch_rows: int
) -> Iterator[tuple[Relation, sql.Composed]]:
    """All of a table: its parts, and in each of them conditions for ``batch_rows`` keys in turn."""
    for leaf in target.leaves:
        last: list[str] | None = None
        while True:
            end = _batch_end(connection, target, leaf, last, batch_rows)
            yield leaf, _key_range(target, last, end)
            if end is None:
                break
            last = end


def _key_range(target: Target, last: list[str] | None, end: list[str] | None) -> sql.Composed:
    """Condition on keys: after ``last`` and up to ``end``."""
    conditions: list[sql.Composable] = [sql.SQL("true")]
    if last is not None:
        conditions.append(target.compared(">", last))
    if end is not None:
        conditions.append(target.compared("<=", end))
    return sql.SQL(" AND ").join(conditions)


def _fill_by_numpy(
    connection: Connection,
    target: Target,
    binarizer: Binarizer,
    leaf: Relation,
    within: sql.Composable,
) -> int:
    number = NUMBERS[target.vector_type]
    rows = read_rows(
        connection,
        _reading(target, leaf, within),
        {"place": TID, "version": XID, "vector": vector_column(binarizer.dimensions, number)},
    )
    if not len(rows):
        return 0
    return write_codes(connection, target, leaf, binarizer, rows, _missing(target))


def write_codes(
    connection: Connection,
    target: Target,
    leaf: Relation,
    binarizer: Binarizer,
    rows: NDArray[np.void],
    due: sql.Composable,
) -> int:
    """Encode rows by place, version and vector; give how many of the ``due`` ones were written."""
    columns = {"place": TID, "version": XID, "code": bit_column(binarizer.bits)}
    values = {
        "place": rows["place"],
        "version": rows["version"],
        "code": binarizer.encode(rows["vector"].astype("f4")),
    }
    write_rows(connection, statement("batch_in"), iter([rows_of(columns, len(rows), values)]))
    return connection.execute(_writing(target, leaf, due)).rowcount


def _fill_in_database(
    connection: Connection,
    target: Target,
    encoder: sql.Composable,
    leaf: Relation,
    within: sql.Composable,
) -> int:
    where = {"table": leaf.identifier, "within": within, "encoder": encoder}
    if target.codes is None:
        query = statement("encode_batch", **where, **target.parts)
    else:
        query = statement("narrow_encode", **where, **target.narrow_parts)
    return connection.execute(query).rowcount


def _unlocked(connection: Connection, target: Target, leaf: Relation) -> int:
    """How many rows lack their code that no other session holds."""
    if target.codes is None:
        query = statement("unlocked_rows", table=leaf.identifier, **target.parts)
    else:
        query = statement("narrow_unlocked", table=leaf.identifier, **target.narrow_parts)
    [(found,)] = fetch(connection, query)
    return int(found)


def _has_missing(connection: Connection, target: Target, leaf: Relation) -> bool:
    source = target.with_codes(leaf.identifier)
    query = statement("has_missing", table=source, **target.parts)
    try:
        [(found,)] = fetch(connection, query)
    except psycopg.errors.UndefinedColumn as error:
        raise DatabaseError(f"column {target.code_column} vanished during the backfill") from error
    return bool(found)
