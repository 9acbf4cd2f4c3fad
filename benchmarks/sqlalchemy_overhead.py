"""What `funnel` costs beside SQL written by hand: ``python -m benchmarks.sqlalchemy_overhead``.

One embedded server, one table of made-up vectors with codes and an HNSW index on their prefix, one
connection, warm caches. Every query goes from a float vector in the client to ids in the client,
and every side does the same work for it: the query's bits and its eight planes, by NumPy.

* once: ``funnel(select(Doc.id), Doc.code, bindparam("query"), ...)``, made once, and executed with
  each query as its parameter;
* anew: ``connection.scalars(funnel(select(Doc.id), Doc.code, query, ...))``, made for each query;
* text: the same statement, written by hand, as ``text()`` through the same engine, with bound
  parameters. The targets are held against this: who asks for SQLAlchemy has its engine anyway;
* psycopg: the same statement by the driver alone.

The sides take turns on each query, in an order that changes, and each asks it twice: the second is
timed, with warm caches in client and server. A ratio is that of one query's turns, and the median
of all is reported, so that other work on the machine hits all sides alike.
``client_milliseconds`` are those of this process's processor, the rest is the server's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import permutations
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import (
    URL,
    BindParameter,
    Connection,
    Select,
    bindparam,
    create_engine,
    select,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import bitryoshka
from benchmarks.made_up import World
from benchmarks.results import Target, at_most, write
from bitryoshka import Binarizer
from bitryoshka.bits import bit_text, query_planes
from bitryoshka.postgres import connect, create_table, embedded_server, install, load
from bitryoshka.sqlalchemy import Code, funnel, prefix_index

Floats = NDArray[np.float32]
Search = Callable[[Floats], list[int]]

ROWS, DIMENSIONS, BITS, HAMMING_BITS, PREFIX = 50_000, 384, 768, 256, 128
K, CANDIDATES = 10, 200
WARM = 20

HAND_WRITTEN = f"""
SELECT id FROM overhead WHERE id IN (
    SELECT id FROM overhead
    ORDER BY substring(code FROM 1 FOR {PREFIX})::bit({PREFIX}) <~> :signs ::bit({PREFIX})
    LIMIT {CANDIDATES}
)
ORDER BY bitryoshka.asymmetric_score(code, :planes ::varbit[]) DESC, id
LIMIT {K}
"""


class Base(DeclarativeBase):
    """The benchmark's one table."""


class Doc(Base):
    """Codes alone, as `create_table` makes them."""

    __tablename__ = "overhead"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[Any] = mapped_column(Code(BITS))


def built(binarizer: Binarizer, query: Floats | BindParameter[Any]) -> Select[tuple[int]]:
    """The builder's statement."""
    return funnel(
        select(Doc.id),
        Doc.code,
        query,
        binarizer,
        k=K,
        candidates=CANDIDATES,
        prefix_bits=PREFIX,
    )


def encoded(binarizer: Binarizer, query: Floats) -> dict[str, str]:
    """The parameters of the statement that is written by hand."""
    planes = query_planes(binarizer.query_weights(query[None])).planes[0]
    return {
        "signs": bit_text(binarizer.encode_queries(query[None], PREFIX)[0]),
        "planes": "{" + ",".join(map(bit_text, planes)) + "}",
    }


def sides(connection: Connection, binarizer: Binarizer) -> dict[str, Search]:
    """The same search in three ways."""
    by_hand = text(HAND_WRITTEN)
    plain = HAND_WRITTEN.replace(":signs ", "%(signs)s").replace(":planes ", "%(planes)s").encode()
    driver: Any = connection.connection.driver_connection
    made = built(binarizer, bindparam("query"))

    def once(query: Floats) -> list[int]:
        return list(connection.scalars(made, {"query": query}))

    def anew(query: Floats) -> list[int]:
        return list(connection.scalars(built(binarizer, query)))

    def engine_text(query: Floats) -> list[int]:
        return list(connection.scalars(by_hand, encoded(binarizer, query)))

    def psycopg(query: Floats) -> list[int]:
        return [row[0] for row in driver.execute(plain, encoded(binarizer, query)).fetchall()]

    return {"once": once, "anew": anew, "text": engine_text, "psycopg": psycopg}


def measure(searches: dict[str, Search], queries: Floats) -> dict[str, Any]:
    """Milliseconds of a query by each side, and the builder's share beyond what is by hand."""
    turns = list(permutations(searches))
    wall: dict[str, list[float]] = {name: [] for name in searches}
    client: dict[str, list[float]] = {name: [] for name in searches}
    for i, query in enumerate(queries):
        found = {}
        for name in turns[i % len(turns)]:
            found[name] = searches[name](query)
            started, worked = time.perf_counter(), time.process_time()
            searches[name](query)
            if i >= WARM:
                client[name].append(time.process_time() - worked)
                wall[name].append(time.perf_counter() - started)
        if len(set(map(tuple, found.values()))) != 1:
            raise RuntimeError(f"the sides disagree on query {i}: {found}")
    return {
        "milliseconds": {name: median(taken) * 1e3 for name, taken in wall.items()},
        "client_milliseconds": {name: median(taken) * 1e3 for name, taken in client.items()},
        "beyond": {
            builder: {side: beyond(wall[builder], wall[side]) for side in ("text", "psycopg")}
            for builder in ("once", "anew")
        },
    }


def beyond(taken: Sequence[float], by_hand: Sequence[float]) -> float:
    """How much longer, by the median of the queries' ratios."""
    return median(a / b for a, b in zip(taken, by_hand, strict=True)) - 1


def per_call(action: Callable[[Floats], object], queries: Floats) -> float:
    """Median milliseconds of a call."""
    taken = []
    for query in queries:
        started = time.perf_counter()
        action(query)
        taken.append(time.perf_counter() - started)
    return median(taken) * 1e3


def fill(dsn: str, binarizer: Binarizer, vectors: Floats) -> None:
    """The table, loaded and analysed, and its index."""
    with connect(dsn) as connection:
        install(connection)
        table = create_table(connection, Doc.__tablename__, binarizer)
        load(connection, table, range(len(vectors)), binarizer.encode(vectors))
        connection.execute("VACUUM ANALYZE overhead")


def address(dsn: str) -> URL:
    """The DSN of a local server as SQLAlchemy takes it."""
    parts = conninfo_to_dict(dsn)
    return URL.create("postgresql+psycopg", query={k: str(v) for k, v in parts.items()})


def targets(figures: dict[str, Any]) -> list[Target]:
    """What the builder may cost."""
    return [
        at_most(
            f"funnel made {how} beyond the same SQL through the same engine: share of a query",
            0.1,
            figures["beyond"][side]["text"],
        )
        for side, how in (("once", "once"), ("anew", "for each query"))
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sqlalchemy_overhead", description=__doc__
    )
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--queries", type=int, default=1000)
    given = parser.parse_args(arguments)
    world, generator = World(DIMENSIONS), np.random.default_rng(0)
    vectors = world.draw(given.rows, generator)
    queries = world.draw(given.queries + WARM, generator)
    binarizer = bitryoshka.fit(
        vectors[:20_000], bits=BITS, hamming_bits=HAMMING_BITS, method="progressive"
    ).binarizer
    with (
        tempfile.TemporaryDirectory(prefix="bitryoshka-") as folder,
        embedded_server(folder) as dsn,
    ):
        fill(dsn, binarizer, vectors)
        engine = create_engine(address(dsn))
        with engine.connect() as connection:
            prefix_index("overhead_prefix", Doc.code, PREFIX).create(connection)
            connection.exec_driver_sql(f"SET hnsw.ef_search = {CANDIDATES}")
            found = measure(sides(connection, binarizer), queries)
        engine.dispose()
    figures = {
        "rows": given.rows,
        "dimensions": DIMENSIONS,
        "bits": BITS,
        "prefix_bits": PREFIX,
        "candidates": CANDIDATES,
        "queries": given.queries,
        **found,
        "milliseconds_of_a_part": {
            "statement": per_call(lambda q: built(binarizer, q), queries),
            "bits and planes": per_call(lambda q: encoded(binarizer, q), queries),
        },
    }
    print(figures)
    write("sqlalchemy_overhead", figures, targets(figures))


if __name__ == "__main__":
    main()
