"""The key of a table of codes, whose columns have the names of the table that it belongs to."""

from __future__ import annotations

from psycopg import sql

from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.target import Relation


def renamed_keys(connection: Connection, codes: Relation) -> list[tuple[str, str]]:
    """Columns of the key of a table of codes that have another name in the table, with that."""
    keys = fetch(connection, statement("narrow_keys", oid=codes.oid))
    return [(here, there) for here, there in keys if here != there]


def rename_keys(connection: Connection, codes: Relation) -> None:
    """Name them as the table does."""
    renamed = renamed_keys(connection, codes)
    between = [f"bitryoshka_key_{i}" for i in range(len(renamed))]  # two may have been swapped
    for step in (
        [(old, name) for (old, _), name in zip(renamed, between, strict=True)],
        [(name, new) for (_, new), name in zip(renamed, between, strict=True)],
    ):
        for old, new in step:
            names = {"old": sql.Identifier(old), "new": sql.Identifier(new)}
            connection.execute(statement("rename_narrow_key", codes=codes.identifier, **names))
