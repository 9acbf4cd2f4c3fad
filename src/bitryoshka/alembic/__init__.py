"""Alembic: operations for codecs, code columns and their indexes, and what autogenerate sees.

Importing it registers the operations; with Alembic 1.18 or later that happens by itself. Example of
a migration::

    def upgrade():
        op.install_bitryoshka()
        op.register_codec("docs", "docs.safetensors", version=1)
        op.add_code_column("docs", "embedding", "docs@1")
        op.create_code_index("docs_code", "docs", "code", prefix_bits=64)
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
from bitryoshka.alembic.trigger_operations import ReleaseCodeColumnOp, RestoreCodeColumnOp

__all__ = [
    "AddCodeColumnOp",
    "CreateCodeIndexOp",
    "DropCodeColumnOp",
    "DropCodeIndexOp",
    "DropCodecOp",
    "InstallBitryoshkaOp",
    "RegisterCodecOp",
    "ReleaseCodeColumnOp",
    "RestoreCodeColumnOp",
    "UninstallBitryoshkaOp",
    "setup",
]
