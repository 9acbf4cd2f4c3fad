"""Find the project's .sql files and migrations, in an installed wheel or in a checkout."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def project_folder(name: str) -> Path:
    """The folder ``sql`` or ``migrations``."""
    packaged = Path(__file__).parent / name
    # an editable install leaves both at the top of the checkout
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / name


@cache
def read_sql(name: str) -> str:
    """Text of ``sql/NAME.sql``, without the final newline."""
    return (project_folder("sql") / f"{name}.sql").read_text("utf-8").rstrip("\n")
