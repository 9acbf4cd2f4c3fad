"""Ctrl-C: what it leaves, in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

NOTHING_WRITTEN = "nothing was written"


class Interrupted(Exception):  # noqa: N818
    """Ctrl-C was pressed; the message says what is left of the work."""


@contextmanager
def resumable() -> Iterator[None]:
    """Work that keeps what it has done, so that the same command goes on after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted("run the same command again to go on") from error
