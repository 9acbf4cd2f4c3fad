"""Columns of codes, and the search over them."""

from __future__ import annotations

from alembic import op

from bitryoshka.sql_files import read_sql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FILES = (
    "install/path",
    "install/columns",
    "install/search_statement",
    "install/search",
    "install/column_functions",
    "install/code_columns",
    "install/drop_codec",
)
DROP_FILES = ("install/path", "install/refuse_attached", "install/drop_columns")


def upgrade() -> None:
    """Create the catalogue of columns and the search function."""
    for name in FILES:
        op.execute(read_sql(name).rstrip(";"))


def downgrade() -> None:
    """Drop both; refused while a codec is attached to a column."""
    for name in DROP_FILES:
        op.execute(read_sql(name).rstrip(";"))
