"""The recorder reads the topic `attempts` into the store, on a thread of its own, from where the store says it is."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from pipeline import metrics
from pipeline.console.store import retention
from pipeline.console.store.batch import Batch, Partitions, batch_of, refused
from pipeline.console.store.retention import Limits
from pipeline.console.store.trouble import reason
from pipeline.console.store.write import OtherTopicError, OvertakenError, empty, positions, record
from pipeline.kafka.seam import Consumer, Kafka, Message
from pipeline.topics import ATTEMPTS

log = logging.getLogger(__name__)

AT_ONCE = 500
GATHER_SECONDS = 0.2  # a batch waits so long to become a large one; so long is an attempt unseen
AGAIN_SECONDS = 1.0
SWEEP_SECONDS = 60.0
GROWN_SECONDS = 60.0  # so long may partitions that were added to the topic go unread
STOP_SECONDS = 2.0
# A few batches of ordinary attempts; by librdkafka's defaults a console that catches up would hold 100 MB of them.
READ_AHEAD = {"queued.max.messages.kbytes": 8192, "max.partition.fetch.bytes": 262_144, "fetch.max.bytes": 2_000_000}
GROUP = "loopwire-record"  # has no members and commits nothing: the offsets are the store's
OF_THE_DATA = (DataError, IntegrityError, ValueError, OverflowError)  # what a record can be at fault for

RECORDED = metrics.counter("loopwire_console_attempts", "attempts read into the store, or skipped", "result")
RECORDING = metrics.gauge("loopwire_console_recording", "1 where this console reads attempts into the store")


class MovedBackError(Exception):
    """The topic has older offsets than were read: it is another one under the same name."""


class Database(Protocol):
    """Where the store is: `shown` is its address for a log."""

    @property
    def shown(self) -> str: ...

    def recording(self) -> AbstractContextManager[Connection | None]:
        """The connection that may record; None where another console has it."""
        ...


class Pace(NamedTuple):
    """How many records make a batch, and how many seconds one waits to become so large."""

    at_once: int = AT_ONCE
    gather: float = GATHER_SECONDS


class Recorder:
    """Whatever happens to database or Kafka, it begins again where the store's offsets are: nothing is lost or doubled.

    Each kind of trouble is one line in the log, until it is over. `now` is the time in microseconds since 1970.
    """

    def __init__(
        self,
        kafka: Kafka,
        database: Database,
        now: Callable[[], int],
        limits: Limits | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._kafka = kafka
        self._database = database
        self._now = now
        self._limits = limits or Limits()
        self._pace = pace or Pace()
        self._topic = kafka.full(ATTEMPTS)
        self._position: Partitions = {}
        self._new: Counter[tuple[str, int]] = Counter()
        self._said: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Begins to record."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the batch at hand; what hangs longer than 2 s is left to the store's offsets."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._while_it_lasts()
            except (SQLAlchemyError, OtherTopicError, OvertakenError, MovedBackError, OSError) as failed:
                self._say(f"{self._database.shown}: {reason(failed)}")
            except KafkaException as failed:
                self._say(f"kafka: {failed.args[0].str()}")
            except Exception as fault:  # noqa: BLE001 (the API goes on, whatever is wrong here)
                self._say(f"a fault of ours: {fault!r}", fault)
            RECORDING.set(0)
            self._stopping.wait(AGAIN_SECONDS)

    def _while_it_lasts(self) -> None:
        with self._database.recording() as connection:
            if connection is None:
                log.debug("another console records into %s", self._database.shown)
                return
            reader = self._kafka.consumer(GROUP, **READ_AHEAD)
            try:
                reader.assign(self._places(connection))
                RECORDING.set(1)
                self._follow(reader, connection)
            finally:
                reader.close()

    def _places(self, connection: Connection) -> list[TopicPartition]:
        """Where reading goes on. A topic that ends before that is a new one: then all begins anew.

        The ends are asked for last: what another console recorded meanwhile must not look like a topic that shrank.
        """
        count = self._kafka.partitions([ATTEMPTS])[ATTEMPTS]
        with connection.begin():
            self._position = positions(connection, self._topic, count)
        ends = self._kafka.ends([(ATTEMPTS, number) for number in range(count)])
        if any(ends[ATTEMPTS, number] < offset for number, offset in self._position.items()):
            log.warning("recorder: %s was made anew, so is the store", self._topic)
            with connection.begin():
                empty(connection)
                self._position = positions(connection, self._topic, count)
        return [TopicPartition(self._topic, number, offset) for number, offset in self._position.items()]

    def _follow(self, reader: Consumer, connection: Connection) -> None:
        sweep: Iterator[int] | None = None
        sweep_at = time.monotonic()
        grown_at = sweep_at + GROWN_SECONDS
        while not self._stopping.is_set():
            if time.monotonic() >= grown_at:
                grown_at = time.monotonic() + GROWN_SECONDS
                if self._kafka.partitions([ATTEMPTS])[ATTEMPTS] > len(self._position):
                    log.info("recorder: %s has more partitions now", self._topic)
                    reader.assign(self._places(connection))
            messages = self._readable(reader.consume(self._pace.at_once, self._pace.gather))
            if messages:
                self._write(connection, messages)
            if self._said:
                log.warning("recorder: it records again")
                self._said = None
            if sweep is None and time.monotonic() >= sweep_at:
                sweep = retention.bites(connection, self._now(), self._limits)
            if sweep is not None and next(sweep, None) is None:
                sweep, sweep_at = None, time.monotonic() + SWEEP_SECONDS
            if connection.in_transaction():
                connection.commit()

    def _readable(self, messages: Sequence[Message]) -> list[Message]:
        found = []
        for message in messages:
            error = message.error()
            if error is None:
                found.append(message)
            elif error.fatal():
                raise KafkaException(error)
            elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                log.warning("recorder: kafka: %s", error.str())
        for message in found:
            if (message.offset() or 0) < self._position[message.partition() or 0]:
                raise MovedBackError(f"{self._topic} has older offsets than were read")
        return found

    def _write(self, connection: Connection, messages: list[Message]) -> None:
        """Writes them, but for those that the database refuses: a half of them at a time, these are found."""
        batch = batch_of(messages, self._position, self._limits.loop_successes)
        try:
            self._commit(connection, batch)
        except OF_THE_DATA as wrong:
            if len(messages) > 1:
                half = len(messages) // 2
                self._write(connection, messages[:half])
                self._write(connection, messages[half:])
            else:
                self._commit(connection, refused(messages, self._position, reason(wrong)))

    def _commit(self, connection: Connection, batch: Batch) -> None:
        with connection.begin():
            record(connection, self._topic, batch)
            self._make_room(connection, batch)
        self._position.update(batch.then)
        RECORDED.labels("recorded").inc(batch.read - len(batch.skipped))
        RECORDED.labels("skipped").inc(len(batch.skipped))
        for one in batch.skipped:
            log.debug("recorder: skipped %d: %s", one.id, one.reason)

    def _make_room(self, connection: Connection, batch: Batch) -> None:
        """A loop that got many rows since the last time gives its oldest, before they become many more."""
        self._new.update((row["loop"], row["failed"]) for row in batch.attempts)
        for loop, failed in {(row["loop"], row["failed"]) for row in batch.attempts}:
            if self._new[loop, failed] >= max(self._limits.of_loop(failed) // 2, 1):
                retention.of_loop(connection, loop, failed, self._limits)
                del self._new[loop, failed]

    def _say(self, cause: str, fault: Exception | None = None) -> None:
        if cause != self._said:
            log.error("recorder: %s; it is tried again", cause, exc_info=fault)
        self._said = cause
