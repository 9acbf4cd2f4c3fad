"""Filters with operators on a real Postgres: which documents pass, and what is refused."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Index, select, text
from tests.conftest import fresh_database
from tests.engines import engine
from tests.langchain_stores import ASYNC, SYNC, Call, Known, caller, open_store
from tests.synthetic import clustered

import bitryoshka
from bitryoshka.errors import SearchError
from bitryoshka.langchain import CodeVectorStore
from bitryoshka.langchain.filters import metadata_condition

VECTORS = clustered(0, 200, 24)
BINARIZER = bitryoshka.fit(VECTORS, bits=32, hamming_bits=16, method="progressive").binarizer

# the reading list of a library: fields of each type, some of them missing, or of another type
BOOKS: dict[str, dict[str, Any]] = {
    "atlas": {"year": 1998, "price": 40.5, "lent": True, "by": "Moss", "day": "1998-03-01"},
    "botany": {"year": 2004, "price": 12, "lent": False, "by": "moss", "shelf": {"row": 3}},
    "crafts": {"year": 2010, "price": 9.99, "lent": True, "by": "Öz", "tags": ["clay", "wood"]},
    "dance": {"year": "2010", "price": None, "by": "Ng", "day": "2010-11-30"},
    "essays": {"year": 2021, "price": -1, "by": "O'Hara", "shelf": {"row": 7, "side": "left"}},
    "fungi": {"shelf.row": 5, "tags": ["wood", ["moss"]], "lent": 1},
    "games": {},
}


@pytest.fixture(params=[*SYNC, *ASYNC])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def call(driver: str) -> Call:
    return caller(driver)


def opened(address: str, driver: str = "psycopg", **options: Any) -> CodeVectorStore:
    return open_store(address, Known(VECTORS), BINARIZER, driver, **options)


def filled(
    address: str, driver: str = "psycopg", documents: Mapping[str, dict[str, Any]] = BOOKS
) -> CodeVectorStore:
    store = opened(address)
    store.create_table()
    texts = [str(i) for i in range(len(documents))]
    store.add_texts(texts, list(documents.values()), ids=list(documents))
    return opened(address, driver)


CASES: list[tuple[dict[str, Any], str]] = [
    ({"year": {"$eq": 2010}}, "crafts"),
    ({"year": {"$eq": 2010.0}}, "crafts"),
    ({"year": {"$eq": "2010"}}, "dance"),
    ({"price": {"$eq": None}}, "dance"),
    ({"lent": {"$eq": True}}, "atlas crafts"),
    ({"lent": {"$eq": 1}}, "fungi"),
    # not equal: of those that have the key
    ({"year": {"$ne": 2010}}, "atlas botany dance essays"),
    ({"lent": {"$ne": True}}, "botany fungi"),
    ({"price": {"$ne": 12}}, "atlas crafts dance essays"),
    ({"price": {"$ne": None}}, "atlas botany crafts essays"),
    # in order: numbers as numbers, strings by code points, and nothing across types
    ({"year": {"$gt": 2004}}, "crafts essays"),
    ({"year": {"$gte": 2004}}, "botany crafts essays"),
    ({"year": {"$lt": 2010}}, "atlas botany"),
    ({"year": {"$lte": 2010}}, "atlas botany crafts"),
    ({"year": {"$gte": ""}}, "dance"),
    ({"price": {"$lt": 10}}, "crafts essays"),
    ({"price": {"$gt": -1.5}}, "atlas botany crafts essays"),
    ({"price": {"$lt": 9.995}}, "crafts essays"),
    ({"by": {"$lt": "O"}}, "atlas dance"),
    ({"by": {"$gt": "moss"}}, "crafts"),
    ({"by": {"$gte": "moss"}}, "botany crafts"),
    ({"by": {"$gt": 1}}, ""),
    ({"day": {"$gte": "2000-01-01"}}, "dance"),
    ({"lent": {"$lt": True}}, "botany"),
    ({"year": {"$gte": 2004, "$lt": 2021}}, "botany crafts"),
    ({"year": {"$between": (1998, 2004)}}, "atlas botany"),
    ({"year": {"$between": [2004, 1998]}}, ""),
    ({"day": {"$between": ["1998-01-01", "1998-12-31"]}}, "atlas"),
    ({"year": {"$in": [1998, 2010]}}, "atlas crafts"),
    ({"year": {"$in": ("2010", 1998)}}, "atlas dance"),
    ({"lent": {"$in": [False, 1]}}, "botany fungi"),
    ({"price": {"$in": {12.0}}}, "botany"),
    ({"price": {"$in": [None]}}, "dance"),
    ({"year": {"$in": []}}, ""),
    ({"year": {"$nin": [1998, 2010]}}, "botany dance essays"),
    ({"price": {"$nin": [12]}}, "atlas crafts dance essays"),
    ({"year": {"$nin": []}}, "atlas botany crafts dance essays"),
    ({"by": {"$like": "%o%"}}, "atlas botany"),
    ({"by": {"$like": "_oss"}}, "atlas botany"),
    ({"by": {"$like": "O'%"}}, "essays"),
    ({"by": {"$like": "M"}}, ""),
    ({"by": {"$ilike": "MO%"}}, "atlas botany"),
    ({"year": {"$like": "20%"}}, "botany crafts dance essays"),
    ({"price": {"$exists": True}}, "atlas botany crafts dance essays"),
    ({"price": {"$exists": False}}, "fungi games"),
    # around dicts
    ({"$or": [{"year": 1998}, {"by": "Ng"}]}, "atlas dance"),
    ({"$OR": [{"year": 1998}]}, "atlas"),
    ({"$and": [{"lent": True}, {"price": {"$gt": 10}}]}, "atlas"),
    ({"$and": ({"lent": True}, {"$or": [{"year": 2010}, {"year": 2021}]})}, "crafts"),
    ({"$not": {"year": 2010}}, "atlas botany dance essays fungi games"),
    ({"$not": {"year": {"$gt": 2004}}}, "atlas botany dance fungi games"),
    ({"$not": {"year": {"$ne": 2010}}}, "crafts fungi games"),
    ({"$not": {"by": {"$like": "%"}}}, "fungi games"),
    ({"$not": [{"lent": True}, {"year": 2004}]}, "dance essays fungi games"),
    ({"$not": {"$not": {"year": 2010}}}, "crafts"),
    ({"$not": {"year": 2010, "lent": False}}, "atlas botany crafts dance essays fungi games"),
    ({"$or": [{"year": 1998}, {"year": 2004}], "$not": {"lent": True}}, "botany"),
    # all keys of a dict
    ({"lent": True, "price": {"$lt": 10}}, "crafts"),
    ({"lent": True, "by": "Moss", "year": {"$gt": 1}, "price": {"$gt": 1}}, "atlas"),
    # contained, as before there were operators
    ({"tags": ["wood"]}, "crafts fungi"),
    ({"tags": "wood"}, ""),
    ({"tags": [["moss"]]}, "fungi"),
    ({"shelf": {}}, "botany essays"),
    ({"shelf": {"row": 7}}, "essays"),
    ({"price": None}, "dance"),
    ({}, " ".join(BOOKS)),
    # operators further down, and paths where no key has that name
    ({"shelf": {"row": {"$lt": 7}}}, "botany"),
    ({"shelf": {"row": {"$gte": 3}, "side": "left"}}, "essays"),
    ({"shelf": {"side": {"$exists": False}}}, "atlas botany crafts dance fungi games"),
    ({"shelf.row": 7}, "essays"),
    ({"shelf.row": 5}, "fungi"),
    ({"shelf.row": {"$gt": 3}}, "essays fungi"),
    ({"shelf.row": {"$ne": 3}}, "essays fungi"),
    ({"shelf.row": {"$in": [3, 5]}}, "botany fungi"),
    ({"shelf.side": {"$like": "l%"}}, "essays"),
    ({"shelf.row": {"$exists": False}}, "atlas crafts dance games"),
    ({"by.row": {"$exists": True}}, ""),
    ({"tags.wood": {"$exists": True}}, ""),
]


def test_which_documents_pass(database: str, driver: str, call: Call) -> None:
    store = filled(database, driver)
    for condition, expected in CASES:
        found = call(store.similarity_search, "9", k=len(BOOKS), filter=condition)
        assert sorted(document.id for document in found) == expected.split(), condition


def text_of(value: Any) -> str:
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def like(value: str, pattern: str, flags: int = 0) -> bool:
    parts = re.findall(r"\\.|.", pattern, re.S)
    wild = {"%": ".*", "_": "."}
    regex = "".join(wild.get(p) or re.escape(p[-1]) for p in parts)
    return re.fullmatch(regex, value, re.S | flags) is not None


def kind(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def contained(part: Any, whole: Any) -> bool:
    if kind(part) != kind(whole):
        return False
    if isinstance(part, dict):
        return all(key in whole and contained(value, whole[key]) for key, value in part.items())
    if isinstance(part, list):
        return all(any(contained(one, other) for other in whole) for one in part)
    return bool(part == whole)


ABSENT = object()


def passes_operator(value: Any, name: str, operand: Any) -> bool:
    if name == "$exists":
        return (value is not ABSENT) == operand
    if value is ABSENT:
        return False
    same = kind(value) == kind(operand)
    match name:
        case "$eq":
            return contained(operand, value)
        case "$ne":
            return not contained(operand, value)
        case "$in":
            return any(contained(one, value) for one in operand)
        case "$nin":
            return not any(contained(one, value) for one in operand)
        case "$gt":
            return same and value > operand
        case "$gte":
            return same and value >= operand
        case "$lt":
            return same and value < operand
        case "$lte":
            return same and value <= operand
        case "$between":
            low, high = operand
            return kind(value) == kind(low) and low <= value <= high
        case "$like":
            return value is not None and like(text_of(value), operand)
    assert name == "$ilike"
    return value is not None and like(text_of(value), operand, re.I)


def passes(metadata: dict[str, Any], condition: dict[str, Any]) -> bool:
    """The same in Python, for conditions of one level."""
    for key, wanted in condition.items():
        if key == "$and":
            good = all(passes(metadata, each) for each in wanted)
        elif key == "$or":
            good = any(passes(metadata, each) for each in wanted)
        elif key == "$not":
            good = not passes(metadata, wanted)
        elif isinstance(wanted, dict) and any(name.startswith("$") for name in wanted):
            value = metadata.get(key, ABSENT)
            good = all(passes_operator(value, name, each) for name, each in wanted.items())
        else:
            good = contained({key: wanted}, metadata)
        if not good:
            return False
    return True


def chosen(values: list[Any]) -> st.SearchStrategy[Any]:
    # by number, because Hypothesis prints its strategies with all that they hold
    return st.integers(0, len(values) - 1).map(lambda i: values[i])


KEYS = ["a", "b", "", " ", "%(x)s", "%", ":y", "q'\"", "\\", "\\u0041", "a\n", "é💡", "k" * 3000]
SCALARS = [
    0,
    1,
    1.0,
    -2.5,
    10**30,
    1e-7,
    True,
    False,
    None,
    "",
    "a",
    "B",
    "ab",
    "é",
    "💡",
    "\uffff",
]
SCALARS += [
    "1",
    "true",
    "null",
    "%",
    "a%",
    "_",
    "\\",
    "\\\\",
    "'",
    '"',
    ":x",
    "%s",
    "$v",
    "x" * 3000,
]
VALUES = chosen([*SCALARS, [], ["a"], [1, ["a"]], {}, {"a": 1}, {"a": "a"}])
ORDERED = chosen([value for value in SCALARS if value is not None])
PATTERNS = ["%", "a%", "_", "%\\%", "\\_", "\\\\", "\\\\%", "%'%", "%b", "1%", "[%", "tr_e", ""]


def operators() -> st.SearchStrategy[dict[str, Any]]:
    scalar, several = chosen(SCALARS), st.lists(chosen(SCALARS), max_size=3)
    pairs = st.tuples(ORDERED, ORDERED).filter(lambda pair: kind(pair[0]) == kind(pair[1]))
    operands = {
        **dict.fromkeys(("$eq", "$ne"), scalar),
        **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), ORDERED),
        **dict.fromkeys(("$in", "$nin"), several),
        **dict.fromkeys(("$like", "$ilike"), chosen(PATTERNS)),
        "$between": pairs,
        "$exists": st.booleans(),
    }
    one = st.one_of(st.fixed_dictionaries({name: of}) for name, of in operands.items())
    return st.lists(one, min_size=1, max_size=2).map(
        lambda dicts: {name: operand for each in dicts for name, operand in each.items()}
    )


CONDITIONS = st.recursive(
    st.dictionaries(chosen(KEYS), operators() | VALUES, min_size=1, max_size=3),
    lambda inner: (
        st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"$not": inner})
    ),
    max_leaves=5,
)


def hostile_documents() -> dict[str, dict[str, Any]]:
    """Each value under the first key, and dicts of four random keys and values."""
    chance = random.Random(0)
    values = [*SCALARS, [], ["a"], [1, ["a"]], {}, {"a": 1}, {"a": "a"}]
    single = [{KEYS[0]: value} for value in values]
    several = [{key: chance.choice(values) for key in chance.sample(KEYS, 4)} for _ in range(60)]
    return {f"{i:03}": metadata for i, metadata in enumerate([*single, *several])}


HOSTILE = hostile_documents()


@pytest.fixture(scope="module")
def hostile_database(dsn: str, template: str) -> Iterator[str]:
    with fresh_database(dsn, template) as address:
        filled(address, documents=HOSTILE)
        yield address


@pytest.fixture
def hostile_store(hostile_database: str, driver: str) -> CodeVectorStore:
    return opened(hostile_database, driver)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(condition=CONDITIONS)
def test_any_condition_lets_through_what_python_would(
    condition: dict[str, Any], hostile_store: CodeVectorStore, call: Call
) -> None:
    found = call(hostile_store.similarity_search, "9", k=len(HOSTILE), filter=condition)
    expected = [id_ for id_, metadata in HOSTILE.items() if passes(metadata, condition)]
    assert sorted(document.id for document in found) == expected


def test_every_method_takes_the_same_filters(database: str, driver: str, call: Call) -> None:
    store = filled(database, driver)
    late = {"year": {"$gte": 2004}}
    vector = VECTORS[9].tolist()
    searches: list[tuple[Any, ...]] = [
        (store.similarity_search, "9"),
        (store.similarity_search_by_vector, vector),
        (store.max_marginal_relevance_search, "9"),
        (store.max_marginal_relevance_search_by_vector, vector),
        (store.similarity_search_with_score, "9"),
        (store.similarity_search_with_relevance_scores, "9"),
    ]
    for method, query in searches:
        found = call(method, query, k=5, filter=late)
        documents = [one[0] if isinstance(one, tuple) else one for one in found]
        assert {document.id for document in documents} == {"botany", "crafts", "essays"}, method
    for options in (
        {"search_type": "similarity"},
        {"search_type": "mmr"},
        {"search_type": "similarity_score_threshold", "score_threshold": 0.0},
    ):
        kind_of = options.pop("search_type")
        retriever = store.as_retriever(
            search_type=str(kind_of), search_kwargs={"k": 5, "filter": late, **options}
        )
        found = call(retriever.invoke, "9")
        assert {document.id for document in found} == {"botany", "crafts", "essays"}


def left(address: str) -> str:
    with engine(address).connect() as connection:
        return " ".join(connection.scalars(text("SELECT id FROM docs ORDER BY id")))


def test_deleting_what_passes(database: str, driver: str, call: Call) -> None:
    store = filled(database, driver)
    assert call(store.delete, filter={"year": {"$lt": 2004}}) is True
    assert left(database) == "botany crafts dance essays fungi games"
    # nothing passes, and so nothing of it is left
    assert call(store.delete, filter={"year": {"$lt": 2004}}) is True
    assert left(database) == "botany crafts dance essays fungi games"
    call(store.delete, ["crafts", "fungi"], filter={"$not": {"year": 2010}})
    assert left(database) == "botany crafts dance essays games"
    call(store.delete, filter={"$or": [{"by": {"$ilike": "N%"}}, {"shelf.row": 3}]})
    assert left(database) == "crafts essays games"
    with pytest.raises(SearchError, match=r"found '\$lower'"):
        call(store.delete, filter={"year": {"$lower": 2030}})
    assert left(database) == "crafts essays games"
    call(store.delete, filter={"year": {"$exists": False}})
    assert left(database) == "crafts essays"


def nested(key: str, depth: int) -> dict[str, Any]:
    condition: dict[str, Any] = {"a": 1}
    for _ in range(depth):
        condition = {key: condition}
    return condition


REFUSED: list[tuple[Any, str]] = [
    ({"year": {"$lower": 1}}, r"operator on a key, found '\$lower': operators are \$eq, .*\$not"),
    ({"year": {"$and": [{"a": 1}]}}, r"operator on a key, found '\$and'"),
    ({"year": {"$": 1}}, r"operator on a key, found '\$'"),
    ({"year": {"$GT": 1}}, r"operator on a key, found '\$GT'"),
    ({"shelf": {"row": {"$lower": 1}}}, r"operator on a key, found '\$lower'"),
    ({"$gt": 1}, r"a key or \$and, \$or, \$not, found '\$gt': operators are \$eq"),
    ({"$nor": [{"a": 1}]}, r"a key or \$and, \$or, \$not, found '\$nor'"),
    ({"$" + "x" * 10**6: 1}, r"found '\$x{40,90}: operators are"),
    ({"$or": [{"a": {"$lower": 1}}]}, r"found '\$lower'"),
    (
        {"year": {"$gt": 1, "row": 2}},
        r"operators alone or keys alone in a dict, found \['\$gt', 'r",
    ),
    (
        {"$or": [{"a": 1}], "year": 1},
        r"operators alone or keys alone in a dict, found \['\$or', 'y",
    ),
    ({"tags": [{"$gt": 1}]}, r"values in a list, found operators"),
    ({"tags": {"a": [[{"b": {"$gt": 1}}]]}}, r"values in a list, found operators"),
    ({"$and": {"a": 1}}, r"\$and of a list of dicts with keys, found {'a': 1}"),
    ({"$and": []}, r"\$and of a list of dicts with keys, found \[\]"),
    ({"$or": [{}]}, r"\$or of a list of dicts with keys, found \[{}\]"),
    ({"$or": [{"a": 1}, "a"]}, r"\$or of a list of dicts with keys"),
    ({"$and": [{"a": 1}, None]}, r"\$and of a list of dicts with keys"),
    ({"$not": True}, r"\$not of a list of dicts with keys, found True"),
    ({"$not": {}}, r"\$not of a list of dicts with keys, found {}"),
    ({"$not": []}, r"\$not of a list of dicts with keys, found \[\]"),
    ({"year": {"$between": 3}}, r"\$between of two values, found 3"),
    ({"year": {"$between": [1]}}, r"\$between of two values, found \[1\]"),
    ({"year": {"$between": (1, 2, 3)}}, r"\$between of two values, found \(1, 2, 3\)"),
    ({"year": {"$between": "ab"}}, r"\$between of two values, found 'ab'"),
    ({"year": {"$between": [1, "2"]}}, r"\$between of two values of one type, found \[1, '2'\]"),
    ({"year": {"$between": [0, True]}}, r"\$between of two values of one type"),
    (
        {"year": {"$between": [1, None]}},
        r"\$between of a string, a number or a boolean, found None",
    ),
    ({"year": {"$in": "2010"}}, r"\$in of a list of values, found '2010'"),
    ({"year": {"$in": 2010}}, r"\$in of a list of values, found 2010"),
    ({"year": {"$nin": {"a": 1}}}, r"\$nin of a list of values, found {'a': 1}"),
    ({"year": {"$in": [[1]]}}, r"\$in of a string, .* or None, found list \[1\]"),
    ({"year": {"$in": [{"a": 1}]}}, r"\$in of a string, .* or None, found dict"),
    ({"year": {"$eq": [1]}}, r"\$eq of a string, a number or a boolean or None, found list"),
    ({"year": {"$ne": {"a": 1}}}, r"\$ne of a string, .* found dict"),
    ({"year": {"$gt": None}}, r"\$gt of a string, a number or a boolean, found NoneType None"),
    ({"year": {"$lte": [1]}}, r"\$lte of a string, a number or a boolean, found list"),
    ({"day": {"$lt": date(2010, 1, 1)}}, r"\$lt of a string, .* found date datetime.date\(2010"),
    ({"by": {"$like": 5}}, r"\$like of a pattern, a string, found 5"),
    ({"by": {"$ilike": None}}, r"\$ilike of a pattern, a string, found None"),
    ({"by": {"$like": "50\\"}}, r"cannot end with the backslash"),
    ({"by": {"$ilike": "\\\\\\"}}, r"cannot end with the backslash"),
    ({"by": {"$exists": 1}}, r"\$exists of True or False, found 1"),
    ({"by": "a\0b"}, r"no NUL and no lone surrogate, found 'a\\x00b'"),
    ({"a\0b": 1}, r"no NUL and no lone surrogate"),
    ({"a\0b": {"$exists": True}}, r"no NUL and no lone surrogate"),
    ({"by": {"$like": "%\0"}}, r"no NUL and no lone surrogate"),
    ({"by": {"$in": ["a", "\0"]}}, r"no NUL and no lone surrogate"),
    ({"by": ["\ud800"]}, r"no NUL and no lone surrogate"),
    ({"by": {"$gt": "\udfff"}}, r"no NUL and no lone surrogate"),
    ({"price": float("nan")}, r"finite numbers in a filter, found nan"),
    ({"price": {"$lt": float("inf")}}, r"finite numbers in a filter, found inf"),
    ({1: "a"}, r"keys that are strings in a filter, found 1"),
    ({"shelf": {3: 1}}, r"keys that are strings in a filter, found 3"),
    (nested("$not", 70), r"at most 64 dicts and lists in each other"),
    (nested("a", 10**5), r"at most 64 dicts and lists in each other"),
    ("year = 2010", r"a dict of metadata or an expression of SQLAlchemy, found str"),
]


@pytest.mark.parametrize("driver", [SYNC[0], ASYNC[1]])
def test_what_cannot_be_asked_is_refused_before_a_connection_is_made(driver: str) -> None:
    call = caller(driver)
    store = opened("host=/nowhere dbname=none", driver)
    vector = VECTORS[9].tolist()
    for condition, message in REFUSED:
        for method, *arguments in (
            (store.similarity_search, "9"),
            (store.similarity_search_with_score, "9"),
            (store.similarity_search_with_relevance_scores, "9"),
            (store.similarity_search_by_vector, vector),
            (store.max_marginal_relevance_search, "9"),
            (store.max_marginal_relevance_search_by_vector, vector),
            (store.delete,),
        ):
            with pytest.raises(SearchError, match=message):
                call(method, *arguments, filter=condition)


def test_a_filter_may_be_deep_and_wide(database: str, driver: str, call: Call) -> None:
    store = filled(database, driver)
    wide = {"$or": [{"year": {"$gt": year}} for year in range(2004, 3004)]}
    assert {found.id for found in call(store.similarity_search, "9", filter=wide)} == {
        "crafts",
        "essays",
    }
    many = {"year": {"$in": list(range(10_000))}}
    assert len(call(store.similarity_search, "9", k=9, filter=many)) == 4
    deep = nested("$not", 62)
    assert call(store.similarity_search, "9", filter=deep) == []
    assert len(call(store.similarity_search, "9", k=9, filter=nested("$not", 63))) == len(BOOKS)


def test_a_filter_is_not_changed(database: str) -> None:
    store = filled(database)
    condition = {"$and": [{"year": {"$in": [1998]}}, {"$not": {"shelf.row": {"$gt": 1}}}]}
    before = repr(condition)
    for _ in range(2):
        assert [found.id for found in store.similarity_search("9", filter=condition)] == ["atlas"]
    assert repr(condition) == before


@pytest.mark.parametrize(
    "condition",
    [
        {"year": 2010, "lent": True},
        {"year": {"$eq": 2010}},
        {"year": {"$in": [2010, 2011]}},
        {"shelf.row": 7},
        {"$or": [{"year": 2010}, {"by": {"$eq": "Ng"}}]},
        {"$and": [{"year": 2010}, {"by": {"$ne": "Ng"}}]},
    ],
    ids=str,
)
def test_equality_is_found_by_an_index_on_the_metadata(
    database: str, condition: dict[str, Any]
) -> None:
    store = filled(database)
    Index("docs_metadata", store.table.c.metadata, postgresql_using="gin").create(engine(database))
    asked = select(store.table.c.id).where(metadata_condition(store.table.c.metadata, condition))
    with engine(database).connect() as connection:
        connection.execute(text("SET enable_seqscan = off"))
        printed = asked.compile(connection)
        values = printed.construct_params()
        for name, process in printed._bind_processors.items():
            values[name] = process(values[name])
        plan = connection.exec_driver_sql(f"EXPLAIN {printed}", values).scalars()
        assert "Bitmap Index Scan on docs_metadata" in "\n".join(plan)
