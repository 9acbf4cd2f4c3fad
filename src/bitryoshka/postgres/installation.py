"""Schema bitryoshka: installed, upgraded and removed by the project's migrations."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from psycopg import sql

from bitryoshka.errors import DatabaseError, MissingExtraError
from bitryoshka.postgres.server import Connection, prepare_database
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.sql_files import project_folder


def install(connection: Connection, revision: str = "head") -> str:
    """Create schema bitryoshka, or upgrade it to ``revision``; give the revision it has then.

    Runs in a transaction (a savepoint of the caller's, if there is one) and creates pgvector
    where it is missing. Raises PgvectorError where that cannot be used, DatabaseError where the
    schema was made by CREATE EXTENSION, and MissingExtraError without Alembic.
    """
    with connection.transaction():
        prepare_database(connection)
        _run(connection, lambda found: upgrade_script(found, revision))
        return installed_revision(connection) or ""


def uninstall(connection: Connection) -> None:
    """Drop schema bitryoshka with every codec; refused while a table's column uses one.

    Codes that were written stay in their columns.
    """
    with connection.transaction():
        if installed_revision(connection) is not None:
            _run(connection, downgrade_script)
        connection.execute(statement("drop_schema"))


def installed_revision(connection: Connection) -> str | None:
    """Revision of schema bitryoshka in this database; None where it is not installed."""
    [(table,)] = fetch(connection, statement("version_table"))
    if table is None:
        return None
    found = fetch(connection, statement("version"))
    return str(found[0][0]) if found else None


def require_installed(connection: Connection) -> None:
    """Raise DatabaseError where schema bitryoshka is missing."""
    [(codecs,)] = fetch(connection, statement("codecs_table"))
    if codecs is None:
        raise DatabaseError(
            "schema bitryoshka is not installed in this database: run bitryoshka install, or "
            "bitryoshka.postgres.install(connection)"
        )


def upgrade_script(found: str | None, revision: str = "head") -> str:
    """SQL that brings the schema from revision ``found`` (None: nothing) to ``revision``."""
    return _script("upgrade", f"{found}:{revision}" if found else revision)


def downgrade_script(found: str | None) -> str:
    """SQL that removes what revision ``found`` had installed."""
    return _script("downgrade", f"{found}:base")


def _run(connection: Connection, script: Callable[[str | None], str]) -> None:
    [(extension,)] = fetch(connection, statement("own_extension"))
    if extension:
        raise DatabaseError(
            "schema bitryoshka belongs to the extension of that name: use "
            "ALTER EXTENSION bitryoshka UPDATE, or DROP EXTENSION bitryoshka"
        )
    fetch(connection, statement("installation_lock"))
    [(path,)] = fetch(connection, statement("search_path"))
    connection.execute(script(installed_revision(connection)).encode())
    fetch(connection, statement("set_search_path", path=sql.Literal(path)))


def migrations() -> list[tuple[str, tuple[str, ...]]]:
    """Every revision, oldest first, with the SQL files that it runs."""
    _, script = _alembic()
    found = script.from_config(_config(io.StringIO())).walk_revisions()
    return [(r.revision, r.module.FILES) for r in reversed(list(found))]


def _script(command: str, revisions: str) -> str:
    """What Alembic writes in its offline mode, without BEGIN and COMMIT."""
    commands, _ = _alembic()
    written = io.StringIO()
    getattr(commands, command)(_config(written), revisions, sql=True)
    return written.getvalue()


def _config(buffer: io.StringIO) -> Any:
    from alembic.config import Config

    config = Config(output_buffer=buffer, attributes={"in_transaction": True})
    config.set_main_option("script_location", str(project_folder("migrations")))
    config.set_main_option("path_separator", "os")
    return config


def _alembic() -> tuple[Any, Any]:
    try:
        from alembic import command
        from alembic.script import ScriptDirectory
    except ImportError as error:
        raise MissingExtraError("installing schema bitryoshka", "postgres") from error
    return command, ScriptDirectory
