"""Schema bitryoshka as SQL for any driver: single statements that do nothing where all is done."""

from __future__ import annotations

import re
from typing import NamedTuple

from bitryoshka.errors import DatabaseError, MissingExtraError
from bitryoshka.sql_files import project_folder, read_sql


class Migration(NamedTuple):
    """A revision, and the SQL files that it runs up and down."""

    revision: str
    files: tuple[str, ...]
    drop_files: tuple[str, ...]


def migrations() -> list[Migration]:
    """Every revision, oldest first."""
    try:
        from alembic import script
    except ImportError as error:
        raise MissingExtraError("installing schema bitryoshka", "postgres") from error
    found = script.ScriptDirectory(str(project_folder("migrations"))).walk_revisions()
    return [Migration(r.revision, r.module.FILES, r.module.DROP_FILES) for r in reversed([*found])]


def upgrade_statements(revision: str = "head") -> list[str]:
    """Statements that bring the schema to ``revision`` from nothing, or from an earlier one."""
    known = [migration.revision for migration in migrations()]
    if revision not in ("head", *known):
        raise DatabaseError(f"there is no revision {revision!r}: expected head or one of {known}")
    steps = migrations()[: None if revision == "head" else known.index(revision) + 1]
    return [
        read_sql("begin_upgrade"),
        *(
            filled("upgrade_step", revision=quoted(m.revision), script=_joined(m.files))
            for m in steps
        ),
    ]


def downgrade_statements() -> list[str]:
    """Statements that remove the schema; an error where a column uses a codec."""
    steps = migrations()
    before = ["", *(m.revision for m in steps)]
    return [
        read_sql("begin_downgrade"),
        *(
            filled(
                "downgrade_step",
                revision=quoted(m.revision),
                before=quoted(last),
                script=_joined(m.drop_files),
            )
            for m, last in reversed([*zip(steps, before, strict=False)])
        ),
        read_sql("drop_schema"),
    ]


def filled(name: str, /, **parts: str) -> str:
    """The file ``sql/NAME.sql`` with its braces replaced by SQL."""
    return re.sub(r"\{(\w+)\}", lambda found: parts[found[1]], read_sql(name))


def quoted(value: str) -> str:
    """A literal, whatever standard_conforming_strings says."""
    text = value.replace("'", "''")
    return "E'" + text.replace("\\", "\\\\") + "'" if "\\" in text else f"'{text}'"


def _joined(files: tuple[str, ...]) -> str:
    return "\n".join(read_sql(name).rstrip(";") + ";" for name in files)
