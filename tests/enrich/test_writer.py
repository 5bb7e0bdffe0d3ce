"""After a refusal all that was not written is written anew, in order, or buried, and nothing comes before it."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.enrich.figures import DEAD
from pipeline.enrich.limits import Bad, Limits, TooManyBadError
from pipeline.enrich.refusals import BEHIND, Output
from pipeline.enrich.writer import Writer
from pipeline.kafka.ledger import Ledger
from pipeline.kafka.memory import Memory, MemoryProducer, Message
from pipeline.kafka.receipt import Receipt
from pipeline.kafka.seam import OnDelivery, Producer
from pipeline.record import LARGEST_DEAD, LARGEST_EVENT, Record

pytestmark = pytest.mark.anyio
TOO_LARGE, FORBIDDEN = KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.TOPIC_AUTHORIZATION_FAILED
OFFSETS = count()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


Refused = Callable[[bytes, list[bytes]], int]  # an event, and those before it in its batch: a code, or 0


class Gapless(MemoryProducer):
    """Writes up to the first event it refuses, tells of the rest in another order, and takes nothing any more.

    What it took last before it was known to have ended it keeps to itself until it is purged, as librdkafka may.
    """

    def __init__(self, memory: Memory, refused: Refused, room: int) -> None:
        super().__init__(memory)
        self._refused = refused
        self._room = room
        self._batch: list[bytes] = []
        self._overlooked: list[tuple[OnDelivery, Message]] = []
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
        if len(self) >= self._room:
            raise BufferError
        code = self._refused(value or b"", self._batch) if topic == "events" else 0
        if not self._ended and not code:
            self._batch.append(value or b"")
            super().produce(topic, value, key, partition, on_delivery=on_delivery, headers=headers)
            return
        error = BEHIND if self._ended else KafkaError(code)
        message = Message(topic, max(partition, 0), 0, key, value, None)
        assert on_delivery
        told = on_delivery
        what = (lambda _error, _message: told(error, message)), message
        if self._ended:
            self._overlooked.insert(0, what)
        else:
            self._untold.append(what)
        self._ended = True

    def poll(self, timeout: float = -1) -> int:
        if self._ended and not self._told_end:
            self._told_end = True
            raise KafkaException(KafkaError(KafkaError._GAPLESS_GUARANTEE, fatal=True))
        self._batch.clear()
        return super().poll(timeout)

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        assert (in_queue, in_flight, blocking) == (True, False, False)
        self._untold += self._overlooked
        self._overlooked.clear()

    def __len__(self) -> int:
        return super().__len__() + len(self._overlooked)


class Refusing(Memory):
    """A cluster that refuses some events; `makes` are the settings of each of its producers."""

    def __init__(self, refused: dict[bytes, int]) -> None:
        super().__init__({"events": 1, "hits-dead": 1})
        self.refused = refused
        self.makes: list[dict[str, Any]] = []
        self.told: dict[str, str] = {}  # of the topic
        self.room = 1000
        self.batch = 1_000_000  # bytes that it takes at once, whatever is told

    def producer(self, **more: Any) -> Producer:
        self.makes.append(more)
        size = more["batch.size"]

        def refuses(event: bytes, before: list[bytes]) -> int:
            batch = sum(map(len, before)) % size if size > len(event) else 0
            return TOO_LARGE if batch + len(event) > self.batch else self.refused.get(event, 0)

        return Gapless(self, refuses, self.room)

    def config(self, _topic: str) -> dict[str, str]:
        return self.told

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


def _dead() -> float:
    value: float = DEAD._value.get()
    return value


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


async def test_its_producers_leave_no_gap_and_have_one_request_under_way() -> None:
    [makes] = _desk({}).memory.makes
    assert (makes["enable.gapless.guarantee"], makes["max.in.flight.requests.per.connection"]) == (True, 1)


async def test_a_batch_that_is_too_large_is_written_by_a_producer_that_makes_smaller_ones() -> None:
    desk = _desk({b"b": TOO_LARGE})
    await desk.write(b"a", b"b", b"c")
    desk.memory.refused.clear()  # by itself it fits
    desk.memory.told["max.message.bytes"] = "20000"
    await desk.settle()
    assert desk.memory.written("events") == [b"a", b"b", b"c"]
    assert desk.memory.written("hits-dead") == []
    assert [makes["batch.size"] for makes in desk.memory.makes] == [943_729, 18_000]
    assert desk.writer.sizes.event < 20_000


async def test_where_the_limit_is_not_told_batches_shrink_until_what_fits_is_written_and_the_rest_is_buried() -> None:
    desk = _desk({})
    desk.memory.batch = 200_000
    events = [bytes([65 + at]) * 100_000 for at in range(5)]
    large = b"z" * 300_000
    await desk.write(*events[:3], large, *events[3:])
    await desk.settle()
    assert desk.memory.written("events") == events
    assert desk.memory.written("hits-dead") == [b"hit of " + large]
    batches = [makes["batch.size"] for makes in desk.memory.makes]
    assert batches == sorted(batches, reverse=True)
    assert len(batches) < 8


async def test_what_the_client_itself_does_not_take_is_buried_whatever_the_topic_takes() -> None:
    desk, large = _desk({}), b"x" * LARGEST_EVENT + b"y" * 60_000  # where its key is large, say
    await desk.write(b"a")
    produce = desk.writer.outbox.producer.produce

    def refusing(topic: str, value: bytes | None = None, *more: Any, **named: Any) -> None:
        if value == large:
            raise KafkaException(KafkaError(TOO_LARGE))
        produce(topic, value, *more, **named)

    desk.writer.outbox.producer.produce = refusing  # type: ignore[method-assign]
    await desk.write(large, b"c")
    await desk.settle()
    assert desk.memory.written("events") == [b"a", b"c"]
    assert desk.memory.written("hits-dead") == [(b"hit of " + large)[:LARGEST_DEAD]]


async def test_what_a_producer_that_ended_in_between_did_not_take_waits_for_the_next() -> None:
    desk = _desk(dict.fromkeys((b"a", b"c", b"e"), KafkaError.INVALID_RECORD))
    before = _dead()
    await desk.write(b"a", b"b", b"c", b"d", b"e", b"f", b"g")
    desk.memory.room = 2  # so that it is polled amid what is written anew
    await desk.settle()
    assert desk.memory.written("events") == [b"b", b"d", b"f", b"g"]
    assert desk.memory.written("hits-dead") == [b"hit of a", b"hit of c", b"hit of e"]
    assert _dead() - before == 3


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
