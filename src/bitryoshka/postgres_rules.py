"""What holds for codes in Postgres, whichever driver speaks to it."""

from __future__ import annotations

from bitryoshka.errors import FingerprintError, PgvectorError, TableError

CODEC_COMMENT = "bitryoshka codec sha256:"
MAX_NAME_BYTES = 63
MAY_NOT_CREATE = (
    "pgvector is not yet in this database and this user may not create it: have an owner run "
    "CREATE EXTENSION vector"
)
MIN_PGVECTOR = (0, 8, 4)

# of HNSW graphs over codes, whose lists are long: pgvector's defaults, 16 and 64, make a larger
# graph more slowly, and one that takes longer to search for the same recall
M, EF_CONSTRUCTION = 8, 128

# pgvector's bounds
_MAX_EF_SEARCH = 1000
_MAX_SCAN_TUPLES = 2**31 - 1
_MAX_SCAN_MEM_MULTIPLIER = 1000


def check_pgvector_version(found: str) -> None:
    """Raise PgvectorError for a version older than 0.8.4."""
    numbers = tuple(int(part) for part in found.split(".") if part.isdecimal())
    if numbers < MIN_PGVECTOR:
        raise PgvectorError(
            f"pgvector 0.8.4 or newer is needed, found {found}: install a newer one on the "
            "server, then run ALTER EXTENSION vector UPDATE"
        )


def check_available(available: str | None) -> None:
    """Raise PgvectorError unless the server offers pgvector in a version that can be used."""
    if available is None:
        raise PgvectorError(
            "the server has no pgvector: install it, 0.8.4 or newer "
            "(https://github.com/pgvector/pgvector#installation)"
        )
    check_pgvector_version(available)


def check_name(name: str) -> None:
    """Raise TableError for what Postgres would cut: two tables could become one."""
    if "\0" in name:
        raise TableError(f"a name cannot have a NUL, found {name!r}")
    if not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
        raise TableError(
            f"a name must have 1 to {MAX_NAME_BYTES} bytes in UTF-8, "
            f"found {len(name.encode())}: {name!r}"
        )


def name_within(name: str, suffix: str) -> str:
    """The name with its suffix, the name cut to what an identifier of Postgres can hold."""
    return name.encode()[: MAX_NAME_BYTES - len(suffix)].decode(errors="ignore") + suffix


def untrusted_owner(owner: str) -> str:
    """What a superuser is told where schema bitryoshka is a stranger's."""
    return (
        f"schema bitryoshka belongs to role {owner}, who is neither a superuser nor the owner of "
        "the database: functions there would run with a superuser's rights. Use another role, or "
        "make the schema a trusted role's by ALTER SCHEMA ... OWNER TO"
    )


def check_codec(table: str, comment: str | None, fingerprint: str) -> None:
    """Raise FingerprintError unless the code column's comment names this binarizer."""
    found = (comment or "").removeprefix(CODEC_COMMENT)
    if found != fingerprint:
        raise FingerprintError(
            f"table {table} holds codes of another binarizer: expected fingerprint "
            f"{fingerprint}, found {found or 'none'}"
        )


def scan_settings(candidates: int) -> dict[str, int | str]:
    """Settings of pgvector, ``hnsw.*``: an index scan goes on until it has found all candidates."""
    return {
        "ef_search": min(candidates, _MAX_EF_SEARCH),
        "iterative_scan": "relaxed_order",
        "max_scan_tuples": _MAX_SCAN_TUPLES,
        "scan_mem_multiplier": _MAX_SCAN_MEM_MULTIPLIER,
    }
