"""LlamaIndex's filters on a real Postgres: they mean what they mean to its store in memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn
from sqlalchemy import Index, select, text
from tests.conftest import fresh_database
from tests.engines import engine
from tests.llama_index_stores import ASYNC, SYNC, caller, open_store
from tests.synthetic import clustered

import bitryoshka
from bitryoshka.errors import SearchError
from bitryoshka.llama_index import CodeVectorStore
from bitryoshka.llama_index.filters import metadata_condition

VECTORS = clustered(0, 200, 24)
BINARIZER = bitryoshka.fit(VECTORS, bits=32, hamming_bits=16, method="progressive").binarizer
Op, Condition = FilterOperator, FilterCondition

BOOKS: dict[str, dict[str, Any]] = {
    "atlas": {"year": 1998, "price": 40.5, "lent": True, "by": "Moss", "day": "1998-03-01"},
    "botany": {"year": 2004, "price": 12, "lent": False, "by": "moss", "a.b": 1, "tags": []},
    "crafts": {"year": 2010, "price": 9.99, "lent": 1, "by": "Öz", "tags": ["clay", "wood"]},
    "dance": {"year": "2010", "price": None, "by": "100%_\\ O'Hara", "tags": ["wood"]},
    "essays": {"year": 2021, "price": -1, "by": "", "shelf": {"row": 7}, "tags": ["a", "clay"]},
    "fungi": {"tags": [1, 2.5, True], "lent": 0, "a": {"b": 1}, '"': "x.*y"},
    "games": {},
}


@pytest.fixture(scope="module")
def address(dsn: str, template: str) -> Iterator[str]:
    with fresh_database(dsn, template) as made:
        store = open_store(made, BINARIZER)
        store.create_table()
        rows = zip(BOOKS.items(), VECTORS.tolist(), strict=False)
        store.add(
            [TextNode(id_=n, text=n, metadata=m, embedding=row) for (n, m), row in rows],
        )
        yield made


def one(key: str, operator: FilterOperator, value: Any = None) -> MetadataFilter:
    return MetadataFilter(key=key, operator=operator, value=value)


def every(*filters: Any, condition: FilterCondition | None = Condition.AND) -> MetadataFilters:
    return MetadataFilters(filters=list(filters), condition=condition)


def passing(store: CodeVectorStore, asked: MetadataFilter | MetadataFilters) -> set[str]:
    filters = asked if isinstance(asked, MetadataFilters) else every(asked)
    return {node.node_id for node in store.get_nodes(filters=filters)}


def passing_each(address: str, several: list[MetadataFilters]) -> list[set[str]]:
    """What each of the filters lets through, many of them in one statement."""
    table, found = open_store(address, BINARIZER).table, []
    with engine(address).connect() as connection:
        for start in range(0, len(several), 100):
            each = [metadata_condition(table.c.metadata, f) for f in several[start : start + 100]]
            columns = [condition.label(f"c{i}") for i, condition in enumerate(each)]
            rows = connection.execute(select(table.c.id, *columns)).all()
            found += [{row.id for row in rows if row[1 + i]} for i in range(len(each))]
    return found


def in_memory(asked: MetadataFilter | MetadataFilters) -> set[str]:
    """What LlamaIndex's own function lets through; where it raises, nothing passes."""
    if isinstance(asked, MetadataFilter):
        alone = build_metadata_filter_fn(BOOKS.__getitem__, every(asked))

        def passes(name: str) -> bool:
            try:
                return bool(alone(name))
            except TypeError:
                return False

        return {name for name in BOOKS if passes(name)}
    parts = [in_memory(each) for each in asked.filters]
    if not parts:
        return set(BOOKS)
    if asked.condition == Condition.OR:
        return set.union(*parts)
    if asked.condition == Condition.NOT:
        return set(BOOKS) - set.union(*parts)
    return set.intersection(*parts)


VALUES = [2010, 2010.0, "2010", 1, 0, -1, 9.99, 12, "Moss", "moss", "", "wood", "1998-03-01", "a"]
LISTS = [[2010, 1998], ["2010", "Moss"], ["wood", "clay"], ["wood"], [1, 0], [2.5, 9.99], []]
KEYS = ["year", "price", "lent", "by", "day", "tags", "shelf", "a.b", "a", "none", '"']
ON_VALUES = [Op.EQ, Op.NE, Op.GT, Op.GTE, Op.LT, Op.LTE]
ON_LISTS = [Op.IN, Op.NIN, Op.ANY, Op.ALL, Op.EQ, Op.NE]

SINGLE = [
    *(one(key, operator, value) for operator in ON_VALUES for key in KEYS for value in VALUES),
    *(one(key, operator, value) for operator in ON_LISTS for key in KEYS for value in LISTS),
    *(one(key, Op.CONTAINS, value) for key in ("tags", "none", "year") for value in VALUES),
    *(
        one(key, operator, value)
        for operator in (Op.TEXT_MATCH, Op.TEXT_MATCH_INSENSITIVE)
        for key in KEYS
        for value in ("os", "OS", "%_", "\\", "'", ".*", "x.*y", '"', "ö", "98-", "")
    ),
    *(one(key, Op.IS_EMPTY) for key in KEYS),
]


def alike(asked: MetadataFilter) -> bool:
    """Not where the store in memory takes strings for lists, or bools for numbers in order."""
    on_lists = (Op.ANY, Op.ALL, Op.CONTAINS)
    if asked.operator in on_lists and asked.key in ("by", "day", "year", '"'):
        return False
    if asked.operator in (Op.GT, Op.GTE, Op.LT, Op.LTE) and asked.key == "lent":
        return False
    return (asked.operator, asked.value) != (Op.ALL, [])


ALIKE = [asked for asked in SINGLE if alike(asked)]


def nested(rng: random.Random, depth: int) -> MetadataFilters:
    parts = [
        nested(rng, depth - 1) if depth and rng.random() < 0.5 else rng.choice(ALIKE)
        for _ in range(rng.randint(1, 3))
    ]
    return every(*parts, condition=rng.choice([*Condition, None]))


def test_each_operator_is_that_of_the_store_in_memory(address: str) -> None:
    single = [every(asked) for asked in ALIKE]
    found = passing_each(address, single)
    matched = set()
    for asked, names in zip(ALIKE, found, strict=True):
        assert names == in_memory(asked), asked
        if 0 < len(names) < len(BOOKS):
            matched.add(asked.operator)
    assert len(ALIKE) > 1000
    assert matched == set(FilterOperator)


def test_filters_in_each_other(address: str) -> None:
    rng = random.Random(0)
    several = [nested(rng, 3) for _ in range(400)]
    found = passing_each(address, several)
    for asked, names in zip(several, found, strict=True):
        assert names == in_memory(asked), asked
    assert {len(names) for names in found} == set(range(len(BOOKS) + 1))
    nothing = [every(), every(condition=Condition.OR), every(condition=Condition.NOT)]
    assert passing_each(address, nothing) == [set(BOOKS)] * 3


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (one("lent", Op.EQ, 1), "atlas crafts"),
        (one("lent", Op.NE, 1), "botany dance essays fungi games"),
        (one("lent", Op.IN, [0]), "botany fungi"),
        # what the store in memory does otherwise, or not at all
        (one("lent", Op.LT, 1), "fungi"),
        (one("by", Op.ANY, ["Moss", "O"]), ""),
        (one("by", Op.CONTAINS, "oss"), ""),
        (one("tags", Op.IN, ["wood"]), ""),
        (one("year", Op.TEXT_MATCH, "20"), "dance"),
        (one("tags", Op.EQ, ["wood"]), "dance"),
        (one("tags", Op.NE, ["wood"]), "atlas botany crafts essays fungi games"),
        (one("tags", Op.ALL, []), "botany crafts dance essays fungi"),
        (one("shelf", Op.IS_EMPTY), "atlas botany crafts dance fungi games"),
        (one("by", Op.IS_EMPTY), "essays fungi games"),
        (one("price", Op.IS_EMPTY), "dance fungi games"),
        (one("tags", Op.IS_EMPTY), "atlas botany games"),
        (
            every(one("year", Op.GT, 2004), condition=Condition.NOT),
            "atlas botany dance fungi games",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("driver", [*SYNC, *ASYNC])
def test_every_driver(address: str, driver: str, asked: Any, found: str) -> None:
    store, filters = open_store(address, BINARIZER, driver), every(asked)
    read = caller(driver)(store.get_nodes, None, filters)
    assert {node.node_id for node in read} == set(found.split())
    query = VectorStoreQuery(VECTORS[9].tolist(), similarity_top_k=7, filters=filters)
    assert set(caller(driver)(store.query, query).ids) == set(found.split())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (one("a", Op.EQ), "expected EQ of a string or a number, found None for 'a'.*IS_EMPTY"),
        (one("a", Op.GT, [1]), r"expected GT of a string or a number, found \[1\]"),
        (one("a", Op.CONTAINS, ["x"]), "expected CONTAINS of a string or a number"),
        (one("a", Op.IN, "x"), "expected IN of a list, found 'x'"),
        (one("a", Op.ANY, 1), "expected ANY of a list"),
        (one("a", Op.ALL), "expected ALL of a list"),
        (one("a", Op.TEXT_MATCH, 1), "expected TEXT_MATCH of a string"),
        (one("a", Op.EQ, "\0"), "holds no NUL"),
        (one("a\ud800", Op.EQ, 1), "no lone surrogate"),
        (one("a", Op.EQ, float("nan")), "expected finite numbers"),
        (one("a", Op.NIN, [float("inf")]), "expected finite numbers"),
    ],
    ids=str,
)
def test_what_means_nothing_is_refused(address: str, asked: MetadataFilter, message: str) -> None:
    with pytest.raises(SearchError, match=message):
        passing(open_store(address, BINARIZER), asked)


def test_how_deep_filters_may_be(address: str) -> None:
    store, deep = open_store(address, BINARIZER), every(one("year", Op.EQ, 2010))
    for _ in range(64):
        deep = every(deep, condition=Condition.NOT)
    assert passing(store, deep) == {"crafts"}
    with pytest.raises(SearchError, match="at most 64 filters"):
        passing(store, every(deep))


@pytest.mark.parametrize(
    "asked",
    [one("year", Op.EQ, 2010), one("lent", Op.EQ, 1), one("year", Op.IN, [2010, 2011])],
    ids=str,
)
def test_equality_is_found_by_an_index_on_the_metadata(database: str, asked: Any) -> None:
    store = open_store(database, BINARIZER)
    Index("docs_metadata", store.table.c.metadata, postgresql_using="gin")
    store.create_table()
    statement = select(store.table.c.id).where(
        metadata_condition(store.table.c.metadata, every(asked))
    )
    with engine(database).connect() as connection:
        connection.execute(text("SET enable_seqscan = off"))
        printed = statement.compile(connection)
        values = printed.construct_params()
        for name, process in printed._bind_processors.items():
            values[name] = process(values[name])
        plan = connection.exec_driver_sql(f"EXPLAIN {printed}", values).scalars()
        assert "Bitmap Index Scan on docs_metadata" in "\n".join(plan)
