"""Codes of documents, and their index; as autogenerate wrote it."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    """Add the column with its trigger, fill it, and build the index."""
    op.add_code_column("documents", "embedding", "documents@1", "code_1")
    op.create_code_index("documents_code_1", "documents", "code_1", prefix_bits=128)


def downgrade():
    """Take both away."""
    op.drop_code_index("documents_code_1", "documents")
    op.drop_code_column("documents", "code_1")
