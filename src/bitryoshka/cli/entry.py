"""Entry of the command line: errors, warnings and Ctrl-C as one line, no traceback."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from bitryoshka.cli.interrupts import NOTHING_WRITTEN, Interrupted
from bitryoshka.cli.terminal import printable
from bitryoshka.errors import BitryoshkaError, MissingExtraError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line with ``arguments`` (None: those of the process); always exits.

    The exit code is 2 after an error, and 130 after Ctrl-C.
    """
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _show("warning", message)
        try:
            _run(arguments)
        except (Interrupted, KeyboardInterrupt) as end:
            _end("interrupted", str(end) or NOTHING_WRITTEN, 130)
        except (BitryoshkaError, OSError, ValueError, MemoryError) as error:
            _end("error", error, 2)


def _run(arguments: Sequence[str] | None) -> None:
    try:
        from bitryoshka.cli.app import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        raise MissingExtraError("the command line", "cli") from error
    app(None if arguments is None else list(arguments), prog_name="bitryoshka")


def _end(kind: str, told: Exception | str, code: int) -> NoReturn:
    _show(kind, told)
    raise SystemExit(code)


def _show(kind: str, told: Warning | Exception | str) -> None:
    """One line on standard error."""
    words = "; ".join([str(told), *getattr(told, "__notes__", ())])
    message = " ".join(words.split()) or type(told).__name__
    print(f"{kind}: {printable(message)}", file=sys.stderr)
