"""The funnel as a plain Select, around a statement of the caller's own."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, cast

from numpy.typing import ArrayLike
from sqlalchemy import BindParameter, ColumnElement, Index, Select, Table, literal_column, tuple_
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.expression import ColumnClause, UnaryExpression
from sqlalchemy.sql.operators import desc_op

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import BitsError, SearchError, TableError
from bitryoshka.limits import check_counts
from bitryoshka.postgres_rules import EF_CONSTRUCTION, M
from bitryoshka.search_parameters import CANDIDATES, K, check_prefix_bits
from bitryoshka.sqlalchemy.code import Code
from bitryoshka.sqlalchemy.queries import bound_query

__all__ = ["funnel", "prefix_index"]

CodeColumn = InstrumentedAttribute[Any] | ColumnElement[Any]


def funnel(
    statement: Select[Any],
    code: CodeColumn,
    query: ArrayLike | BindParameter[Any],
    binarizer: Binarizer,
    *,
    k: int = K,
    candidates: int = CANDIDATES,
    prefix_bits: int | None = None,
    rescore: Literal["asymmetric"] | ColumnElement[Any] | None = "asymmetric",
) -> Select[Any]:
    """``statement`` with its rows limited to the best for ``query`` (d,), best first.

    The ``candidates`` nearest by Hamming distance on the first ``prefix_bits`` (None: all
    Hamming bits), of those rows that the caller's conditions and joins let through, are ranked by
    the float query against their whole codes, or by an expression such as
    ``rescore=Doc.embedding.cosine_distance(query)``, smallest first, or, with None, by that Hamming
    distance. Conditions, joins, loader options, limit and offset stay the caller's; without a
    limit, ``k`` rows. A join that multiplies rows multiplies candidates: use ``exists``.

    Nothing is executed. The text is the same for every query, which is a vector, or a parameter
    for it, so that the statement is made once::

        nearest = funnel(select(Doc), Doc.code, bindparam("query"), binarizer)
        session.scalars(nearest, {"query": vector})

    Give a parameter that ``rescore`` has of its own another name. The asymmetric score needs schema
    ``bitryoshka`` in the database.

    Where there is an index (`prefix_index`), its scan may end too early, and fewer rows come than
    there are: set ``hnsw.ef_search`` to ``candidates`` (at most 1000) and, where there are
    conditions, ``hnsw.iterative_scan`` to relaxed_order, ``hnsw.max_scan_tuples`` to 2147483647
    and ``hnsw.scan_mem_multiplier`` to 1000, by SET LOCAL.

    Raises BitsError for a column of another length, SearchError for prefixes that the binarizer
    does not offer, for more results than candidates, for SELECT DISTINCT, which cannot be ordered
    by a score, and for another ``rescore``, TableError for a table without a primary key,
    VectorsError for a query of another dimension or not finite. A parameter's vector is checked
    when it is sent: SQLAlchemy's StatementError has the VectorsError as its ``orig``.
    """
    column = cast("ColumnClause[Any]", getattr(code, "expression", code))
    kind = column.type
    if not isinstance(kind, Code) or kind.bits != binarizer.bits:
        raise BitsError(f"expected a column Code({binarizer.bits}), found {kind!r}")
    _check(statement, k, candidates)
    key = list(cast("Table", column.table).primary_key)
    if not key:
        raise TableError(f"{column.table} has no primary key to find its rows by")
    scored = isinstance(rescore, str)
    if scored and rescore != "asymmetric":
        raise SearchError(
            f"expected 'asymmetric', an expression or None, found rescore={rescore!r}"
        )
    bits = binarizer.hamming_bits if prefix_bits is None else prefix_bits
    check_prefix_bits(bits, [n for n in binarizer.nested_bits if n <= binarizer.hamming_bits])
    part = _of(column).prefix(bits)
    signs, parameter = bound_query(query, binarizer, bits, scored)
    distance = _of(part).hamming_distance(signs)
    unordered = statement.order_by(None)
    near = (
        unordered.with_only_columns(*key, maintain_column_froms=True)
        .offset(None)
        .order_by(distance)
        # a constant, because a plan that serves every list length would not trust the index
        .limit(_constant(int(candidates)))
        .correlate(None)
    )
    if rescore is None:
        rank: ColumnElement[Any] = distance
    elif isinstance(rescore, ColumnElement):
        rank = rescore
    else:
        rank = UnaryExpression(_of(column).asymmetric_score(parameter), modifier=desc_op)
    row = key[0] if len(key) == 1 else tuple_(*key)
    found = unordered.where(row.in_(near)).order_by(rank, *key)
    return found if statement._limit_clause is not None else found.limit(_constant(int(k)))


@lru_cache
def _constant(number: int) -> ColumnElement[int]:
    return literal_column(str(number))


def _check(statement: Select[Any], k: int, candidates: int) -> None:
    if statement._distinct:
        raise SearchError(
            "expected a statement without DISTINCT, whose rows cannot be ordered by a score: "
            "where a join repeats rows, use exists"
        )
    check_counts(k=k, candidates=candidates)
    # a number, or None where there is none or where an expression gives it
    limit = getattr(statement._limit_clause, "value", None)
    offset = getattr(statement._offset_clause, "value", None) or 0
    last = offset + (k if statement._limit_clause is None else limit or 0)
    if last > candidates:
        raise SearchError(
            f"expected candidates for all results, found {candidates} candidates for "
            f"{last} results, those that are skipped by an offset included"
        )


def prefix_index(
    name: str,
    code: CodeColumn,
    prefix_bits: int,
    m: int = M,
    ef_construction: int = EF_CONSTRUCTION,
) -> Index:
    """An HNSW index on the first ``prefix_bits`` of a code, for the expression that `funnel` uses.

    ``m`` and ``ef_construction`` are pgvector's; its own defaults, 16 and 64, suit float vectors,
    whose lists are short. The index belongs to the column's table, and is made with it; or
    ``.create(connection)`` makes it on its own.
    """
    column = getattr(code, "expression", code)
    part = _of(column).prefix(prefix_bits)
    expression = part if part is column else part.label("code_prefix")
    return Index(
        name,
        expression,
        postgresql_using="hnsw",
        postgresql_ops={expression.key: "bit_hamming_ops"},
        postgresql_with={"m": m, "ef_construction": ef_construction},
    )


def _of(expression: Any) -> Code.Comparator:
    return cast("Code.Comparator", expression.comparator)
