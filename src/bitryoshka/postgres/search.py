"""Two-stage search in one statement: Hamming candidates, then rescoring."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pgvector import Vector
from psycopg import sql
from psycopg.pq import TransactionStatus

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import query_planes
from bitryoshka.errors import BitsError, FingerprintError, PgvectorError, TableError
from bitryoshka.limits import check_count
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import (
    bit_strings,
    fetch,
    percent_doubled,
    prefix_expression,
    statement,
)
from bitryoshka.postgres.table import CodeTable, check_prefix
from bitryoshka.postgres_rules import scan_settings
from bitryoshka.vectors import normalized

Rescore = Literal["asymmetric", "exact"]

_PLANES = 8
_OPERATORS = {"cosine": "<=>", "inner_product": "<#>"}


class SearchResult(NamedTuple):
    """``ids`` (Q, k) int64 and ``scores`` (Q, k) float64, best first.

    Scores are comparable within a query only: negated Hamming distances without rescoring,
    asymmetric scores, or pgvector's distances negated after exact rescoring. Where a query finds
    fewer than k rows, the rest holds id -1 and score -infinity.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float64]


def search(
    connection: Connection,
    table: CodeTable,
    binarizer: Binarizer,
    queries: ArrayLike,
    k: int = 10,
    candidates: int = 100,
    prefix_bits: int | None = None,
    rescore: Rescore | None = "asymmetric",
) -> SearchResult:
    """Search a table for each of ``queries`` (Q, d), one statement a query.

    The first stage takes the ``candidates`` rows nearest in Hamming distance on the first
    ``prefix_bits`` (None: all Hamming bits), by the HNSW index on that prefix if there is one. The
    second orders them by the float query against the whole stored code ("asymmetric", needs no
    float column), against the stored vectors ("exact"), or not at all (None).

    Settings of the index scan last for this call. Raises FingerprintError for another
    binarizer's table, BitsError for lengths or numbers that do not fit, TableError for exact
    rescoring without stored vectors, PgvectorError where the database has no pgvector.
    """
    if binarizer.fingerprint != table.fingerprint:
        raise FingerprintError(
            f"table {table.name} holds codes of binarizer {table.fingerprint}, "
            f"found a search with {binarizer.fingerprint}"
        )
    if rescore is not None and rescore not in get_args(Rescore):
        raise TableError(f"rescore must be None or one of {get_args(Rescore)}, found {rescore!r}")
    if rescore == "exact" and table.vector_type is None:
        raise TableError(f"table {table.name} keeps no vectors, found rescore='exact'")
    check_count(k, "k", BitsError)
    if check_count(candidates, "candidates", BitsError) < k:
        raise BitsError(f"k must be between 1 and candidates = {candidates}, found {k}")
    prefix_bits = check_prefix(
        table, binarizer.hamming_bits if prefix_bits is None else prefix_bits
    )
    signs = bit_strings(binarizer.encode_queries(queries, prefix_bits))
    values = _rescoring_values(table, binarizer, queries, rescore, len(signs))
    ids = np.full((len(signs), k), -1, np.int64)
    scores = np.full((len(signs), k), -np.inf)
    # settings of a savepoint outlive its release, but not its rollback
    nested = connection.info.transaction_status != TransactionStatus.IDLE
    with connection.transaction(force_rollback=nested):
        [(schema, *_)] = fetch(connection, _settings(candidates))
        if schema is None:
            raise PgvectorError("pgvector is not in this database: run CREATE EXTENSION vector")
        query = statement(
            f"search_{rescore or 'hamming'}",
            table=percent_doubled(table.identifier),
            prefix=prefix_expression(prefix_bits, table.bits),
            prefix_bits=prefix_bits,
            candidates=candidates,
            k=k,
            pgvector=percent_doubled(sql.Identifier(schema)),
            query_code=sql.Placeholder("query_code"),
            **_rescoring_parts(table, binarizer, rescore),
        )
        for i, code in enumerate(signs):
            rows = fetch(connection, query, {"query_code": code, **values[i]})
            if rows:
                ids[i, : len(rows)], scores[i, : len(rows)] = zip(*rows, strict=True)
    return SearchResult(ids, scores)


def _settings(candidates: int) -> sql.Composed:
    values = {name: sql.Literal(str(value)) for name, value in scan_settings(candidates).items()}
    return statement("search_settings", **values)


def _rescoring_parts(
    table: CodeTable, binarizer: Binarizer, rescore: Rescore | None
) -> dict[str, sql.Composable | int]:
    """What the statement of a kind of rescoring has besides the first stage."""
    if rescore == "exact":
        return {
            "query": sql.Placeholder("query"),
            "operator": sql.SQL(_OPERATORS[binarizer.metric]),
            "vector_type": sql.Identifier(table.vector_type or ""),
            "dimensions": table.dimensions,
        }
    if rescore == "asymmetric":
        planes = {f"plane_{p + 1}": sql.Placeholder(f"plane_{p + 1}") for p in range(_PLANES)}
        return {"bits": table.bits, "scale": sql.Placeholder("scale"), **planes}
    return {}


def _rescoring_values(
    table: CodeTable,
    binarizer: Binarizer,
    queries: ArrayLike,
    rescore: Rescore | None,
    count: int,
) -> list[dict[str, str | float]]:
    """The parameters of each query, by placeholder."""
    if rescore == "exact":
        unit = normalized(queries, binarizer.metric, table.dimensions, "queries")
        return [{"query": Vector(row).to_text()} for row in unit]
    if rescore == "asymmetric":
        planes, scale = query_planes(binarizer.query_weights(queries), _PLANES)
        return [
            {"scale": float(s), **{f"plane_{p + 1}": t for p, t in enumerate(bit_strings(rows))}}
            for rows, s in zip(planes, scale, strict=True)
        ]
    return [{} for _ in range(count)]
