"""The trigger of a table that writes its codes into a table of their own, and its functions."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from psycopg import sql

from bitryoshka.postgres.columns import (
    Entry,
    refused_changes,
    require_entry,
    restore,
    trigger_problem,
)
from bitryoshka.postgres.locking import Advance, changed
from bitryoshka.postgres.lone_codes import count_lone, refuse_lone
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement
from bitryoshka.postgres.target import BadVectors, Relation, Target

_TRIGGER = "zz_bitryoshka_narrow_"


class _Trigger(NamedTuple):
    """A trigger of a table that writes codes beside it; ``in_use``: its table of codes is there."""

    name: str
    enabled: bool
    as_made: bool
    function_oid: int
    body: str
    schema: str
    function: str
    encoder_body: str | None
    function_owner: str
    encoder_owner: str | None
    owner: str
    in_use: bool

    @property
    def encoder(self) -> sql.Identifier:
        """The function that it encodes by."""
        return sql.Identifier(self.schema, self.function.replace("_fill_", "_encode_"))


def making_trigger(
    connection: Connection, target: Target, column_id: int, bad_vectors: BadVectors
) -> list[sql.Composed]:
    """What makes the trigger, its function and its encoder, all the table owner's."""
    suffix = f"{column_id}_{secrets.token_hex(4)}"
    encoder = sql.Identifier(target.schema, f"bitryoshka_encode_{suffix}")
    [(*_, owner)] = fetch(connection, statement("narrow_facts", oid=target.oid))
    text = sql.Literal(encoder.as_string(connection))
    about = f"Codes of {target.codec.label} for {target.title}, in {target.code_table.title}."
    return [
        statement("make_narrow_encoder", column_id=column_id, encoder=text),
        statement(
            "create_narrow_function",
            function=sql.Identifier(target.schema, f"bitryoshka_fill_{suffix}"),
            body=sql.Literal(_body(connection, target, encoder, bad_vectors)),
            comment=sql.Literal(about),
            owner=sql.Identifier(owner),
            encoder=encoder,
            pgvector=sql.Identifier(target.pgvector),
            trigger=sql.Identifier(f"{_TRIGGER}{column_id}"),
            table=target.identifier,
        ),
    ]


def _body(
    connection: Connection, target: Target, encoder: sql.Identifier, bad_vectors: BadVectors
) -> str:
    """Text of the trigger's function."""
    vector = sql.SQL("NEW.{}").format(sql.Identifier(target.vector_column))
    # the encoder refuses what has no code
    has_code = target.has_code(vector) if bad_vectors == "skip" else sql.SQL("true")
    return statement(
        "narrow_body",
        **{**target.narrow_parts, "same": target.same_key("t", "new"), "has_code": has_code},
        bits=target.codec.bits,
        encoder=encoder,
        table=target.identifier,
        table_name=target.literal,
        codes_name=target.code_table.literal,
        new_keys=target.keys_of("new"),
        n_keys=target.keys_of("n"),
        about=sql.Literal(
            f"table {target.code_table.title} holds codes of column {target.vector_column} "
            # with the type, after whose change sessions need a function of another number
            f"({target.vector_type}) of {target.title} by codec {target.codec.label}, and "
            "cannot any more"
        ),
    ).as_string(connection)


def _triggers(connection: Connection, oid: int) -> list[_Trigger]:
    return [_Trigger(*row) for row in fetch(connection, statement("narrow_triggers", oid=oid))]


def _trigger(connection: Connection, table: Relation, entry: Entry) -> _Trigger | None:
    name = f"{_TRIGGER}{entry.id}"
    return next((t for t in _triggers(connection, table.oid) if t.name == name), None)


def has_trigger(connection: Connection, table: Relation, entry: Entry) -> bool:
    """Whether a table has the trigger of an entry; it has none once vectors were set aside."""
    return _trigger(connection, table, entry) is not None


def keep_lone(connection: Connection, target: Target) -> None:
    """Raise DatabaseError where a table of codes has some whose vectors are gone.

    Where no trigger was there to take them away they may be all that is left of the vectors.
    """
    place = (target.code_table, target.code_column, target.vector_column)
    refuse_lone(count_lone(connection, target, *place), target, target.vector_column)


def encoder_beside(connection: Connection, target: Target) -> sql.Identifier | None:
    """The function that the trigger of a table of codes encodes by; None where it is gone."""
    holder = target.code_table
    entry = require_entry(connection, holder.oid, holder.title, target.code_column)
    found = _trigger(connection, target, entry)
    return found.encoder if found and found.encoder_body is not None else None


def problem_of(connection: Connection, target: Target, entry: Entry) -> str | None:
    """Why a column of codes, or a table of them, may not be kept true; None where it is."""
    if target.codes is None:
        return trigger_problem(connection, target.oid, entry)
    again = "attach in layout narrow again"
    found = _trigger(connection, target, entry)
    if found is None:
        return f"the trigger {_TRIGGER}{entry.id} is gone: {again}, which looks at all codes"
    if found.encoder_body is None:
        return f"the function that the trigger encodes by is gone: {again}"
    if not found.enabled:
        return f"the trigger {found.name} is disabled: {again}, which looks at all codes"
    if strangers := {found.function_owner, found.encoder_owner} - {found.owner}:
        return (
            f"functions of the trigger belong to {', '.join(sorted(map(str, strangers)))}, who "
            f"could change what runs when somebody writes to the table of {found.owner}: {again} "
            "as a role that is both, or as a superuser"
        )
    [(encoder_body,)] = fetch(
        connection, statement("narrow_encoder_body", codec_id=target.codec.id)
    )
    body = _body(connection, target, found.encoder, entry.bad_vectors)
    if not found.as_made or (found.body, found.encoder_body) != (body, encoder_body):
        return (
            "the trigger or its functions were changed, or are of an earlier revision, or one of "
            f"the tables or columns was renamed or moved since: {again}"
        )
    [(_, row_security, *_)] = fetch(connection, statement("narrow_facts", oid=target.oid))
    if row_security:
        return (
            f"{target.title} has row security by now, which {target.code_table.title} does not obey"
        )
    return None


def restore_any(
    connection: Connection,
    target: Target,
    entry: Entry,
    advance: Advance,
    published: bool = False,
) -> None:
    """Make the trigger of a column, or of a table of codes, anew; its codes are to be checked."""
    if target.codes is None:
        restore(connection, target, entry, advance, published)
        return

    def make() -> None:
        if not has_trigger(connection, target, entry):
            keep_lone(connection, target)
        drop_triggers(connection, target, entry)
        connection.execute(naming(target))
        connection.execute(statement("recheck_narrow", column_id=entry.id))
        for part in making_trigger(connection, target, entry.id, entry.bad_vectors):
            connection.execute(part)

    with refused_changes():
        changed(connection, make, target.lock("ACCESS EXCLUSIVE"), advance)


def drop_triggers(connection: Connection, table: Relation, entry: Entry | None = None) -> None:
    """Drop the trigger of an entry, those whose table of codes is gone, and their functions."""
    for found in _triggers(connection, table.oid):
        if found.in_use and not (entry and found.name == f"{_TRIGGER}{entry.id}"):
            continue
        name = sql.Identifier(found.name)
        connection.execute(statement("drop_narrow_trigger", trigger=name, table=table.identifier))
        fetch(connection, statement("drop_narrow_functions", oid=found.function_oid))


def has_lost_triggers(connection: Connection, table: Relation) -> bool:
    """Whether a trigger of a table writes to a table of codes that is gone."""
    return any(not found.in_use for found in _triggers(connection, table.oid))


def drop_lost(connection: Connection, table: Relation) -> None:
    """Drop such triggers, with their functions and the entries of tables that are gone."""
    drop_triggers(connection, table)
    fetch(connection, statement("forget_dropped_tables"))


def naming(target: Target) -> sql.Composed:
    """What tells a table of codes, by its foreign key, which column it is of."""
    return statement(
        "name_narrow_vectors",
        codes=target.narrow_parts["codes"],
        comment=sql.Literal(target.vector_column),
    )
