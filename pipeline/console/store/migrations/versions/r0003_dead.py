"""The dead letters have a table."""

import sqlalchemy as sql
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """It is filled from its topic's beginning, as the offsets say of a topic that was not read yet."""
    op.create_table(
        "dead",
        *(sql.Column(name, sql.Text, nullable=False) for name in ("loop", "delivery")),
        sql.Column("id", sql.BigInteger, nullable=False),
        sql.Column("account", sql.Text),
        sql.Column("at", sql.BigInteger, nullable=False),
        sql.Column("reason", sql.Text, nullable=False),
        *(sql.Column(name, sql.Text) for name in ("type", "event", "profile", "recipient", "message")),
        sql.Column("attempts", sql.Integer, nullable=False),
        sql.Column("status", sql.Integer),
        sql.Column("value", sql.Text, nullable=False),
        sql.PrimaryKeyConstraint("loop", "delivery"),
    )
    op.create_index("dead_of_loop", "dead", ["loop", "at", "id"])
    op.create_index("dead_by_age", "dead", ["at"])


def downgrade() -> None:
    """The store is rebuilt from the topics: whoever goes back makes a new one."""
    raise NotImplementedError("delete the store: it is rebuilt from the topics")
