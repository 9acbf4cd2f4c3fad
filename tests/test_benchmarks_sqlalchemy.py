"""The benchmark of the query builder: its sides run the same search."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks import readme, sqlalchemy_overhead
from benchmarks.made_up import World
from numpy.random import default_rng
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

import bitryoshka


def test_its_sides_find_the_same_rows(database: str) -> None:
    world, generator = World(384), default_rng(0)
    vectors = world.draw(1500, generator)
    queries = world.draw(sqlalchemy_overhead.WARM + 6, generator)
    binarizer = bitryoshka.fit(vectors, bits=768, hamming_bits=256, method="progressive").binarizer
    sqlalchemy_overhead.fill(database, binarizer, vectors)
    engine = create_engine(sqlalchemy_overhead.address(database), poolclass=NullPool)
    with engine.connect() as connection:
        searches = sqlalchemy_overhead.sides(connection, binarizer)
        found = sqlalchemy_overhead.measure(searches, queries)
        assert len(searches["text"](queries[0])) == sqlalchemy_overhead.K
        wrong = {**searches, "text": lambda query: [1]}
        with pytest.raises(RuntimeError, match="disagree on query 0"):
            sqlalchemy_overhead.measure(wrong, queries)
    assert set(found["milliseconds"]) == {"once", "anew", "text", "psycopg"}
    assert set(found["beyond"]["once"]) == {"text", "psycopg"}
    figures: dict[str, Any] = {
        **found,
        "rows": 1500,
        "bits": 768,
        "prefix_bits": 128,
        "candidates": 200,
        "beyond": {
            "once": {"text": 0.05, "psycopg": 0.2},
            "anew": {"text": 0.15, "psycopg": 0.4},
        },
    }
    assert [target.met for target in sqlalchemy_overhead.targets(figures)] == [True, False]
    assert "+5%" in readme.sqlalchemy_overhead_table(figures)
