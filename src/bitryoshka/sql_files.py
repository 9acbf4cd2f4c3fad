"""Read the project's .sql files, from an installed wheel or from a checkout."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path


@cache
def read_sql(name: str) -> str:
    """Text of ``sql/NAME.sql``, without the final newline."""
    packaged = files("bitryoshka") / "sql" / f"{name}.sql"
    if packaged.is_file():
        return packaged.read_text("utf-8").rstrip("\n")
    # an editable install leaves sql/ at the top of the checkout
    return (Path(__file__).parents[2] / "sql" / f"{name}.sql").read_text("utf-8").rstrip("\n")
