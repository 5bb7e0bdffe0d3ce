"""An attempt of a batch has its events."""

import sqlalchemy as sql
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A column, and an index of the rows that have it."""
    op.add_column("attempts", sql.Column("batch", sql.Text))
    some = sql.text("batch IS NOT NULL")
    op.create_index("attempts_of_batches", "attempts", ["account", "at"], sqlite_where=some, postgresql_where=some)


def downgrade() -> None:
    """The store is rebuilt from the topics: whoever goes back makes a new one."""
    raise NotImplementedError("delete the store: it is rebuilt from the topics")
