"""The report on every judged set: ``python -m benchmarks.reports --data DIR ...``.

Each set is reported on for its own number of rows, and as if it were a sample of many more.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.datasets import read_dataset
from benchmarks.results import at_least, write
from bitryoshka.report import Findings, find, to_html, to_markdown

MANY = 20_000_000
TARGET_RECALL = 0.95
BITS = 384


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Report on every set, and save the advice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reports", description=__doc__)
    parser.add_argument("--data", nargs="+", type=Path, required=True, help="folders of sets")
    parser.add_argument("--method", default="closed", help="of the fit")
    given = parser.parse_args(arguments)
    sets: dict[str, dict[str, Any]] = {}
    pages = 0
    for folder in given.data:
        data = read_dataset(folder)
        for name, rows in (("own size", len(data.documents)), (f"{MANY:,} rows", MANY)):
            found, _ = find(
                data.documents,
                None if data.judgements is None else data.queries,
                data.judgements,
                bits=BITS,
                target_recall=TARGET_RECALL,
                rows=rows,
                method=given.method,
                source=data.name,
            )
            pages += bool(to_html(found) and to_markdown(found))
            sets.setdefault(data.name, {})[name] = summary(found)
            print(data.name, name, found.advice.headline, flush=True)
    small = [not entry["own size"]["switch"] for entry in sets.values()]
    settings = {"bits": BITS, "target_recall": TARGET_RECALL, "method": given.method}
    targets = [
        at_least("reports made, of all sets and sizes", 2 * len(sets), pages),
        at_least("sets that fit in memory: share told not to switch", 1, sum(small) / len(small)),
    ]
    write("reports", {**settings, "sets": sets}, targets)


if __name__ == "__main__":
    main()
