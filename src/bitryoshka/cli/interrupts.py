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
    except BaseException as error:
        # what cleaned up may have failed in its turn, on a connection that was in use
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, KeyboardInterrupt):
            cause = cause.__context__
        if cause is None:
            raise
        raise Interrupted("run the same command again to go on") from error
