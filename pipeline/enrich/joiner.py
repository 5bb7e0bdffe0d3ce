"""Joins batches of hits and writes what comes of them: a part of enrich's door, on its event loop."""

import asyncio
from collections import deque
from functools import lru_cache, partial

from confluent_kafka import KafkaError, KafkaException

from pipeline import topics
from pipeline.enrich.figures import BATCH, DEAD, EVENTS, READ
from pipeline.enrich.join import Rows, Tail
from pipeline.enrich.limits import Bad, Limits
from pipeline.enrich.refusals import Output
from pipeline.enrich.seen import Seen
from pipeline.enrich.stage import outcome
from pipeline.enrich.tables import Tables
from pipeline.enrich.writer import Writer
from pipeline.kafka.consume import Batch
from pipeline.kafka.murmur2 import partition_of
from pipeline.kafka.receipt import Receipt
from pipeline.kafka.seam import Kafka, Message
from pipeline.model.hits import AnyHit
from pipeline.record import Record

UNDER_WAY = 100_000  # events produced and not acknowledged, before the join waits: about 60 MB
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
        self.writer = Writer(kafka, self.bad)
        self.broken: asyncio.Queue[Exception] = asyncio.Queue()
        self._events = kafka.full(topics.EVENTS)

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
        largest, outbox, refusals = self.writer.sizes.event, self.writer.outbox, self.writer.refusals
        outputs = [outcome(message, profiles, tags, told, stray, largest) for message in batch.messages]
        # Before the ledger is opened: what stops the worker is not under way, and is not waited for.
        while self.before:
            self.bad.remember(*self.before.popleft())
        dead = self.bad.judge(batch.partition, outputs)
        turn = refusals.turn()
        replaced = partial(refusals.of_hit, turn, batch)
        receipt = Receipt(batch.ledger, batch.first, batch.end, self.refuse, replaced)
        if not receipt.owed:
            return
        receipt.expect(len(outputs))
        events, partition, produce = self._events, batch.partition, outbox.producer.produce
        for message, output in zip(batch.messages, outputs, strict=True):
            if isinstance(output, bytes):  # `_took`, without a call for each hit
                try:
                    produce(events, output, message.key(), partition, on_delivery=receipt)
                    continue
                except (BufferError, KafkaException):
                    pass
            while not self._took(output, message, receipt, turn):
                await outbox.breathe()
        receipt.complete()
        outbox.wake()
        READ.inc(len(outputs))
        EVENTS.inc(len(outputs) - dead)
        DEAD.inc(dead)
        BATCH.observe(len(outputs))
        while len(outbox.producer) > UNDER_WAY:
            await outbox.breathe()

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

    def _took(self, output: bytes | Record, message: Message, receipt: Receipt, turn: int) -> bool:
        """Whether the producer took the output of a hit."""
        if isinstance(output, bytes):
            output = Record(topics.EVENTS, message.key() or b"", output, partition=message.partition() or 0)
        return self.writer.put(Output(turn, topics.HITS, message, output, receipt))


def _nothing(_hit: AnyHit) -> Tail:
    """Of a partition that was revoked: nobody will see it."""
    return b""
