"""The statements that add a code column with its trigger, and that rename one."""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from bitryoshka.postgres.columns import Entry
from bitryoshka.postgres.statements import statement
from bitryoshka.postgres.target import BadVectors, Target


def trigger_names(column_id: int) -> dict[str, sql.Composable]:
    """Triggers run in the order of their names: this one after those that change the vector."""
    return {
        "function": sql.Identifier(f"fill_column_{column_id}"),
        "encoder": sql.Identifier(f"encode_column_{column_id}"),
        "trigger": sql.Identifier(f"zz_bitryoshka_{column_id}"),
    }


def preparation(
    target: Target, column_id: int, prefix_bits: int | None, bad_vectors: BadVectors
) -> list[sql.Composed]:
    """The catalogue's entry, the column and its trigger; the first gives the column's number."""
    codec = target.codec
    parts = {"table": target.identifier, **target.parts}
    return [
        statement(
            "insert_column",
            oid=target.oid,
            vector=sql.Literal(target.vector_column),
            code=sql.Literal(target.code_column),
            codec_id=codec.id,
            bad_vectors=sql.Literal(bad_vectors),
            prefix_bits=sql.NULL if prefix_bits is None else prefix_bits,
        ),
        statement("fixed_path", pgvector=sql.Literal(target.pgvector)),
        statement("add_code_column", bits=codec.bits, **parts),
        statement(
            "comment_code_column", text=sql.Literal(f"bitryoshka codec {codec.label}"), **parts
        ),
        column_encoder(target, column_id),
        *trigger_function(target, column_id, bad_vectors),
        statement("create_trigger", **trigger_names(column_id), **parts),
    ]


def column_encoder(target: Target, column_id: int) -> sql.Composed:
    """The function that encodes for a column, with its codec's arrays in its plan."""
    codec = target.codec
    signs = codec.bits == codec.hamming_bits
    return statement(
        "column_encoder",
        encoder=trigger_names(column_id)["encoder"],
        scale=statement("scale_cosine") if codec.metric == "cosine" else sql.SQL("-1"),
        dimensions=codec.dimensions,
        codec=sql.Literal(codec.label),
        body=statement(
            "column_encoder_signs" if signs else "column_encoder_planes", codec_id=codec.id
        ),
        pgvector=sql.Identifier(target.pgvector),
    )


def trigger_function(target: Target, column_id: int, bad_vectors: BadVectors) -> list[sql.Composed]:
    """The trigger's function, made or replaced."""
    new = sql.SQL("NEW.{}").format(sql.Identifier(target.vector_column))
    has_code = target.has_code(new) if bad_vectors == "skip" else sql.SQL("true")
    names = trigger_names(column_id)
    about = f"Trigger: codes of {target.codec.label} for a column of {target.title}."
    whole = sql.SQL("") if target.vector_type == "vector" else sql.SQL("::vector")
    return [
        statement(
            "trigger_function",
            function=names["function"],
            encoder=names["encoder"],
            has_code=has_code,
            cast=whole,
            **target.parts,
        ),
        statement("comment_trigger_function", function=names["function"], text=sql.Literal(about)),
    ]


def rename(target: Target, entry: Entry, name: str) -> list[sql.Composed]:
    """Give the target's code column another name, in its trigger and in the catalogue too."""
    renamed = replace(target, code_column=name)
    return [
        statement(
            "rename_code_column",
            table=target.identifier,
            code=sql.Identifier(target.code_column),
            name=sql.Identifier(name),
        ),
        statement("rename_column_entry", code=sql.Literal(name), column_id=entry.id),
        *trigger_function(renamed, entry.id, entry.bad_vectors),
    ]
