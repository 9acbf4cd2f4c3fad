"""Schema bitryoshka as earlier revisions made it, from the very statements that they ran."""

from __future__ import annotations

from pathlib import Path

from psycopg import sql

from bitryoshka.binarizer import Binarizer
from bitryoshka.catalogue import entry, tables
from bitryoshka.postgres import codecs
from bitryoshka.postgres.installation import installed_revision
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement

GOLDEN = Path(__file__).parent / "golden"
SEPARATOR = "\n-- next statement\n"
REVISIONS = ("0001", "0002", "0003", "0004")


def install_old(connection: Connection, revision: str) -> None:
    """Install one of `REVISIONS`."""
    if revision == "0004":
        statements = (GOLDEN / "schema-0004.sql").read_text().split(SEPARATOR)
    else:
        statements = (GOLDEN / "schema-0003.sql").read_text().split(SEPARATOR)[: 1 + int(revision)]
    for text in statements:
        connection.execute(text.encode())
    assert installed_revision(connection) == revision


def register_old(connection: Connection, name: str, binarizer: Binarizer) -> None:
    """Write a codec's rows, which are the same as now but for its kind."""
    values = {"name": name, "version": 1, **entry(binarizer)}
    del values["kind"]
    insert = sql.SQL("INSERT INTO bitryoshka.codecs ({}) VALUES ({}) RETURNING id").format(
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
    [(codec_id,)] = fetch(connection, insert, values)
    for rows in tables(binarizer):
        codecs._write(connection, codec_id, rows)
    if binarizer.additive is not None:
        fetch(connection, statement("write_gram", codec_id=codec_id))
