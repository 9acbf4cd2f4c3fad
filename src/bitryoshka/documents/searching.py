"""A store's search: one statement for the whole funnel, and what its rows are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sqlalchemy import ColumnElement, Connection, Row, Select, Table, func, select

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import largest_scores, prefix, query_planes, unpack
from bitryoshka.documents.engines import Work
from bitryoshka.documents.rows import floats
from bitryoshka.errors import SearchError
from bitryoshka.postgres_rules import scan_settings
from bitryoshka.search_parameters import SearchParameters
from bitryoshka.sqlalchemy import Code, funnel
from bitryoshka.vectors import normalized

Floats = NDArray[np.floating[Any]]
Condition = ColumnElement[bool]
Near = partial[Select[Any]]

_WITHOUT_INDEX = {
    "enable_indexscan": "off",
    "enable_seqscan": "on",
    # a prepared statement keeps the plan that it has
    "plan_cache_mode": "force_custom_plan",
}


class Hit(NamedTuple):
    """A row with id, content and metadata, and its score: larger is better."""

    row: Row[Any]
    score: float


@dataclass(frozen=True)
class Searcher:
    """How a store searches: its table, and the stages of a search that asks for nothing else."""

    table: Table
    binarizer: Binarizer
    asked: SearchParameters

    def __post_init__(self) -> None:
        self._check(self.asked)

    def _check(self, asked: SearchParameters) -> None:
        if asked.rescore == "exact" and not self.keeps_vectors:
            raise SearchError("the store keeps no vectors, found rescore='exact'")

    @property
    def keeps_vectors(self) -> bool:
        """Whether rows have the vectors that they were made of."""
        return "vector" in self.table.c

    @property
    def uses_functions(self) -> bool:
        """Whether searches need schema ``bitryoshka``."""
        return self.asked.rescore == "asymmetric" or self.asked.shortlist is not None

    def search(
        self,
        query: ArrayLike,
        k: int,
        *,
        where: Sequence[Condition] = (),
        likeness: bool = False,
        **options: Any,
    ) -> Work[list[Hit]]:
        """The best ``k`` rows for one query (d,), best first; ``likeness`` for `diverse`.

        ``options``: those of `SearchParameters` that this search has otherwise.
        """
        one = normalized(
            np.asarray(query)[None], self.binarizer.metric, self.binarizer.dimensions, "queries"
        )
        asked = replace(self.asked, k=k, **options)
        self._check(asked)
        columns = self.table.c
        near = partial(
            funnel,
            code=columns.code,
            query=one,
            binarizer=self.binarizer,
            candidates=asked.candidates,
            prefix_bits=asked.prefix_bits,
        )
        rows = select(columns.id, columns.content, columns.metadata)
        if likeness:
            rows = rows.add_columns(columns.vector if self.keeps_vectors else columns.code)
        ranked = self._by_vectors if asked.rescore == "exact" else self._by_codes
        statement = ranked(rows, near, one, asked, where)
        factor, constant = self._line(one, asked)

        def work(connection: Connection) -> list[Hit]:
            _set(connection, {f"hnsw.{n}": v for n, v in scan_settings(asked.candidates).items()})
            found = connection.execute(statement).all()
            if len(found) < k:
                # the graph's links may lead to no more rows, and the scan's memory has an end
                _set(connection, _WITHOUT_INDEX)
                found = connection.execute(statement).all()
            return [Hit(row, factor * row.value + constant) for row in found]

        return work

    def _by_vectors(
        self,
        rows: Select[Any],
        near: Near,
        query: Floats,
        asked: SearchParameters,
        where: Sequence[Condition],
    ) -> Select[Any]:
        comparator = cast("Any", self.table.c.vector.comparator)
        cosine = self.binarizer.metric == "cosine"
        operator = comparator.cosine_distance if cosine else comparator.max_inner_product
        distance = operator(query[0])
        rows = rows.add_columns(distance.label("value"))
        if asked.shortlist is None:
            return near(rows.where(*where), k=asked.k, rescore=distance)
        key = self.table.c.id
        short = near(select(key).where(*where), k=asked.shortlist).subquery("short")
        return rows.join(short, short.c.id == key).order_by(distance, key).limit(asked.k)

    def _by_codes(
        self,
        rows: Select[Any],
        near: Near,
        query: Floats,
        asked: SearchParameters,
        where: Sequence[Condition],
    ) -> Select[Any]:
        if asked.rescore is None:
            bits = asked.prefix_bits or self.binarizer.hamming_bits
            prefix = cast("Code.Comparator", self.table.c.code.comparator).prefix(bits)
            signs = self.binarizer.encode_queries(query, bits)[0]
            distance = cast("Any", prefix.comparator).hamming_distance(signs).label("value")
            return near(rows.add_columns(distance).where(*where), k=asked.k, rescore=None)
        planes = query_planes(self.binarizer.query_weights(query)).planes[0]
        comparator = cast("Code.Comparator", self.table.c.code.comparator)
        value = comparator.asymmetric_score(planes).label("value")
        return near(rows.add_columns(value).where(*where), k=asked.k)

    def _line(self, query: NDArray[np.float32], asked: SearchParameters) -> tuple[float, float]:
        """Factor and constant that make a score of a distance, or of an asymmetric score."""
        if asked.rescore == "exact":
            return -1, 1 if self.binarizer.metric == "cosine" else 0
        if asked.rescore is None:
            return -2 / (asked.prefix_bits or self.binarizer.hamming_bits), 1
        [planes], [scale] = query_planes(self.binarizer.query_weights(query))
        if (additive := self.binarizer.additive) is not None:
            return float(scale), float(query[0] @ additive.centre[-1])
        if self.binarizer.bits > self.binarizer.hamming_bits:
            # the weights score the row less its mean: what the mean scores is missing
            mean = query[0] @ self.binarizer.projection.T @ self.binarizer.offset
            return float(scale), float(mean)
        [reach] = largest_scores(planes[None])
        return 1 / int(reach), 0

    def diverse(self, query: ArrayLike, hits: list[Hit], k: int, lambda_mult: float) -> list[Hit]:
        """The ``k`` hits of maximal marginal relevance, by vectors or else by Hamming bits."""
        if not hits:
            return []
        one: Floats = np.asarray(query, np.float64)
        if self.keeps_vectors:
            rows: Floats = np.array([floats(hit.row.vector) for hit in hits], np.float64)
        else:
            codes = np.array([hit.row.code for hit in hits])
            rows = 2.0 * unpack(prefix(codes, self.binarizer.hamming_bits)) - 1
            one = 2.0 * unpack(self.binarizer.encode_queries(one[None]))[0] - 1
        return [hits[i] for i in marginal_relevance(one, rows, k, lambda_mult)]


def marginal_relevance(query: Floats, rows: Floats, k: int, lambda_mult: float) -> list[int]:
    """Which of ``rows`` (n, d) are near to ``query`` (d,) and not to each other, by cosine.

    Each next one has the largest ``lambda_mult`` * similarity to the query - (1 - ``lambda_mult``)
    * its largest similarity to those before (Carbonell and Goldstein, SIGIR 1998).
    """
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(norms > 0, norms, 1)
    relevance = unit @ query / (np.linalg.norm(query) or 1)
    open_ = np.ones(len(unit), np.bool_)
    redundancy = np.full(len(unit), -np.inf)
    chosen: list[int] = []
    while len(chosen) < min(k, len(unit)):
        value = lambda_mult * relevance - (1 - lambda_mult) * redundancy if chosen else relevance
        best = int(np.argmax(np.where(open_, value, -np.inf)))
        chosen.append(best)
        open_[best] = False
        redundancy = np.maximum(redundancy, unit @ unit[best])
    return chosen


def _set(connection: Connection, settings: Mapping[str, str | int]) -> None:
    """Settings until the transaction ends."""
    connection.execute(
        select(*(func.pg_catalog.set_config(n, str(v), True) for n, v in settings.items()))
    )
