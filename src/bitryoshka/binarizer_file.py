"""The binarizer's file: one .safetensors with the settings as JSON in its header.

The header's metadata holds, all as strings: ``format`` ("bitryoshka"), ``format_version``,
``fingerprint``, ``settings`` and ``info`` (JSON objects). Tensors carry the names of the
`Binarizer`'s arrays, those of its `Additive` after "additive.". Format 1 is that of progressive
codes; additive codes, whose encoder they need, are format 2. Nothing in the file is ever executed.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as from_bytes
from safetensors.numpy import save as to_bytes

from bitryoshka.additive import Additive
from bitryoshka.atomic_file import replacing
from bitryoshka.errors import FileFormatError
from bitryoshka.limits import MAX_BINARIZER_BYTES

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


def format_version(binarizer: Binarizer) -> int:
    """The format of the binarizer's file."""
    return 1 if binarizer.additive is None else 2


def save(binarizer: Binarizer, path: str | os.PathLike[str]) -> None:
    """Write the file beside its destination, then move it there."""
    metadata = {
        "format": FORMAT,
        "format_version": str(format_version(binarizer)),
        "fingerprint": binarizer.fingerprint,
        "settings": json.dumps(settings(binarizer), sort_keys=True),
        "info": json.dumps(dict(binarizer.info), sort_keys=True),
    }
    content = to_bytes(
        {name: np.ascontiguousarray(a) for name, a in arrays(binarizer).items()}, metadata
    )
    _check_size(path, len(content))
    with replacing(path) as file:
        file.write(content)


def _check_size(path: str | os.PathLike[str], size: int) -> None:
    if size > MAX_BINARIZER_BYTES:
        raise FileFormatError(
            f"{os.fspath(path)}: a binarizer has at most {MAX_BINARIZER_BYTES} bytes, found {size}"
        )


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Metadata and arrays, from one read: a file that is replaced meanwhile is never mixed."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{os.fspath(path)}: no such file")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        _check_size(path, size)
        content = file.read(size)
    try:
        found = from_bytes(content)
        (length,) = struct.unpack_from("<Q", content)
        return json.loads(content[8 : 8 + length]).get("__metadata__") or {}, found
    except (KeyError, ValueError, SafetensorError) as error:
        raise FileFormatError(
            f"{os.fspath(path)} is truncated or not a .safetensors file: {error}"
        ) from error


def _check_metadata(path: str | os.PathLike[str], metadata: dict[str, str]) -> None:
    """Raise FileFormatError for a file that is not a binarizer that this version can read."""
    if metadata.get("format") != FORMAT:
        raise FileFormatError(
            f"{os.fspath(path)} is a .safetensors file, but not a binarizer: expected "
            f"format {FORMAT!r} in its metadata, found {metadata.get('format')!r}"
        )
    version = metadata.get("format_version", "")
    if not version.isdecimal():
        raise FileFormatError(f"{os.fspath(path)}: format_version is {version!r}, not a number")
    if len(version) > 9 or int(version) > FORMAT_VERSION:
        raise FileFormatError(
            f"{os.fspath(path)} has format {version}, this bitryoshka reads up to "
            f"{FORMAT_VERSION}: upgrade with pip install -U bitryoshka"
        )


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Any], str | None]:
    """The `Binarizer`'s fields, and the fingerprint that it had when it was saved.

    Raises FileFormatError, which says what is wrong with the file.
    """
    metadata, found = _read(path)
    _check_metadata(path, metadata)
    try:
        kept, info = json.loads(metadata["settings"]), json.loads(metadata["info"])
        kept["nested_bits"] = tuple(kept["nested_bits"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise FileFormatError(f"{os.fspath(path)} is damaged: {error!r}") from error
    wanted = set(_ARRAYS)
    if searched := kept.pop("additive", None):
        wanted |= {_ADDITIVE + name for name in _ADDITIVE_ARRAYS}
    if missing := wanted - set(found):
        raise FileFormatError(f"{os.fspath(path)} lacks the arrays {sorted(missing)}")
    if searched:
        parts = {name: found.pop(_ADDITIVE + name) for name in _ADDITIVE_ARRAYS}
        kept["additive"] = _additive(path, searched, parts)
    return {**found, **kept, "info": info}, metadata.get("fingerprint")


def _additive(
    path: str | os.PathLike[str], searched: Any, parts: dict[str, NDArray[Any]]
) -> Additive:
    try:
        fields = {**searched, **parts}
        return Additive(**{**fields, "lengths": tuple(fields["lengths"])})
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"{os.fspath(path)} is not a usable binarizer: {error}") from error
