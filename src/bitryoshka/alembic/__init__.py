"""Alembic: operations for codecs, code columns and their indexes, and what autogenerate sees.

Importing it registers the operations; with Alembic 1.18 or later that happens by itself.
"""

from bitryoshka.errors import MissingExtraError

try:
    import alembic  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.alembic", "alembic") from error

from bitryoshka.alembic.codec_operations import DropCodecOp, RegisterCodecOp
from bitryoshka.alembic.column_operations import AddCodeColumnOp, DropCodeColumnOp
from bitryoshka.alembic.index_operations import CreateCodeIndexOp, DropCodeIndexOp
from bitryoshka.alembic.plugin import setup
from bitryoshka.alembic.schema_operations import InstallBitryoshkaOp, UninstallBitryoshkaOp

__all__ = [
    "AddCodeColumnOp",
    "CreateCodeIndexOp",
    "DropCodeColumnOp",
    "DropCodeIndexOp",
    "DropCodecOp",
    "InstallBitryoshkaOp",
    "RegisterCodecOp",
    "UninstallBitryoshkaOp",
    "setup",
]
