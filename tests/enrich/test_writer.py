"""After a refusal all that was not written is written anew, in order, or buried, and nothing comes before it."""

import asyncio
from collections.abc import Sequence
from itertools import count

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.enrich.limits import Bad, Limits, TooManyBadError
from pipeline.enrich.refusals import BEHIND, Output
from pipeline.enrich.writer import Writer
from pipeline.kafka.ledger import Ledger
from pipeline.kafka.memory import Memory, MemoryProducer, Message
from pipeline.kafka.receipt import Receipt
from pipeline.kafka.seam import OnDelivery, Producer
from pipeline.record import Record

pytestmark = pytest.mark.anyio
TOO_LARGE, FORBIDDEN = KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.TOPIC_AUTHORIZATION_FAILED
OFFSETS = count()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Gapless(MemoryProducer):
    """Writes up to the first event it refuses, tells of the rest in another order, and takes nothing any more."""

    def __init__(self, memory: Memory, refused: dict[bytes, int]) -> None:
        super().__init__(memory)
        self._refused = refused
        self._ended = self._told_end = False

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
        if self._told_end:
            raise KafkaException(KafkaError(KafkaError._FATAL))
        code = self._refused.get(value or b"") if topic == "events" else None
        if not self._ended and code is None:
            super().produce(topic, value, key, partition, on_delivery=on_delivery, headers=headers)
            return
        error = BEHIND if self._ended else KafkaError(code or 0)
        self._ended = True
        message = Message(topic, max(partition, 0), 0, key, value, None)
        assert on_delivery
        told = on_delivery
        self._untold.insert(0, (lambda _error, _message: told(error, message), message))

    def poll(self, timeout: float = -1) -> int:
        if self._ended and not self._told_end:
            self._told_end = True
            raise KafkaException(KafkaError(KafkaError._GAPLESS_GUARANTEE, fatal=True))
        return super().poll(timeout)


class Refusing(Memory):
    """A cluster that refuses some events, as its producers come to know; `makes` are the settings of each of them."""

    def __init__(self, refused: dict[bytes, int]) -> None:
        super().__init__({"events": 1, "hits-dead": 1})
        self.refused = refused
        self.makes: list[dict[str, object]] = []
        self.limit = 1_000_000

    def producer(self, **more: object) -> Producer:
        self.makes.append(more)
        return Gapless(self, self.refused)

    def config(self, _topic: str) -> dict[str, str]:
        return {"max.message.bytes": str(self.limit)}

    def written(self, topic: str) -> list[bytes | None]:
        return [message.value() for message in self.logs[topic][0]]


class Desk:
    """A writer on that cluster, and what is owed to it."""

    def __init__(self, refused: dict[bytes, int], limits: Limits) -> None:
        self.memory = Refusing(refused)
        self.writer = Writer(self.memory, Bad(limits))
        self.ledger = Ledger()
        self.wrong: list[KafkaError] = []

    async def write(self, *values: bytes) -> None:
        """Events of as many hits; returns when all are taken."""
        turn = self.writer.refusals.turn()
        for value in values:
            offset = next(OFFSETS)
            receipt = Receipt(self.ledger, offset, offset + 1, self.wrong.append)
            receipt.expect(1)
            receipt.complete()
            record = Record("events", b"shop/jane", value, partition=0)
            hit = Message("hits", 0, offset, b"shop/jane", b"hit of " + value, None)
            while not self.writer.put(Output(turn, "hits", hit, record, receipt)):
                await self.writer.outbox.breathe()

    async def settle(self) -> None:
        """Until all that was taken is safe; raises what ends the worker."""
        tasks = [asyncio.create_task(work) for work in (self.writer.outbox.run(), self.writer.replace())]
        try:
            async with asyncio.timeout(20):
                while not self.ledger.finished and not any(task.done() for task in tasks):
                    await self.writer.outbox.breathe()
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()


def _desk(refused: dict[bytes, int], **limits: int) -> Desk:
    return Desk(refused, Limits(**limits))


async def test_what_came_behind_a_refusal_is_written_in_its_order() -> None:
    desk = _desk({b"c": KafkaError.POLICY_VIOLATION, b"e": KafkaError.INVALID_RECORD})
    await desk.write(b"a", b"b", b"c", b"d", b"e", b"f")
    await desk.settle()
    assert desk.memory.written("events") == [b"a", b"b", b"d", b"f"]
    assert desk.memory.written("hits-dead") == [b"hit of c", b"hit of e"]
    assert len(desk.memory.makes) == 3
    assert desk.wrong == []


async def test_nothing_comes_before_what_is_written_anew() -> None:
    desk = _desk({b"b": KafkaError.INVALID_RECORD})
    await desk.write(b"a", b"b", b"c")
    later = asyncio.create_task(desk.write(b"d", b"e"))
    await desk.settle()
    await later
    await desk.settle()
    assert desk.memory.written("events") == [b"a", b"c", b"d", b"e"]


async def test_a_batch_that_is_too_large_is_written_by_a_producer_that_makes_smaller_ones() -> None:
    desk = _desk({b"b": TOO_LARGE})
    await desk.write(b"a", b"b", b"c")
    desk.memory.refused.clear()  # by itself it fits
    desk.memory.limit = 20_000
    await desk.settle()
    assert desk.memory.written("events") == [b"a", b"b", b"c"]
    assert desk.memory.written("hits-dead") == []
    assert [makes.get("batch.size") for makes in desk.memory.makes] == [None, 18_000]
    assert desk.writer.largest < 20_000


async def test_where_the_topic_may_not_be_written_too_much_is_seen_before_the_first_is_buried() -> None:
    desk = _desk({b"a": FORBIDDEN}, in_row=5)
    await desk.write(*[b"a"] * 5)
    with pytest.raises(TooManyBadError, match="5 hits in a row on partition 0"):
        await desk.settle()
    assert desk.memory.written("hits-dead") == []
    assert not desk.ledger.finished


async def test_a_dead_letter_waits_its_turn_too_with_its_headers() -> None:
    desk = _desk({b"a": KafkaError.INVALID_RECORD})
    await desk.write(b"a")
    receipt = Receipt(desk.ledger, next(OFFSETS), next(OFFSETS), desk.wrong.append)
    receipt.expect(1)
    receipt.complete()
    letter = Record("hits-dead", b"shop/jane", b"no hit", (("reason", b"value: JSON is malformed"),))
    message = Message("hits", 0, 1, b"shop/jane", b"no hit", None)
    assert desk.writer.put(Output(desk.writer.refusals.turn(), "hits", message, letter, receipt))
    await desk.settle()
    assert desk.memory.written("hits-dead") == [b"hit of a", b"no hit"]
    assert desk.memory.logs["hits-dead"][0][1].headers() == list(letter.headers)
