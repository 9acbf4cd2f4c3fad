"""Entry of the command line: errors as one line, exit code 2, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bitryoshka.errors import BitryoshkaError, MissingExtraError
from bitryoshka.terminal import printable

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line with ``arguments`` (None: those of the process); always exits."""
    try:
        from bitryoshka.commands import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        _fail(MissingExtraError("the command line", "cli"))
    try:
        app(None if arguments is None else list(arguments), prog_name="bitryoshka")
    except (BitryoshkaError, OSError, ValueError, MemoryError) as error:
        _fail(error)


def _fail(error: Exception) -> None:
    message = " ".join(str(error).split()) or type(error).__name__
    print(f"error: {printable(message)}", file=sys.stderr)
    raise SystemExit(2)
