"""How Alembic reaches the database and the models."""

import os

from alembic import context
from models import Base
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

# Alembic before 1.18 does not find it by itself
import bitryoshka.alembic

url = os.environ["DATABASE_URL"]
settings = {"target_metadata": Base.metadata, "transaction_per_migration": True}

if context.is_offline_mode():
    context.configure(url=url, literal_binds=True, dialect_opts={"paramstyle": "named"}, **settings)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        context.configure(connection=connection, **settings)
        with context.begin_transaction():
            context.run_migrations()
