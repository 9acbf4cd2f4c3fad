"""Codecs and the functions that encode by them."""

from __future__ import annotations

from alembic import op

from bitryoshka.sql_files import read_sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FILES = (
    "create_pgvector",
    "install/path",
    "install/codecs",
    "install/find_codec",
    "install/encode",
    "install/codec_arrays",
    "install/encode_query",
    "install/query_planes",
    "install/asymmetric_score",
    "install/create_encoder",
    "install/begin_codec",
    "install/grants",
)
DROP_FILES = ("install/path", "install/drop_codecs")


def upgrade() -> None:
    """Create tables and functions."""
    for name in FILES:
        op.execute(read_sql(name).rstrip(";"))


def downgrade() -> None:
    """Drop them; refused while an index or a column depends on one."""
    for name in DROP_FILES:
        op.execute(read_sql(name).rstrip(";"))
