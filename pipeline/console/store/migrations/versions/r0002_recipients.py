"""Attempts are found by profile, recipient and message, over all loops of an account."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """An index for each."""
    for name in ("profile", "recipient", "message"):
        op.create_index(f"attempts_of_{name}", "attempts", ["account", name, "at"])


def downgrade() -> None:
    """The store is rebuilt from the topic: whoever goes back makes a new one."""
    raise NotImplementedError("delete the store: it is rebuilt from the topic")
