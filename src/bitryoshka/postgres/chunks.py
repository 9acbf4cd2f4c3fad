"""Loads in chunks that many workers share: each chunk arrives once, whoever is killed meanwhile.

A ledger beside the table has a row for each chunk, written in the transaction that copies its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from bitryoshka.errors import TableError
from bitryoshka.postgres.server import MADE_MEANWHILE, Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.table import CodeTable
from bitryoshka.postgres_rules import name_within


def ledger_of(table: CodeTable) -> sql.Identifier:
    """The ledger's name, quoted: that of the table with ``_loads``."""
    return sql.Identifier(table.schema, name_within(table.name, "_loads"))


def create_ledger(connection: Connection, table: CodeTable) -> None:
    """Create the ledger ``<table>_loads`` unless it is there; drop it when the load is done."""
    try:
        with connection.transaction():
            connection.execute(statement("create_ledger", ledger=ledger_of(table)))
    except MADE_MEANWHILE:
        pass


def loaded_chunks(connection: Connection, table: CodeTable, load: str) -> dict[str, int]:
    """The chunks of a load that have arrived, and the rows that each was said to have."""
    asked = statement("loaded_chunks", ledger=ledger_of(table), load=sql.Literal(load))
    return dict(fetch(connection, asked))


@contextmanager
def chunk_once(
    connection: Connection, table: CodeTable, load: str, chunk: str, rows: int
) -> Iterator[bool]:
    """Give whether the chunk has still to be loaded, in the transaction that loads it.

    The chunk has arrived when the block ends without an error; else nothing of it has, as where the
    process is killed in the middle. Where another session is loading the same chunk, this waits for
    its end. Raises TableError where a chunk of that name arrived with another number of rows: it
    was cut from other data.

    The connection must be outside of a transaction.
    """
    entry = {"load": sql.Literal(load), "chunk": sql.Literal(chunk)}
    ledger = ledger_of(table)
    with connection.transaction():
        entered = fetch(connection, statement("enter_chunk", ledger=ledger, rows=rows, **entry))
        if not entered:
            found = loaded_chunks(connection, table, load)[chunk]
            if found != rows:
                raise TableError(
                    f"chunk {chunk!r} of load {load!r} arrived with {found} rows, expected {rows}: "
                    "give other data another name of a load"
                )
        yield bool(entered)
