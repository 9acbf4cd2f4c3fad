"""The report on every judged set: ``python -m benchmarks.reports --data DIR ... --demo``.

Each set is reported on for its own number of rows, and as if it were a sample of many more.
``--demo`` (minutes; the extras ``demo`` and ``edge``) runs the demo, and reports on the Postgres
table and the Qdrant shard that it fills, as ``--from-postgres`` and ``--from-qdrant`` read them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from benchmarks.datasets import read_dataset
from benchmarks.results import FOLDER, Target, at_least, read, write
from bitryoshka import demo
from bitryoshka.cli.sample import from_postgres, from_qdrant
from bitryoshka.demo.database import SCHEMA
from bitryoshka.demo.defaults import LIMIT
from bitryoshka.postgres import embedded_server
from bitryoshka.report import Findings, measure_codes, to_html, to_markdown

MANY = 20_000_000
TARGET_RECALL = 0.95
BITS = 384


class Source(NamedTuple):
    """Vectors ``(N, d)`` to report on, and where judged, queries with their judgements."""

    name: str
    vectors: NDArray[Any]
    queries: NDArray[Any] | None = None
    judgements: Sequence[Mapping[int, float]] | None = None


def summary(found: Findings) -> dict[str, Any]:
    """What the report says, in a few figures."""
    plan = found.plan
    return {
        "rows": found.rows,
        "chosen": found.chosen,
        "switch": found.advice.switch,
        "headline": found.advice.headline,
        "reasons": list(found.advice.reasons),
        "plan": None
        if plan is None
        else {
            "prefix_bits": plan.prefix_bits,
            "candidates": plan.candidates,
            "rescore": plan.rescore,
            "recall": plan.recall,
            "recall_at_least": plan.recall_at_least,
        },
        "recall": {
            m.label: {str(x): y.mean for x, y in zip(m.asymmetric.x, m.asymmetric.y, strict=True)}
            for m in found.methods
        },
    }


def judged(folder: Path) -> Source:
    """A folder as `benchmarks.datasets` reads it."""
    data = read_dataset(folder)
    queries = None if data.judgements is None else data.queries
    return Source(data.name, data.documents, queries, data.judgements)


def of_the_demo(folder: Path, limit: int = LIMIT) -> Iterator[Source]:
    """Run the demo in a folder; samples of the table and of the shard that it filled."""
    demo.run(out=folder, limit=limit, shard=True, progress=sys.stderr.isatty())
    with embedded_server(folder / "postgres") as dsn:
        table = from_postgres(dsn, f"{SCHEMA}.floats", "vector", limit)
    shard = from_qdrant(str(folder / "qdrant"), "shard/original", limit)
    yield Source("demo, Postgres table", table.vectors)
    yield Source("demo, Qdrant shard", shard.vectors)


def report(source: Source, method: str) -> dict[str, Any]:
    """Reports on one source as it is, and as a sample of many rows; the pages are made too."""
    found_at: dict[str, Any] = {}
    for name, rows in (("own size", len(source.vectors)), (f"{MANY:,} rows", MANY)):
        found, _ = measure_codes(
            source.vectors,
            source.queries,
            source.judgements,
            bits=BITS,
            target_recall=TARGET_RECALL,
            rows=rows,
            method=method,
            source=source.name,
        )
        to_html(found)
        to_markdown(found)
        found_at[name] = summary(found)
        print(source.name, name, found.advice.headline, flush=True)
    return found_at


def targets(sets: Mapping[str, Mapping[str, Any]]) -> list[Target]:
    """Every report was made, and small sets are left alone."""
    small = [not sizes["own size"]["switch"] for sizes in sets.values()]
    return [
        at_least(
            "reports made, of all sets and sizes",
            2 * len(sets),
            sum(len(sizes) for sizes in sets.values()),
        ),
        at_least("sets that fit in memory: share told not to switch", 1, sum(small) / len(small)),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Report on every set, and save the advice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reports", description=__doc__)
    parser.add_argument(
        "--data", nargs="+", type=Path, default=(), help="folders of sets; the others' are kept"
    )
    parser.add_argument("--demo", action="store_true", help="and on what the demo fills")
    parser.add_argument("--method", default="auto", help="of the fit")
    given = parser.parse_args(arguments)
    sets = dict(read(FOLDER / "reports.json")["figures"]["sets"])
    for folder in given.data:
        sets[folder.name] = report(judged(folder), given.method)
    if given.demo:
        with tempfile.TemporaryDirectory(prefix="bitryoshka-") as out:
            for source in of_the_demo(Path(out)):
                sets[source.name] = report(source, given.method)
    settings = {"bits": BITS, "target_recall": TARGET_RECALL, "method": given.method}
    write("reports", {**settings, "sets": sets}, targets(sets))


if __name__ == "__main__":
    main()
