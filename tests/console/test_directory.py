"""A write is answered once the picture shows it, and never waits for ever."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.console.accounts import row
from pipeline.console.directory import Directory
from pipeline.console.picture import Row
from pipeline.model.accounts import Account
from pipeline.record import Record

pytestmark = pytest.mark.anyio
ACCOUNT = Account(account="acme", keys=[], created=datetime(2026, 1, 1, tzinfo=UTC))
RECORD = row(ACCOUNT)
SEEN = Row(RECORD.topic, RECORD.key, RECORD.value)
OLDER = Row("accounts", b"acme", msgspec.json.encode(ACCOUNT) + b" ")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _safe(*_records: Record) -> None:
    """The broker has it."""


async def _never(*_records: Record) -> None:
    await asyncio.Event().wait()


async def _refused(*_records: Record) -> None:
    raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))


async def test_a_write_waits_for_its_own_record() -> None:
    directory = Directory(_safe)
    writing = asyncio.create_task(directory.write(RECORD))
    await asyncio.sleep(0.01)
    directory.take([OLDER])
    await asyncio.sleep(0.01)
    assert not writing.done()
    directory.take([SEEN])
    await asyncio.wait_for(writing, 1)
    assert directory.picture.accounts == {"acme": ACCOUNT}


async def test_a_record_may_be_seen_before_it_is_acknowledged() -> None:
    acknowledged = asyncio.Event()
    directory = Directory(lambda *_records: _wait(acknowledged))
    writing = asyncio.create_task(directory.write(RECORD))
    await asyncio.sleep(0.01)
    directory.take([SEEN])
    assert not writing.done()
    acknowledged.set()
    await asyncio.wait_for(writing, 1)


async def test_what_the_broker_refuses_is_raised() -> None:
    directory = Directory(_refused)
    for call in (directory.write, directory.send):
        with pytest.raises(KafkaException):
            await call(RECORD)
    assert directory.picture.accounts == {}


async def test_nobody_waits_longer_than_the_process_lives() -> None:
    for put in (_never, _safe):
        directory = Directory(put)
        writing = asyncio.create_task(directory.write(RECORD))
        await asyncio.sleep(0.01)
        directory.hurry(0.02)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writing, 1)


async def test_a_lock_is_one_for_a_name() -> None:
    directory = Directory(_safe)
    held = directory.lock("a")
    assert (directory.lock("a") is held, directory.lock("b") is held) == (True, False)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
