"""Codes in Postgres with pgvector: tables, bulk load, indexes, search; codecs in the database.

Every function takes an open psycopg 3 connection that the caller owns. Codes live in one of three
places:

* `create_table`, `load`, `search`: a new table of keys and codes, when Python writes every row.
* `attach`, `search_column`: a further column of a table in use, or a narrow table beside it, when
  the database itself is to keep its codes true, whoever writes the vectors.
* `adopt`, `search_column`: a column of codes that somebody fills already, when the catalogue is
  only to be told whose codes they are.
"""

from bitryoshka.errors import MissingExtraError

try:
    import pgvector  # noqa: F401
    import psycopg  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.postgres", "postgres") from error

from bitryoshka.postgres.adoption import adopt
from bitryoshka.postgres.attached_column import Counts
from bitryoshka.postgres.attachment import Attached, attach, attach_statements
from bitryoshka.postgres.bulk import load
from bitryoshka.postgres.codecs import Codec, drop_codec, export, list_codecs, register
from bitryoshka.postgres.column_search import search_column, search_column_async
from bitryoshka.postgres.detachment import detach
from bitryoshka.postgres.installation import install, uninstall
from bitryoshka.postgres.repairing import repair
from bitryoshka.postgres.search_text import search_statement
from bitryoshka.postgres.server import connect, embedded_server, prepare_database
from bitryoshka.postgres.switching import switch
from bitryoshka.postgres.table import CodeTable, create_index, create_table, open_table
from bitryoshka.postgres.table_search import search, search_async
from bitryoshka.postgres.vectors_aside import (
    VectorsAside,
    drop_vectors,
    set_vectors_aside,
    weigh_vectors,
)
from bitryoshka.postgres.verification import Status, Verification, status, verify
from bitryoshka.search_result import SearchResult

__all__ = [
    "Attached",
    "CodeTable",
    "Codec",
    "Counts",
    "SearchResult",
    "Status",
    "VectorsAside",
    "Verification",
    "adopt",
    "attach",
    "attach_statements",
    "connect",
    "create_index",
    "create_table",
    "detach",
    "drop_codec",
    "drop_vectors",
    "embedded_server",
    "export",
    "install",
    "list_codecs",
    "load",
    "open_table",
    "prepare_database",
    "register",
    "repair",
    "search",
    "search_async",
    "search_column",
    "search_column_async",
    "search_statement",
    "set_vectors_aside",
    "status",
    "switch",
    "uninstall",
    "verify",
    "weigh_vectors",
]
