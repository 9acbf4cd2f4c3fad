"""Schema bitryoshka as SQL for any driver: single statements that do nothing where all is done."""

from __future__ import annotations

import re

from bitryoshka.errors import DatabaseError
from bitryoshka.sql_files import read_install, read_sql

REVISION = "0005"
# what these made, the newest makes too; a database that has one of them is brought on from there
SUPERSEDED = ("0001", "0002", "0003", "0004")

# in this order, over nothing or over an earlier revision
FILES = (
    "pgvector",
    "codecs",
    "additive",
    "columns",
    "guards",
    "titles",
    "find_codec",
    "codec_arrays",
    "additive_arrays",
    "additive_body",
    "progressive_encode",
    "additive_encode",
    "encode",
    "encode_query",
    "query_planes",
    "asymmetric_score",
    "begin_codec",
    "write_gram",
    "encoders",
    "query_functions",
    "search_statement",
    "search",
    "column_functions",
    "code_columns",
    "drop_codec",
    "supersede",
    "grants",
)


RENEWAL = "\nSELECT bitryoshka.renew_functions();"


def upgrade_statements(revision: str = "head") -> list[str]:
    """Statements that bring the schema to the newest revision, from nothing or an earlier one.

    ``revision``: "head", or the name of a revision, for which the newest stands in where a later
    one has replaced it. Raises DatabaseError for a name that is none.
    """
    known = (*SUPERSEDED, REVISION)
    if revision not in ("head", *known):
        raise DatabaseError(
            f"there is no revision {revision!r}: expected head or one of {[*known]}"
        )
    return [
        *begin_statements(),
        read_sql("begin_version"),
        filled(
            "upgrade_step",
            revision=quoted(REVISION),
            script=creation() + RENEWAL,
            pgvector="{pgvector}",
        ),
        # once more: somebody could create something until CREATE was revoked
        check_statement(),
    ]


def begin_statements() -> list[str]:
    """Statements that create the schema, empty, and make sure of whose it is."""
    return [
        read_sql("begin_upgrade"),
        read_sql("create_pgvector"),
        check_statement(),
    ]


def check_statement() -> str:
    """One statement that revokes CREATE on the schema and fails where it holds what is foreign."""
    return filled("check_owner", foreign=read_sql("foreign_objects"))


def downgrade_statements() -> list[str]:
    """Statements that remove the schema; an error where a column uses a codec."""
    return [
        read_sql("begin_downgrade"),
        check_statement(),
        removal_statement(),
        read_sql("drop_schema"),
    ]


def creation() -> str:
    """All files of the schema, to be run under a safe search_path with {pgvector} filled in."""
    return "\n".join(read_install(name).rstrip(";") + ";" for name in FILES)


def creation_statement(renewed: bool = True) -> str:
    """`creation` as one statement that can be run anywhere.

    ``renewed``: functions of attached columns are made again too, which an extension cannot do.
    """
    return _run(creation() + (RENEWAL if renewed else ""))


def removal_statement() -> str:
    """One statement that drops everything in the schema but the version table."""
    return _run(read_install("drop_all"))


def _run(script: str) -> str:
    return filled("run_script", script=script, pgvector="{pgvector}")


def filled(name: str, /, **parts: str) -> str:
    """The statement of that name with its braces replaced by SQL."""
    return re.sub(r"\{(\w+)\}", lambda found: parts[found[1]], read_sql(name))


def quoted(value: str) -> str:
    """A literal, whatever standard_conforming_strings says."""
    text = value.replace("'", "''")
    return "E'" + text.replace("\\", "\\\\") + "'" if "\\" in text else f"'{text}'"


def identifier(*names: str | None) -> str:
    """A quoted name, with its schema unless that is None."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names if name is not None)
