"""Tables of `benchmarks.lists`: codes by their Hamming bits, graphs, and pages of lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.memory_tables import MIB, markdown

Figures = Mapping[str, Any]


def codes_block(figures: Figures) -> str:
    """What each code finds, and how long its lists have to be."""
    wanted = list(figures["codes"][0]["lists"])
    rows = [
        [
            f"{code['bits']}, {code['hamming_bits']} of them Hamming bits",
            f"{code['float_query_recall']:.3f}",
            f"{code['shortlist']}",
            f"{code['hamming_recall']:.3f}",
            *(str(code["lists"][share] or "more than 1,000") for share in wanted),
        ]
        for code in figures["codes"]
    ]
    head = ["bits", "float query, all codes", "hold 0.99", "Hamming, all codes"]
    head += [f"list for {share}" for share in wanted]
    return (
        f"{markdown(head, rows)}\n\n{figures['rows']:,} rows of {figures['dimensions']} "
        "dimensions, recall@10 against exact search; lists by the distance to all rows."
    )


def graphs_block(figures: Figures) -> str:
    """What each graph takes, and the list, time and pages of its searches."""
    wanted = list(figures["codes"][0]["lists"])
    rows = [
        [
            name,
            f"{found['seconds']:.0f}",
            f"{found['bytes'] / MIB:.0f}",
            *(
                "not reached"
                if (at := found["at"][share]) is None
                else f"{at['list']}: {at['processor_milliseconds']:.2f} ms, {at['pages']:.0f} pages"
                for share in wanted
            ),
        ]
        for name, found in figures["searches"].items()
    ]
    head = ["index", "seconds to build", "MiB", *(f"list for {share}" for share in wanted)]
    return (
        f"{markdown(head, rows)}\n\nMilliseconds of the processors of server and client for a "
        "query of 10, all in memory; codes from their own table, the best of the list by the float "
        "query compared by vectors, where nothing else is said."
    )


def pages_block(figures: Figures) -> str:
    """In how many pages the rows of a list lie."""
    found = figures["pages_of_lists"]
    rows = [
        [length, *(f"{pages:.0f}" for pages in orders.values())] for length, orders in found.items()
    ]
    head = ["rows of a list", *(f"pages, rows {order}" for order in next(iter(found.values())))]
    return markdown(head, rows)
