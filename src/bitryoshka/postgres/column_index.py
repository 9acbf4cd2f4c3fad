"""The HNSW index of a code column, built while the table is in use."""

from __future__ import annotations

from psycopg import sql

from bitryoshka.postgres.index_progress import told
from bitryoshka.postgres.locking import Advance, changed
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, prefix_expression, statement
from bitryoshka.postgres.target import Relation, Target
from bitryoshka.postgres_rules import EF_CONSTRUCTION, M, name_within


def build_index(
    connection: Connection,
    target: Target,
    column_id: int,
    prefix_bits: int,
    advance: Advance,
) -> None:
    """Build the index where it is missing, on each partition CONCURRENTLY.

    Any valid index on the prefix will do, whatever its name. Another one of the name that is given
    here, which a cancelled build or a column that is gone leaves behind, is dropped and built anew.
    The connection must be in autocommit mode, outside a transaction.
    """
    suffix = _suffix(column_id, prefix_bits)
    for leaf in target.leaves:
        name = name_within(leaf.name, suffix)
        if _is_covered(connection, target, leaf.oid, prefix_bits):
            continue
        if _is_valid(connection, leaf.schema, name) is not None:
            # of a build that was cancelled, or of a column that is gone
            dropped = sql.Identifier(leaf.schema, name)
            connection.execute(statement("drop_index_concurrently", index=dropped))
        with told(connection, advance):
            connection.execute(_index(target, leaf, name, prefix_bits))
    if target.partitioned and not _is_covered(connection, target, target.oid, prefix_bits):
        whole = _index(target, target, name_within(target.name, suffix), prefix_bits)
        changed(connection, lambda: connection.execute(whole), target.lock("SHARE"))


def index_statements(target: Target, column_id: int, prefix_bits: int) -> list[sql.Composed]:
    """How `build_index` begins where there is no index yet."""
    suffix = _suffix(column_id, prefix_bits)
    tables = [*target.leaves, *([target] if target.partitioned else [])]
    return [_index(target, t, name_within(t.name, suffix), prefix_bits) for t in tables]


def index_is_valid(connection: Connection, target: Target, prefix_bits: int) -> bool:
    """Whether every partition's index is there and complete."""
    return all(_is_covered(connection, target, leaf.oid, prefix_bits) for leaf in target.leaves)


def _suffix(column_id: int, prefix_bits: int) -> str:
    """Names go by the entry's number: columns may be renamed and switched."""
    return f"_codes_{column_id}_{prefix_bits}_hnsw"


def _index(target: Target, table: Relation, name: str, prefix_bits: int) -> sql.Composed:
    return statement(
        "index_parent" if table is target else "index_concurrently",
        index=sql.Identifier(name),
        table=table.identifier,
        prefix=prefix_expression(prefix_bits, target.codec.bits, target.code_column),
        pgvector=sql.Identifier(target.pgvector),
        m=M,
        ef_construction=EF_CONSTRUCTION,
    )


def _is_covered(connection: Connection, target: Target, oid: int, prefix_bits: int) -> bool:
    query = statement(
        "index_covers",
        oid=oid,
        code=sql.Literal(target.code_column),
        prefix_bits=prefix_bits,
        bits=target.codec.bits,
    )
    return bool(fetch(connection, query)[0][0])


def _is_valid(connection: Connection, schema: str, index: str) -> bool | None:
    found = fetch(
        connection,
        statement("index_state", schema=sql.Literal(schema), index=sql.Literal(index)),
    )
    return bool(found[0][0]) if found else None
