"""What tests of the store share: attempts as deliver writes them, and a store that is filled with them."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import URL, Connection

from pipeline.console.store import read
from pipeline.console.store.batch import Partitions, batch_of
from pipeline.console.store.database import Database
from pipeline.console.store.read import Whose, Wish
from pipeline.console.store.retention import Limits, bites, horizon
from pipeline.console.store.stats import stretch
from pipeline.console.store.told import microseconds
from pipeline.console.store.write import positions, record
from pipeline.kafka.memory import Memory, Message
from pipeline.kafka.murmur2 import partition_of
from tests.examples import example

TOPIC = "attempts"
NOW = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
MINE = Whose("shop", "lp_a")
PARTITIONS = 3


def attempt(at: datetime, *, ms: float = 80.0, **more: Any) -> bytes:
    """The example's attempt, delivered at that time unless told otherwise."""
    known = example("attempt.v1", "delivered") | {"loop": "lp_a", "at": at.isoformat()}
    return msgspec.json.encode(known | {"timings": {"total": ms}} | more)


def failed(at: datetime, **more: Any) -> bytes:
    """One that failed."""
    known: dict[str, Any] = {"outcome": "again", "status": 500, "error": "answered 500"}
    return attempt(at, **known | more)


class Topic:
    """Records as they lie in partitions."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._next: Partitions = {}

    def put(self, *values: bytes) -> None:
        for value in values:
            try:
                key = str(msgspec.json.decode(value)["loop"]).encode()
            except (msgspec.MsgspecError, KeyError, TypeError):
                key = b""
            partition = partition_of(key, PARTITIONS)
            offset = self._next.get(partition, 0)
            self._next[partition] = offset + 1
            self.messages.append(Message(TOPIC, partition, offset, key, value, None))

    def into(self, memory: Memory) -> None:
        """The same records in a Kafka in memory."""
        for message in self.messages:
            memory.producer().produce(TOPIC, message.value(), message.key(), message.partition())


def fill(connection: Connection, messages: Sequence[Message], limits: Limits, at_once: int) -> None:
    """Records them, so many at once, and takes out what is over after each batch."""
    with connection.begin():
        position = positions(connection, TOPIC, PARTITIONS)
    for first in range(0, len(messages), at_once):
        batch = batch_of(messages[first : first + at_once], position, limits.loop_successes)
        with connection.begin():
            record(connection, TOPIC, batch)
        position.update(batch.then)
        prune(connection, limits)


def prune(connection: Connection, limits: Limits, now: datetime = NOW) -> int:
    """Until nothing is over; how many rows that were."""
    taken = 0
    for rows in bites(connection, microseconds(now), limits):
        taken += rows
        connection.commit()
    connection.commit()
    return taken


@contextmanager
def store(url: URL) -> Iterator[Connection]:
    """A store of this address, as the recorder has it."""
    database = Database(url)
    try:
        with database.recording() as connection:
            assert connection is not None
            yield connection
    finally:
        database.close()


def pages(connection: Connection, whose: Whose, wish: Wish, now: datetime = NOW) -> list[Any]:
    """All rows, page by page."""
    edge, rows = horizon(microseconds(now), Limits()), []
    while True:
        page = read.attempts(connection, whose, wish, edge)
        rows += page.rows
        if page.then is None:
            connection.rollback()
            return rows
        wish = wish._replace(after=page.then)


def answers(connection: Connection, loops: Iterable[Whose], now: datetime = NOW) -> list[Any]:
    """All that the store says of the loops: rows, and counts by minute and by hour."""
    edge, found = horizon(microseconds(now), Limits()), list[Any]()
    minute = microseconds(now) // 60_000_000
    for whose in loops:
        found.append([tuple(row) for row in pages(connection, whose, Wish(limit=7), now)])
        for step, days in ((5, 1), (60, 20)):
            asked = stretch(minute - days * 1440, minute, step, edge.minutes)
            found.append(sorted(read.counts(connection, whose, asked, edge)))
    connection.rollback()
    return found


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)
