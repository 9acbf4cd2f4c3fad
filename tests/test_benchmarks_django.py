"""The benchmark of Django's search: its sides run the same search."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks import django_overhead, readme
from benchmarks.made_up import World
from numpy.random import default_rng
from tests.django_project import default_database

import bitryoshka


def test_its_sides_find_the_same_rows(database: str) -> None:
    world, generator = World(384), default_rng(0)
    vectors = world.draw(1500, generator)
    queries = world.draw(django_overhead.WARM + 4, generator)
    binarizer = bitryoshka.fit(vectors, bits=768, hamming_bits=256, method="progressive").binarizer
    django_overhead.fill(database, binarizer, vectors)
    with default_database(database):
        searches = django_overhead.sides(django_overhead.model(), queries[0])
        found = django_overhead.measure(searches, queries)
        assert len(searches["cursor"](queries[0])) == django_overhead.K
        wrong = {**searches, "psycopg": lambda query: [(1, 0.5)]}
        with pytest.raises(RuntimeError, match="disagree on query 0"):
            django_overhead.measure(wrong, queries)
    assert set(found["processor_milliseconds"]) == {
        *("prepared", "search", "objects", "cursor", "psycopg")
    }
    assert found["client_milliseconds"]["cursor"] < found["processor_milliseconds"]["cursor"]
    figures: dict[str, Any] = {
        **found,
        "rows": 1500,
        "bits": 768,
        "prefix_bits": 128,
        "candidates": 200,
        "ratio": {
            "prepared": {"cursor": 1.08, "psycopg": 1.1},
            "search": {"cursor": 1.2, "psycopg": 1.25},
            "objects": {"cursor": 1.15, "psycopg": 1.4},
        },
    }
    assert [target.met for target in django_overhead.targets(figures)] == [True, False]
    assert "| 1.08 |" in readme.django_overhead_table(figures)
