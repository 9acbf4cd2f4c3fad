"""Codes as a column type of SQLAlchemy, and searches over them as plain Selects."""

from bitryoshka.errors import MissingExtraError

try:
    import sqlalchemy  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.sqlalchemy", "sqlalchemy") from error

from bitryoshka.sqlalchemy.checking import check_codecs
from bitryoshka.sqlalchemy.code import Code, reflect_codes
from bitryoshka.sqlalchemy.declaring import leave_to_trigger
from bitryoshka.sqlalchemy.filling import fill_codes
from bitryoshka.sqlalchemy.searching import funnel, prefix_index

__all__ = [
    "Code",
    "check_codecs",
    "fill_codes",
    "funnel",
    "leave_to_trigger",
    "prefix_index",
    "reflect_codes",
]
