"""Whether a column of codes is true: counts, codes made anew, the trigger, and recall."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from bitryoshka.binarizer import Binarizer
from bitryoshka.limits import check_count
from bitryoshka.postgres.attached_column import Counts, count_rows, find_attached
from bitryoshka.postgres.backfilling import key_ranges, rows_of_leaf
from bitryoshka.postgres.binary import NUMBERS, bit_column, read_rows, vector_column
from bitryoshka.postgres.code_check import Judged, judge
from bitryoshka.postgres.codecs import export
from bitryoshka.postgres.column_index import index_is_valid
from bitryoshka.postgres.columns import (
    Entry,
    refuse_hidden_rows,
    step,
)
from bitryoshka.postgres.narrow_trigger import problem_of
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.target import EVERYTHING, Target
from bitryoshka.progress import progress_bar

SAMPLE = 1000
_K = 10
_BATCH = 5000


@dataclass(frozen=True)
class Verification:
    """What was found in a code column.

    ``wrong_rows``: of ``sampled`` rows, which are all that have a code where all were looked at,
    those whose code is wrong, and ``wrong_bits`` how many of their bits are not those of the
    binarizer. ``near_bits`` are bits that rounding may turn, and did. Those of progressive codes
    lie where the projected value is within 1e-5 of a threshold, times the vector's length; a row
    with any other is wrong. An additive code is wrong where its loss exceeds that of encoding anew
    by more than 1e-4 of it; what else differs is a tie that was settled the other way. Of an
    additive code that was cut the loss is not known: a row is wrong where more than a quarter of
    its bits differ, and every row that differs is where these are more than ties explain, 2 and 1 %
    of the rows. ``recall``: of the 10 nearest rows by the stored vectors, the share that
    `bitryoshka.search` finds over ``queries`` rows; None where there are no rows.
    """

    counts: Counts
    sampled: int
    wrong_rows: int
    wrong_bits: int
    near_bits: int
    index_valid: bool | None
    queries: int
    recall: float | None
    trigger: str | None = None

    @property
    def good(self) -> bool:
        """No code is missing or wrong, the trigger keeps it so, and the index is complete."""
        wrong = self.counts.missing or self.counts.extra or self.wrong_rows
        return not (wrong or self.index_valid is False or self.trigger)

    def text(self) -> str:
        """The findings in one line."""
        recall = "no recall" if self.recall is None else f"recall@10 {self.recall:.3f}"
        index = {None: "no index", True: "index valid", False: "index invalid"}[self.index_valid]
        return (
            f"{self.counts.rows} rows, {self.counts.empty} without a vector, "
            f"{self.counts.bad} whose vector has no code, {self.counts.missing} codes missing"
            f"{f', {self.counts.extra} that should not be there' if self.counts.extra else ''}; "
            f"{self.wrong_rows} rows wrong, {self.wrong_bits} bits wrong in {self.sampled} rows "
            f"encoded anew; {index}; {recall}{f'; {self.trigger}' if self.trigger else ''}"
        )


@dataclass(frozen=True)
class Status:
    """A code column as the catalogue has it, and the rows of its table.

    ``code_table``: the table that the column is in, where it is not that of the vectors.
    """

    codec: str
    vector_column: str
    code_column: str
    search_name: str
    bad_vectors: str
    prefix_bits: int | None
    state: str
    counts: Counts
    index_valid: bool | None
    trigger: str | None = None
    code_table: str | None = None


def verify(
    connection: Connection,
    table: str,
    *,
    schema: str = "public",
    code_column: str = "code",
    queries: int = 20,
    full: bool = False,
    progress: bool = False,
) -> Verification:
    """Check a code column against its codec, and record what was found.

    All rows are counted; the codes of 1,000 random ones are made anew, or of all with ``full``.
    Of a sample without a wrong code one can say, with 95 % confidence, that at most 0.3 % of all
    are wrong. The trigger must be there, enabled and unchanged, and the server must encode a vector
    as Python does.

    Raises TableError where no codec is attached to the column, or one of its columns is gone.
    """
    check_count(queries, "queries", least=0)
    target, entry = find_attached(connection, table, schema, code_column)
    binarizer = export(connection, target.codec.label)
    refuse_hidden_rows(connection, target.oid)
    found = verify_target(
        connection, target, binarizer, entry, entry.prefix_bits, queries, full, progress
    )
    record(connection, entry, entry.prefix_bits, found, looked_at_all=full)
    return found


def status(
    connection: Connection, table: str, *, schema: str = "public", code_column: str = "code"
) -> Status:
    """How far a code column is filled; TableError where no codec is attached to it."""
    target, entry = find_attached(connection, table, schema, code_column)
    refuse_hidden_rows(connection, target.oid)
    with step(connection, target.title, "counting the rows"):
        counts = count_rows(connection, target, True)
    return Status(
        codec=entry.codec,
        vector_column=target.vector_column,
        code_column=entry.code_column,
        search_name=entry.search_name,
        bad_vectors=entry.bad_vectors,
        prefix_bits=entry.prefix_bits,
        state=entry.state,
        counts=counts,
        index_valid=_index_valid(connection, target, entry.prefix_bits),
        trigger=problem_of(connection, target, entry),
        code_table=target.codes.title if target.codes else None,
    )


def verify_target(
    connection: Connection,
    target: Target,
    binarizer: Binarizer,
    entry: Entry,
    prefix_bits: int | None,
    queries: int,
    full: bool = False,
    progress: bool = False,
) -> Verification:
    """As `verify`, for a column that is not yet recorded as ready."""
    with step(connection, target.title, "counting the rows"):
        counts = count_rows(connection, target, True)
    with step(connection, target.title, "checking codes"):
        vectors, codes = _sample(connection, target, counts.rows)
        sampled, judged = len(vectors), judge(binarizer, vectors, codes)
        if full:
            sampled, judged = _judge_all(connection, target, binarizer, counts.rows, progress)
    asked = vectors[:queries]
    recall = None
    if len(asked):
        with step(connection, target.title, "measuring the recall"):
            recall = float(
                np.mean([_recall(connection, target, row, entry.search_name) for row in asked])
            )
    return Verification(
        counts=counts,
        sampled=sampled,
        **judged._asdict(),
        index_valid=_index_valid(connection, target, prefix_bits),
        queries=len(asked),
        recall=recall,
        trigger=problem_of(connection, target, entry)
        or _encoder_problem(connection, target, binarizer),
    )


def record(
    connection: Connection,
    entry: Entry,
    prefix_bits: int | None,
    found: Verification,
    *,
    looked_at_all: bool,
) -> None:
    """Keep the findings in the catalogue; the column is ready where they are good.

    Not where only a sample was looked at of codes that may be others', or one of them was wrong.
    """
    suspect = found.wrong_rows > 0 or (entry.state == "checking" and not looked_at_all)
    state = "checking" if suspect else "ready" if found.good else "filling"
    connection.execute(
        statement(
            "finish_column",
            column_id=entry.id,
            prefix_bits=sql.NULL if prefix_bits is None else prefix_bits,
            state=sql.Literal(state),
            verification=sql.Literal(json.dumps(asdict(found))),
        )
    )


def _index_valid(connection: Connection, target: Target, prefix_bits: int | None) -> bool | None:
    return (
        None if prefix_bits is None else index_is_valid(connection, target.code_table, prefix_bits)
    )


def _sample(
    connection: Connection, target: Target, rows: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Vectors and codes of random rows, of all parts of the table, in random order."""
    percent = min(100.0, 100.0 * 2 * SAMPLE / max(rows, 1))
    source = sql.SQL("{} TABLESAMPLE BERNOULLI ({})").format(
        target.identifier, sql.Literal(percent)
    )
    vectors, codes = _read(connection, target, target.with_codes(source), EVERYTHING)
    # a limit in the query would take the rows that lie first
    chosen = np.random.default_rng(0).permutation(len(vectors))[:SAMPLE]
    return vectors[chosen], codes[chosen]


def _judge_all(
    connection: Connection, target: Target, binarizer: Binarizer, rows: int, progress: bool
) -> tuple[int, Judged]:
    """How many rows have a code, and how these differ from those of encoding anew."""
    looked_at, total = 0, Judged(0, 0, 0)
    with progress_bar(rows, "check", progress, "rows") as advance:
        for leaf, within in key_ranges(connection, target, _BATCH):
            source = rows_of_leaf(target, leaf, within)
            vectors, codes = _read(connection, target, source, within)
            part = judge(binarizer, vectors, codes)
            total = Judged(*(a + b for a, b in zip(total, part, strict=True)))
            looked_at += len(vectors)
            advance(by=_BATCH)
    return looked_at, total


def _read(
    connection: Connection, target: Target, source: sql.Composable, within: sql.Composable
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Vectors and codes of the rows of a range that have both."""
    columns = {
        "vector": vector_column(target.codec.dimensions, NUMBERS[target.vector_type]),
        "code": bit_column(target.codec.bits),
    }
    query = statement("codes_out", source=source, within=within, **target.parts)
    found = read_rows(connection, query, columns)
    return found["vector"].astype(np.float32), found["code"]


def _encoder_problem(connection: Connection, target: Target, binarizer: Binarizer) -> str | None:
    """Why the server does not encode a vector as Python does; None where it does.

    By ``bitryoshka.encode``: the trigger's own function does the same where its text is as it
    should be, and is not called, since its owner could change it at this moment.
    """
    vector = np.random.default_rng(0).standard_normal((1, binarizer.dimensions), np.float32)
    query = statement(
        "encode_one",
        codec=sql.Literal(target.codec.label),
        vector=sql.Literal("[" + ",".join(map(str, vector[0].tolist())) + "]"),
        pgvector=sql.Identifier(target.pgvector),
    )
    try:
        with connection.transaction():
            [(digits,)] = fetch(connection, query)
    except psycopg.errors.DataCorrupted as error:
        return f"the trigger gives no codes: {error.diag.message_primary}"
    code = np.packbits([[int(digit) for digit in digits]], axis=1)
    if judge(binarizer, vector, code).wrong_rows:
        return "the server gives other codes than the codec: run bitryoshka install"
    return None


def _recall(
    connection: Connection, target: Target, query: NDArray[np.float32], search_name: str
) -> float:
    """Share of the nearest rows by stored vectors that the search on codes finds."""
    cosine = target.codec.metric == "cosine"
    found = fetch(
        connection,
        statement(
            "recall",
            table=target.identifier,
            searched=target.code_table.identifier,
            vector_type=sql.Identifier(target.vector_type),
            keys=target.keys,
            item_keys=sql.SQL(", ").join(
                sql.SQL("(s.item).{}").format(sql.Identifier(column.name)) for column in target.key
            ),
            operator=sql.SQL("<=>" if cosine else "<#>"),
            query=sql.Literal("[" + ",".join(map(str, query.tolist())) + "]"),
            code_column=sql.Literal(search_name),
            k=_K,
            **target.parts,
        ),
    )
    return float(found[0][0])
