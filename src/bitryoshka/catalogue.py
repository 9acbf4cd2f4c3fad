"""The tables of schema bitryoshka that hold a binarizer, as arrays: what every writer writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitryoshka.additive import Additive
from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import CodecError

# of pgvector's type vector
MAX_DIMENSIONS = 16_000
# where a bit turns, the search takes its place from zeros on both sides of a 1, in one vector
MAX_SEARCHED_BITS = MAX_DIMENSIONS // 2

Kind = Literal["integer", "real", "double precision", "text", "vector", "bit varying"]


class Cells(NamedTuple):
    """A column: an array with an entry for each row, or one value for all of them.

    ``vector``: (rows, n) float32. ``bit varying``: (rows, bytes) uint8, packed.
    """

    kind: Kind
    values: NDArray[Any] | str | int | float


class Rows(NamedTuple):
    """What a codec has in a table, besides the codec's id; ``height``: how many rows."""

    table: str
    height: int
    columns: dict[str, Cells]


def entry(binarizer: Binarizer) -> dict[str, Any]:
    """The codec's own row but for name and version; info as JSON."""
    return {
        "fingerprint": binarizer.fingerprint,
        "metric": binarizer.metric,
        "dimensions": binarizer.dimensions,
        "bits": binarizer.bits,
        "hamming_bits": binarizer.hamming_bits,
        "nested_bits": list(binarizer.nested_bits),
        "info": json.dumps(dict(binarizer.info), sort_keys=True),
        "kind": "progressive" if binarizer.additive is None else "additive",
    }


def check_limits(binarizer: Binarizer) -> None:
    """Raise CodecError for a binarizer that Postgres cannot hold."""
    additive = binarizer.additive
    for name, limit, found in (
        ("dimensions of a vector", MAX_DIMENSIONS, binarizer.dimensions),
        ("bits of a code", MAX_DIMENSIONS, binarizer.bits),
        ("bits of an additive code", MAX_SEARCHED_BITS, additive.bits if additive else 0),
        ("bits over its lengths", MAX_DIMENSIONS, sum(additive.lengths) if additive else 0),
    ):
        if found > limit:
            raise CodecError(f"Postgres takes at most {limit} {name}, found {found}")


def tables(binarizer: Binarizer) -> Iterator[Rows]:
    """Every table's rows, in the order in which they can be written."""
    b, m = binarizer, len(binarizer.projection)
    row = {
        "weights": _vector(b.projection),
        "threshold": _real(b.offset),
        "step": _real(b.step),
        "planes": _integer(b.plane_counts),
    }
    yield _weights("row", 0, m, row)
    signs = {}
    if b.hamming_projection is not None:
        signs["weights"] = _vector(b.hamming_projection)
    if b.hamming_offset is not None:
        signs["threshold"] = _real(b.hamming_offset)
    if signs:
        yield _weights("query bits", 0, b.hamming_bits, signs)
    if b.weight_projection is not None:
        parts = np.split(b.weight_projection, np.cumsum(b.nested_bits)[:-1])
        for cut, projection in zip(b.nested_bits, parts, strict=True):
            yield _weights("query weights", cut, cut, {"weights": _vector(projection)})
    laid_out = len(b.bit_dimension)
    layout = {
        "position": np.arange(laid_out),
        "dimension": b.bit_dimension,
        "plane": b.bit_plane,
        "mask": np.left_shift(
            1, b.plane_counts[b.bit_dimension].astype(np.int32) - 1 - b.bit_plane
        ),
    }
    yield Rows("code_bits", laid_out, {name: _integer(a) for name, a in layout.items()})
    cuts = {"bits": _integer(np.array(b.nested_bits)), "levels": _vector(b.levels)}
    yield Rows("cuts", len(b.nested_bits), cuts)
    if b.additive is not None:
        yield from _additive(b.additive)


def _additive(a: Additive) -> Iterator[Rows]:
    settings = {
        "score_weight": Cells("double precision", a.score_weight),
        "sweeps": _integer(a.sweeps),
        "flips": Cells("bit varying", a.flips.reshape(1, -1)),
    }
    yield Rows("additive", 1, settings)
    lengths = {
        "bits": _integer(np.array(a.lengths)),
        "weight": _real(a.length_weights),
        "centre": _vector(a.centre),
    }
    yield Rows("additive_lengths", len(a.lengths), lengths)
    for length in a.lengths:
        decoder = {
            "bits": _integer(length),
            "position": _integer(np.arange(length)),
            "weights": _vector(a.decoder_of(length)),
        }
        yield Rows("decoder", length, decoder)


def _weights(role: str, cut: int, height: int, columns: dict[str, Cells]) -> Rows:
    keys = {
        "role": Cells("text", role),
        "cut": _integer(cut),
        "dimension": _integer(np.arange(height)),
    }
    return Rows("weights", height, {**keys, **columns})


def _integer(values: NDArray[Any] | int) -> Cells:
    return Cells("integer", values)


def _real(values: NDArray[Any]) -> Cells:
    return Cells("real", values)


def _vector(values: NDArray[Any]) -> Cells:
    return Cells("vector", values)
