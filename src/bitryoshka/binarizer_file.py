"""The binarizer's file: one .safetensors with the settings as JSON in its header.

The header's metadata holds, all as strings: ``format`` ("bitryoshka"), ``format_version``,
``fingerprint``, ``settings`` and ``info`` (JSON objects). Tensors carry the names of the
`Binarizer`'s arrays, those of its `Additive` after "additive.". Format 1 is that of progressive
codes; additive codes, whose encoder they need, are format 2. Nothing in the file is ever executed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from bitryoshka.additive import Additive
from bitryoshka.atomic_file import replacing
from bitryoshka.errors import FileFormatError

if TYPE_CHECKING:
    from bitryoshka.binarizer import Binarizer

FORMAT = "bitryoshka"
FORMAT_VERSION = 2
_ARRAYS = ("projection", "offset", "step", "bit_dimension", "bit_plane", "levels")
_OPTIONAL = ("weight_projection", "hamming_projection", "hamming_offset")
_ADDITIVE = "additive."
_ADDITIVE_ARRAYS = ("length_weights", "decoder", "centre", "flips")


def settings(binarizer: Binarizer) -> dict[str, Any]:
    """What decides codes and weights besides the arrays."""
    found: dict[str, Any] = {
        "nested_bits": list(binarizer.nested_bits),
        "metric": binarizer.metric,
    }
    if (additive := binarizer.additive) is not None:
        found["additive"] = {
            "lengths": list(additive.lengths),
            "score_weight": additive.score_weight,
            "sweeps": additive.sweeps,
        }
    return found


def arrays(binarizer: Binarizer) -> dict[str, NDArray[Any]]:
    """The arrays that a file holds, by name."""
    found = {name: getattr(binarizer, name) for name in (*_ARRAYS, *_OPTIONAL)}
    if (additive := binarizer.additive) is not None:
        found |= {_ADDITIVE + name: getattr(additive, name) for name in _ADDITIVE_ARRAYS}
    return {name: array for name, array in found.items() if array is not None}


def save(binarizer: Binarizer, path: str | os.PathLike[str]) -> None:
    """Write the file beside its destination, then move it there."""
    metadata = {
        "format": FORMAT,
        "format_version": "1" if binarizer.additive is None else "2",
        "fingerprint": binarizer.fingerprint,
        "settings": json.dumps(settings(binarizer), sort_keys=True),
        "info": json.dumps(dict(binarizer.info), sort_keys=True),
    }
    content = to_bytes(
        {name: np.ascontiguousarray(a) for name, a in arrays(binarizer).items()}, metadata
    )
    with replacing(path) as file:
        file.write(content)


def _metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{os.fspath(path)}: no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise FileFormatError(
            f"{os.fspath(path)} is truncated or not a .safetensors file: {error}"
        ) from error


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The header's metadata, after checking that this version can read the file."""
    metadata = _metadata(path)
    if metadata.get("format") != FORMAT:
        raise FileFormatError(
            f"{os.fspath(path)} is a .safetensors file, but not a binarizer: expected "
            f"format {FORMAT!r} in its metadata, found {metadata.get('format')!r}"
        )
    version = metadata.get("format_version", "")
    if not version.isdecimal():
        raise FileFormatError(f"{os.fspath(path)}: format_version is {version!r}, not a number")
    if int(version) > FORMAT_VERSION:
        raise FileFormatError(
            f"{os.fspath(path)} has format {version}, this bitryoshka reads up to "
            f"{FORMAT_VERSION}: upgrade with pip install -U bitryoshka"
        )
    return metadata


def load(
    path: str | os.PathLike[str],
) -> dict[str, Any]:
    """The `Binarizer`'s fields from a file; FileFormatError says what is wrong with it."""
    metadata = read_metadata(path)
    try:
        kept, info = json.loads(metadata["settings"]), json.loads(metadata["info"])
        kept["nested_bits"] = tuple(kept["nested_bits"])
        with safe_open(path, framework="numpy") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise FileFormatError(f"{os.fspath(path)} is damaged: {error!r}") from error
    wanted = set(_ARRAYS)
    if searched := kept.pop("additive", None):
        wanted |= {_ADDITIVE + name for name in _ADDITIVE_ARRAYS}
    if missing := wanted - set(found):
        raise FileFormatError(f"{os.fspath(path)} lacks the arrays {sorted(missing)}")
    if searched:
        parts = {name: found.pop(_ADDITIVE + name) for name in _ADDITIVE_ARRAYS}
        kept["additive"] = _additive(path, {**searched, **parts})
    return {**found, **kept, "info": info}


def _additive(path: str | os.PathLike[str], fields: dict[str, Any]) -> Additive:
    try:
        return Additive(**{**fields, "lengths": tuple(fields["lengths"])})
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"{os.fspath(path)} is not a usable binarizer: {error}") from error


def check_fingerprint(path: str | os.PathLike[str], fingerprint: str) -> None:
    """Raise FileFormatError if the file's content is not what was once saved."""
    written = _metadata(path).get("fingerprint")
    if written != fingerprint:
        raise FileFormatError(
            f"{os.fspath(path)} is altered: its content has fingerprint {fingerprint}, "
            f"its header says {written}"
        )
