"""The same SQL as a ``CREATE EXTENSION`` package: ``python -m bitryoshka.postgres.extension DIR``.

Writes ``bitryoshka.control``, the script and those that upgrade to it into DIR, which is a
server's ``SHAREDIR/extension`` or lies below its ``extension_control_path`` (PostgreSQL 18).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bitryoshka.schema_scripts import REVISION, SUPERSEDED, check_statement, creation_statement
from bitryoshka.sql_files import project_folder, read_sql

_DUMPED = (
    "codecs",
    "codecs_id_seq",
    "weights",
    "code_bits",
    "cuts",
    "columns",
    "columns_id_seq",
    "backfill",
    "additive",
    "additive_lengths",
    "decoder",
    "gram",
)


def write_extension(folder: str | Path) -> list[Path]:
    """Write the control file and the scripts; give their paths."""
    target = Path(folder)
    control = (project_folder("sql") / "bitryoshka.control").read_text("utf-8").rstrip("\n")
    found = [_write(target / "bitryoshka.control", control.replace("{version}", REVISION))]
    check = f"{check_statement()};"
    dumped = [read_sql("extension_dump").replace("{table}", table) for table in _DUMPED]
    script = "\n".join([check, f"{creation_statement(renewed=False)};", check, *dumped])
    for step in (REVISION, *(f"{before}--{REVISION}" for before in SUPERSEDED)):
        found.append(_write(target / f"bitryoshka--{step}.sql", script))
    return found


def _write(path: Path, text: str) -> Path:
    path.write_text(f"{text}\n", "utf-8")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the package into the folder that is named."""
    parser = argparse.ArgumentParser(prog="python -m bitryoshka.postgres.extension")
    parser.add_argument("folder", type=Path, help="an existing folder")
    write_extension(parser.parse_args(arguments).folder)


if __name__ == "__main__":
    main()
