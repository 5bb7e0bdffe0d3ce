"""The first store: attempts, counts, offsets and what was skipped."""

import sqlalchemy as sql
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the four tables."""
    op.create_table(
        "attempts",
        sql.Column("id", sql.BigInteger, primary_key=True, autoincrement=False),
        *(sql.Column(name, sql.Text, nullable=False) for name in ("loop", "account")),
        sql.Column("at", sql.BigInteger, nullable=False),
        sql.Column("failed", sql.SmallInteger, nullable=False),
        *(sql.Column(name, sql.Text, nullable=False) for name in ("state", "type", "delivery", "event", "profile")),
        *(sql.Column(name, sql.Text) for name in ("recipient", "message")),
        sql.Column("attempt", sql.Integer, nullable=False),
        sql.Column("url", sql.Text, nullable=False),
        sql.Column("status", sql.Integer),
        *(sql.Column(name, sql.Text) for name in ("error", "response")),
        *(sql.Column(name, sql.Float, nullable=False) for name in ("dns", "connect", "tls", "first_byte", "total")),
        sql.Column("next_attempt", sql.BigInteger),
        sql.Column("replay", sql.Text),
    )
    op.create_index("attempts_of_loop", "attempts", ["loop", "failed", "at", "id"])
    op.create_index("attempts_by_age", "attempts", ["failed", "at", "id"])
    op.create_table(
        "counts",
        sql.Column("loop", sql.Text, nullable=False),
        sql.Column("span", sql.SmallInteger, nullable=False),
        sql.Column("slot", sql.BigInteger, nullable=False),
        *(sql.Column(name, sql.Text, nullable=False) for name in ("state", "type", "account")),
        *(sql.Column(f"b{number:02}", sql.Integer, nullable=False) for number in range(64)),
        sql.PrimaryKeyConstraint("loop", "account", "span", "slot", "state", "type"),
        sqlite_with_rowid=False,
    )
    op.create_index("counts_by_age", "counts", ["span", "slot"])
    op.create_table(
        "offsets",
        sql.Column("topic", sql.Text, nullable=False),
        sql.Column("partition", sql.Integer, nullable=False),
        sql.Column("next", sql.BigInteger, nullable=False),
        sql.PrimaryKeyConstraint("topic", "partition"),
    )
    op.create_table(
        "skipped",
        sql.Column("id", sql.BigInteger, primary_key=True, autoincrement=False),
        sql.Column("reason", sql.Text, nullable=False),
    )


def downgrade() -> None:
    """The store is rebuilt from the topic: whoever goes back makes a new one."""
    raise NotImplementedError("delete the store: it is rebuilt from the topic")
