"""Search a table of codes that Python fills: the funnel in one statement a query."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
from numpy.typing import ArrayLike
from pgvector import Vector
from psycopg import sql
from psycopg.pq import TransactionStatus

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import bit_text, largest_scores, query_planes
from bitryoshka.errors import FingerprintError, PgvectorError, TableError
from bitryoshka.postgres.exchange import Exchange, run, run_async
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import (
    percent_doubled,
    prefix_expression,
    statement,
)
from bitryoshka.postgres.table import CodeTable
from bitryoshka.postgres_rules import scan_settings
from bitryoshka.search_parameters import (
    CANDIDATES,
    K,
    Rescore,
    SearchParameters,
    check_prefix_bits,
)
from bitryoshka.search_result import SearchResult
from bitryoshka.vectors import normalized

_PLANES = 8
_OPERATORS = {"cosine": "<=>", "inner_product": "<#>"}
_Parts = dict[str, sql.Composable | int]
_Values = list[dict[str, Any]]


def search(
    connection: Connection,
    table: CodeTable,
    binarizer: Binarizer,
    queries: ArrayLike,
    k: int = K,
    *,
    candidates: int = CANDIDATES,
    prefix_bits: int | None = None,
    rescore: Rescore | None = "asymmetric",
    shortlist: int | None = None,
) -> SearchResult:
    """The k best rows of a table for each of ``queries`` (Q, d), one statement a query.

    The stages are those of `SearchParameters`, and the first one uses the HNSW index on its prefix
    if there is one. Settings of the index scan last for this call. Raises SearchError for numbers
    and lengths that do not fit, FingerprintError for another binarizer's table, TableError for
    exact rescoring without stored vectors, VectorsError for unusable queries, and PgvectorError
    where the database has no pgvector.
    """
    asked = SearchParameters(
        k=k, candidates=candidates, prefix_bits=prefix_bits, rescore=rescore, shortlist=shortlist
    )
    work = _searching(table, binarizer, queries, asked)
    # settings of a savepoint outlive its release, but not its rollback
    with connection.transaction(force_rollback=_in_transaction(connection)):
        return run(connection, work)


async def search_async(
    connection: psycopg.AsyncConnection[Any],
    table: CodeTable,
    binarizer: Binarizer,
    queries: ArrayLike,
    k: int = K,
    *,
    candidates: int = CANDIDATES,
    prefix_bits: int | None = None,
    rescore: Rescore | None = "asymmetric",
    shortlist: int | None = None,
) -> SearchResult:
    """`search`, on an asynchronous connection."""
    asked = SearchParameters(
        k=k, candidates=candidates, prefix_bits=prefix_bits, rescore=rescore, shortlist=shortlist
    )
    work = _searching(table, binarizer, queries, asked)
    async with connection.transaction(force_rollback=_in_transaction(connection)):
        return await run_async(connection, work)


def _in_transaction(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    return connection.info.transaction_status != TransactionStatus.IDLE


def _searching(
    table: CodeTable, binarizer: Binarizer, queries: ArrayLike, asked: SearchParameters
) -> Exchange[SearchResult]:
    if not isinstance(table, CodeTable):
        raise TableError(
            f"expected a table of create_table or open_table, found {table!r}: search_column "
            "searches a table that a codec is attached to"
        )
    if binarizer.fingerprint != table.fingerprint:
        raise FingerprintError(
            f"table {table.name} holds codes of binarizer {table.fingerprint}, "
            f"found a search with {binarizer.fingerprint}"
        )
    if asked.rescore == "exact" and table.vector_type is None:
        raise TableError(f"table {table.name} keeps no vectors, found rescore='exact'")
    prefix_bits = table.hamming_bits if asked.prefix_bits is None else asked.prefix_bits
    check_prefix_bits(
        prefix_bits, [n for n in binarizer.nested_bits if n <= binarizer.hamming_bits]
    )
    values: _Values = [
        {"query_code": bit_text(code)} for code in binarizer.encode_queries(queries, prefix_bits)
    ]
    parts: _Parts = {
        "table": percent_doubled(table.identifier),
        "prefix": prefix_expression(prefix_bits, table.bits),
        "prefix_bits": prefix_bits,
        "candidates": asked.candidates,
        "k": asked.k,
        "query_code": sql.Placeholder("query_code"),
    }
    kind: str = asked.rescore or "hamming"
    if asked.rescore == "asymmetric" or asked.shortlist is not None:
        _add_planes(parts, values, table, binarizer, queries)
    if asked.rescore == "exact":
        _add_vectors(parts, values, table, binarizer, queries)
    if asked.shortlist is not None:
        kind, parts["shortlist"] = "shortlist", asked.shortlist
    return _sending(kind, parts, values)


def _sending(kind: str, parts: _Parts, values: _Values) -> Exchange[SearchResult]:
    settings = scan_settings(int(parts["candidates"]))  # type: ignore[arg-type]
    texts = {name: sql.Literal(str(value)) for name, value in settings.items()}
    set_all = statement("scan_settings", **texts)
    [(schema, *_)] = yield statement("search_settings", settings=set_all), {}
    if schema is None:
        raise PgvectorError("pgvector is not in this database: run CREATE EXTENSION vector")
    parts["pgvector"] = percent_doubled(sql.Identifier(schema))
    if "reach" in parts:
        parts["weighted_distance"] = statement("weighted_distance", **parts)
    query = statement(f"search_{kind}", **parts)
    found = SearchResult([], [])
    for row in values:
        rows = yield query, row
        found.ids.append([key for key, _ in rows])
        found.scores.append(np.array([score for _, score in rows], np.float64))
    return found


def _add_planes(
    parts: _Parts, values: _Values, table: CodeTable, binarizer: Binarizer, queries: ArrayLike
) -> None:
    """The float query against whole codes, as eight bit planes of its rounded weights."""
    planes = query_planes(binarizer.query_weights(queries), _PLANES).planes
    names = [f"plane_{number + 1}" for number in range(_PLANES)]
    parts |= {"bits": table.bits, "reach": sql.Placeholder("reach")}
    parts |= {name: sql.Placeholder(name) for name in names}
    for row, of_query, reach in zip(values, planes, largest_scores(planes), strict=True):
        row |= dict(zip(names, map(bit_text, of_query), strict=True)) | {"reach": float(reach)}


def _add_vectors(
    parts: _Parts, values: _Values, table: CodeTable, binarizer: Binarizer, queries: ArrayLike
) -> None:
    """The query itself against stored vectors."""
    unit = normalized(queries, binarizer.metric, table.dimensions, "queries")
    parts |= {
        "query": sql.Placeholder("query"),
        "operator": sql.SQL(_OPERATORS[binarizer.metric]),
        "best": int(binarizer.metric == "cosine"),
        "vector_type": sql.Identifier(table.vector_type or ""),
        "dimensions": table.dimensions,
    }
    for row, vector in zip(values, unit, strict=True):
        row["query"] = Vector(vector).to_text()
