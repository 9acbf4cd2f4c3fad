"""Entry of the command line: errors and warnings as one line, exit code 2, no traceback."""

from __future__ import annotations

import sys
import warnings
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
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _show("warning", message)
        try:
            app(None if arguments is None else list(arguments), prog_name="bitryoshka")
        except (BitryoshkaError, OSError, ValueError, MemoryError) as error:
            _fail(error)


def _fail(error: Exception) -> None:
    _show("error", error)
    raise SystemExit(2)


def _show(kind: str, told: Warning | Exception | str) -> None:
    """One line on standard error."""
    message = " ".join(str(told).split()) or type(told).__name__
    print(f"{kind}: {printable(message)}", file=sys.stderr)
