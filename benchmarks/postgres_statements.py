"""The searches that `benchmarks.postgres_search` compares, as statements to be prepared.

Each takes a float vector in the client and gives ids to the client.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector

from bitryoshka import Binarizer
from bitryoshka.bits import bit_text, query_planes
from bitryoshka.postgres import connect
from bitryoshka.postgres.server import Connection

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

K, PREFIX, EXACT = 10, 256, 100


class Search(NamedTuple):
    """A statement, what it is given for a query, and the ``hnsw.ef_search`` that it needs."""

    text: str
    values: Callable[[Floats], dict[str, Any]]
    ef_search: int

    def settle(self, connection: Connection) -> None:
        """Set the length of the list, as a client does once."""
        length = str(max(1, min(self.ef_search, 1000)))
        connection.execute("SELECT set_config('hnsw.ef_search', %s, false)", [length])

    def run(self, connection: Connection, query: Floats) -> list[int]:
        """Ids of the K best rows."""
        values = self.values(query)
        rows = connection.execute(self.text.encode(), values, prepare=True).fetchall()
        return [row[0] for row in rows]

    def pages(self, connection: Connection, query: Floats) -> int:
        """Pages of 8 KiB that the statement reads, from memory or from disk."""
        self.settle(connection)
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {self.text}"
        [(plan,)] = connection.execute(explain.encode(), self.values(query)).fetchall()
        top = plan[0]["Plan"]
        return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])

    def recall(self, connection: Connection, queries: Floats, truth: Rows) -> float:
        """Recall@K against exact search."""
        self.settle(connection)
        pairs = zip(queries, truth.tolist(), strict=False)
        return float(np.mean([len({*self.run(connection, q)} & {*best}) for q, best in pairs])) / K

    def throughput(self, connection: Connection, queries: Floats, clients: int) -> float:
        """Queries a second that so many clients are answered, each on a connection of its own."""

        def ask(client: int) -> None:
            with connect(connection.info.dsn) as own:
                self.settle(own)
                for query in queries:
                    self.run(own, query)

        with ThreadPoolExecutor(clients) as pool:
            started = time.perf_counter()
            list(pool.map(ask, range(clients)))
            return clients * len(queries) / (time.perf_counter() - started)


def as_text(query: Floats) -> dict[str, Any]:
    """The query alone."""
    return {"query": Vector(query).to_text()}


def exact_scan(_: int = 0) -> Search:
    """The sum keeps indexes out of the plan."""
    order = "(vector <=> %(query)s::vector(384)) + 0"
    return Search(f"SELECT id FROM floats ORDER BY {order} LIMIT {K}", as_text, K)


def vector_hnsw(length: int) -> Search:
    """Pgvector's own index on vectors."""
    order = "vector <=> %(query)s::vector(384)"
    return Search(f"SELECT id FROM floats ORDER BY {order} LIMIT {K}", as_text, length)


def halfvec_hnsw(length: int) -> Search:
    """Pgvector's own index on halfvecs."""
    order = "vector <=> %(query)s::halfvec(384)"
    return Search(f"SELECT id FROM halves ORDER BY {order} LIMIT {K}", as_text, length)


def quantized(length: int) -> Search:
    """Pgvector's documented query on binary_quantize with a rerank."""
    return Search(
        "SELECT id FROM (SELECT id, vector FROM floats ORDER BY "
        "binary_quantize(vector)::bit(384) <~> binary_quantize(%(query)s::vector(384))::bit(384) "
        f"LIMIT {length}) AS near ORDER BY vector <=> %(query)s::vector(384) LIMIT {K}",
        as_text,
        length,
    )


class Ours:
    """Searches over codes of one binarizer, whose queries NumPy encodes."""

    def __init__(self, connection: Connection, binarizer: Binarizer, prefix: int = PREFIX) -> None:
        self._connection = connection
        self._binarizer = binarizer
        self._prefix = prefix

    def signs(self, query: Floats) -> dict[str, Any]:
        """A query's bits and text."""
        bits = self._binarizer.encode_queries(query[None], self._prefix)
        return {"code": bit_text(bits[0]), "query": Vector(query).to_text()}

    def encoded(self, query: Floats) -> dict[str, Any]:
        """A query's bits, planes and text."""
        planes = query_planes(self._binarizer.query_weights(query[None])).planes[0]
        return {**self.signs(query), "planes": "{" + ",".join(map(bit_text, planes)) + "}"}

    def statement(
        self,
        length: int,
        rescore: str | None,
        shortlist: int | None = None,
        code_column: str = "code",
    ) -> Search:
        """What search_statement gives, with what NumPy encodes for its calls of the encoder."""
        [(text,)] = self._connection.execute(
            "SELECT bitryoshka.search_statement('halves', code_column => %s, k => %s, "
            "candidates => %s, rescore => %s, shortlist => %s)",
            [code_column, K, length, rescore, shortlist],
        ).fetchall()
        text = re.sub(r"bitryoshka\.encode_query\(.*?\)", "%(code)s::varbit", text)
        text = re.sub(r"bitryoshka\.query_planes\(.*?\)", "%(planes)s::varbit[]", text)
        text = text.replace("$1", "%(query)s").replace("$2", "NULL")
        text = text.replace("SELECT bitryoshka_row AS item", "SELECT bitryoshka_row.id AS item")
        return Search(text, self.encoded, length)

    def in_row(self, length: int, code_column: str = "code") -> Search:
        """Every candidate is compared by its vector, which lies in the same row."""
        return self.statement(length, "exact", None, code_column)._replace(values=self.signs)

    def in_stages(self, length: int) -> Search:
        """The asymmetric score chooses those that are compared by their vectors."""
        return self.statement(length, "exact", min(length, EXACT))

    def codes_alone(self, length: int) -> Search:
        """No vectors: the asymmetric score is the last stage."""
        return self.statement(length, "asymmetric")

    def hamming_alone(self, length: int) -> Search:
        """Neither vectors nor asymmetric scores."""
        return self.statement(length, None)._replace(values=self.signs)

    def narrow(self, length: int) -> Search:
        """Codes in a table of their own; the vectors of the best are looked up by id."""
        return Search(
            "WITH near AS MATERIALIZED (SELECT id, code FROM narrow "
            f"ORDER BY substring(code FROM 1 FOR {PREFIX})::bit({PREFIX}) "
            f"<~> %(code)s::bit({PREFIX}) LIMIT {length}), best AS MATERIALIZED (SELECT id "
            "FROM near ORDER BY bitryoshka.asymmetric_score(code, %(planes)s::varbit[]) DESC "
            f"LIMIT {EXACT}) SELECT h.id FROM best JOIN halves AS h USING (id) "
            f"ORDER BY h.vector <=> %(query)s::halfvec(384) LIMIT {K}",
            self.encoded,
            length,
        )

    def in_sql(self, length: int) -> Search:
        """bitryoshka.search, which encodes the query on the server."""
        return Search(
            "SELECT (s.item).id FROM bitryoshka.search(NULL::halves, %(query)s::vector, "
            f"k => {K}, candidates => {length}, rescore => 'exact') AS s",
            as_text,
            length,
        )
