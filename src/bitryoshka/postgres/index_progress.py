"""What an index build is doing, told by a second connection while the first one waits for it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from bitryoshka.postgres.locking import Advance
from bitryoshka.postgres.own_session import connect_beside
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import fetch, statement

_PAUSE = 1.0
# how often somebody's transaction is found in the way until it is told, bar or no bar
PATIENCE = 10


@contextmanager
def told(connection: Connection, advance: Advance) -> Iterator[None]:
    """Tell ``advance`` about the index build that this connection does meanwhile.

    A build that waits for somebody's open transaction for long is told by a UserWarning as well.
    Where no second connection can be had nothing is told.
    """
    [(pid,)] = fetch(connection, statement("process_id"))
    try:
        beside = connect_beside(connection)
    except psycopg.Error:
        yield
        return
    end = threading.Event()
    watcher = threading.Thread(target=_watch, args=(beside, pid, advance, end), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        end.set()
        watcher.join()
        beside.close()


def _watch(beside: Connection, pid: int, advance: Advance, end: threading.Event) -> None:
    waited = 0
    while not end.wait(_PAUSE):
        try:
            found = fetch(beside, statement("index_progress", pid=pid))
        except psycopg.Error:
            return
        for phase, percent, holders in found:
            share = "" if percent is None else f", {percent} %"
            note = f"waiting for {', '.join(holders)}" if holders else f"{phase}{share}"
            advance(note, by=0)
            waited += bool(holders)
            if holders and waited == PATIENCE:
                warnings.warn(
                    f"the index build waits for transactions that began before it: {note}",
                    stacklevel=1,
                )
