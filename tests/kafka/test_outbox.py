"""An outbox says when records are safe, one or many."""

import asyncio
from collections.abc import Sequence

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.kafka.memory import Memory, MemoryProducer
from pipeline.kafka.outbox import Outbox
from pipeline.kafka.seam import OnDelivery
from pipeline.record import Record

pytestmark = pytest.mark.anyio
RECORDS = [Record("profiles", b"acme/%d" % number, b"{}", (("origin", b"crm"),)) for number in range(10)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Refusing(MemoryProducer):
    """Takes all, and then can't keep one of them."""

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        *,
        on_delivery: OnDelivery | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> None:
        super().produce(topic, value, key, partition, on_delivery=on_delivery, headers=headers)
        if key == b"acme/3":
            told, message = self._untold.pop()
            error = KafkaError(KafkaError._MSG_TIMED_OUT)
            self._untold.append((lambda _error, _message: told(error, message), message))


async def test_what_was_put_is_there() -> None:
    memory = Memory({"profiles": 1})
    outbox = Outbox(memory, memory.producer())
    running = asyncio.create_task(outbox.run())
    await asyncio.wait_for(outbox.put(*RECORDS), 5)
    await asyncio.wait_for(outbox.put(), 5)
    running.cancel()
    kept = [(message.key(), message.headers()) for message in memory.logs["profiles"][0]]
    assert kept == [(record.key, list(record.headers)) for record in RECORDS]


async def test_of_many_one_that_is_not_safe_is_raised() -> None:
    memory = Memory({"profiles": 1})
    outbox = Outbox(memory, Refusing(memory))
    running = asyncio.create_task(outbox.run())
    with pytest.raises(KafkaException):
        await asyncio.wait_for(outbox.put(*RECORDS), 5)
    await asyncio.wait_for(outbox.put(RECORDS[0]), 5)
    running.cancel()


@pytest.mark.parametrize("turns", range(5))
async def test_one_that_is_cancelled_as_it_is_woken_ends(turns: int) -> None:
    memory = Memory({"profiles": 1})
    outbox = Outbox(memory, memory.producer())
    running = asyncio.create_task(outbox.run())
    for _ in range(5):
        await asyncio.sleep(0)
    outbox.wake()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=2)
    assert done
    assert running.cancelled()


async def test_what_a_producer_took_before_its_turn_is_heard_of_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.kafka.outbox.IDLE_SECONDS", 60.0)
    memory, told = Memory({"profiles": 1}), asyncio.Event()
    outbox, other = Outbox(memory, memory.producer()), Outbox(memory, memory.producer())
    running = asyncio.create_task(outbox.run())
    await asyncio.sleep(0)
    other.produce(RECORDS[0], lambda _error, _message: told.set())
    outbox.renew(other)
    await asyncio.wait_for(told.wait(), 5)
    running.cancel()
