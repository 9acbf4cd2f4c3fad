"""Progress bars, shown only where somebody asked for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bitryoshka.errors import MissingExtraError


@contextmanager
def progress_bar(
    total: int, title: str, show: bool, unit: str = "steps"
) -> Iterator[Callable[..., None]]:
    """Give ``advance(note="", by=1)``; draws on standard error if ``show``.

    Raises MissingExtraError if a bar is asked for and tqdm is not installed.
    """
    if not show:
        yield lambda note="", by=1: None
        return
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise MissingExtraError("progress=True", "cli") from error

    with tqdm(total=total, desc=title, unit=unit, leave=False) as bar:

        def advance(note: str = "", by: int = 1) -> None:
            if note:
                bar.set_postfix_str(note, refresh=by == 0)
            bar.update(by)

        yield advance
