"""Sessions whose encoding is SQL_ASCII: psycopg gives bytes there, and refuses names in UTF-8."""

from __future__ import annotations

from typing import NamedTuple

import psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import AdaptersMap, Loader
from psycopg.types.string import StrDumperUnknown


class _Loader(Loader):
    def load(self, data: Buffer) -> str:
        return bytes(data).decode("utf-8", "surrogateescape")


class _Dumper(StrDumperUnknown):
    """Bytes that were read and are no UTF-8 go back as they came."""

    def dump(self, obj: str) -> Buffer | None:
        return obj.encode("utf-8", "surrogateescape")


class _Context(NamedTuple):
    """How statements are encoded without asking a connection."""

    adapters: AdaptersMap
    connection: None = None


def is_ascii(context: AdaptContext | None) -> bool:
    """Whether the session's encoding is SQL_ASCII."""
    connection = None if context is None else context.connection
    return connection is not None and connection.info.encoding == "ascii"


def load_as_utf8(adapters: AdaptersMap) -> None:
    """Let text be read as str."""
    for kind in ("text", "name", "varchar", "bpchar", '"char"'):
        adapters.register_loader(kind, _Loader)


def _adapters() -> AdaptersMap:
    found = AdaptersMap(psycopg.adapters)
    found.register_dumper(str, _Dumper)
    return found


UTF8 = _Context(_adapters())
