"""Schema bitryoshka as earlier revisions made it, from the very statements that they ran."""

from __future__ import annotations

from pathlib import Path

from bitryoshka.binarizer import Binarizer
from bitryoshka.catalogue import tables
from bitryoshka.postgres import codecs
from bitryoshka.postgres.installation import installed_revision
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement

SCRIPT = Path(__file__).parent / "golden" / "schema-0003.sql"


def install_old(connection: Connection, revision: str) -> None:
    """Install 0001, 0002 or 0003."""
    statements = SCRIPT.read_text().split("\n-- next statement\n")
    for text in statements[: 1 + int(revision)]:
        connection.execute(text.encode())
    assert installed_revision(connection) == revision


def register_old(connection: Connection, name: str, binarizer: Binarizer) -> None:
    """Write a codec's rows, which are the same as now."""
    codec = codecs._insert(connection, name, 1, binarizer)
    for rows in tables(binarizer):
        codecs._write(connection, codec.id, rows)
    if binarizer.additive is not None:
        fetch(connection, statement("write_gram", codec_id=codec.id))
