"""Codes as a column type of SQLAlchemy, and searches over them as plain Selects."""

from bitryoshka.errors import MissingExtraError

try:
    import sqlalchemy  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.sqlalchemy", "sqlalchemy") from error

from bitryoshka.sqlalchemy.code import Code, reflect_codes
from bitryoshka.sqlalchemy.funnel import funnel, prefix_index

__all__ = ["Code", "funnel", "prefix_index", "reflect_codes"]
