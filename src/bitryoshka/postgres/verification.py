"""Whether a column of codes is true: counts, a sample encoded anew, and recall."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from bitryoshka.additive import Additive
from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import unpack
from bitryoshka.errors import TableError
from bitryoshka.limits import check_count
from bitryoshka.postgres.binary import NUMBERS, bit_column, read_rows, vector_column
from bitryoshka.postgres.codecs import export, find_codec
from bitryoshka.postgres.column_index import index_is_valid
from bitryoshka.postgres.columns import Entry, require_entry, trigger_problem, within_limits
from bitryoshka.postgres.installation import require_installed
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.target import Target, find_table, find_target

SAMPLE = 1000
NEAR = 1e-5
# of the loss of an additive code: what rounding may add to it
WORSE = 1e-4
# of a cut additive code, whose loss is unknown: what no tie explains
_MANY_BITS = 0.25
_MANY_ROWS = 0.01
_FEW_ROWS = 2
_K = 10


@dataclass(frozen=True)
class Counts:
    """Rows of a table: those without a vector, with one that has no code, and with none yet."""

    rows: int
    empty: int
    bad: int
    missing: int


class Judged(NamedTuple):
    """Codes beside those of encoding anew: see `Verification`."""

    wrong_rows: int
    wrong_bits: int
    near_bits: int


@dataclass(frozen=True)
class Verification:
    """What was found in a code column.

    ``wrong_rows``: of ``sampled`` rows, those whose code is wrong, and ``wrong_bits`` how many of
    their bits are not those of the binarizer. ``near_bits`` are bits that rounding may turn, and
    did. Those of progressive codes lie where the projected value is within 1e-5 of a threshold; a
    row with any other is wrong. An additive code is wrong where its loss exceeds that of encoding
    anew by more than 1e-4 of it; what else differs is a tie that was settled the other way. Of an
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
        return not (
            self.counts.missing or self.wrong_rows or self.index_valid is False or self.trigger
        )

    def text(self) -> str:
        """The findings in one line."""
        recall = "no recall" if self.recall is None else f"recall@10 {self.recall:.3f}"
        index = {None: "no index", True: "index valid", False: "index invalid"}[self.index_valid]
        return (
            f"{self.counts.rows} rows, {self.counts.empty} without a vector, "
            f"{self.counts.bad} whose vector has no code, {self.counts.missing} codes missing; "
            f"{self.wrong_rows} rows wrong, {self.wrong_bits} bits wrong in {self.sampled} rows "
            f"encoded anew; {index}; {recall}{f'; {self.trigger}' if self.trigger else ''}"
        )


@dataclass(frozen=True)
class Status:
    """A code column as the catalogue has it, and the rows of its table."""

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


def verify(
    connection: Connection,
    table: str,
    *,
    schema: str = "public",
    code_column: str = "code",
    queries: int = 20,
) -> Verification:
    """Check a code column against its codec, and record what was found.

    Raises TableError where no codec is attached to the column.
    """
    check_count(queries, "queries", least=0)
    target, entry = attached(connection, table, schema, code_column)
    binarizer = export(connection, target.codec.label)
    with within_limits(connection, target.oid, target.title):
        found = verify_target(connection, target, binarizer, entry, entry.prefix_bits, queries)
    record(connection, entry.id, entry.prefix_bits, found)
    return found


def status(
    connection: Connection, table: str, *, schema: str = "public", code_column: str = "code"
) -> Status:
    """How far a code column is filled; TableError where no codec is attached to it."""
    target, entry = attached(connection, table, schema, code_column)
    with within_limits(connection, target.oid, target.title):
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
        trigger=trigger_problem(connection, target.oid, entry),
    )


def verify_target(
    connection: Connection,
    target: Target,
    binarizer: Binarizer,
    entry: Entry,
    prefix_bits: int | None,
    queries: int,
) -> Verification:
    """As `verify`, for a column that is not yet recorded as ready."""
    counts = count_rows(connection, target, True)
    vectors, codes = _sample(connection, target, counts.rows)
    judged = judge(binarizer, vectors, codes)
    asked = vectors[:queries]
    recall = None
    if len(asked):
        recall = float(
            np.mean([_recall(connection, target, row, entry.search_name) for row in asked])
        )
    return Verification(
        counts=counts,
        sampled=len(vectors),
        **judged._asdict(),
        index_valid=_index_valid(connection, target, prefix_bits),
        queries=len(asked),
        recall=recall,
        trigger=trigger_problem(connection, target.oid, entry),
    )


def judge(binarizer: Binarizer, vectors: NDArray[np.float32], codes: NDArray[np.uint8]) -> Judged:
    """How codes (n, bits/8) of vectors (n, d) differ from those of encoding anew."""
    if not len(vectors):
        return Judged(0, 0, 0)
    differ, wrong = _differing(binarizer, vectors, codes)
    count = int(wrong.sum())
    return Judged(int(wrong.any(axis=1).sum()), count, int(differ.sum()) - count)


def wrong_codes(
    binarizer: Binarizer, vectors: NDArray[np.float32], codes: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Which rows have a wrong code, (n,), as `judge` counts them."""
    if not len(vectors):
        return np.zeros(0, bool)
    return np.asarray(_differing(binarizer, vectors, codes)[1].any(axis=1))


def _differing(
    binarizer: Binarizer, vectors: NDArray[np.float32], codes: NDArray[np.uint8]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Bits (n, bits) that are not those of encoding anew, and those of them that are wrong."""
    codes = np.ascontiguousarray(codes)
    differ = unpack(binarizer.encode(vectors)) != unpack(codes)
    if binarizer.additive is None:
        steps = binarizer.project(vectors) / binarizer.step
        distance = np.abs(steps - np.round(steps)) * binarizer.step
        return differ, differ & ~(distance < NEAR)[:, binarizer.bit_dimension]
    worse = _worse(binarizer, binarizer.additive, vectors, codes, differ)
    return differ, differ & worse[:, None]


def _worse(
    binarizer: Binarizer,
    additive: Additive,
    vectors: NDArray[np.float32],
    codes: NDArray[np.uint8],
    differ: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which additive codes no tie explains, (n,)."""
    if binarizer.bits == additive.bits:
        losses = binarizer.losses(vectors, codes)
        return np.asarray(losses > binarizer.losses(vectors) * (1 + WORSE))
    share = differ.mean(axis=1)
    many = (share > 0).sum() > _FEW_ROWS + _MANY_ROWS * len(share)
    return np.asarray(share > (0 if many else _MANY_BITS))


def record(
    connection: Connection, column_id: int, prefix_bits: int | None, found: Verification
) -> None:
    """Keep the findings in the catalogue; the column is ready where they are good."""
    connection.execute(
        statement(
            "finish_column",
            column_id=column_id,
            prefix_bits=sql.NULL if prefix_bits is None else prefix_bits,
            state=sql.Literal("ready" if found.good else "filling"),
            verification=sql.Literal(json.dumps(asdict(found))),
        )
    )


def count_rows(connection: Connection, target: Target, has_codes: bool) -> Counts:
    """Count the rows; where the code column does not exist yet, every code is missing."""
    parts: dict[str, Any] = dict(target.parts)
    if not has_codes:
        parts["code"] = sql.NULL
    query = statement("count_rows", table=target.identifier, has_code=target.has_code(), **parts)
    return Counts(*fetch(connection, query)[0])


def attached(
    connection: Connection, table: str, schema: str, code_column: str
) -> tuple[Target, Entry]:
    """A table's code column and its entry; TableError where it has no codec, or no vectors."""
    require_installed(connection)
    oid, _, _ = find_table(connection, table, schema)
    entry = require_entry(connection, oid, f"{schema}.{table}", code_column)
    if entry.vector_column is None:
        raise TableError(f"{schema}.{table} has codes alone, and no vectors to check them by")
    codec = find_codec(connection, entry.codec)
    target = find_target(connection, table, entry.vector_column, codec, entry.code_column, schema)
    if not target.has_code_column:
        raise TableError(f"column {code_column!r} of {target.title} was dropped: detach it")
    return target, entry


def _index_valid(connection: Connection, target: Target, prefix_bits: int | None) -> bool | None:
    return None if prefix_bits is None else index_is_valid(connection, target, prefix_bits)


def _sample(
    connection: Connection, target: Target, rows: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Vectors and codes of random rows, of all parts of the table, in random order."""
    percent = min(100.0, 100.0 * 2 * SAMPLE / max(rows, 1))
    columns = {
        "vector": vector_column(target.codec.dimensions, NUMBERS[target.vector_type]),
        "code": bit_column(target.codec.bits),
    }
    query = statement(
        "sample_out",
        table=target.identifier,
        percent=sql.Literal(percent),
        has_code=target.has_code(),
        **target.parts,
    )
    found = read_rows(connection, query, columns)
    # a limit in the query would take the rows that lie first
    found = found[np.random.default_rng(0).permutation(len(found))[:SAMPLE]]
    return found["vector"].astype(np.float32), found["code"]


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
            vector_type=sql.Identifier(target.vector_type),
            keys=target.keys,
            item_keys=sql.SQL(", ").join(
                sql.SQL("(s.item).{}").format(sql.Identifier(column.name)) for column in target.key
            ),
            operator=sql.SQL("<=>" if cosine else "<#>"),
            query=sql.Literal("[" + ",".join(map(str, query.tolist())) + "]"),
            code_column=sql.Literal(search_name),
            has_code=target.has_code(),
            k=_K,
            **target.parts,
        ),
    )
    return float(found[0][0])
