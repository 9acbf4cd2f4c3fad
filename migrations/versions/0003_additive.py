"""Additive codecs, whose bits are searched for."""

from __future__ import annotations

from alembic import op

from bitryoshka.sql_files import read_sql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FILES = (
    "install/path",
    "install/additive",
    "install/additive_arrays",
    "install/additive_body",
    "install/keep_progressive",
    "install/additive_encode",
    "install/additive_encoders",
)
DROP_FILES = ("install/path", "install/drop_additive")


def upgrade() -> None:
    """Create their tables, and let the functions that encode take them."""
    for name in FILES:
        op.execute(read_sql(name).rstrip(";"))


def downgrade() -> None:
    """Forget them; refused while one is attached to a column."""
    for name in DROP_FILES:
        op.execute(read_sql(name).rstrip(";"))
