"""All targets of all result files: ``python -m benchmarks.check [--strict]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import FOLDER, ResultError, read


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Print the table; 1 for a malformed file, and with ``--strict`` for a missed target."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description=__doc__)
    parser.add_argument("--strict", action="store_true", help="fail where a target is missed")
    strict = parser.parse_args(arguments).strict
    lines, broken = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            content = read(path)
        except ResultError as error:
            broken.append(str(error))
            continue
        for target in content["targets"]:
            outcome = "met" if target["met"] else "MISSED"
            measured = f"{target['measured']:g}"
            lines.append((content["name"], target["name"], target["target"], measured, outcome))
    head = ("benchmark", "target", "promised", "measured", "")
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    for line in (head, *lines):
        print("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())
    missed = sum(line[-1] == "MISSED" for line in lines)
    print(f"\n{len(lines)} targets, {missed} missed")
    for message in broken:
        print(f"malformed: {message}", file=sys.stderr)
    return int(bool(broken) or (strict and missed > 0))


if __name__ == "__main__":
    sys.exit(main())
