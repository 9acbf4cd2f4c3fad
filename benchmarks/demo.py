"""The demo's figures: ``python -m benchmarks.demo`` (minutes; the extra ``demo``).

The documents are the docstrings of whatever Python and packages are installed, so that figures
differ a little from one environment to the next.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import Target, at_least, at_most, write
from bitryoshka.demo import run
from bitryoshka.demo.defaults import LIMIT

PICTURE = Path(__file__).parent.parent / "docs" / "demo.png"
ABOVE_SIGN = {"asymmetric": 0.05, "hamming": 0.01}
FUNNEL_DIFFERENCE = 0.005
BITS_ONLY = ("ours, scan, codes only", "ours, HNSW, codes only")


def targets(figures: Mapping[str, Any]) -> list[Target]:
    """Above sign bits at 48 bytes; Postgres gives what NumPy gives.

    Postgres may break ties of Hamming distance otherwise and rounds query weights to bit planes.
    """
    ours, sign = figures["quality"]["ours"], figures["quality"]["sign"]
    promised = []
    for kind, search in (("asymmetric", "float query"), ("hamming", "Hamming")):
        # the whole code, or its Hamming part
        a, b = (found[max(found, key=int)]["recall"] for found in (ours[kind], sign[kind]))
        name = f"48 bytes, {search}: recall above sign bits"
        promised.append(at_least(name, ABOVE_SIGN[kind], a - b))
    for name in BITS_ONLY:
        gap = abs(figures["searches"][name]["recall"] - ours["funnel"]["recall"])
        promised.append(
            at_most(f"Postgres ({name}): recall apart from NumPy", FUNNEL_DIFFERENCE, gap)
        )
    return promised


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demo, print its report and save its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--limit", type=int, default=LIMIT, help="number of docstrings")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = run(out=Path(folder), limit=given.limit, progress=sys.stderr.isatty(), echo=print)
        shutil.copyfile(Path(folder) / "recall.png", PICTURE)
    figures = as_text_keys(found)
    write("demo", figures, targets(figures))


def as_text_keys(value: Any) -> Any:
    """Lengths as text, as they will be in the file."""
    if isinstance(value, Mapping):
        return {str(key): as_text_keys(item) for key, item in value.items()}
    return value


if __name__ == "__main__":
    main()
