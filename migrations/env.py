"""Migrations of schema bitryoshka, beside any history that a database has of its own.

The version table lies in the schema itself. The DSN, in any form that psycopg reads, comes as
``-x dsn=...``; with ``--sql`` none is needed.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from bitryoshka.schema_scripts import begin_statements

VERSIONS = {"version_table": "schema_version", "version_table_schema": "bitryoshka"}


def offline() -> None:
    """Write a script."""
    context.configure(dialect_name="postgresql", **VERSIONS)
    for statement in begin_statements():
        context.get_context().impl.static_output(f"{statement};\n")
    with context.begin_transaction():
        context.run_migrations()


def online() -> None:
    """Connect by ``-x dsn=...`` and migrate in one transaction."""
    dsn = context.get_x_argument(as_dictionary=True).get("dsn")
    if dsn is None:
        raise SystemExit("name the database: alembic -x dsn=postgresql://user@host/database ...")
    import psycopg

    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool
    )
    with engine.begin() as connection:
        for statement in begin_statements():
            connection.exec_driver_sql(statement)
        context.configure(connection=connection, **VERSIONS)
        context.run_migrations()


if context.is_offline_mode():
    offline()
else:
    online()
