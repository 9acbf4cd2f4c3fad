"""Qdrant's quantizers and ours: ``python -m benchmarks.qdrant --data DIR [DIR ...]``.

In the real engine, in process. Everything of ours is fitted on a set's documents, and chosen for a
number of bytes on documents that were held out; the queries serve the figures only. Recall counts
the exact float top 10. No graph: every quantized vector is compared, so that the quantizers alone
decide. The costs of upsert and search with and without codes are measured in turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge
from qdrant_client import models

from benchmarks.datasets import Dataset, Floats, read_dataset
from benchmarks.judge import Judge, K
from benchmarks.results import FOLDER, at_least, at_most, read, write
from bitryoshka import Binarizer
from bitryoshka.qdrant import Collection, choose_for_budget, collection_config, search, upsert
from bitryoshka.qdrant.choosing import additive_code
from bitryoshka.qdrant.edge import Shard, create_shard, open_shard
from bitryoshka.qdrant.edge_types import edge_config
from bitryoshka.qdrant.quantizers import (
    Quantizer,
    code_quantizer,
    qdrant_quantizers,
    try_quantizer,
)

BUDGETS = {48: "TurboQuant 1 bits", 96: "TurboQuant 2 bits", 192: "TurboQuant 4 bits"}
GAINS = {48: 0.08, 96: 0.05, 192: 0.01}
UPSERT_ROWS = 100_000
ROUNDS = 3


def ours_for(budget: int) -> str:
    """Name of our row for a number of bytes."""
    return f"ours for {budget} bytes"


def set_rows(data: Dataset) -> dict[str, Any]:
    """Every way of keeping one set's vectors."""
    judge = Judge.of(data)
    code = additive_code(data.documents, 384)
    tried: list[tuple[Quantizer, str]] = [(quantizer, "") for quantizer in qdrant_quantizers()]
    tried.append((code_quantizer(code, query_encoding="binary"), ""))
    for budget in BUDGETS:
        choice = choose_for_budget(data.documents, budget)
        quantizer = code_quantizer(
            choice.binarizer, ours_for(budget), quantization=choice.quantization
        )
        tried.append((quantizer, str(choice.binarizer.info["method"])))
    rows = {}
    for quantizer, chosen in tried:
        found = try_quantizer(quantizer, data.documents, data.queries, k=K + judge.spare)
        plain = judge.figures(lambda n, found=found: found.rows[:, :n])
        again = judge.figures(lambda n, found=found: found.rescored_rows[:, :n])
        rows[quantizer.label] = {
            "bytes": found.bytes,
            **plain,
            "rescored": again,
            "milliseconds": found.milliseconds,
            "rescored_milliseconds": found.rescored_milliseconds,
            **({"chosen": chosen} if chosen else {}),
        }
    return rows


def means(sets: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Each row's mean over the sets."""
    rows = {}
    for label in next(iter(sets.values())):
        found = [rows_of[label] for rows_of in sets.values()]
        rows[label] = {
            key: float(np.mean([f[key] for f in found]))
            for key in ("bytes", "recall", "retention", "milliseconds", "rescored_milliseconds")
        }
        rows[label]["rescored"] = {
            key: float(np.mean([f["rescored"][key] for f in found]))
            for key in ("recall", "retention")
        }
    return rows


@contextmanager
def raw_shard(folder: Path, dimensions: int) -> Iterator[Shard]:
    """A shard for the vectors as they are, otherwise as ours: one bit, 8-bit queries."""
    identity = Binarizer(
        projection=np.eye(dimensions, dtype=np.float32),
        offset=np.zeros(dimensions),
        step=np.ones(dimensions),
        bit_dimension=np.arange(dimensions),
        bit_plane=np.zeros(dimensions),
        levels=np.ones((1, dimensions)),
        nested_bits=(dimensions,),
    )
    config = edge_config(collection_config(identity, keep_vectors=False))
    folder.mkdir()
    shard = qdrant_edge.EdgeShard.create(str(folder), config)
    try:
        yield Shard(shard, "raw")
    finally:
        shard.close()


def costs(vectors: Floats, rounds: int = ROUNDS) -> dict[str, Any]:
    """Seconds of an upsert and milliseconds of a search, with and without codes."""
    binarizer = additive_code(vectors[:10_000], 384)
    seconds: dict[str, list[float]] = {"plain": [], "ours": [], "plain search": [], "search": []}
    queries = vectors[:200]
    for _ in range(rounds):
        with (
            tempfile.TemporaryDirectory() as folder,
            raw_shard(Path(folder) / "raw", vectors.shape[1]) as raw,
        ):
            create_shard(Path(folder) / "ours", collection_config(binarizer, keep_vectors=False))
            with open_shard(Path(folder) / "ours", binarizer) as ours:
                with _timed(seconds["plain"]):
                    for start in range(0, len(vectors), 500):
                        part = vectors[start : start + 500]
                        raw.write(range(start, start + len(part)), {"bits": part}, None)
                with _timed(seconds["ours"]):
                    upsert(ours, range(len(vectors)), vectors)
                raw.optimize()
                ours.engine.optimize()
                _search_both(raw, ours, queries, seconds)
    found = {name: float(np.median(values)) for name, values in seconds.items()}
    return {
        "rows": len(vectors),
        "dimensions": vectors.shape[1],
        "upsert_seconds": {"plain": found["plain"], "codes": found["ours"]},
        "upsert_ratio": float(np.median(np.divide(seconds["ours"], seconds["plain"]))),
        "search_milliseconds": {
            "plain": found["plain search"] * 1000 / len(queries),
            "codes": found["search"] * 1000 / len(queries),
        },
        "search_ratio": float(np.median(np.divide(seconds["search"], seconds["plain search"]))),
    }


def _search_both(
    raw: Shard, ours: Collection[Shard], queries: Floats, seconds: dict[str, list[float]]
) -> None:
    """The same number of queries through the same request, one with floats as they are."""
    for _ in range(5):
        with _timed(seconds["plain search"]):
            for query in queries:
                raw.query(plain_requests(query[None]))
        with _timed(seconds["search"]):
            for query in queries:
                search(ours, query[None], rescore=None)


def plain_requests(queries: Floats) -> list[models.QueryRequest]:
    """Requests with the queries as they are."""
    params = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=False))
    return [
        models.QueryRequest(query=q, using="bits", limit=10, params=params)
        for q in queries.tolist()
    ]


@contextmanager
def _timed(into: list[float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    into.append(time.perf_counter() - started)


def made_up(rows: int, dimensions: int = 384) -> Floats:
    """Unit vectors with a falling spectrum."""
    rng = np.random.default_rng(0)
    scale = (1 / np.sqrt(1 + np.arange(dimensions))).astype(np.float32)
    vectors = rng.standard_normal((rows, dimensions), np.float32) * scale
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.qdrant", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=(),
        metavar="DIR",
        help="judged sets; without any, the result file's are kept and only the costs measured",
    )
    parser.add_argument("--rows", type=int, default=UPSERT_ROWS, help="of the upsert")
    given = parser.parse_args(arguments)
    sets = {} if given.data else read(FOLDER / "qdrant.json")["figures"]["sets"]
    for folder in given.data:
        sets[folder.name] = set_rows(read_dataset(folder))
        print(folder.name, {k: round(v["recall"], 3) for k, v in sets[folder.name].items()})
    mean = means(sets)
    cost = costs(made_up(given.rows))
    gains = {b: mean[ours_for(b)]["recall"] - mean[peer]["recall"] for b, peer in BUDGETS.items()}
    write(
        "qdrant",
        {"mean_over": list(sets), "mean": mean, "sets": sets, "gains": gains, "costs": cost},
        [
            *(
                at_least(f"recall@10 above TurboQuant's, at most {b} B", GAINS[b], gain)
                for b, gain in gains.items()
            ),
            at_most("upsert with codes, times without", 1.3, cost["upsert_ratio"]),
            at_most("search with codes, times without", 1.1, cost["search_ratio"]),
        ],
    )
    print(gains, cost)


if __name__ == "__main__":
    main()
