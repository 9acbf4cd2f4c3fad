"""The whole schema, over nothing or over any earlier revision."""

from __future__ import annotations

from alembic import op

from bitryoshka.schema_scripts import check_statement, creation_statement, removal_statement

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create tables and functions, or bring them to this revision."""
    op.execute(creation_statement())
    op.execute(check_statement())


def downgrade() -> None:
    """Drop them; refused while a codec is attached to a column or an index depends on one."""
    op.execute(check_statement())
    op.execute(removal_statement())
