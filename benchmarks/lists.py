"""What makes lists long: bits in the graph, its settings, and the order of the rows.

``python -m benchmarks.lists`` (an hour; ``--folder`` keeps what was done). The rows and queries are
those of `benchmarks.memory`; nothing is limited here, so that all lies in memory.

Codes of several lengths and Hamming bits are compared by the list that holds WANTED of the exact
first ten: by Hamming distance to all rows, and by an HNSW index, whose graph finds less. A search
takes its list from a table of id and code, ranks it by a float query, and compares the first
SHORTLIST by their vectors. Lists are chosen on queries apart from those that are measured, as is
that of pgvector's own indexes over vectors and halfvecs.

Rows in the order of their codes' first bits share pages: counted are the pages of the table of
vectors in which the rows of a list lie.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.memory import Steps, server, vectors_of, working_folder
from benchmarks.memory_choice import LOOKED_AT, answers, recall_of
from benchmarks.memory_layouts import (
    BUILT_WITHIN,
    Make,
    beside,
    build_index,
    enroll,
    fill,
    float_indexes,
    pgvectors_own,
    settle,
    size,
    timed,
)
from benchmarks.postgres_statements import K, Search, as_text
from benchmarks.results import Target, at_least, at_most, write
from benchmarks.revision import clocks
from bitryoshka import Binarizer
from bitryoshka.bits import bit_text, query_planes
from bitryoshka.evaluation import asymmetric_topk, exact_topk, hamming_topk
from bitryoshka.postgres import connect, create_index, create_table, install, load
from bitryoshka.postgres.server import Connection
from bitryoshka.training.additive import additive_codes, usual_settings
from bitryoshka.training.closed_form import Goal

Floats = NDArray[np.float32]

ROWS, SAMPLE = 100_000, 10_000
WANTED = (0.95, 0.98)
LISTS = (*range(10, 100, 10), *range(100, 300, 20), *range(300, 1001, 50))
SHORTLISTS, NEARLY_ALL = (10, 15, 20, 30, 40, 50, 70, 100, 150), 0.99
# bits, and how many of them are Hamming bits
CODES = ((256, 256), (384, 256), (384, 384), (512, 512), (768, 256), (768, 512), (768, 768))
# m and ef_construction of the graphs over the last of these codes; over the others the first
GRAPHS = ((16, 64), (8, 64), (8, 128), (12, 128), (16, 128), (24, 64))
WAYS = (16, 128)
IN_INDEX = ((256, 256), (384, 384), (512, 512), (768, 768))
LISTED = (100, 400)


class Graph(NamedTuple):
    """An HNSW index over the Hamming bits of a code."""

    bits: int
    hamming_bits: int
    m: int
    ef_construction: int

    @property
    def name(self) -> str:
        """As figures call it."""
        return f"{self.hamming_bits} Hamming bits, m {self.m}, ef {self.ef_construction}"


def shortest(find: Any, truth: Sequence[Sequence[int]], wanted: float) -> int | None:
    """The first of LISTS whose answers hold so much, None where the longest does not."""
    return next((n for n in LISTS if recall_of(find(n), truth) >= wanted), None)


def judged(b: Binarizer, rows: Floats, queries: Floats, truth: Any) -> dict[str, Any]:
    """Recall of the float query over all codes, and the lists by distance to all rows."""
    codes = b.encode(rows)
    scored = asymmetric_topk(b.query_weights(queries), codes, SHORTLISTS[-1]).rows.tolist()
    held = {n: recall_of([ids[:n] for ids in scored], truth) for n in SHORTLISTS}
    ranked = hamming_topk(
        b.encode_queries(queries), codes[:, : b.hamming_bits // 8], LISTS[-1]
    ).rows
    place = np.array(
        [
            [*np.flatnonzero(np.isin(found, best)), *[LISTS[-1]] * K][:K]
            for found, best in zip(ranked, truth, strict=True)
        ]
    )
    lists = {
        str(wanted): next((n for n in LISTS if (place < n).mean() >= wanted), None)
        for wanted in WANTED
    }
    return {
        "bits": b.bits,
        "hamming_bits": b.hamming_bits,
        "hamming_recall": recall_of(ranked[:, :K].tolist(), truth),
        "float_query_recall": held[K],
        "shortlist": next((n for n in SHORTLISTS if held[n] >= NEARLY_ALL), SHORTLISTS[-1]),
        "lists": lists,
    }


def taken(
    connection: Connection,
    make: Make,
    shortlist: int | None,
    queries: Mapping[str, Floats],
    truth: Mapping[str, Any],
) -> dict[str, Any]:
    """A search at the shortest list for each recall that is wanted: its time, pages and recall."""
    found: dict[str, Any] = {}
    for wanted in WANTED:
        length = shortest(
            lambda n: answers(connection, make(connection, n, shortlist), queries["choosing"]),
            truth["choosing"],
            wanted,
        )
        found[str(wanted)] = (
            None
            if length is None
            else {
                "list": length,
                **timings(connection, make(connection, length, shortlist), queries, truth),
            }
        )
    return found


def timings(
    connection: Connection, search: Search, queries: Mapping[str, Floats], truth: Mapping[str, Any]
) -> dict[str, float]:
    """Median milliseconds of both ends' processors, pages and recall, of warm queries."""
    answers(connection, search, queries["choosing"])
    times, found = [(*clocks(connection), time.process_time())], []
    for query in queries["measured"]:
        found.append(search.run(connection, query))
        times.append((*clocks(connection), time.process_time()))
    server_, clock, client = np.diff(times, axis=0).T * 1e3
    return {
        "recall": recall_of(found, truth["measured"]),
        "processor_milliseconds": float(np.median(server_ + client)),
        "server_milliseconds": float(np.median(server_)),
        "milliseconds": float(np.median(clock)),
        "pages": median(search.pages(connection, q) for q in queries["measured"][:LOOKED_AT]),
    }


def whole_list(table: str, binarizer: Binarizer, client: bool) -> Make:
    """The list from a table of codes, all of it compared by vectors."""
    own, bits = binarizer.fingerprint[:32], binarizer.hamming_bits
    asked = f"bitryoshka.query_bits_{own}(%(query)s::vector)::bit({bits})"

    def search(_: Connection, length: int, __: int | None) -> Search:
        text = (
            f"WITH near AS MATERIALIZED (SELECT id FROM {table} ORDER BY code <~> "
            f"(SELECT {asked}) LIMIT {length}) SELECT f.id FROM near JOIN floats AS f USING (id) "
            f"ORDER BY f.embedding <=> %(query)s::vector LIMIT {K}"
        )
        found = Search(text, as_text, length)
        return by_client(found, binarizer) if client else found

    return search


def by_client(search: Search, binarizer: Binarizer) -> Search:
    """The same search, for which the client makes bits and weights of the query."""
    own = binarizer.fingerprint[:32]
    text = search.text.replace(f"bitryoshka.query_bits_{own}(%(query)s::vector)", "%(code)s")
    planes = f"bitryoshka.query_planes_{own}(%(query)s::vector)"
    weighed = planes in text

    def values(query: Floats) -> dict[str, Any]:
        found = {**as_text(query), "code": bit_text(binarizer.encode_queries(query[None])[0])}
        if weighed:
            made = query_planes(binarizer.query_weights(query[None])).planes[0]
            found["planes"] = "{" + ",".join(map(bit_text, made)) + "}"
        return found

    return Search(text.replace(planes, "%(planes)s::varbit[]"), values, search.ef_search)


def ways(graph: Graph, binarizer: Binarizer) -> dict[str, Make]:
    """How a graph is searched, by name; the one of WAYS in every way."""
    stages = beside("codes", binarizer, True)
    found = {graph.name: stages}
    if (graph.hamming_bits, graph.m, graph.ef_construction) == (IN_INDEX[-1][1], *WAYS):
        found |= {
            f"{graph.name}, query by the client": lambda c, n, m: by_client(
                stages(c, n, m), binarizer
            ),
            f"{graph.name}, whole list": whole_list("codes", binarizer, client=False),
            f"{graph.name}, whole list, query by the client": whole_list(
                "codes", binarizer, client=True
            ),
        }
    return found


def graphs() -> Iterator[Graph]:
    """Every graph that is built."""
    for bits, hamming_bits in IN_INDEX[:-1]:
        yield Graph(bits, hamming_bits, *GRAPHS[0])
    for setting in GRAPHS:
        yield Graph(*IN_INDEX[-1], *setting)


def pages_of_lists(connection: Connection, table: str, lists: Sequence[Sequence[int]]) -> float:
    """Median number of pages of a table in which the rows of a list lie."""
    text = (
        f"SELECT count(DISTINCT (ctid::text::point)[0]) FROM {table} WHERE id = ANY (%s::bigint[])"
    )
    return median(connection.execute(text.encode(), [list(ids)]).fetchall()[0][0] for ids in lists)


def ordered(
    connection: Connection, binarizer: Binarizer, rows: Floats, queries: Floats
) -> dict[str, dict[str, float]]:
    """Pages of the vectors of a list, of rows as they came and by the order of their codes."""
    codes = binarizer.encode(rows)[:, : binarizer.hamming_bits // 8]
    nearest = hamming_topk(binarizer.encode_queries(queries), codes, LISTED[-1]).rows
    place = np.empty(len(rows), np.int64)
    place[np.lexsort(codes.T[::-1])] = np.arange(len(rows))
    found: dict[str, dict[str, float]] = {}
    for length in LISTED:
        lists = nearest[:, :length].tolist()
        found[str(length)] = {"as they came": pages_of_lists(connection, "floats", lists)}
    fill(connection, "in_order", rows[np.argsort(place)])
    for length in LISTED:
        lists = place[nearest[:, :length]].tolist()
        found[str(length)]["by code"] = pages_of_lists(connection, "in_order", lists)
    connection.execute("DROP TABLE in_order")
    return found


def run(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Every step that the folder lacks; the figures."""
    steps = Steps(folder)
    queries, rows = vectors_of(folder, given.rows, given.texts)
    queries = {use: queries[use] for use in ("choosing", "measured")}
    truth = {u: exact_topk(q, rows, K, "inner_product").rows.tolist() for u, q in queries.items()}
    codecs = fitted(folder, rows)
    compared = [
        steps.once(
            f"code {bits}/{hamming}",
            lambda b=codecs[bits, hamming]: judged(b, rows, queries["choosing"], truth["choosing"]),
        )
        for bits, hamming in CODES
    ]
    shortlists = {(code["bits"], code["hamming_bits"]): code["shortlist"] for code in compared}
    searches: dict[str, Any] = {}
    with server(folder / "data", given.shared_buffers) as dsn, connect(dsn) as connection:
        install(connection)
        # codecs in a database have names; of codes that no index is over none is needed
        enroll(connection, {f"code{bits}": codecs[bits, h] for bits, h in IN_INDEX})
        connection.execute(f"SET maintenance_work_mem = '{BUILT_WITHIN}'".encode())

        def prepare() -> bool:
            fill(connection, "floats", rows)
            settle(connection, "floats")
            return True

        steps.once("vectors", prepare)
        for name, what in list(float_indexes(rows.shape[1]).items())[:2]:

            def own(name: str = name, what: str = what) -> dict[str, Any]:
                seconds = timed(lambda: build_index(connection, "floats", name, what))
                bytes_ = size(connection, [name])
                at = taken(connection, pgvectors_own(name, rows.shape[1]), None, queries, truth)
                connection.execute(f"DROP INDEX {name}".encode())
                return {"seconds": seconds, "bytes": bytes_, "at": at}

            searches[name.replace("floats_", "HNSW, ")] = steps.once(f"index {name}", own)
        for graph in graphs():
            codec = codecs[graph.bits, graph.hamming_bits]
            searches |= steps.once(
                f"graph {graph.name}",
                lambda g=graph, b=codec: measured(
                    connection, g, b, shortlists[b.bits, b.hamming_bits], rows, queries, truth
                ),
            )
        pages = steps.once(
            "order", lambda: ordered(connection, codecs[IN_INDEX[0]], rows, queries["measured"])
        )
    return {
        "rows": given.rows,
        "dimensions": int(rows.shape[1]),
        "codes": compared,
        "searches": searches,
        "pages_of_lists": pages,
    }


def measured(
    connection: Connection,
    graph: Graph,
    binarizer: Binarizer,
    shortlist: int,
    rows: Floats,
    queries: Mapping[str, Floats],
    truth: Mapping[str, Any],
) -> dict[str, Any]:
    """One graph, built, and searched in its ways."""
    connection.execute("DROP TABLE IF EXISTS codes")
    codes = create_table(connection, "codes", binarizer)
    load(connection, codes, range(len(rows)), binarizer.encode(rows))
    settle(connection, "codes")
    index = ""

    def build() -> None:
        nonlocal index
        index = create_index(connection, codes, m=graph.m, ef_construction=graph.ef_construction)

    built = {"seconds": timed(build), "bytes": size(connection, [index])}
    return {
        name: {**built, "at": taken(connection, make, shortlist, queries, truth)}
        for name, make in ways(graph, binarizer).items()
    }


def fitted(folder: Path, rows: Floats) -> dict[tuple[int, int], Binarizer]:
    """Every code, fitted with the usual settings where the folder has none."""
    found = {}
    for bits, hamming in CODES:
        path = folder / f"{bits}-{hamming}.safetensors"
        if not path.is_file():
            d = rows.shape[1]
            none, goal = np.empty((0, d), np.float32), Goal(bits, None, "cosine", 0)
            settings = usual_settings(bits, d)
            additive_codes(rows[:SAMPLE], none, goal, hamming, settings).save(path)
        found[bits, hamming] = Binarizer.load(path)
    return found


def targets(figures: Mapping[str, Any]) -> list[Target]:
    """In memory no slower than float HNSW in the same type, and what more Hamming bits cost."""
    searches, found = figures["searches"], []
    ours = [found for name, found in searches.items() if not name.startswith("HNSW, ")]
    for wanted in map(str, WANTED):
        times = [f["at"][wanted]["processor_milliseconds"] for f in ours if f["at"][wanted]]
        for kind in ("vector", "halfvec"):
            floats = searches[f"HNSW, {kind}"]["at"][wanted]
            if times and floats:
                found.append(
                    at_most(
                        f"in memory, recall {wanted}: best time of codes over HNSW, {kind}",
                        1,
                        min(times) / floats["processor_milliseconds"],
                    )
                )
    many = figures["codes"][-1]
    few = next(code for code in figures["codes"] if code["bits"] == many["bits"])
    for wanted in map(str, WANTED):
        if many["lists"][wanted]:
            found.append(
                at_least(
                    f"list for {wanted} by distance to all rows: {few['hamming_bits']} Hamming "
                    f"bits over {many['hamming_bits']}",
                    1,
                    (few["lists"][wanted] or LISTS[-1]) / many["lists"][wanted],
                )
            )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lists", description=__doc__)
    parser.add_argument("--folder", type=Path, help="kept; else a temporary one")
    parser.add_argument("--texts", type=Path, nargs="+", default=[], help="folders of text files")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--shared-buffers", type=int, default=2**31, help="bytes")
    given = parser.parse_args(arguments)
    with working_folder(given.folder) as folder:
        figures = run(folder, given)
    write("lists", figures, targets(figures))


if __name__ == "__main__":
    main()
