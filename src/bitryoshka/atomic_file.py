"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bitryoshka.errors import FileFormatError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a file to write beside ``path``; move it there if the block ends without an error."""
    target = Path(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def check_output(output: Path, suffixes: str | tuple[str, ...], *inputs: Path | None) -> None:
    """Find out before the work, not after it, that the result cannot be written."""
    offered = (suffixes,) if isinstance(suffixes, str) else suffixes
    if output.suffix.lower() not in offered:
        raise FileFormatError(f"{output}: the output must be called {' or '.join(offered)}")
    if output.is_dir():
        raise FileFormatError(f"{output}: the output must be a file, found a directory")
    for path in inputs:
        if path is not None and output.exists() and path.exists() and output.samefile(path):
            raise FileFormatError(f"{output} is the input {path}: choose another output")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"{output.parent}: no such folder to write {output.name} in")
    if not os.access(output.parent, os.W_OK):
        raise PermissionError(f"{output.parent}: no permission to write {output.name} there")
