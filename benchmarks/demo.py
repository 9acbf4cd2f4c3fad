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

from benchmarks.results import FOLDER, Target, at_least, at_most, write
from bitryoshka.demo import run
from bitryoshka.demo.defaults import LIMIT

ABOVE_SIGN = 0.05
ABOVE_SIGN_PREFIX = 0.01
FUNNEL_DIFFERENCE = 0.005
BITS_ONLY = ("ours, scan, codes only", "ours, HNSW, codes only")


def targets(figures: Mapping[str, Any]) -> list[Target]:
    """Above sign bits at 48 bytes and at the prefixes; Postgres gives what NumPy gives.

    Postgres may break ties of Hamming distance otherwise and rounds query weights to bit planes.
    """
    ours, sign = figures["quality"]["ours"], figures["quality"]["sign"]
    found = []
    gain = ours["asymmetric"]["384"]["recall"] - sign["asymmetric"]["384"]["recall"]
    found.append(at_least("48 bytes, float query: recall above sign bits", ABOVE_SIGN, gain))
    for bits in ("64", "128"):
        gain = ours["hamming"][bits]["recall"] - sign["hamming"][bits]["recall"]
        name = f"Hamming {bits}: recall above the prefix of sign codes"
        found.append(at_least(name, ABOVE_SIGN_PREFIX, gain))
    for name in BITS_ONLY:
        gap = abs(figures["postgres"]["searches"][name]["recall"] - ours["funnel"]["recall"])
        found.append(at_most(f"Postgres ({name}): recall apart from NumPy", FUNNEL_DIFFERENCE, gap))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demo, print its report and save its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--limit", type=int, default=LIMIT, help="number of docstrings")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = run(out=Path(folder), limit=given.limit, progress=sys.stderr.isatty(), echo=print)
        shutil.copyfile(Path(folder) / "recall.png", FOLDER / "demo.png")
    figures = as_text_keys(found)
    write("demo", figures, targets(figures))


def as_text_keys(value: Any) -> Any:
    """Lengths as text, as they will be in the file."""
    if isinstance(value, Mapping):
        return {str(key): as_text_keys(item) for key, item in value.items()}
    return value


if __name__ == "__main__":
    main()
