"""What partitions cost and save: ``python -m benchmarks.partitions --data DIR...``.

The same rows and codes of 384 sign bits in one table and in 2 to 16 partitions, by hash of the key
and by list of a filter's column, with an index on each partition as `attach` builds it. Measured:
the builds, with memory for the graph and without; searches over all partitions, with a list of all
candidates in each and with the shortest lists that find what one table does, chosen by queries of
their own; searches under a filter that prunes; and which forms of a filter prune. Times are the
processor's, of the server's process, which other programs do not disturb; a query is asked of
every table in turn.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pgvector import Vector
from psycopg import errors

import bitryoshka
from benchmarks.recall_curves import drawn
from benchmarks.results import at_least, at_most, write
from benchmarks.revision import clocks
from bitryoshka.bits import bit_text
from bitryoshka.evaluation import exact_topk
from bitryoshka.postgres import attach, connect, embedded_server, install, register
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres_rules import EF_CONSTRUCTION, M

BITS, K, CANDIDATES, TENANTS = 384, 10, 100, 16
COUNTS, LISTS = (2, 4, 8, 16), (10, 20, 30, 40, 50, 75, CANDIDATES)
WARM, ENOUGH = 10, 0.002
LOW_MEMORY, MEMORY = "8MB", "512MB"
PRUNING = "tenant = ($2->>'tenant')::int"
# one tenant, or two, said in every way that comes to mind
FORMS = {
    "constant": "tenant = 2",
    "two constants": "tenant IN (1, 2)",
    "array constant": "tenant = ANY ('{1,2}'::int[])",
    "$2, cast to the key's type": PRUNING,
    "$2, each of two values": "tenant IN (($2->'tenants'->>0)::int, ($2->'tenants'->>1)::int)",
    "a setting": "tenant = current_setting('app.tenant')::int",
    "a subquery of one value": (
        "tenant = (SELECT t.tenant FROM jsonb_to_record($2) AS t (tenant int))"
    ),
    "$2, another type": "tenant = ($2->>'tenant')::numeric",
    "the key cast": "tenant::text = $2->>'tenant'",
    "array from $2": "tenant = ANY (($2->>'array')::int[])",
    "array from a subquery": (
        "tenant = ANY (ARRAY(SELECT jsonb_array_elements_text($2->'tenants')::int))"
    ),
    "containment": "$2->'tenants' @> to_jsonb(tenant)",
}
VALUES = json.dumps({"tenant": 2, "tenants": [1, 2], "array": "{1,2}"})


class Table(NamedTuple):
    """A table, and into how many partitions by what; one table has none."""

    kind: str
    partitions: int

    @property
    def name(self) -> str:
        """Its name in the database."""
        return f"{self.kind}_{self.partitions}"

    def leaves(self) -> list[str]:
        """The tables that hold its rows."""
        parts = [f"{self.name}_{i}" for i in range(self.partitions)]
        return [self.name] if self.partitions == 1 else parts

    def statements(self, dimensions: int) -> Iterator[str]:
        """How it is made."""
        by = {"one": "", "hash": "PARTITION BY HASH (id)", "list": "PARTITION BY LIST (tenant)"}
        yield (
            f"CREATE TABLE {self.name} (id bigint, tenant int, embedding vector({dimensions}), "
            f"PRIMARY KEY (id, tenant)) {by[self.kind]}"
        )
        for i, leaf in enumerate(self.leaves() if self.partitions > 1 else []):
            tenants = ", ".join(map(str, range(i, TENANTS, self.partitions)))
            bounds = {
                "hash": f"WITH (MODULUS {self.partitions}, REMAINDER {i})",
                "list": f"IN ({tenants})",
            }
            yield f"CREATE TABLE {leaf} PARTITION OF {self.name} FOR VALUES {bounds[self.kind]}"


ONE = Table("one", 1)
TABLES = [ONE, *(Table(kind, n) for kind in ("hash", "list") for n in COUNTS)]


def tenants_of(rows: int) -> np.ndarray:
    """Whose each row is."""
    return np.random.default_rng(1).integers(TENANTS, size=rows)


def prepare(connection: Connection, rows: np.ndarray, tables: Sequence[Table]) -> None:
    """Tables with vectors and codes, without an index; the first is ONE."""
    connection.prepare_threshold = 10**6  # only what is to be prepared
    install(connection)
    binarizer = bitryoshka.fit(rows, bits=BITS, method="itq").binarizer
    label = register(connection, "docs", binarizer).label
    for table in tables:
        for text in table.statements(rows.shape[1]):
            connection.execute(text.encode())
        attach(connection, table.name, "embedding", label, index=False, queries=0)
    connection.execute("SET session_replication_role = replica")  # codes are made once
    codes = binarizer.encode(rows)
    with connection.cursor() as cursor, cursor.copy(f"COPY {ONE.name} FROM STDIN".encode()) as copy:
        for i, (tenant, row, code) in enumerate(
            zip(tenants_of(len(rows)).tolist(), rows, codes, strict=True)
        ):
            copy.write_row((i, tenant, Vector(row).to_text(), bit_text(code)))
    for table in tables[1:]:
        connection.execute(f"INSERT INTO {table.name} SELECT * FROM {ONE.name}".encode())
    connection.execute("SET session_replication_role = origin")


def build(connection: Connection, table: Table, memory: str) -> dict[str, Any]:
    """Build each leaf's index with one process; seconds of the processor, and how many rows fit."""
    connection.execute("SET max_parallel_maintenance_workers = 0")
    connection.execute(f"SET maintenance_work_mem = '{memory}'".encode())
    fitted: list[int] = []

    def noticed(notice: errors.Diagnostic) -> None:
        text = notice.message_primary or ""
        if "no longer fits" in text:
            fitted.append(int(text.split(" after ")[1].split()[0]))

    connection.add_notice_handler(noticed)
    spent = []
    for leaf in table.leaves():
        before = clocks(connection)[0]
        connection.execute(
            f"CREATE INDEX {leaf}_hnsw ON {leaf} USING hnsw (code bit_hamming_ops) "
            f"WITH (m = {M}, ef_construction = {EF_CONSTRUCTION})".encode()
        )
        spent.append(clocks(connection)[0] - before)
    connection.remove_notice_handler(noticed)
    [(size,)] = connection.execute(
        "SELECT sum(pg_relation_size(i::regclass))::bigint FROM unnest(%s::text[]) AS i",
        [[f"{leaf}_hnsw" for leaf in table.leaves()]],
    ).fetchall()
    return {
        "processor_s": sum(spent),
        "longest_processor_s": max(spent),
        "index_mib": size / 2**20,
        "rows_before_memory_was_full": fitted,
    }


def builds(connection: Connection, tables: Sequence[Table]) -> dict[str, Any]:
    """Every table's builds; those in little memory first, whose indexes do not stay."""
    low: dict[str, Any] = {}
    for table in [t for t in tables if t.kind != "list" and t.partitions in (1, 4)]:
        low[table.name] = build(connection, table, LOW_MEMORY)
        for leaf in table.leaves():
            connection.execute(f"DROP INDEX {leaf}_hnsw".encode())
        print(table.name, LOW_MEMORY, low[table.name], flush=True)
    found: dict[str, Any] = {}
    for table in tables:
        found[table.name] = build(connection, table, MEMORY)
        if table.partitions > 1:
            connection.execute(
                f"CREATE INDEX ON {table.name} USING hnsw (code bit_hamming_ops) "
                f"WITH (m = {M}, ef_construction = {EF_CONSTRUCTION})".encode()
            )
        connection.execute(f"VACUUM ANALYZE {table.name}".encode())
        print(table.name, found[table.name], flush=True)
    filled = low[ONE.name]["rows_before_memory_was_full"]
    return {
        MEMORY: found,
        LOW_MEMORY: low,
        "graph_bytes_a_row": int(LOW_MEMORY[:-2]) * 2**20 / filled[0] if filled else None,
    }


def statement(
    connection: Connection, table: Table, rescore: str, where: str | None = None, ef: int = 0
) -> str:
    """What `bitryoshka.search_statement` gives, for ids; ``ef``: another list of each scan."""
    [(text,)] = connection.execute(
        "SELECT bitryoshka.search_statement(%s::regclass, rescore => %s, filter => %s)",
        [table.name, rescore, where],
    ).fetchall()
    if ef:
        lines = f"'hnsw.ef_search', '{CANDIDATES}'", f"'hnsw.ef_search', '{ef}'"
        assert lines[0] in text
        text = text.replace(*lines)
    return str(text).replace("SELECT bitryoshka_row AS item", "SELECT bitryoshka_row.id")


def ways(connection: Connection, table: Table, ef: int) -> dict[str, str]:
    """What is asked of a table."""
    found = {
        "exact": statement(connection, table, "exact"),
        "asymmetric": statement(connection, table, "asymmetric"),
        "search": (
            f"SELECT (s.item).id FROM bitryoshka.search(NULL::{table.name}, $1::vector, "
            "rescore => 'exact') AS s"
        ),
        "one tenant": statement(connection, table, "exact", PRUNING),
    }
    if table.partitions > 1:
        found["exact, shorter lists"] = statement(connection, table, "exact", ef=ef)
    return found


def asked(connection: Connection, text: str) -> Callable[[str, str], set[int]]:
    """Prepare a statement; a call runs it for a query and the filter's values."""
    own = text.replace("$1", "%(query)s").replace("$2", "%(values)s").encode()

    def run(query: str, values: str) -> set[int]:
        found = connection.execute(own, {"query": query, "values": values}, prepare=True)
        return {row[0] for row in found.fetchall()}

    return run


def choose(
    connection: Connection, tables: Sequence[Table], queries: np.ndarray, truth: np.ndarray
) -> tuple[dict[str, int], dict[str, Any]]:
    """Each table's shortest list that finds what ONE does by all candidates, and all recalls."""
    chosen: dict[str, int] = {}
    recalls: dict[str, dict[str, float]] = {}
    texts = [Vector(query).to_text() for query in queries]
    for table in tables:
        recalls[table.name] = {}
        for ef in LISTS if table.partitions > 1 else LISTS[-1:]:
            run = asked(connection, statement(connection, table, "exact", ef=ef))
            hits = sum(
                len(run(text, VALUES) & {*best})
                for text, best in zip(texts, truth.tolist(), strict=True)
            )
            recalls[table.name][str(ef)] = hits / truth.size
        print(table.name, recalls[table.name], flush=True)
        least = recalls[ONE.name][str(CANDIDATES)] - ENOUGH
        enough = (ef for ef, recall in recalls[table.name].items() if recall >= least)
        chosen[table.name] = int(next(enough, CANDIDATES))
    return chosen, recalls


def measure(
    connection: Connection,
    tables: Sequence[Table],
    rows: np.ndarray,
    queries: np.ndarray,
    lists: dict[str, int],
) -> dict[str, dict[str, dict[str, float]]]:
    """Recall and milliseconds of processor time of every way, by table."""
    owners = tenants_of(len(rows))
    tenants = np.random.default_rng(2).integers(TENANTS, size=len(queries)).tolist()
    everything = exact_topk(queries, rows, K).rows.tolist()
    of_tenant = []
    for query, tenant in zip(queries, tenants, strict=True):
        own = np.flatnonzero(owners == tenant)
        of_tenant.append(own[exact_topk(query[None], rows[own], K).rows[0]].tolist())
    texts = {table.name: ways(connection, table, lists[table.name]) for table in tables}
    # a table follows after all others, so that none of its ways finds it in the processor's caches
    runs = {
        (name, way): asked(connection, of_table[way])
        for way in texts[tables[-1].name]
        for name, of_table in texts.items()
        if way in of_table
    }
    spent: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    hits = dict.fromkeys(runs, 0)
    # the first queries warm up, until plans are chosen
    for i in [*range(WARM), *range(len(queries))]:
        text, values = Vector(queries[i]).to_text(), json.dumps({"tenant": tenants[i]})
        for key, run in runs.items():
            before = clocks(connection)[0]
            found = run(text, values)
            spent[key].append(clocks(connection)[0] - before)
            truth = of_tenant[i] if key[1] == "one tenant" else everything[i]
            hits[key] += len(found & {*truth}) if len(spent[key]) > WARM else 0
    result: dict[str, dict[str, dict[str, float]]] = {table.name: {} for table in tables}
    for (name, way), seconds in spent.items():
        result[name][way] = {
            "recall": hits[name, way] / (K * len(queries)),
            "processor_ms": float(np.median(seconds[WARM:])) * 1e3,
        }
    return result


def scans(plan: Any) -> Iterator[tuple[str, str]]:
    """The tables that the first stage of a plan has read, and by which kind of scan."""
    nodes = [(plan, False)]
    while nodes:
        node, within = nodes.pop()
        within |= node.get("Subplan Name") == "CTE bitryoshka_candidates"
        if within and "Relation Name" in node and node["Actual Loops"]:
            yield node["Relation Name"], node["Node Type"]
        nodes += [(part, within) for part in node.get("Plans", [])]


def explained(
    connection: Connection, text: str, query: np.ndarray, mode: str
) -> list[tuple[str, str]]:
    """The scans of a statement, with a plan for its values or for any."""
    connection.execute(f"SET plan_cache_mode = force_{mode}_plan".encode())
    connection.execute(f"PREPARE explained AS {text}".encode())
    [(found,)] = connection.execute(
        "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE explained "
        f"('{Vector(query).to_text()}', '{VALUES}')".encode()
    ).fetchall()
    connection.execute("DEALLOCATE explained")
    connection.execute("RESET plan_cache_mode")
    return list(scans(found[0]["Plan"]))


def pruning(connection: Connection, table: Table, query: np.ndarray) -> dict[str, Any]:
    """How many partitions each form of a filter reads, by kind of plan."""
    connection.execute("SELECT set_config('app.tenant', '2', false)")
    return {
        name: {
            mode: len({t for t, _ in explained(connection, text, query, mode)})
            for mode in ("custom", "generic")
        }
        for name, where in FORMS.items()
        for text in [statement(connection, table, "exact", where)]
    }


def by_index(
    connection: Connection, tables: Sequence[Table], query: np.ndarray
) -> dict[str, dict[str, int]]:
    """How many partitions a search reads by their index, and how many otherwise."""
    found = {}
    for table in tables:
        kinds = [
            kind
            for _, kind in explained(
                connection, statement(connection, table, "exact"), query, "generic"
            )
        ]
        found[table.name] = {
            "index": kinds.count("Index Scan"),
            "other": len(kinds) - kinds.count("Index Scan"),
        }
    return found


def targets(figures: dict[str, Any]) -> list[Any]:
    """What the advice rests on."""
    found = figures["searches"]
    one, most = found[ONE.name], max(COUNTS)
    by_list, by_hash = found[f"list_{most}"], found[f"hash_{most}"]
    return [
        at_least(
            "16 partitions: recall beyond one table's, whole lists",
            -0.005,
            by_hash["exact"]["recall"] - one["exact"]["recall"],
        ),
        at_least(
            "16 partitions: recall beyond one table's, shorter lists",
            -0.01,
            by_hash["exact, shorter lists"]["recall"] - one["exact"]["recall"],
        ),
        at_most(
            "16 partitions: processor time with shorter lists, times whole lists",
            0.7,
            by_hash["exact, shorter lists"]["processor_ms"] / by_hash["exact"]["processor_ms"],
        ),
        at_most(
            "one tenant in a partition of its own: processor time, times one table",
            0.5,
            by_list["one tenant"]["processor_ms"] / one["one tenant"]["processor_ms"],
        ),
    ]


def measured(
    connection: Connection, rows: np.ndarray, queries: np.ndarray, held_out: np.ndarray
) -> dict[str, Any]:
    """All figures."""
    figures: dict[str, Any] = {"server": connection.info.server_version}
    prepare(connection, rows, TABLES)
    print("ready", flush=True)
    figures["builds"] = builds(connection, TABLES)
    figures["scans"] = by_index(connection, TABLES, held_out[0])
    figures["partitions_read_of_16"] = pruning(connection, Table("list", max(COUNTS)), held_out[0])
    truth = exact_topk(held_out, rows, K).rows
    lists, figures["held_out_recall"] = choose(connection, TABLES, held_out, truth)
    return figures | {
        "lists": lists,
        "searches": measure(connection, TABLES, rows, queries, lists),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.partitions", description=__doc__)
    parser.add_argument("--data", nargs="+", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--queries", type=int, default=150)
    given = parser.parse_args(arguments)
    rows, queries, held_out = drawn(given.data, given.rows, given.queries, given.queries)
    figures: dict[str, Any] = {"rows": given.rows, "queries": given.queries}
    with tempfile.TemporaryDirectory(prefix="bitryoshka-") as folder:
        # so that no search pushes out what another has read
        with embedded_server(folder) as dsn, connect(dsn) as connection:
            connection.execute("ALTER SYSTEM SET shared_buffers = '2GB'")
        with embedded_server(folder) as dsn, connect(dsn) as connection:
            figures |= measured(connection, rows, queries, held_out)
    for name, found in figures["searches"].items():
        print(name, found, flush=True)
    write("partitions", figures, targets(figures))


if __name__ == "__main__":
    main()
