"""What Django's search costs beside the same SQL: ``python -m benchmarks.django_overhead``.

One embedded server, one table of made-up vectors, whose codes a trigger has written, an HNSW index
on their prefix, one connection, warm caches. Every query goes from a float vector in the client to
ids and scores in the client, and the server encodes it:

* prepared: ``Doc.objects.prepare_search()``, made once, and called with each query: ten objects of
  the model, without their vectors;
* search: ``Doc.objects.search(query).values_list("pk", "score")``, made and compiled anew for each
  query, as every queryset of Django's is;
* objects: the same search as ten objects of the model, without their vectors;
* cursor: the text that the search compiles to, kept, through the cursor of the same connection,
  with the query's text as parameter: what the target is held against, since who asks for Django has
  its connection anyway;
* psycopg: that text by the driver alone.

The sides take turns on each query, in an order that changes, and each asks it twice: the second is
measured, in processor time of the client's and of the server's process together, which other
programs hardly disturb. A ratio is that of one query's turns; the median of all is reported.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import django
import numpy as np
from django.conf import settings
from django.db import connection, models
from numpy.typing import NDArray
from pgvector import Vector
from pgvector.django import VectorField
from psycopg.conninfo import conninfo_to_dict

import bitryoshka
from benchmarks.made_up import World
from benchmarks.results import Target, at_most, write
from bitryoshka import Binarizer
from bitryoshka.postgres import attach, connect, embedded_server, install, register

Floats = NDArray[np.float32]
Search = Callable[[Floats], list[tuple[int, float]]]

ROWS, DIMENSIONS, BITS, HAMMING_BITS, PREFIX = 50_000, 384, 768, 256, 128
K, CANDIDATES = 10, 200
WARM = 20


def configure(dsn: str) -> None:
    """Django's settings; the app registry, without an app."""
    parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts["dbname"],
        "USER": parts["user"],
        "HOST": parts["host"],
        "PORT": parts.get("port", ""),
    }
    settings.configure(DATABASES={"default": database}, INSTALLED_APPS=[])
    django.setup()


def model() -> Any:
    """The table's class, which needs settings to be made."""
    from bitryoshka.django import CodeField, CodeManager

    class Doc(models.Model):
        """Vectors with their codes."""

        id = models.BigIntegerField(primary_key=True)
        embedding = VectorField(dimensions=DIMENSIONS)
        code = CodeField(
            bits=BITS, codec="overhead@1", vector_field="embedding", prefix_bits=PREFIX
        )
        objects = CodeManager()

        class Meta:
            """No app has it."""

            app_label = "overhead"
            db_table = "overhead"

    return Doc


def sides(doc: Any, example: Floats) -> dict[str, Search]:
    """The same search in four ways."""

    def asked(query: Floats) -> Any:
        return doc.objects.search(query, K, candidates=CANDIDATES)

    text, parameters = asked(example).values_list("pk", "score").query.sql_with_params()
    [vector] = {value for value in parameters if isinstance(value, str)}
    places = [i for i, value in enumerate(parameters) if value == vector]
    if len(places) != len(parameters):
        raise RuntimeError(f"expected the query as the only parameter, found {parameters}")
    connection.ensure_connection()
    driver: Any = connection.connection

    made = doc.objects.defer("embedding").prepare_search(K, candidates=CANDIDATES)

    def prepared(query: Floats) -> list[tuple[int, float]]:
        return [(found.pk, found.score) for found in made(query)]

    def search(query: Floats) -> list[tuple[int, float]]:
        return list(asked(query).values_list("pk", "score"))

    def objects(query: Floats) -> list[tuple[int, float]]:
        return [(found.pk, found.score) for found in asked(query).defer("embedding")]

    def cursor(query: Floats) -> list[tuple[int, float]]:
        with connection.cursor() as opened:
            opened.execute(text, [Vector(query).to_text()] * len(places))
            return list(opened.fetchall())

    def psycopg(query: Floats) -> list[tuple[int, float]]:
        return list(driver.execute(text, [Vector(query).to_text()] * len(places)).fetchall())

    return {
        "prepared": prepared,
        "search": search,
        "objects": objects,
        "cursor": cursor,
        "psycopg": psycopg,
    }


def measure(searches: dict[str, Search], queries: Floats) -> dict[str, Any]:
    """Milliseconds of a query by each side, and the ratio to what is by hand."""
    turns = list(permutations(searches))
    taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in searches}
    for i, query in enumerate(queries):
        found = {}
        for name in turns[i % len(turns)]:
            found[name] = searches[name](query)
            before = clocks()
            searches[name](query)
            if i >= WARM:
                taken[name].append(tuple(np.subtract(clocks(), before)))
        if len(set(map(tuple, found.values()))) != 1:
            raise RuntimeError(f"the sides disagree on query {i}: {found}")
    client, server, clock = np.moveaxis(np.array([taken[name] for name in searches]), 2, 0)
    both = dict(zip(searches, client + server, strict=True))

    def medians(seconds: NDArray[Any]) -> dict[str, float]:
        return dict(zip(searches, (np.median(seconds, axis=1) * 1e3).tolist(), strict=True))

    return {
        "processor_milliseconds": medians(client + server),
        "client_milliseconds": medians(client),
        "clock_milliseconds": medians(clock),
        "ratio": {
            name: {
                side: float(np.median(both[name] / both[side])) for side in ("cursor", "psycopg")
            }
            for name in ("prepared", "search", "objects")
        },
    }


def clocks() -> tuple[float, float, float]:
    """Seconds that this process and the connection's server process have run, and the clock's."""
    driver: Any = connection.connection
    run = Path(f"/proc/{driver.info.backend_pid}/schedstat").read_text().split()[0]
    return process_time(), int(run) / 1e9, perf_counter()


def fill(dsn: str, binarizer: Binarizer, vectors: Floats) -> None:
    """The table, its codes by the trigger, the index, and statistics."""
    with connect(dsn) as opened:
        install(opened)
        kind = f"vector({DIMENSIONS})"
        opened.execute(f"CREATE TABLE overhead (id bigint PRIMARY KEY, embedding {kind})".encode())
        with opened.cursor() as cursor, cursor.copy("COPY overhead FROM STDIN") as copy:
            for number, row in enumerate(vectors):
                copy.write_row((number, Vector(row).to_text()))
        label = register(opened, "overhead", binarizer).label
        attach(opened, "overhead", "embedding", label, prefix_bits=PREFIX, queries=0)
        opened.execute("VACUUM ANALYZE overhead")


def targets(figures: dict[str, Any]) -> list[Target]:
    """What Django may cost."""
    return [
        at_most(
            f"Django's search, {how}, beside the same SQL through the same connection: ratio of "
            "processor time of client and server",
            1.1,
            figures["ratio"][side]["cursor"],
        )
        for side, how in (("prepared", "prepared once"), ("search", "made for each query"))
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.django_overhead", description=__doc__
    )
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--queries", type=int, default=300)
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
        configure(dsn)
        found = measure(sides(model(), queries[0]), queries)
        connection.close()
    figures = {
        "rows": given.rows,
        "dimensions": DIMENSIONS,
        "bits": BITS,
        "prefix_bits": PREFIX,
        "candidates": CANDIDATES,
        "queries": given.queries,
        **found,
    }
    print(figures)
    write("django_overhead", figures, targets(figures))


if __name__ == "__main__":
    main()
