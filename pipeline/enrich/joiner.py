"""Joins batches of hits and writes what comes of them: a part of enrich's door, on its event loop."""

import asyncio

from confluent_kafka import KafkaError, KafkaException

from pipeline import metrics, topics
from pipeline.enrich.join import Tail
from pipeline.enrich.seen import Seen
from pipeline.enrich.stage import buried, outcome
from pipeline.enrich.tables import Tables
from pipeline.kafka.consume import Batch
from pipeline.kafka.outbox import Outbox
from pipeline.kafka.receipt import Receipt
from pipeline.kafka.seam import Kafka, Message
from pipeline.model.hits import AnyHit
from pipeline.record import Record

UNDER_WAY = 100_000  # events produced and not acknowledged, before the join waits: about 60 MB

READ = metrics.counter("loopwire_enrich_hits", "hits read")
DEAD = metrics.counter("loopwire_enrich_dead", "hits that could not be read or written")
ROWS = metrics.gauge("loopwire_enrich_table_rows", "rows of profiles and mailings at hand")


class Joiner:
    """Joins batches of hits and writes the outcome: events to the same partition numbers, dead letters."""

    def __init__(self, kafka: Kafka) -> None:
        self.tables = Tables()
        self.seen: dict[int, Seen] = {}
        self.outbox = Outbox(kafka, kafka.producer())
        self.broken: asyncio.Queue[Exception] = asyncio.Queue()
        self._kafka = kafka
        self._events = kafka.full(topics.EVENTS)

    async def join(self, batch: Batch) -> None:
        """Writes an output for each hit; returns before all are acknowledged."""
        # Taken before the ledger is opened: rows are dropped only after it was retired.
        profiles, tags = self.tables.profiles(batch.partition), self.tables.tags
        told = self.seen[batch.partition].of if batch.partition in self.seen else _nothing
        receipt = Receipt(batch.ledger, batch.first, batch.end, self.refuse)
        if not receipt.owed:
            return  # revoked while it waited: its next owner reads it again
        receipt.expect(len(batch.messages))
        for message in batch.messages:
            output = outcome(message, profiles, tags, told)
            while not self._took(output, message, receipt):
                await self.outbox.breathe()
        receipt.complete()
        self.outbox.wake()
        READ.inc(len(batch.messages))
        ROWS.set(len(self.tables))
        while len(self.outbox.producer) > UNDER_WAY:
            await self.outbox.breathe()

    def refuse(self, error: KafkaError) -> None:
        """An output can't be written: the worker stops."""
        self.broken.put_nowait(KafkaException(error))

    def _took(self, output: bytes | Record, message: Message, receipt: Receipt) -> bool:
        """Whether the producer took the output of a hit; not so while its queue is full."""
        produce = self.outbox.producer.produce
        try:
            if isinstance(output, bytes):
                produce(self._events, output, message.key(), message.partition() or 0, on_delivery=receipt)
            else:
                DEAD.inc()
                topic, headers = self._kafka.full(output.topic), list(output.headers)
                produce(topic, output.value, output.key, -1, on_delivery=receipt, headers=headers)
        except BufferError:
            return False
        except KafkaException as refused:
            if not isinstance(output, bytes):
                raise
            return self._took(buried(message, f"events: {refused.args[0].str()}"), message, receipt)
        return True


def _nothing(_hit: AnyHit) -> Tail:
    """Of a partition that was revoked: nobody will see it."""
    return b""
