"""The recorder on both databases: whatever breaks under it, each attempt counts once, and the log says it once."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql
from confluent_kafka import KafkaError, KafkaException
from sqlalchemy import URL, Connection

from pipeline.console import recorder as module
from pipeline.console.recorder import Pace, Recorder
from pipeline.console.store.batch import Batch
from pipeline.console.store.database import Database
from pipeline.console.store.read import Wish
from pipeline.console.store.schema import ATTEMPTS, SKIPPED
from pipeline.console.store.told import microseconds
from pipeline.console.store.write import empty, record
from pipeline.kafka.memory import Memory, MemoryConsumer
from tests.console.store.stores import MINE, NOW, PARTITIONS, TOPIC, Topic, answers, attempt, failed, minutes, pages
from tests.postgres import Postgres

PATIENCE_SECONDS = 30.0


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.05)


@contextmanager
def recording(url: URL, kafka: Memory, **more: Any) -> Iterator[Database]:
    database = Database(url)
    one = Recorder(kafka, database, lambda: microseconds(NOW), pace=Pace(50, 0.02), **more)
    one.start()
    try:
        yield database
    finally:
        one.stop()
        assert not one._thread.is_alive()
        database.close()


def ask(database: Database, question: Callable[[Connection], Any]) -> Any:
    with database._reader.connect() as connection:
        return question(connection)


def until(database: Database, question: Callable[[Connection], Any], expected: object) -> None:
    deadline, found = time.monotonic() + PATIENCE_SECONDS, None
    while time.monotonic() < deadline:
        try:
            found = ask(database, question)
        except sql.exc.DBAPIError as failed:
            found = failed
        if found == expected:
            return
        time.sleep(0.02)
    raise AssertionError(f"{found} is not {expected}")


def count(connection: Connection) -> int:
    return connection.scalar(sql.select(sql.func.count()).select_from(ATTEMPTS)) or 0


def filled(number: int = 300) -> tuple[Memory, Topic]:
    topic = Topic()
    topic.put(*((failed if one % 3 else attempt)(NOW - minutes(one), attempt=one + 1) for one in range(number)))
    memory = Memory({TOPIC: PARTITIONS, "deliveries-dead": PARTITIONS})
    topic.into(memory)
    return memory, topic


def produce(memory: Memory, *values: bytes) -> None:
    for value in values:
        memory.producer().produce(TOPIC, value, b"lp_a")


def test_what_the_topic_holds_is_recorded_and_what_comes_too(store_url: URL) -> None:
    memory, _ = filled()
    with recording(store_url, memory) as database:
        until(database, count, 300)
        produce(memory, attempt(NOW, attempt=1000))
        until(database, count, 301)
        assert ask(database, lambda one: pages(one, MINE, Wish())[0].attempt) in {1, 1000}
    with recording(store_url, memory) as database:
        produce(memory, attempt(NOW))
        until(database, count, 302)


def test_a_store_that_was_deleted_is_rebuilt_to_the_same_answers(store_url: URL) -> None:
    memory, _ = filled()
    with recording(store_url, memory) as database:
        until(database, count, 300)
        before = ask(database, lambda one: answers(one, [MINE]))
    database = Database(store_url)
    with database.recording() as connection:
        assert connection is not None
        with connection.begin():
            empty(connection)
    database.close()
    with recording(store_url, memory) as database:
        until(database, count, 300)
        assert ask(database, lambda one: answers(one, [MINE])) == before


def test_a_topic_that_was_made_anew_is_recorded_from_its_beginning(
    store_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    with recording(store_url, filled(300)[0]) as database:
        until(database, count, 300)
    with recording(store_url, filled(20)[0]) as database:
        until(database, count, 20)
    told = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert told.count("recorder: attempts was made anew, so is the store") == 1


def test_of_two_consoles_one_records_and_the_other_takes_over(store_url: URL) -> None:
    memory, _ = filled()
    with recording(store_url, memory) as second:
        with recording(store_url, memory) as first:
            until(first, count, 300)
            produce(memory, *(attempt(NOW, attempt=2000 + one) for one in range(50)))
            until(second, count, 350)
        produce(memory, attempt(NOW))
        until(second, count, 351)
        numbers = ask(second, lambda one: [row.attempt for row in pages(one, MINE, Wish())])
        assert len(numbers) == len(set(numbers)) + 1  # the last one has the number of another


def test_two_that_write_at_once_count_each_attempt_once(
    store_url: URL, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As behind a pooler of connections, where PostgreSQL's lock is nobody's: the offsets alone keep them apart."""
    monkeypatch.setattr("pipeline.console.store.database._may_record", lambda _connection: True)
    monkeypatch.setattr("fcntl.flock", lambda *_words: None)
    memory, _ = filled()
    with recording(store_url, memory) as one, recording(store_url, memory) as other:
        for number in range(40):
            produce(memory, *(attempt(NOW, attempt=1000 + number) for _ in range(5)))
        until(one, count, 500)
        found = ask(other, lambda connection: answers(connection, [MINE]))
    assert "made anew" not in caplog.text
    database = Database(store_url)
    with database.recording() as connection:
        assert connection is not None
        with connection.begin():
            empty(connection)
    database.close()
    with recording(store_url, memory) as again:
        until(again, count, 500)
        assert ask(again, lambda connection: answers(connection, [MINE])) == found


def test_a_bad_record_is_skipped_and_stays_to_be_seen(store_url: URL) -> None:
    memory, _ = filled(10)
    produce(memory, b"{", attempt(NOW), b"null", attempt(NOW))
    with recording(store_url, memory) as database:
        until(database, count, 12)
        reasons = ask(database, lambda one: [row.reason for row in one.execute(sql.select(SKIPPED))])
        assert len(reasons) == 2


def test_a_record_that_the_database_refuses_is_found_among_many(
    store_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever bound we may have missed: the rest of its batch is recorded."""
    write = record

    def refusing(connection: Connection, topic: str, batch: Batch) -> None:
        if any(row["attempt"] == 77 for row in batch.attempts):
            raise sql.exc.DataError("INSERT", {}, ValueError("out of range"))
        write(connection, topic, batch)

    monkeypatch.setattr(module, "record", refusing)
    memory, _ = filled(200)
    with recording(store_url, memory) as database:
        until(database, count, 199)
        assert ask(database, lambda one: one.scalar(sql.select(SKIPPED.c.reason))) == "out of range"


def test_a_fault_in_the_middle_is_told_once_and_nothing_is_lost(
    store_url: URL, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, calls = record, 0

    def failing(connection: Connection, topic: str, batch: Batch) -> None:
        nonlocal calls
        calls += 1
        write(connection, topic, batch)
        if 2 < calls < 8:
            raise RuntimeError("a fault")

    monkeypatch.setattr(module, "record", failing)
    memory, _ = filled(300)
    with recording(store_url, memory) as database:
        until(database, count, 300)
        until(database, lambda _one: "it records again" in caplog.text, True)
    told = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert told == [
        "recorder: a fault of ours: RuntimeError('a fault'); it is tried again",
        "recorder: it records again",
    ]


def test_kafka_that_fails_is_read_again(store_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    consume, calls = MemoryConsumer.consume, 0

    def failing(self: MemoryConsumer, most: int = 1, timeout: float = -1) -> Sequence[Any]:
        nonlocal calls
        calls += 1
        if calls % 4 == 0:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return consume(self, most, timeout)

    monkeypatch.setattr(MemoryConsumer, "consume", failing)
    memory, _ = filled(300)
    with recording(store_url, memory) as database:
        until(database, count, 300)


def test_a_locked_file_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pipeline.console.store.database.BUSY_SECONDS", 0.05)
    url = URL.create("sqlite", database=str(tmp_path / "console.db"))
    memory, _ = filled(10)
    with recording(url, memory) as database:
        until(database, count, 10)
        with database._writer.connect() as other, other.begin():
            produce(memory, attempt(NOW))
            until(database, lambda _one: "database is locked" in caplog.text, True)
            assert ask(database, count) == 10  # whoever reads is not stopped
        until(database, count, 11)


def test_a_server_that_goes_away_and_comes_back(postgres: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    memory, _ = filled(10)
    with recording(postgres.database(), memory) as database:
        until(database, count, 10)
        postgres.stop()
        try:
            produce(memory, *(attempt(NOW, attempt=100 + one) for one in range(20)))
            deadline = time.monotonic() + PATIENCE_SECONDS
            while "tried again" not in caplog.text and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            postgres.start()
        until(database, count, 30)
    assert "loopwire@127.0.0.1" in caplog.text


def test_partitions_that_are_added_are_recorded_without_a_restart(
    store_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GROWN_SECONDS", 0.05)
    memory, _ = filled(30)
    with recording(store_url, memory) as database:
        until(database, count, 30)
        with memory.changed:
            memory.logs[TOPIC] += [[], []]
        memory.producer().produce(TOPIC, attempt(NOW, attempt=1000), b"lp_a", PARTITIONS + 1)
        until(database, count, 31)
        produce(memory, attempt(NOW, attempt=1001))
        until(database, count, 32)
