"""Schema bitryoshka, and in it the first codec."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    """Write the binarizer into the database."""
    op.install_bitryoshka()
    op.register_codec("documents", "documents_1.safetensors", version=1)


def downgrade():
    """Forget it, and remove the schema."""
    op.drop_codec("documents@1")
    op.uninstall_bitryoshka()
