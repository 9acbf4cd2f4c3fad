"""What each layout of `benchmarks.memory` is taken at: a list, and a shortlist where it has one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cache
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.memory_layouts import Layout, Make
from benchmarks.postgres_statements import K, Search
from bitryoshka.postgres.server import Connection

Floats = NDArray[np.float32]
Truth = Sequence[Sequence[int]]

WANTED = 0.95
LISTS = (
    *(10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 150, 180, 210, 240, 270, 300, 350, 400, 450),
    *range(500, 1001, 100),
)
SHORTLISTS = (10, 12, 15, 20, 25, 30, 40, 50, 70, 100)
LOOKED_AT, NEARLY = 20, 0.01
# a list that holds as much gives no shortlist much more when it grows
FOUND_ALL = 0.995


class Choice(NamedTuple):
    """The length of the list, how many of it vectors compare (None: all, or none), the recall."""

    length: int
    shortlist: int | None
    recall: float


def recall_of(found: Sequence[Sequence[int]], truth: Truth) -> float:
    """Mean share of the first K that was found."""
    hits = [len({*ids} & {*best}) for ids, best in zip(found, truth, strict=True)]
    return float(np.mean(hits)) / K


def shortest_list(connection: Connection, make: Make, queries: Floats, truth: Truth) -> Choice:
    """The shortest list that finds WANTED, or nearly as much as the longest where that does not.

    A longer list is taken to find no less.
    """

    @cache
    def recall(length: int) -> float:
        return recall_of(answers(connection, make(connection, length, None), queries), truth)

    last = len(LISTS) - 1
    place = bisect_left(LISTS, WANTED, hi=last, key=recall)
    if place == last and recall(LISTS[last]) < WANTED:
        place = bisect_left(LISTS, recall(LISTS[last]) - NEARLY, key=recall)
    return Choice(LISTS[place], None, recall(LISTS[place]))


def answers(connection: Connection, search: Search, queries: Floats) -> list[list[int]]:
    """What is found for each query."""
    search.settle(connection)
    return [search.run(connection, query) for query in queries]


def pairs(connection: Connection, ranked: Make, queries: Floats, truth: Truth) -> list[Choice]:
    """For lists that are long enough, the shortest shortlist that finds WANTED.

    ``ranked`` gives a list in the float query's order. Vectors put into the exact order what they
    compare, so that a shortlist finds what it holds. Where none finds as much, the longest of all.
    """
    first = shortest_list(connection, ranked, queries, truth)
    found = []
    for length in LISTS[LISTS.index(first.length) :: 2]:
        order = answers(connection, ranked(connection, length, None), queries)
        for shortlist in SHORTLISTS:
            recall = recall_of([ids[:shortlist] for ids in order], truth)
            if shortlist <= length and recall >= WANTED:
                found.append(Choice(length, shortlist, recall))
                break
        if recall_of(order, truth) >= FOUND_ALL:
            break
    return found or [first._replace(shortlist=SHORTLISTS[-1])]


def cheapest(
    connection: Connection, layout: Layout, choices: Sequence[Choice], queries: Floats
) -> Choice:
    """The choice whose search reads the fewest pages."""

    def pages(choice: Choice) -> float:
        search = layout.search(connection, choice.length, choice.shortlist)
        return median(search.pages(connection, query) for query in queries[:LOOKED_AT])

    return min(choices, key=pages)


def as_figures(choices: Mapping[str, Choice]) -> dict[str, dict[str, float | None]]:
    """As the result file has them."""
    return {name: choice._asdict() for name, choice in choices.items()}
