"""Codecs: binarizers in the database, under a name and a version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from bitryoshka.additive import Additive
from bitryoshka.binarizer import Binarizer, Metric
from bitryoshka.catalogue import Cells, Rows, check_limits, entry, tables
from bitryoshka.errors import BitsError, CodecError, DatabaseError, FingerprintError
from bitryoshka.limits import check_count
from bitryoshka.postgres.binary import (
    DOUBLE,
    INTEGER,
    REAL,
    Column,
    bit_column,
    read_rows,
    rows_of,
    text_column,
    vector_column,
    write_rows,
)
from bitryoshka.postgres.installation import require_installed
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement


@dataclass(frozen=True)
class Codec:
    """A registered binarizer; ``label`` (name@version) is what the SQL functions take."""

    id: int
    name: str
    version: int
    fingerprint: str
    metric: Metric
    dimensions: int
    bits: int
    hamming_bits: int
    nested_bits: tuple[int, ...]

    @property
    def label(self) -> str:
        """Name and version, such as docs@1."""
        return f"{self.name}@{self.version}"


def register(
    connection: Connection, name: str, binarizer: Binarizer, version: int | None = None
) -> Codec:
    """Write a binarizer into the database, so that SQL can encode by it; give its codec.

    ``version``: None takes the version that has this fingerprint already, or else the next one.
    A codec that is there already stays as it is; what a restore has left out of it is written.
    Raises FingerprintError where another binarizer has that name and version, CodecError for a
    name that is not 1 to 40 letters, digits, ``_``, ``.`` and ``-`` and for a binarizer that is
    too large, DatabaseError where the schema is of an earlier revision.
    """
    if version is not None:
        check_count(version, "version", CodecError)
    require_installed(connection)
    check_limits(binarizer)
    with connection.transaction():
        connection.execute(statement("codec_lock"))
        versions = {c.version: c for c in list_codecs(connection) if c.name == name}
        if version is None:
            same = [v for v, c in versions.items() if c.fingerprint == binarizer.fingerprint]
            version = max(same) if same else max(versions, default=0) + 1
        found = versions.get(version)
        if found and found.fingerprint != binarizer.fingerprint:
            raise FingerprintError(
                f"codec {found.label} is another binarizer: expected fingerprint "
                f"{binarizer.fingerprint}, found {found.fingerprint}; choose another version"
            )
        codec = found or _insert(connection, name, version, binarizer)
        # a codec that is there may be of a dump that was restored in part
        empty = {name for (name,) in fetch(connection, statement("empty_tables", id=codec.id))}
        for rows in tables(binarizer):
            if rows.table in empty:
                _write(connection, codec.id, rows)
        if binarizer.additive is not None and "gram" in empty:
            fetch(connection, statement("write_gram", codec_id=codec.id))
        fetch(connection, statement("make_query_functions", codec_id=codec.id))
    if found:
        export(connection, codec.label)
    return codec


def export(connection: Connection, label: str) -> Binarizer:
    """The binarizer of a codec, every bit as it was registered.

    Raises CodecError where there is no such codec, FingerprintError where its tables were altered.
    """
    codec = find_codec(connection, label)
    try:
        found = _read_binarizer(connection, codec)
    except (ValueError, DatabaseError) as error:
        raise FingerprintError(
            f"codec {label} is altered: its tables hold no binarizer: {error}; where all "
            "of its rows are missing from a table, registering the same binarizer writes them"
        ) from error
    if found.fingerprint != codec.fingerprint:
        raise FingerprintError(
            f"codec {label} is altered: its tables hold a binarizer of fingerprint "
            f"{found.fingerprint}, it was registered with {codec.fingerprint}"
        )
    return found


def _read_binarizer(connection: Connection, codec: Codec) -> Binarizer:
    [(info,)] = fetch(connection, statement("codec_info", codec_id=codec.id))
    d = codec.dimensions
    per_dimension = {"weights": vector_column(d), "threshold": REAL, "step": REAL}
    row = _read(connection, "row", codec.id, per_dimension)
    layout = read_rows(
        connection,
        statement("copy_code_bits_out", codec_id=codec.id),
        {"dimension": INTEGER, "plane": INTEGER},
    )
    levels = read_rows(
        connection,
        statement("copy_cuts_out", codec_id=codec.id),
        {"levels": vector_column(len(layout))},
    )
    query = _read(connection, "query weights", codec.id, {"weights": vector_column(d)})
    signs = _read(connection, "query bits", codec.id, {"weights": vector_column(d)})
    offsets = _read(connection, "query bits", codec.id, {"threshold": REAL})
    return Binarizer(
        projection=row["weights"],
        offset=row["threshold"],
        step=row["step"],
        bit_dimension=layout["dimension"],
        bit_plane=layout["plane"],
        levels=levels["levels"],
        nested_bits=codec.nested_bits,
        metric=codec.metric,
        additive=_read_additive(connection, codec),
        weight_projection=query["weights"] if len(query) else None,
        hamming_projection=signs["weights"] if len(signs) else None,
        hamming_offset=offsets["threshold"] if len(offsets) else None,
        info=json.loads(info),
    )


def list_codecs(connection: Connection) -> list[Codec]:
    """All codecs, by name and version."""
    require_installed(connection)
    found = fetch(connection, statement("codecs"))
    return [Codec(*row[:-1], tuple(row[-1])) for row in found]  # type: ignore[call-arg]


def find_codec(connection: Connection, label: str) -> Codec:
    """The codec of a label (name@version), or the newest of a name; CodecError for none."""
    known = list_codecs(connection)
    found = [codec for codec in known if label in (codec.label, codec.name)]
    if not found:
        raise CodecError(
            f"there is no codec {label!r}: expected one of "
            f"{sorted(codec.label for codec in known) or 'none'}; bitryoshka register adds one"
        )
    return max(found, key=lambda codec: codec.version)


def drop_codec(connection: Connection, label: str) -> str:
    """Forget a codec and give its label; CodecError where a column uses it."""
    codec = find_codec(connection, label)
    try:
        with connection.transaction():
            connection.execute(statement("drop_codec", label=sql.Literal(codec.label)))
    except (psycopg.errors.ForeignKeyViolation, psycopg.errors.RestrictViolation) as error:
        raise CodecError(
            f"codec {label} is in use, see bitryoshka.code_columns: detach those columns first"
        ) from error
    except psycopg.errors.DependentObjectsStillExist as error:
        raise CodecError(
            f"codec {label} is in use by its encoder: {error.diag.message_detail}"
        ) from error
    return codec.label


def _insert(connection: Connection, name: str, version: int, b: Binarizer) -> Codec:
    values = {"name": name, "version": version, **entry(b)}
    placeholders = {key: sql.Placeholder(key) for key in values}
    try:
        [(id_,)] = fetch(connection, statement("insert_codec", **placeholders), values)
    except (psycopg.errors.CheckViolation, psycopg.DataError) as error:
        raise CodecError(
            "a codec has a name of 1 to 40 letters, digits, '_', '.' and '-', a version from 1 "
            f"and info that is JSON, found {name!r} and {version}: {str(error).splitlines()[0]}"
        ) from error
    return Codec(
        id_,
        name,
        version,
        b.fingerprint,
        b.metric,
        b.dimensions,
        b.bits,
        b.hamming_bits,
        b.nested_bits,
    )


def _write(connection: Connection, codec_id: int, rows: Rows) -> None:
    columns = {"codec_id": INTEGER, **{n: _column(c) for n, c in rows.columns.items()}}
    values = {"codec_id": codec_id, **{n: _values(c) for n, c in rows.columns.items()}}
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    copy = statement("copy_codec_rows", table=sql.Identifier(rows.table), columns=names)
    write_rows(connection, copy, iter([rows_of(columns, rows.height, values)]))


def _column(cells: Cells) -> Column:
    """The binary format of a column of the catalogue."""
    kind, values = cells
    if kind == "text":
        return text_column(str(values))
    if kind == "vector":
        return vector_column(np.shape(values)[1])
    if kind == "bit varying":
        return bit_column(8 * np.shape(values)[1])
    return {"integer": INTEGER, "real": REAL, "double precision": DOUBLE}[kind]


def _values(cells: Cells) -> Any:
    if isinstance(cells.values, str):
        return np.frombuffer(cells.values.encode(), np.uint8)
    return cells.values


def _read_additive(connection: Connection, codec: Codec) -> Additive | None:
    """The encoder of an additive codec; None where it is a progressive one."""
    settings = fetch(connection, statement("additive_settings", codec_id=codec.id))
    if not settings:
        return None
    [(score_weight, sweeps, flips)] = settings
    wide = vector_column(codec.dimensions)
    lengths = read_rows(
        connection,
        statement("copy_additive_lengths_out", codec_id=codec.id),
        {"bits": INTEGER, "weight": REAL, "centre": wide},
    )
    decoder = read_rows(
        connection, statement("copy_decoder_out", codec_id=codec.id), {"weights": wide}
    )
    if not len(lengths):
        raise BitsError("an additive code has lengths, found none")
    digits = np.frombuffer(flips.encode(), np.uint8) - ord("0")
    return Additive(
        lengths=tuple(lengths["bits"].tolist()),
        length_weights=lengths["weight"],
        decoder=decoder["weights"],
        centre=lengths["centre"],
        flips=np.packbits(digits).reshape(-1, int(lengths["bits"][-1]) // 8),
        score_weight=score_weight,
        sweeps=sweeps,
    )


def _read(
    connection: Connection, role: str, codec_id: int, columns: Mapping[str, Column]
) -> NDArray[np.void]:
    """Rows of one role, by cut and dimension; none where a column of them is NULL."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    query = statement(
        "copy_weights_out",
        columns=names,
        codec_id=codec_id,
        role=sql.Literal(role),
        first=sql.Identifier(next(iter(columns))),
    )
    return read_rows(connection, query, columns)
