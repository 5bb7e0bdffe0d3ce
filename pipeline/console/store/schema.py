"""The tables, for SQLite and PostgreSQL alike; times are whole numbers, so that both compare them exactly."""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from pipeline.console.store.latency import BUCKETS

REVISION = "0004"  # of migrations/versions, the newest: what the code below expects
METADATA = MetaData()
BUCKET_NAMES = [f"b{number:02}" for number in range(BUCKETS)]

# One row for each POST that is kept. `id` is the record's offset * 4096 + its partition: in the order of a loop's
# records, and the same after a rebuild. Times are microseconds since 1970.
ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("loop", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("failed", SmallInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("delivery", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("profile", Text, nullable=False),
    Column("recipient", Text),
    Column("message", Text),
    Column("attempt", Integer, nullable=False),
    Column("url", Text, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("response", Text),
    Column("dns", Float, nullable=False),
    Column("connect", Float, nullable=False),
    Column("tls", Float, nullable=False),
    Column("first_byte", Float, nullable=False),
    Column("total", Float, nullable=False),
    Column("next_attempt", BigInteger),
    Column("replay", Text),
    Column("batch", Text),  # the events of one, as JSON
    Index("attempts_of_loop", "loop", "failed", "at", "id"),
    Index("attempts_by_age", "failed", "at", "id"),
    Index("attempts_of_profile", "account", "profile", "at"),
    Index("attempts_of_recipient", "account", "recipient", "at"),
    Index("attempts_of_message", "account", "message", "at"),
    Index(
        "attempts_of_batches",
        "account",
        "at",
        sqlite_where=text("batch IS NOT NULL"),
        postgresql_where=text("batch IS NOT NULL"),
    ),
)

# How many POSTs of a loop there were in each minute (span 1) and each hour (span 60). `slot` is its beginning in
# minutes since 1970; the buckets count latencies.
COUNTS = Table(
    "counts",
    METADATA,
    Column("loop", Text, nullable=False),
    Column("span", SmallInteger, nullable=False),
    Column("slot", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("account", Text, nullable=False),
    *(Column(name, Integer, nullable=False) for name in BUCKET_NAMES),
    PrimaryKeyConstraint("loop", "account", "span", "slot", "state", "type"),
    Index("counts_by_age", "span", "slot"),
    sqlite_with_rowid=False,
)

# The dead letters, each as its record has it; a tombstone takes its row out. `id` is made as in `attempts`. A record
# that can't be read has no account and no value: only what its key and its headers say.
DEAD = Table(
    "dead",
    METADATA,
    Column("loop", Text, nullable=False),
    Column("delivery", Text, nullable=False),
    Column("id", BigInteger, nullable=False),
    Column("account", Text),
    Column("at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("type", Text),
    Column("event", Text),
    Column("profile", Text),
    Column("recipient", Text),
    Column("message", Text),
    Column("attempts", Integer, nullable=False),
    Column("status", Integer),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("loop", "delivery"),
    Index("dead_of_loop", "loop", "at", "id"),
    Index("dead_by_age", "at"),
)

# The offset of the next record of each partition: written in the transaction of the rows, so each counts once.
OFFSETS = Table(
    "offsets",
    METADATA,
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("next", BigInteger, nullable=False),
    PrimaryKeyConstraint("topic", "partition"),
)

# Records that are no attempts, and why; the newest of them.
SKIPPED = Table(
    "skipped",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
)
