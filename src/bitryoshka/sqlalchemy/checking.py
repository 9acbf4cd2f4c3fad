"""Whether models and database agree on who makes the codes, and by which codec."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Table,
    Text,
    and_,
    cast,
    column,
    func,
    literal,
    select,
    table,
)
from sqlalchemy import inspect as inspect_mapped
from sqlalchemy.exc import NoInspectionAvailable

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import BitsError, CodecError, DatabaseError, FingerprintError, TableError
from bitryoshka.sqlalchemy.code import Code
from bitryoshka.sqlalchemy.declaring import Declared, declared

__all__ = ["check_codecs"]

_CODECS = table("codecs", column("label"), column("fingerprint"), schema="bitryoshka")
_COLUMNS = table(
    "code_columns",
    *map(column, ("id", "relation", "code_column", "vector_column", "codec", "fingerprint")),
    schema="bitryoshka",
)
_ATTRIBUTES = table(
    "pg_attribute",
    *map(column, ("attrelid", "attname", "atttypid", "atttypmod", "attisdropped")),
    schema="pg_catalog",
)
_TRIGGERS = table(
    "pg_trigger", *map(column, ("tgrelid", "tgname", "tgenabled")), schema="pg_catalog"
)


class _Entry(NamedTuple):
    """A code column in the catalogue."""

    codec: str
    fingerprint: str
    vector_column: str | None
    has_trigger: bool


def check_codecs(connection: Connection, models: MetaData | type[Any]) -> None:
    """Refuse to start where models and database would make or read codes of different meaning.

    ``models``: a MetaData, whose tables are all looked at, or one mapped class. Every column of
    type `Code` must have been given to `fill_codes`, or to `leave_to_trigger`; be as long in the
    database; and belong, in the catalogue of schema ``bitryoshka``, to the same codec: attached
    with its trigger, for the same vector column (`bitryoshka.postgres.attach`), where it is left to
    the trigger, adopted without one (`bitryoshka.postgres.adopt`) where the model fills it. Only
    reads. With an async engine:
    ``await connection.run_sync(check_codecs, Base.metadata)``.

    Raises DatabaseError without schema ``bitryoshka``, CodecError for a codec that is not
    registered, FingerprintError for another one, BitsError for another length, and TableError for
    a column that is missing, not in the catalogue, made from another vector column, or filled by
    both or by neither.

    Example::

        with engine.connect() as connection:
            check_codecs(connection, Base.metadata)
    """
    installed = select(func.to_regclass(literal("bitryoshka.code_columns", Text)).is_not(None))
    if not connection.scalar(installed):
        raise DatabaseError(
            "expected schema bitryoshka in the database, found none: bitryoshka.postgres.install"
        )
    for each in _tables(models):
        for part in each.columns:
            if isinstance(part.type, Code):
                _check(connection, each, part, part.type.bits)


def _tables(models: MetaData | type[Any]) -> list[Table]:
    if isinstance(models, MetaData):
        return list(models.tables.values())
    try:
        return [t for t in inspect_mapped(models).tables if isinstance(t, Table)]
    except NoInspectionAvailable as error:
        raise TableError(f"expected a MetaData or a mapped class, found {models!r}") from error


def _check(connection: Connection, of: Table, code: Column[Any], bits: int) -> None:
    place = f"{of.fullname}.{code.name}"
    model = declared(code)
    if model is None:
        raise TableError(
            f"expected fill_codes or leave_to_trigger for {place}, found neither: nobody would "
            "answer for its codes"
        )
    relation = func.to_regclass(literal(_quoted(connection, of), Text))
    _check_length(connection, relation, code, place, bits)
    expected = _fingerprint(connection, model, place)
    entry = _entry(connection, relation, code)
    if entry is None:
        call = "attach" if model.filled_by == "trigger" else "adopt"
        raise TableError(
            f"expected {place} in bitryoshka.code_columns, with the codec {_title(model)}, found "
            f"it unattached: bitryoshka.postgres.{call}"
        )
    if entry.fingerprint != expected:
        raise FingerprintError(
            f"expected codes of {_title(model)} in {place}, fingerprint {expected}, found codes "
            f"of {entry.codec}, fingerprint {entry.fingerprint}"
        )
    if model.filled_by == "model" and entry.has_trigger:
        raise TableError(
            f"expected one to fill {place}, found fill_codes in the model and a trigger in the "
            "database: use leave_to_trigger, or detach the column"
        )
    if model.filled_by == "trigger" and not entry.has_trigger:
        raise TableError(
            f"expected a trigger that fills {place}, to which it is left, found none that is "
            "enabled: bitryoshka.postgres.attach, or use fill_codes"
        )
    if model.filled_by == "trigger" and entry.vector_column != model.vector_column:
        raise TableError(
            f"expected {place} to hold codes of column {model.vector_column}, found those of "
            f"{entry.vector_column}"
        )


def _quoted(connection: Connection, of: Table) -> str:
    """The table's name as SQL, in the schema that the connection's translation gives it."""
    translated = connection.get_execution_options().get("schema_translate_map") or {}
    schema = translated.get(of.schema, of.schema)
    quote = connection.dialect.identifier_preparer.quote
    return ".".join(quote(part) for part in (schema, of.name) if part)


def _check_length(
    connection: Connection, relation: Any, code: Column[Any], place: str, bits: int
) -> None:
    kind = func.format_type(_ATTRIBUTES.c.atttypid, _ATTRIBUTES.c.atttypmod)
    found = connection.scalar(
        select(kind).where(
            _ATTRIBUTES.c.attrelid == relation,
            _ATTRIBUTES.c.attname == literal(code.name, Text),
            ~_ATTRIBUTES.c.attisdropped,
        )
    )
    if found is None:
        raise TableError(f"expected a column {place} in the database, found none")
    if found != f"bit({bits})":
        raise BitsError(f"expected {place} to be bit({bits}), found {found}")


def _fingerprint(connection: Connection, model: Declared, place: str) -> str:
    """The fingerprint of the model's codec, which must be registered."""
    codec = model.codec
    wanted = (
        _CODECS.c.fingerprint == codec.fingerprint
        if isinstance(codec, Binarizer)
        else _CODECS.c.label == codec
    )
    found: str | None = connection.scalar(select(_CODECS.c.fingerprint).where(wanted).limit(1))
    if found is None:
        known = list(connection.scalars(select(_CODECS.c.label).order_by(_CODECS.c.label)))
        raise CodecError(
            f"expected the codec of {place}, {_title(model)}, to be registered, found "
            f"{', '.join(known) or 'no codec'}"
        )
    return found


def _entry(connection: Connection, relation: Any, code: Column[Any]) -> _Entry | None:
    trigger = select(_TRIGGERS.c.tgname).where(
        _TRIGGERS.c.tgrelid == _COLUMNS.c.relation,
        _TRIGGERS.c.tgname == func.concat("zz_bitryoshka_", cast(_COLUMNS.c.id, Text)),
        cast(_TRIGGERS.c.tgenabled, Text).in_(["O", "A"]),
    )
    found = connection.execute(
        select(
            _COLUMNS.c.codec,
            _COLUMNS.c.fingerprint,
            _COLUMNS.c.vector_column,
            and_(_COLUMNS.c.vector_column.is_not(None), trigger.exists()),
        ).where(
            _COLUMNS.c.relation == relation,
            _COLUMNS.c.code_column == literal(code.name, Text),
        )
    ).one_or_none()
    return None if found is None else _Entry(*found)


def _title(model: Declared) -> str:
    codec = model.codec
    return codec if isinstance(codec, str) else f"the binarizer {codec.fingerprint[:12]}"
