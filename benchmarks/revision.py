"""This revision of schema bitryoshka beside an earlier one: ``python -m benchmarks.revision``.

Two databases on one embedded server hold the same made-up vectors under the same codecs, one with
the schema as revision 0004 made it. What they are asked to do is done in turns, one right after
the other; of each pair the ratio is taken, and of all pairs the median: of processor time, which
the kernel counts for each server process, and of the time by the clock, in which whatever else runs
on the machine counts too. The trigger's own time is what an insert takes beyond the same one into a
table without a trigger.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pgvector import Vector
from psycopg import sql
from psycopg.conninfo import make_conninfo

import bitryoshka
from benchmarks.made_up import World
from benchmarks.results import at_most, write
from bitryoshka.binarizer import Binarizer
from bitryoshka.catalogue import entry, tables
from bitryoshka.postgres import codecs, connect, embedded_server, install, prepare_database
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement

OLD = Path(__file__).parents[1] / "tests" / "golden" / "schema-0004.sql"
DIMENSIONS, BITS = 384, 384
MOST, MOST_TRIGGER = 1.05, 1.0
INSERTED = 1000
PLAIN, TRIGGERED = "insert without a trigger", "insert with the trigger"
QUERY = (
    "SELECT count(*) FROM bitryoshka.search(NULL::items, %s::vector, k => 10, "
    "candidates => 100, {stages}, code_column => '{column}') AS s"
)
# the float query alone, and then vectors for the best 50: as the old and the new revision say it
STAGES = {
    0: ("exact => 0", "rescore => 'asymmetric'"),
    50: ("exact => 50", "rescore => 'exact', shortlist => 50"),
}


def install_old(connection: Connection) -> None:
    """Revision 0004, from the statements that made it."""
    prepare_database(connection)
    for text in OLD.read_text("utf-8").split("\n-- next statement\n"):
        connection.execute(text.encode())


def insert_codec(connection: Connection, name: str, binarizer: Binarizer) -> int:
    """A codec's own row, of which revision 0004 lacks the kind; its id."""
    values = {"name": name, "version": 1, **entry(binarizer)}
    columns = connection.execute("SELECT * FROM bitryoshka.codecs LIMIT 0").description or ()
    named = [column.name for column in columns if column.name in values]
    insert = sql.SQL("INSERT INTO bitryoshka.codecs ({}) VALUES ({}) RETURNING id").format(
        sql.SQL(", ").join(map(sql.Identifier, named)),
        sql.SQL(", ").join(map(sql.Placeholder, named)),
    )
    [(codec_id,)] = fetch(connection, insert, {key: values[key] for key in named})
    return int(codec_id)


def prepare(connection: Connection, made: dict[str, Binarizer], rows: np.ndarray) -> None:
    """Codecs, a table that all of them are attached to, with an index each, and its rows."""
    connection.execute(f"CREATE TABLE items (id int PRIMARY KEY, vector vector({DIMENSIONS}))")  # type: ignore[arg-type]
    connection.execute(f"CREATE TABLE rows (id int PRIMARY KEY, vector vector({DIMENSIONS}))")  # type: ignore[arg-type]
    with connection.cursor() as cursor, cursor.copy("COPY rows FROM STDIN") as copy:
        for number, row in enumerate(rows):
            copy.write_row([number, Vector(row).to_text()])
    connection.execute("INSERT INTO items SELECT * FROM rows")
    connection.execute("CREATE TABLE plain (LIKE rows INCLUDING INDEXES)")
    for name, binarizer in made.items():
        codec_id = insert_codec(connection, name, binarizer)
        for part in tables(binarizer):
            codecs._write(connection, codec_id, part)
        if binarizer.additive is not None:
            fetch(connection, statement("write_gram", codec_id=codec_id))
        if has_shortlists(connection):  # as register does
            fetch(connection, statement("make_query_functions", codec_id=codec_id))
        connection.execute(
            "SELECT bitryoshka.add_code_column('items', 'vector', %s, %s)", [f"{name}@1", name]
        )
        connection.execute("SELECT bitryoshka.fill_code_column('items', %s)", [name])
        # one more table for each codec, whose only trigger is its own
        connection.execute(f"CREATE TABLE of_{name} (LIKE rows INCLUDING INDEXES)")  # type: ignore[arg-type]
        connection.execute(
            "SELECT bitryoshka.add_code_column(%s::regclass, 'vector', %s)",
            [f"of_{name}", f"{name}@1"],
        )
    for name, binarizer in made.items():
        expression = f"substring({name} FROM 1 FOR {binarizer.hamming_bits})"
        if binarizer.hamming_bits == binarizer.bits:
            expression = name
        connection.execute(
            f"CREATE INDEX ON items USING hnsw (({expression}::bit({binarizer.hamming_bits})) "  # type: ignore[arg-type]
            "bit_hamming_ops) WITH (m = 8, ef_construction = 64)"
        )
    connection.execute("VACUUM ANALYZE items")


def works(made: dict[str, Binarizer], queries: np.ndarray) -> dict[str, Callable[..., None]]:
    """What is done on a connection in one turn."""
    texts = [Vector(query).to_text() for query in queries]

    def plain(connection: Connection) -> None:
        connection.execute(
            "TRUNCATE plain; "
            f"INSERT INTO plain (id, vector) SELECT * FROM rows WHERE id < {INSERTED}"  # type: ignore[arg-type]
        )

    found: dict[str, Callable[..., None]] = {PLAIN: plain}
    for name in made:

        def insert(connection: Connection, name: str = name) -> None:
            connection.execute(
                f"TRUNCATE of_{name}; "  # type: ignore[arg-type]
                f"INSERT INTO of_{name} (id, vector) SELECT * FROM rows WHERE id < {INSERTED}"
            )

        def encode(connection: Connection, name: str = name) -> None:
            connection.execute(
                f"SELECT count(bitryoshka.encode('{name}@1', vector)) FROM rows WHERE id < 300"  # type: ignore[arg-type]
            )

        def search(connection: Connection, name: str = name, exact: int = 0) -> None:
            stages = STAGES[exact][has_shortlists(connection)]
            for text in texts:
                connection.execute(QUERY.format(stages=stages, column=name).encode(), [text])

        found[f"{name}: {TRIGGERED}"] = insert
        found[f"{name}: encode"] = encode
        found[f"{name}: search"] = search
        found[f"{name}: search, exact in the end"] = lambda c, search=search: search(c, exact=50)
    return found


@cache
def has_shortlists(connection: Connection) -> bool:
    """Whether the search is that of the new revision."""
    [(found,)] = connection.execute(
        "SELECT 'shortlist' = ANY (proargnames) FROM pg_proc "
        "WHERE oid = 'bitryoshka.search'::regproc"
    ).fetchall()
    return bool(found)


def clocks(connection: Connection) -> tuple[float, float]:
    """Seconds that the connection's server process has run, and those of the clock."""
    run = Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0]
    return int(run) / 1e9, time.perf_counter()


def summary(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Median ratio of new to old with its quartiles, and both medians."""
    ratios = np.array(seconds["new"]) / np.array(seconds["old"])
    return {
        "ratio": float(np.median(ratios)),
        "quartiles": np.quantile(ratios, [0.25, 0.75]).tolist(),
        "milliseconds": {n: float(np.median(s)) * 1000 for n, s in seconds.items()},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.revision", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=25)
    given = parser.parse_args(arguments)
    world, generator = World(DIMENSIONS), np.random.default_rng(1)
    rows = world.draw(given.rows, generator)
    queries = world.draw(given.queries, generator)
    made = {
        "additive": bitryoshka.fit(rows[:4000], bits=BITS, method="additive").binarizer,
        "progressive": bitryoshka.fit(
            rows[:4000], bits=BITS, hamming_bits=192, method="progressive"
        ).binarizer,
    }
    figures: dict[str, Any] = {"rows": given.rows, "queries": given.queries, "rounds": given.rounds}
    with (
        tempfile.TemporaryDirectory(prefix="bitryoshka-") as folder,
        embedded_server(folder) as dsn,
    ):
        opened = {}
        for name in ("old", "new"):
            with connect(dsn) as connection:
                connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
            opened[name] = connect(make_conninfo(dsn, dbname=name))
            (install_old if name == "old" else install)(opened[name])
            prepare(opened[name], made, rows)
            print(f"{name}: ready", flush=True)
        figures["times"] = {}
        for label, work in works(made, queries).items():
            spent: dict[str, list[tuple[float, float]]] = {"old": [], "new": []}
            for turn in range(given.rounds + 1):
                for name in sorted(opened, reverse=bool(turn % 2)):
                    before = clocks(opened[name])
                    work(opened[name])
                    if turn:
                        spent[name].append(tuple(np.subtract(clocks(opened[name]), before)))
            figures["times"][label] = {
                clock: summary({name: [pair[i] for pair in pairs] for name, pairs in spent.items()})
                for i, clock in enumerate(("processor", "wall"))
            }
            print(label, figures["times"][label], flush=True)
        for connection in opened.values():
            connection.close()
    targets = [
        at_most(f"{label}: processor time, times revision 0004", MOST, found["processor"]["ratio"])
        for label, found in figures["times"].items()
        if label != PLAIN
    ]
    taken = [
        figures["times"][label]["processor"]["milliseconds"]["new"]
        for label in (f"additive: {TRIGGERED}", PLAIN)
    ]
    own = (taken[0] - taken[1]) / INSERTED
    name = "additive, 384 -> 384: milliseconds a row that the trigger adds to an insert"
    targets.append(at_most(name, MOST_TRIGGER, own))
    write("revision", figures, targets)


if __name__ == "__main__":
    main()
