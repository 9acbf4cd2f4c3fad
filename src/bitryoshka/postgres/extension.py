"""The same SQL as a ``CREATE EXTENSION`` package: ``python -m bitryoshka.postgres.extension DIR``.

Writes ``bitryoshka.control`` and one script for each migration into DIR, which is a server's
``SHAREDIR/extension`` or lies below its ``extension_control_path`` (PostgreSQL 18).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bitryoshka.schema_scripts import migrations
from bitryoshka.sql_files import project_folder, read_sql

# the server does what these do
_NOT_IN_EXTENSION = {"create_pgvector", "install/path"}
_DUMPED = {
    "install/codecs": ("codecs", "codecs_id_seq", "weights", "code_bits", "cuts"),
    "install/columns": ("columns", "columns_id_seq", "backfill"),
    "install/additive": ("additive", "additive_lengths", "decoder", "gram"),
}


def write_extension(folder: str | Path) -> list[Path]:
    """Write the control file and the scripts; give their paths."""
    target, written, before = Path(folder), [], None
    found = migrations()
    for revision, files, _ in found:
        step = revision if before is None else f"{before}--{revision}"
        written.append(_write(target / f"bitryoshka--{step}.sql", _script(files)))
        before = revision
    control = (project_folder("sql") / "bitryoshka.control").read_text("utf-8").rstrip("\n")
    control = control.replace("{version}", found[-1].revision)
    written.append(_write(target / "bitryoshka.control", control))
    return written


def _script(files: Sequence[str]) -> str:
    parts = []
    for name in files:
        if name not in _NOT_IN_EXTENSION:
            parts.append(read_sql(name))
        for table in _DUMPED.get(name, ()):
            parts.append(read_sql("extension_dump").replace("{table}", table))
    return "\n".join(parts)


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
