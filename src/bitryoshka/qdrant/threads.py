"""Parts of a work in threads: what they give, as it comes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

__all__ = ["in_threads"]

P = TypeVar("P")
R = TypeVar("R")


def in_threads(
    work: Callable[[P], Iterator[R]], parts: Sequence[P], parallel: int
) -> Generator[R, None, None]:
    """All that ``work`` gives for each part; ``parallel`` parts are under way at once.

    Where one fails, the others stop at what they give next, all of which comes before the error.
    They stop as well when this is closed.
    """
    if parallel == 1:
        for part in parts:
            yield from work(part)
        return
    stop = Event()
    given: SimpleQueue[R | None] = SimpleQueue()

    def run(part: P) -> None:
        try:
            if not stop.is_set():
                for found in work(part):
                    given.put(found)
                    if stop.is_set():
                        return
        except BaseException:
            stop.set()
            raise
        finally:
            given.put(None)

    with ThreadPoolExecutor(parallel) as pool:
        running = [pool.submit(run, part) for part in parts]
        try:
            left = len(parts)
            while left:
                found = given.get()
                if found is None:
                    left -= 1
                else:
                    yield found
        finally:
            stop.set()
        for part_done in running:
            part_done.result()
