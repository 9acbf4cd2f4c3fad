"""Signs of life of long work, on standard error and only where somebody asked for them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bitryoshka.errors import MissingExtraError

# seconds between two lines
PAUSE = 10


def tell(text: str, show: bool) -> None:
    """Print a line, if ``show``."""
    if show:
        print(text, file=sys.stderr, flush=True)


@contextmanager
def progress_bar(
    total: int, title: str, show: bool, unit: str = "steps"
) -> Iterator[Callable[..., None]]:
    """Give ``advance(note="", by=1)``, and show how far the work is, if ``show``.

    A terminal gets a bar. Anything else, such as a log, gets a line when the work begins and when
    it is done, and in between the first note and what there is to say every ten seconds.

    Raises MissingExtraError if a bar is asked for and tqdm is not installed.
    """
    if not show:
        yield lambda note="", by=1: None
        return
    if not sys.stderr.isatty():
        with _lines(total, title, unit) as advance:
            yield advance
        return
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise MissingExtraError("progress=True", "cli") from error

    with tqdm(total=total, desc=title, unit=unit, leave=False) as bar:

        def advance_bar(note: str = "", by: int = 1) -> None:
            if note:
                bar.set_postfix_str(note, refresh=by == 0)
            bar.update(by)

        yield advance_bar


@contextmanager
def _lines(total: int, title: str, unit: str) -> Iterator[Callable[..., None]]:
    tell(f"{title} ...", True)
    started = told = time.perf_counter()
    done = 0

    def advance(note: str = "", by: int = 1) -> None:
        nonlocal done, told
        done += by
        now = time.perf_counter()
        if now - told >= PAUSE or (note and told == started):
            tell(f"{title}: {note or f'{done:,} of {total:,} {unit}'}", True)
            told = now

    yield advance
    tell(f"{title}: done in {time.perf_counter() - started:.1f} s", True)
