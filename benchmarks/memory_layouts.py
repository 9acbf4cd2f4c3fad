"""The layouts that `benchmarks.memory` compares: their tables, indexes and statements."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.errors import Diagnostic

from benchmarks.postgres_statements import K, Search, as_text
from bitryoshka import Binarizer
from bitryoshka.postgres import attach, create_index, create_table, load, open_table, register
from bitryoshka.postgres.binary import (
    BIGINT,
    rows_of,
    text_column,
    vector_column,
    write_rows,
)
from bitryoshka.postgres.server import Connection

Floats = NDArray[np.float32]

FLOAT, HALF = "HNSW, vector", "HNSW, halfvec"
QUANTIZED = "binary_quantize, then vectors"
ROW, STAGES = "codes in the row, then vectors", "codes in the row, float query, then vectors"
OUT = "codes in the row, vectors out of line"
NARROW = "codes in their own table, 256 bits"
NARROW_LONG = "codes in their own table, 768 bits"
NARROW_SMALL = "codes in their own table, 768 bits, m = 8"
ROW_ALONE = "codes in the row, float query alone"
ALONE = "codes alone, no vectors"
OURS = (ROW, STAGES, OUT, NARROW, NARROW_LONG, NARROW_SMALL, ROW_ALONE, ALONE)
LAYOUTS = (FLOAT, HALF, QUANTIZED, *OURS)
SHORT, LONG, SMALL_GRAPH = "short", "long", "long, small graph"
MOST = 100
BLOCK = 10_000
BUILT_WITHIN, SMALL = "2GB", "64MB"
# more than the 2 KB at which Postgres begins to move values out of a row
FILLER = "." * 2100


# m and ef_construction of graphs over codes: of those that `benchmarks.lists` compares the quickest
# over long codes, and a smaller one
GRAPHS = {SHORT: (8, 128), LONG: (16, 128), SMALL_GRAPH: (8, 128)}


Make = Callable[[Connection, int, int | None], Search]


class Layout(NamedTuple):
    """The relations that a search reads, and its statement for a list and a shortlist.

    ``codes``: those that the float query ranks, where vectors compare a shortlist of the list.
    """

    relations: tuple[str, ...]
    search: Make
    codes: str | None = None


def fill(connection: Connection, table: str, vectors: Floats, out_of_line: bool = False) -> None:
    """A table of ids and vectors; ``out_of_line``: vectors in the table's TOAST.

    ``toast_tuple_target`` says how short a row has to become, but only rows of more than 2 KB are
    looked at: vectors of 500 dimensions and more. A filler makes shorter ones that long; rows keep
    their vectors where they are when it is taken away. Codes are short enough to stay.
    """
    name, dimensions = sql.Identifier(table), vectors.shape[1]
    columns = {"id": BIGINT, "embedding": vector_column(dimensions)}
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
    connection.execute(
        sql.SQL("CREATE TABLE {} (id bigint PRIMARY KEY, embedding vector({}))").format(
            name, sql.Literal(dimensions)
        )
    )
    if out_of_line:
        columns["filler"] = text_column(FILLER)
        connection.execute(
            sql.SQL(
                "ALTER TABLE {0} ALTER embedding SET STORAGE EXTERNAL, ADD filler text, "
                "ALTER filler SET STORAGE EXTERNAL, SET (toast_tuple_target = 256)"
            ).format(name)
        )
    filler = np.frombuffer(FILLER.encode(), np.uint8)
    blocks = (
        rows_of(
            columns,
            len(part),
            {"id": np.arange(start, start + len(part)), "embedding": part, "filler": filler},
        )
        for start in range(0, len(vectors), BLOCK)
        for part in [vectors[start : start + BLOCK]]
    )
    write_rows(connection, sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(name), blocks)
    if out_of_line:
        connection.execute(sql.SQL("UPDATE {} SET filler = NULL").format(name))


def settle(connection: Connection, table: str, full: bool = False) -> None:
    """Let later reads write nothing; ``full``: write the table anew, without what updates left."""
    options = sql.SQL("FULL, " if full else "")
    connection.execute(
        sql.SQL("VACUUM ({}FREEZE, ANALYZE) {}").format(options, sql.Identifier(table))
    )


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def build(
    connection: Connection, rows: Floats, binarizers: Mapping[str, Binarizer]
) -> dict[str, Callable[[], dict[str, float]]]:
    """What makes every table with its indexes, and gives seconds, by the table's name."""
    connection.execute(f"SET maintenance_work_mem = '{BUILT_WITHIN}'".encode())
    short, long = binarizers[SHORT], binarizers[LONG]
    return {
        "floats": lambda: build_floats(connection, rows),
        "coded": lambda: build_attached(connection, "coded", rows, f"{LONG}@1"),
        "coded, index": lambda: index_attached(connection, "coded", LONG),
        "outside": lambda: build_attached(connection, "outside", rows, f"{LONG}@1"),
        "outside, index": lambda: index_attached(connection, "outside", LONG),
        "narrow": lambda: build_codes(connection, "narrow", rows, short),
        "narrow, index": lambda: index_codes(connection, "narrow", SHORT, short),
        "alone": lambda: build_codes(connection, "alone", rows, long),
        "alone, index": lambda: index_codes(connection, "alone", LONG, long),
        "small": lambda: build_codes(connection, "small", rows, long),
        "small, index": lambda: index_codes(connection, "small", SMALL_GRAPH, long),
    }


def build_small(
    connection: Connection, rows: Floats, binarizer: Binarizer
) -> dict[str, dict[str, float]]:
    """Seconds and bytes of an index on halfvecs and two on codes, in SMALL of memory.

    One of the latter with pgvector's own ef_construction, which halfvec's has too. ``in_memory``:
    how many rows the graph had when it no longer fitted, and rows were inserted into the index
    itself; all of them where it always did.
    """
    full: list[int] = []

    def notice(said: Diagnostic) -> None:
        if found := re.search(r"no longer fits .* after (\d+) tuples", said.message_primary or ""):
            full.append(int(found[1]))

    dimensions = rows.shape[1]
    fill(connection, "built_halfvec", rows)
    connection.execute("DROP TABLE IF EXISTS built_codes")
    codes = create_table(connection, "built_codes", binarizer)
    load(connection, codes, range(len(rows)), binarizer.encode(rows))
    connection.execute(f"SET maintenance_work_mem = '{SMALL}'".encode())
    connection.add_notice_handler(notice)
    halfvec = float_indexes(dimensions)["floats_halfvec"]
    works: dict[str, Callable[[], str]] = {
        "halfvec": lambda: build_index(connection, "built_halfvec", "built_index", halfvec),
        "codes": lambda: create_index(connection, codes),
        "codes, ef_construction 64": lambda: create_index(connection, codes, ef_construction=64),
    }
    made: dict[str, dict[str, float]] = {"rows": {"rows": len(rows)}}
    for name, work in works.items():
        full.clear()
        started = time.perf_counter()
        index = work()
        seconds = time.perf_counter() - started
        taken = size(connection, [index])
        connection.execute(f"DROP INDEX {index}".encode())
        in_memory = full[0] if full else len(rows)
        made[name] = {"seconds": seconds, "bytes": taken, "in_memory": in_memory}
    connection.execute("DROP TABLE built_halfvec, built_codes")
    return made


def build_floats(connection: Connection, vectors: Floats) -> dict[str, float]:
    """Vectors with pgvector's own three indexes; seconds of each."""
    dimensions = vectors.shape[1]
    fill(connection, "floats", vectors)
    settle(connection, "floats")
    return {
        name: timed(lambda name=name, what=what: build_index(connection, "floats", name, what))
        for name, what in float_indexes(dimensions).items()
    }


def float_indexes(dimensions: int) -> dict[str, str]:
    """What pgvector's indexes are over, by the index's name."""
    return {
        "floats_vector": "embedding vector_cosine_ops",
        "floats_halfvec": f"(embedding::halfvec({dimensions})) halfvec_cosine_ops",
        "floats_quantized": f"(binary_quantize(embedding)::bit({dimensions})) bit_hamming_ops",
    }


def build_index(connection: Connection, table: str, name: str, what: str) -> str:
    """An HNSW index with pgvector's own settings; its name."""
    connection.execute(f"CREATE INDEX {name} ON {table} USING hnsw ({what})".encode())
    return name


def build_attached(
    connection: Connection, table: str, vectors: Floats, codec: str
) -> dict[str, float]:
    """Vectors with a column of codes; seconds of the backfill."""
    fill(connection, table, vectors, out_of_line=table == "outside")
    backfill = timed(lambda: attach(connection, table, "embedding", codec, index=False, queries=0))
    settle(connection, table, full=True)
    return {f"{table}_backfill": backfill}


def index_attached(connection: Connection, table: str, codec: str) -> dict[str, float]:
    """An index over its codes, which attach takes up; seconds of the build."""
    m, ef_construction = GRAPHS[codec]
    name = f"{table}_code"
    connection.execute(f"DROP INDEX IF EXISTS {name}".encode())
    text = (
        f"CREATE INDEX {name} ON {table} USING hnsw (code bit_hamming_ops) "
        f"WITH (m = {m}, ef_construction = {ef_construction})"
    )
    seconds = timed(lambda: connection.execute(text.encode()))
    attach(connection, table, "embedding", f"{codec}@1", queries=0)
    settle(connection, table)
    return {name: seconds}


def build_codes(
    connection: Connection, table: str, vectors: Floats, binarizer: Binarizer
) -> dict[str, float]:
    """Codes in a table of their own; seconds of the load, encoding with it."""
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(table)))
    codes = create_table(connection, table, binarizer)
    loading = timed(lambda: load(connection, codes, range(len(vectors)), binarizer.encode(vectors)))
    settle(connection, table)
    return {f"{table}_load": loading}


def index_codes(
    connection: Connection, table: str, codec: str, binarizer: Binarizer
) -> dict[str, float]:
    """An index over them; seconds of the build."""
    codes = open_table(connection, table, binarizer)
    m, ef_construction = GRAPHS[codec]
    connection.execute(f"DROP INDEX IF EXISTS {table}_code_{binarizer.hamming_bits}_hnsw".encode())
    build = partial(create_index, connection, codes, m=m, ef_construction=ef_construction)
    return {f"{table}_code": timed(build)}


def enroll(connection: Connection, binarizers: dict[str, Binarizer]) -> None:
    """Register the codecs that are not there yet."""
    known = connection.execute("SELECT name FROM bitryoshka.codecs").fetchall()
    for name, binarizer in binarizers.items():
        if (name,) not in known:
            register(connection, name, binarizer)


def size(connection: Connection, relations: Sequence[str]) -> int:
    """Bytes of indexes, and of tables with theirs, but for `floats`, which several share."""
    [(found,)] = connection.execute(
        "SELECT sum(CASE name WHEN 'floats' THEN pg_table_size(name::regclass) "
        "ELSE pg_total_relation_size(name::regclass) END)::bigint FROM unnest(%s::text[]) AS name",
        [list(relations)],
    ).fetchall()
    return int(found)


def pgvectors_own(index: str, dimensions: int) -> Make:
    """The search that one of `float_indexes` serves."""
    order = {
        "floats_vector": f"embedding <=> %(query)s::vector({dimensions})",
        "floats_halfvec": f"embedding::halfvec({dimensions}) <=> %(query)s::halfvec({dimensions})",
        "floats_quantized": f"binary_quantize(embedding)::bit({dimensions}) "
        f"<~> binary_quantize(%(query)s::vector({dimensions}))::bit({dimensions})",
    }[index]

    def search(_: Connection, length: int, shortlist: int | None) -> Search:
        if index == "floats_quantized":
            text = (
                f"SELECT id FROM (SELECT id, embedding FROM floats ORDER BY {order} "
                f"LIMIT {length}) AS near ORDER BY embedding <=> "
                f"%(query)s::vector({dimensions}) LIMIT {K}"
            )
        else:
            text = f"SELECT id FROM floats ORDER BY {order} LIMIT {K}"
        return Search(text, as_text, length)

    return search


def in_the_row(table: str, rescore: str, k: int = K) -> Make:
    """What search_statement gives, for ids alone: a whole row would bring its vector with it."""

    def search(connection: Connection, length: int, shortlist: int | None) -> Search:
        [(text,)] = connection.execute(
            "SELECT bitryoshka.search_statement(%s::regclass, k => %s, candidates => %s, "
            "rescore => %s, shortlist => %s)",
            [table, min(k, length), length, rescore, shortlist],
        ).fetchall()
        text = text.replace("$1", "%(query)s").replace("$2", "NULL")
        return Search(
            text.replace("SELECT bitryoshka_row AS item", "SELECT bitryoshka_row.id AS item"),
            as_text,
            length,
        )

    return search


def beside(table: str, binarizer: Binarizer, exact: bool, k: int = K) -> Make:
    """Codes by hand from a table of their own, and the best ones' vectors looked up by id."""
    own = binarizer.fingerprint[:32]
    bits, prefix = binarizer.bits, binarizer.hamming_bits
    code = "code" if prefix == bits else f"substring(code FROM 1 FOR {prefix})::bit({prefix})"
    # of the query, the same prefix
    asked = f"bitryoshka.query_bits_{own}(%(query)s::vector)::bit({prefix})"

    def search(_: Connection, length: int, shortlist: int | None) -> Search:
        best = min(length, shortlist or k)
        text = (
            f"WITH asked AS MATERIALIZED (SELECT {asked} AS code, "
            f"bitryoshka.query_planes_{own}(%(query)s::vector) AS planes), "
            f"near AS MATERIALIZED (SELECT id, code FROM {table} ORDER BY {code} <~> "
            f"(SELECT code FROM asked) LIMIT {length}), best AS MATERIALIZED (SELECT near.id, "
            "bitryoshka.asymmetric_score(near.code, asked.planes) AS score FROM near CROSS JOIN "
            f"asked ORDER BY score DESC LIMIT {best}) "
        )
        if exact:
            text += (
                "SELECT f.id FROM best JOIN floats AS f USING (id) "
                f"ORDER BY f.embedding <=> %(query)s::vector LIMIT {K}"
            )
        else:
            text += "SELECT id FROM best ORDER BY score DESC"
        return Search(text, as_text, length)

    return search


def layouts(binarizers: dict[str, Binarizer]) -> dict[str, Layout]:
    """Every layout, the vectors' own first."""
    dimensions = binarizers[SHORT].dimensions
    own = {FLOAT: "floats_vector", HALF: "floats_halfvec", QUANTIZED: "floats_quantized"}
    found = {
        name: Layout(("floats", "floats_pkey", index), pgvectors_own(index, dimensions))
        for name, index in own.items()
    }
    short, long = binarizers[SHORT], binarizers[LONG]
    vectors = ("floats", "floats_pkey")
    return found | {
        ROW: Layout(("coded",), in_the_row("coded", "exact")),
        STAGES: Layout(("coded",), in_the_row("coded", "exact"), LONG),
        OUT: Layout(("outside",), in_the_row("outside", "exact"), LONG),
        NARROW: Layout(("narrow", *vectors), beside("narrow", short, True), SHORT),
        NARROW_LONG: Layout(("alone", *vectors), beside("alone", long, True), LONG),
        NARROW_SMALL: Layout(("small", *vectors), beside("small", long, True), SMALL_GRAPH),
        ROW_ALONE: Layout(("coded",), in_the_row("coded", "asymmetric")),
        ALONE: Layout(("alone",), beside("alone", long, False)),
    }


def ranked(binarizers: Mapping[str, Binarizer]) -> dict[str, Make]:
    """Lists in the float query's order, as far as a shortlist may go, by codes and graph."""
    return {
        SHORT: beside("narrow", binarizers[SHORT], False, MOST),
        LONG: beside("alone", binarizers[LONG], False, MOST),
        SMALL_GRAPH: beside("small", binarizers[LONG], False, MOST),
    }
