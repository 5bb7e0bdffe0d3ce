"""Joins batches of hits and writes what comes of them: a part of enrich's door, on its event loop."""

import asyncio
from collections import deque
from functools import lru_cache, partial

from confluent_kafka import KafkaError, KafkaException

from pipeline import topics
from pipeline.enrich.figures import BATCH, DEAD, EVENTS, READ
from pipeline.enrich.join import Rows, Tail
from pipeline.enrich.limits import Bad, Limits
from pipeline.enrich.refusals import Refusals
from pipeline.enrich.seen import Seen
from pipeline.enrich.stage import outcome
from pipeline.enrich.tables import Tables
from pipeline.kafka.consume import Batch
from pipeline.kafka.murmur2 import partition_of
from pipeline.kafka.outbox import Outbox
from pipeline.kafka.receipt import Receipt
from pipeline.kafka.seam import Kafka, Message
from pipeline.model.hits import AnyHit
from pipeline.record import Record

UNDER_WAY = 100_000  # events produced and not acknowledged, before the join waits: about 60 MB
BROKERS_LARGEST = 1_048_588  # Kafka's default
LARGEST_BATCH = 1_000_000  # librdkafka's default
PLACES_KEPT = 100_000  # keys with no row whose partition is remembered; murmur2 takes 6 us in Python


class Joiner:
    """Joins batches of hits and writes the outcome: events to the same partition numbers, dead letters."""

    def __init__(self, kafka: Kafka, limits: Limits, tables: Tables | None = None) -> None:
        """`partitions` of hits are set, and hits `before` ours added, by who reads; `stopping` by who stops."""
        self.partitions = 0
        self.before: deque[tuple[int, list[bool], int]] = deque()  # for Bad.remember
        self.stopping = False
        self.failed = False
        self.bad = Bad(limits)
        self._partition_of = lru_cache(PLACES_KEPT)(partition_of)
        self.tables = Tables() if tables is None else tables
        self.seen: dict[int, Seen] = {}
        most = _largest(kafka)
        # A batch that is too large is refused whole, with what is not; a record that is larger goes alone.
        batches = {"batch.size": most * 9 // 10} if most < LARGEST_BATCH else {}
        self.outbox = Outbox(kafka, kafka.producer(**batches))
        self.broken: asyncio.Queue[Exception] = asyncio.Queue()
        self._kafka = kafka
        self._events = kafka.full(topics.EVENTS)
        self.refusals = Refusals(self._events)

    async def join(self, batch: Batch, profiles: Rows) -> None:
        """Writes an output for each hit; returns before all are acknowledged. TooManyBadError: nothing was written.

        `profiles` has what is known of them.
        """
        if self.failed:
            return  # what comes after the batch that failed must not be committed, which would commit that as well
        tags = self.tables.tags
        told = self.seen[batch.partition].of if batch.partition in self.seen else _nothing
        stray = partial(self.stray, batch.partition)
        if not batch.ledger.live:
            return  # revoked while it waited: its next owner reads it again
        outputs = [outcome(message, profiles, tags, told, stray) for message in batch.messages]
        # Before the ledger is opened: what stops the worker is not under way, and is not waited for.
        while self.before:
            self.bad.remember(*self.before.popleft())
        dead = self.bad.judge(batch.partition, outputs)
        replaced = partial(self.refusals.of_hit, batch)
        receipt = Receipt(batch.ledger, batch.first, batch.end, self.refuse, replaced)
        if not receipt.owed:
            return
        receipt.expect(len(outputs))
        events, partition, produce = self._events, batch.partition, self.outbox.producer.produce
        for message, output in zip(batch.messages, outputs, strict=True):
            if isinstance(output, bytes):  # `_took`, without a call for each hit
                try:
                    produce(events, output, message.key(), partition, on_delivery=receipt)
                    continue
                except (BufferError, KafkaException):
                    pass
            while not self._took(output, message, receipt):
                await self.outbox.breathe()
        receipt.complete()
        self.outbox.wake()
        READ.inc(len(outputs))
        EVENTS.inc(len(outputs) - dead)
        DEAD.inc(dead)
        BATCH.observe(len(outputs))
        while len(self.outbox.producer) > UNDER_WAY:
            await self.outbox.breathe()

    async def replace(self) -> None:
        """Writes dead letters for what Kafka refused, once it is known not to be too much; until cancelled."""
        while True:
            refused = await self.refusals.next()
            if not refused:
                continue
            largest = await asyncio.to_thread(_largest, self._kafka)
            for one in refused:
                if one.fits(largest):  # who starts anew makes its batches smaller
                    reason = f"{topics.EVENTS} takes {largest} bytes at once by now: enrich has to start anew"
                    raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, reason))
                self.bad.late(one.letter, one.place, one.offset)
            for one in refused:
                while not self._took(one.letter, one.message, one.receipt):
                    await self.outbox.breathe()
                if one.source == topics.HITS:
                    DEAD.inc()
            self.outbox.wake()

    def stray(self, partition: int, key: bytes) -> str:
        """Why a key does not belong into that partition; empty where it does."""
        right = self._partition_of(key, self.partitions) if self.partitions else partition
        return "" if right == partition else f"is {partition}, but murmur2 places the key into {right}"

    def refuse(self, error: KafkaError) -> None:
        """An output can't be written: the worker stops."""
        self.fail(KafkaException(error))

    def fail(self, why: Exception) -> None:
        """Nothing more is joined: the worker stops."""
        self.failed = True
        self.broken.put_nowait(why)

    def _took(self, output: bytes | Record, message: Message, receipt: Receipt) -> bool:
        """Whether the producer took the output of a hit; not so while its queue is full."""
        produce = self.outbox.producer.produce
        try:
            if isinstance(output, bytes):
                produce(self._events, output, message.key(), message.partition() or 0, on_delivery=receipt)
            else:
                topic, headers = self._kafka.full(output.topic), list(output.headers)
                produce(topic, output.value, output.key, -1, on_delivery=receipt, headers=headers)
        except BufferError:
            return False
        except KafkaException as refused:
            error, size = refused.args[0], len(output)
            if isinstance(output, Record) or not self.refusals.take(topics.HITS, message, error, size, receipt):
                raise
        return True


def _largest(kafka: Kafka) -> int:
    """The most bytes of a batch of records that `events` takes."""
    return int(kafka.config(topics.EVENTS).get("max.message.bytes", BROKERS_LARGEST))


def _nothing(_hit: AnyHit) -> Tail:
    """Of a partition that was revoked: nobody will see it."""
    return b""
