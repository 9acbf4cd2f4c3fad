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

from bitryoshka.binarizer import Binarizer, Metric
from bitryoshka.errors import CodecError, FingerprintError
from bitryoshka.postgres.binary import (
    INTEGER,
    REAL,
    Column,
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
    Raises FingerprintError where another binarizer has that name and version, CodecError for a
    name that is not 1 to 40 letters, digits, ``_``, ``.`` and ``-``.
    """
    require_installed(connection)
    with connection.transaction():
        fetch(connection, statement("codec_lock"))
        versions = {c.version: c for c in list_codecs(connection) if c.name == name}
        if version is None:
            same = [v for v, c in versions.items() if c.fingerprint == binarizer.fingerprint]
            version = max(same) if same else max(versions, default=0) + 1
        if found := versions.get(version):
            if found.fingerprint != binarizer.fingerprint:
                raise FingerprintError(
                    f"codec {found.label} is another binarizer: expected fingerprint "
                    f"{binarizer.fingerprint}, found {found.fingerprint}; choose another version"
                )
            return found
        codec = _insert(connection, name, version, binarizer)
        _write_arrays(connection, codec.id, binarizer)
    return codec


def export(connection: Connection, label: str) -> Binarizer:
    """The binarizer of a codec, every bit as it was registered.

    Raises CodecError where there is no such codec, FingerprintError where its tables were altered.
    """
    codec = find_codec(connection, label)
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
        {"levels": vector_column(codec.bits)},
    )
    query = _read(connection, "query weights", codec.id, {"weights": vector_column(d)})
    signs = _read(connection, "query bits", codec.id, {"weights": vector_column(d)})
    offsets = _read(connection, "query bits", codec.id, {"threshold": REAL})
    found = Binarizer(
        projection=row["weights"],
        offset=row["threshold"],
        step=row["step"],
        bit_dimension=layout["dimension"],
        bit_plane=layout["plane"],
        levels=levels["levels"],
        nested_bits=codec.nested_bits,
        metric=codec.metric,
        weight_projection=query["weights"] if len(query) else None,
        hamming_projection=signs["weights"] if len(signs) else None,
        hamming_offset=offsets["threshold"] if len(offsets) else None,
        info=json.loads(info),
    )
    if found.fingerprint != codec.fingerprint:
        raise FingerprintError(
            f"codec {label} is altered: its tables hold a binarizer of fingerprint "
            f"{found.fingerprint}, it was registered with {codec.fingerprint}"
        )
    return found


def list_codecs(connection: Connection) -> list[Codec]:
    """All codecs, by name and version."""
    found = fetch(connection, statement("codecs"))
    return [Codec(*row[:-1], tuple(row[-1])) for row in found]  # type: ignore[call-arg]


def find_codec(connection: Connection, label: str) -> Codec:
    """The codec of a label (name@version); CodecError where there is none."""
    require_installed(connection)
    known = {codec.label: codec for codec in list_codecs(connection)}
    if label not in known:
        raise CodecError(
            f"there is no codec {label!r}: expected one of {sorted(known) or 'none registered'}"
        )
    return known[label]


def drop_codec(connection: Connection, label: str) -> None:
    """Forget a codec; CodecError where a column uses it."""
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


def _insert(connection: Connection, name: str, version: int, b: Binarizer) -> Codec:
    values = {
        "name": name,
        "version": version,
        "fingerprint": b.fingerprint,
        "metric": b.metric,
        "dimensions": b.dimensions,
        "bits": b.bits,
        "hamming_bits": b.hamming_bits,
        "nested_bits": list(b.nested_bits),
        "info": json.dumps(dict(b.info), sort_keys=True),
    }
    placeholders = {key: sql.Placeholder(key) for key in values}
    try:
        [(id_,)] = fetch(connection, statement("insert_codec", **placeholders), values)
    except (psycopg.errors.CheckViolation, psycopg.errors.InvalidTextRepresentation) as error:
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


def _write_arrays(connection: Connection, codec_id: int, b: Binarizer) -> None:
    wide = vector_column(b.dimensions)
    row = {"weights": wide, "threshold": REAL, "step": REAL, "planes": INTEGER}
    _write(
        connection,
        codec_id,
        "row",
        0,
        row,
        {"weights": b.projection, "threshold": b.offset, "step": b.step, "planes": b.planes},
    )
    signs = {
        name: (column, array)
        for name, column, array in (
            ("weights", wide, b.hamming_projection),
            ("threshold", REAL, b.hamming_offset),
        )
        if array is not None
    }
    if signs:
        columns = {name: column for name, (column, _) in signs.items()}
        values = {name: array for name, (_, array) in signs.items()}
        _write(connection, codec_id, "query bits", 0, columns, values)
    if b.weight_projection is not None:
        parts = np.split(b.weight_projection, np.cumsum(b.nested_bits)[:-1])
        for cut, projection in zip(b.nested_bits, parts, strict=True):
            values = {"weights": projection}
            _write(connection, codec_id, "query weights", cut, {"weights": wide}, values)
    mask = np.left_shift(1, b.planes[b.bit_dimension].astype(np.int32) - 1 - b.bit_plane)
    bits = {
        "codec_id": codec_id,
        "position": np.arange(b.bits),
        "dimension": b.bit_dimension,
        "plane": b.bit_plane,
        "mask": mask,
    }
    columns = dict.fromkeys(bits, INTEGER)
    write_rows(connection, statement("copy_code_bits"), iter([rows_of(columns, b.bits, bits)]))
    cuts = {"codec_id": codec_id, "bits": np.array(b.nested_bits), "levels": b.levels}
    columns = {"codec_id": INTEGER, "bits": INTEGER, "levels": vector_column(b.bits)}
    write_rows(
        connection, statement("copy_cuts"), iter([rows_of(columns, len(b.nested_bits), cuts)])
    )


def _write(
    connection: Connection,
    codec_id: int,
    role: str,
    cut: int,
    columns: Mapping[str, Column],
    values: Mapping[str, NDArray[Any]],
) -> None:
    """Rows of table weights, one for each projected dimension or bit."""
    keys = {"codec_id": INTEGER, "role": text_column(role), "cut": INTEGER, "dimension": INTEGER}
    every = {**keys, **columns}
    count = len(next(iter(values.values())))
    named = {
        "codec_id": codec_id,
        "role": np.frombuffer(role.encode(), np.uint8),
        "cut": cut,
        "dimension": np.arange(count),
    }
    rows = rows_of(every, count, {**named, **values})
    names = sql.SQL(", ").join(map(sql.Identifier, every))
    write_rows(connection, statement("copy_weights", columns=names), iter([rows]))


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
