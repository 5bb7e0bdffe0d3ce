"""The recorder reads `attempts` and `deliveries-dead` into the store, on a thread of its own.

It begins where the store says it is.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from pipeline import metrics
from pipeline.console.store import retention
from pipeline.console.store.batch import Batch, Partitions, batch_of, refused
from pipeline.console.store.dead import bury
from pipeline.console.store.letters import letters_of, without_rows
from pipeline.console.store.retention import Limits
from pipeline.console.store.trouble import reason
from pipeline.console.store.write import OtherTopicError, OvertakenError, empty, positions, record
from pipeline.kafka.refusal import check_passing, is_nobodys
from pipeline.kafka.seam import Consumer, Kafka, Message
from pipeline.topics import ATTEMPTS, DELIVERIES_DEAD

log = logging.getLogger(__name__)

AT_ONCE = 500
GATHER_SECONDS = 0.2  # a batch waits so long to become a large one; so long is an attempt unseen
AGAIN_SECONDS = 1.0
SWEEP_SECONDS = 60.0
GROWN_SECONDS = 60.0  # so long may partitions that were added to the topic go unread
STOP_SECONDS = 2.0
# A few batches of ordinary attempts; by librdkafka's defaults a console that catches up would hold 100 MB of them.
TOPICS = (ATTEMPTS, DELIVERIES_DEAD)
READ_AHEAD = {"queued.max.messages.kbytes": 8192, "max.partition.fetch.bytes": 262_144, "fetch.max.bytes": 2_000_000}
GROUP = "loopwire-record"  # has no members and commits nothing: the offsets are the store's
OF_THE_DATA = (DataError, IntegrityError, ValueError, OverflowError)  # what a record can be at fault for

RECORDED = metrics.counter("loopwire_console_attempts", "attempts read into the store, or skipped", "result")
RECORDING = metrics.gauge("loopwire_console_recording", "1 where this console reads attempts into the store")


class MovedBackError(Exception):
    """A topic has older offsets than were read: it is another one under the same name."""


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
        self._position: dict[str, Partitions] = {}
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
        counts = self._kafka.partitions(TOPICS)
        self._position = self._positions(connection, counts)
        ends = self._kafka.ends([(topic, number) for topic, count in counts.items() for number in range(count)])
        for topic, position in self._position.items():
            if any(ends[topic, number] < offset for number, offset in position.items()):
                log.warning("recorder: %s was made anew, so is the store", self._kafka.full(topic))
                with connection.begin():
                    empty(connection)
                self._position = self._positions(connection, counts)
                break
        return [
            TopicPartition(self._kafka.full(topic), number, offset)
            for topic, position in self._position.items()
            for number, offset in position.items()
        ]

    def _positions(self, connection: Connection, counts: Mapping[str, int]) -> dict[str, Partitions]:
        names = {topic: self._kafka.full(topic) for topic in TOPICS}
        with connection.begin():
            return {topic: positions(connection, full, counts[topic], names.values()) for topic, full in names.items()}

    def _follow(self, reader: Consumer, connection: Connection) -> None:
        sweep: Iterator[int] | None = None
        sweep_at = time.monotonic()
        grown_at = sweep_at + GROWN_SECONDS
        while not self._stopping.is_set():
            if time.monotonic() >= grown_at:
                grown_at = time.monotonic() + GROWN_SECONDS
                counts = self._kafka.partitions(TOPICS)
                if grown := [topic for topic in TOPICS if counts[topic] > len(self._position[topic])]:
                    log.info("recorder: %s has more partitions now", self._kafka.full(grown[0]))
                    reader.assign(self._places(connection))
            messages = self._readable(reader.consume(self._pace.at_once, self._pace.gather))
            for topic, of_it in self._by_topic(messages).items():
                self._write(connection, topic, of_it)
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
                continue
            check_passing(error, message.topic())
            if error.code() != KafkaError._PARTITION_EOF and not is_nobodys(error):  # noqa: SLF001
                log.warning("recorder: kafka: %s", error.str())
        return found

    def _by_topic(self, messages: Iterable[Message]) -> dict[str, list[Message]]:
        found: dict[str, list[Message]] = {}
        for message in messages:
            topic = self._kafka.bare(message.topic() or "")
            if (message.offset() or 0) < self._position[topic][message.partition() or 0]:
                raise MovedBackError(f"{message.topic()} has older offsets than were read")
            found.setdefault(topic, []).append(message)
        return found

    def _write(self, connection: Connection, topic: str, messages: list[Message]) -> None:
        """Writes them, but for those that the database refuses: a half of them at a time, these are found."""
        commit = self._commit_letters if topic == DELIVERIES_DEAD else self._commit_attempts
        try:
            commit(connection, messages, None)
        except OF_THE_DATA as wrong:
            if len(messages) > 1:
                half = len(messages) // 2
                self._write(connection, topic, messages[:half])
                self._write(connection, topic, messages[half:])
            else:
                commit(connection, messages, reason(wrong))

    def _commit_attempts(self, connection: Connection, messages: list[Message], wrong: str | None) -> None:
        position = self._position[ATTEMPTS]
        if wrong is None:
            batch = batch_of(messages, position, self._limits.loop_successes)
        else:
            batch = refused(messages, position, wrong)
        with connection.begin():
            record(connection, self._kafka.full(ATTEMPTS), batch)
            self._make_room(connection, batch)
        position.update(batch.then)
        RECORDED.labels("recorded").inc(batch.read - len(batch.skipped))
        RECORDED.labels("skipped").inc(len(batch.skipped))
        for one in batch.skipped:
            log.debug("recorder: skipped %d: %s", one.id, one.reason)

    def _commit_letters(self, connection: Connection, messages: list[Message], wrong: str | None) -> None:
        position = self._position[DELIVERIES_DEAD]
        letters = letters_of(messages, position)
        if wrong is not None:
            log.error("recorder: a dead letter can't be shown: %s: %s", messages[0].key(), wrong)
            letters = without_rows(letters)
        with connection.begin():
            bury(connection, self._kafka.full(DELIVERIES_DEAD), letters)
        position.update(letters.then)

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
