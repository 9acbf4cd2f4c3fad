"""Tables that hold codes alone, without the vectors that they came from."""

from __future__ import annotations

from psycopg import sql

from bitryoshka.errors import FingerprintError, TableError
from bitryoshka.postgres.codecs import find_codec
from bitryoshka.postgres.columns import find_entry
from bitryoshka.postgres.locking import changed
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.target import find_table, format_type
from bitryoshka.postgres_rules import CODEC_COMMENT


def adopt(
    connection: Connection,
    table: str,
    codec: str,
    *,
    schema: str = "public",
    code_column: str = "code",
    prefix_bits: int | None = None,
) -> None:
    """Tell the catalogue whose codes a table holds, so that `bitryoshka.search` works on it.

    For tables of `create_table` and `load`, or others that somebody fills with a codec's codes:
    nothing of the table changes, and no trigger is made. ``prefix_bits``: the length that
    searches use by default (None: all Hamming bits). `detach` forgets it again, and drops nothing.
    Where the codec is attached to the column, and the column of vectors was dropped since, the
    codes stay, and the trigger goes.

    Raises TableError where the column is not ``bit`` of the codec's length or is attached
    already, FingerprintError where it is known to hold another binarizer's codes.
    """
    found = find_codec(connection, codec)
    codec = found.label
    holder, _, _ = find_table(connection, table, schema)
    place = f"column {code_column!r} of {holder.title}"
    columns = fetch(connection, statement("column_types", oid=holder.oid))
    types = {name: format_type(kind, modifier) for name, kind, modifier, _ in columns}
    if types.get(code_column) != f"bit({found.bits})":
        raise TableError(
            f"{place} must be bit({found.bits}) for {codec}, found {types.get(code_column)}"
        )
    comments = fetch(connection, statement("table_columns", table=holder.literal))
    [comment] = [text or "" for column, _, text in comments if column == code_column]
    known = comment.removeprefix(CODEC_COMMENT)
    if comment.startswith(CODEC_COMMENT) and known != found.fingerprint:
        raise FingerprintError(
            f"{place} holds codes of another binarizer: expected fingerprint "
            f"{found.fingerprint}, found {known}"
        )
    entry = find_entry(connection, holder.oid, code_column)
    if entry is not None:
        if entry.vector_column in (None, *types) or entry.codec != codec:
            raise TableError(f"{place} is attached already, to {entry.codec}: detach it first")
        release = statement("release_column", column_id=entry.id)
        changed(connection, lambda: connection.execute(release), holder.lock("ACCESS EXCLUSIVE"))
        return
    connection.execute(
        statement(
            "adopt_column",
            oid=holder.oid,
            code=sql.Literal(code_column),
            codec_id=found.id,
            prefix_bits=sql.NULL if prefix_bits is None else prefix_bits,
        )
    )
