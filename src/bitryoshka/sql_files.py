"""Find the project's SQL and migrations, in an installed wheel or in a checkout."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path


@cache
def project_folder(name: str) -> Path:
    """The folder ``sql`` or ``migrations``."""
    packaged = Path(__file__).parent / name
    # an editable install leaves both at the top of the checkout
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / name


@cache
def statements() -> dict[str, str]:
    """The statements of the files in ``sql``, by the names that stand above them."""
    found: dict[str, str] = {}
    for path in sorted(project_folder("sql").glob("*.sql")):
        _, *parts = re.split(r"^-- name: (\w+)\n", path.read_text("utf-8"), flags=re.MULTILINE)
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise KeyError(f"{path.name}: there are two statements named {name}")
            found[name] = text.strip("\n")
    return found


def read_sql(name: str) -> str:
    """The statement of that name."""
    return statements()[name]


@cache
def read_install(name: str) -> str:
    """Text of ``sql/install/NAME.sql``, without the final newline."""
    return (project_folder("sql") / "install" / f"{name}.sql").read_text("utf-8").rstrip("\n")
