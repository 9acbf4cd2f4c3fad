"""The funnel over a relation of DuckDB: one statement a query, made of its own expressions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import duckdb
import numpy as np
from duckdb import (
    CaseExpression,
    ColumnExpression,
    ConstantExpression,
    Expression,
    FunctionExpression,
)
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import largest_scores, query_planes
from bitryoshka.errors import BitsError, OptionError, TableError
from bitryoshka.kinds import check_kind
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
_SIMILARITIES = {"cosine": "array_cosine_similarity", "inner_product": "array_inner_product"}
# names of what the stages hand on
_DISTANCE, _SCORE, _LISTED = "bitryoshka_distance", "bitryoshka_score", "bitryoshka_id"


def search(
    relation: duckdb.DuckDBPyRelation,
    binarizer: Binarizer,
    queries: ArrayLike,
    k: int = K,
    *,
    candidates: int = CANDIDATES,
    prefix_bits: int | None = None,
    rescore: Rescore | None = "asymmetric",
    shortlist: int | None = None,
    where: Expression | str | None = None,
    id_column: str = "id",
    code_column: str = "code",
    vector_column: str = "vector",
) -> SearchResult:
    """The k best rows of a relation for each of ``queries`` (Q, d).

    ``relation``: of `read_codes`, or a table, view or Arrow table with a column of unique ids and
    one of codes, BLOB or BIT; "exact" needs one of vectors too, lists of floats. Rows without a
    code are left out. Candidates whose vector gives no score, since it is NULL, is zero under
    cosine or has NaN, come last, with the score NaN. ``where``: a condition in SQL, or an
    expression of DuckDB's. The stages are those of `SearchParameters`; there is no index: the first
    stage reads all codes. The float query's weights are rounded to 8 planes (`bits.query_planes`).

    A relation does not say whose its codes are: `read_codes` looks. Raises SearchError for numbers
    and lengths that do not fit, BitsError for codes of another length, TableError for codes of
    another type, VectorsError for unusable queries, OptionError for what is no relation, condition
    or column's name, and DuckDB's errors for columns that are not there.
    """
    check_kind(relation, duckdb.DuckDBPyRelation, "a relation of DuckDB, such as of read_codes")
    for name in (id_column, code_column, vector_column):
        check_kind(name, str, "the name of one column")
    if where is not None:
        check_kind(where, (str, Expression), "a condition, in SQL or as an expression of DuckDB")
        if isinstance(where, str) and not where.strip():
            raise OptionError("the condition is empty: expected one, or None for none")
    asked = SearchParameters(
        k=k, candidates=candidates, prefix_bits=prefix_bits, rescore=rescore, shortlist=shortlist
    )
    compared = binarizer.hamming_bits if asked.prefix_bits is None else asked.prefix_bits
    check_prefix_bits(compared, [n for n in binarizer.nested_bits if n <= binarizer.hamming_bits])
    (kind,) = relation.select(ColumnExpression(code_column)).types
    if kind not in ("BLOB", "BIT"):
        raise TableError(f"expected codes as BLOB or BIT in column {code_column!r}, found {kind}")
    funnel = _Funnel(
        relation if where is None else relation.filter(where),
        asked,
        compared,
        binarizer,
        id_column,
        code_column,
        vector_column,
    )
    found = SearchResult([], [])
    for query in _queries(binarizer, queries, compared):
        rows = funnel.best(query)
        found.ids.append([key for key, _ in rows])
        found.scores.append(np.array([score for _, score in rows], np.float64))
    return found


class _Query(NamedTuple):
    """Bits of the first stage, planes of the whole weights and their reach, and the vector."""

    code: NDArray[np.uint8]
    planes: NDArray[np.uint8]
    reach: int
    vector: NDArray[np.float32]


def _queries(binarizer: Binarizer, queries: ArrayLike, prefix_bits: int) -> Iterator[_Query]:
    codes = binarizer.encode_queries(queries, prefix_bits)
    planes = query_planes(binarizer.query_weights(queries), _PLANES).planes
    vectors = normalized(queries, binarizer.metric, binarizer.dimensions, "queries")
    return map(_Query, codes, planes, largest_scores(planes).tolist(), vectors)


@dataclass(frozen=True)
class _Funnel:
    rows: duckdb.DuckDBPyRelation
    asked: SearchParameters
    prefix_bits: int
    binarizer: Binarizer
    id_column: str
    code_column: str
    vector_column: str

    def best(self, query: _Query) -> list[tuple[Any, float]]:
        """Keys and scores of the best k rows."""
        asked = self.asked
        stage = self.near(query)
        if asked.rescore is None:
            stage = self.kept(stage, self.agreement(self.prefix_bits, self.prefix_bits), asked.k)
        if asked.rescore == "asymmetric" or asked.shortlist is not None:
            stage = stage.select(*self.columns, self.weighted(query).alias(_DISTANCE))
            score = self.agreement((2**_PLANES - 1) * self.binarizer.bits, query.reach)
            stage = self.kept(stage, score, asked.shortlist or asked.k)
        if asked.rescore == "exact":
            stage = self.kept(self.with_vectors(stage), self.similarity(query), asked.k)
        try:
            found: list[tuple[Any, float]] = stage.fetchall()
        except duckdb.InvalidInputException as error:
            if "different sizes" not in str(error):
                raise
            bits = self.binarizer.bits
            raise BitsError(f"expected codes of {bits} bits, found others: {error}") from error
        return found

    @property
    def columns(self) -> tuple[Expression, Expression]:
        return ColumnExpression(self.id_column), ColumnExpression(self.code_column)

    def near(self, query: _Query) -> duckdb.DuckDBPyRelation:
        """The candidates: id, code and Hamming distance of the nearest."""
        key, code = self.columns
        first = FunctionExpression(
            "array_slice",
            code.cast(duckdb.sqltype("BLOB")),
            ConstantExpression(1),
            ConstantExpression(self.prefix_bits // 8),
        )
        compared = code if self.prefix_bits == self.binarizer.bits else first
        distance = _hamming(compared, query.code).alias(_DISTANCE)
        return (
            self.rows.filter(code.isnotnull())
            .select(key, code, distance)
            .sort(ColumnExpression(_DISTANCE), key)
            .limit(self.asked.candidates)
        )

    def weighted(self, query: _Query) -> Expression:
        """The float query against whole codes: see `bits.query_planes`; less is better."""
        parts = [
            ConstantExpression(2 ** (_PLANES - 1 - i)) * _hamming(self.columns[1], plane)
            for i, plane in enumerate(query.planes)
        ]
        return sum(parts[1:], parts[0])

    def agreement(self, whole: int, reach: int) -> Expression:
        """The share of the reach that agrees, less the share that does not."""
        twice = ConstantExpression(2) * ColumnExpression(_DISTANCE)
        return (ConstantExpression(whole) - twice) / ConstantExpression(reach)

    def similarity(self, query: _Query) -> Expression:
        kind = duckdb.sqltype(f"FLOAT[{self.binarizer.dimensions}]")
        score = FunctionExpression(
            _SIMILARITIES[self.binarizer.metric],
            ColumnExpression(self.vector_column).cast(kind),
            ConstantExpression(query.vector.tolist()).cast(kind),
        )
        # NaN, which DuckDB sorts before all numbers, becomes NULL
        return CaseExpression(FunctionExpression("isfinite", score), score)

    def with_vectors(self, listed: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
        """The rows that are listed, as they were given."""
        key = self.columns[0]
        ids = listed.select(key.alias(_LISTED)).set_alias("bitryoshka_listed")
        rows = self.rows.set_alias("bitryoshka_rows")
        return rows.join(ids, key == ColumnExpression(_LISTED), how="semi")

    def kept(
        self, stage: duckdb.DuckDBPyRelation, score: Expression, count: int
    ) -> duckdb.DuckDBPyRelation:
        """The best rows of a stage: id and score."""
        key = self.columns[0]
        best = ColumnExpression(_SCORE)
        return (
            stage.select(key, score.alias(_SCORE)).sort(best.desc().nulls_last(), key).limit(count)
        )


def _hamming(code: Expression, bits: NDArray[np.uint8]) -> Expression:
    kind = duckdb.sqltype("BIT")
    asked = ConstantExpression(bits.tobytes()).cast(kind)
    return FunctionExpression("bit_count", FunctionExpression("xor", code.cast(kind), asked))
