"""Writes events and dead letters, and anew what Kafka did not write: a part of enrich's door, on its event loop."""

import asyncio
import logging

from confluent_kafka import KafkaError, KafkaException

from pipeline import topics
from pipeline.enrich.figures import DEAD
from pipeline.enrich.limits import Bad
from pipeline.enrich.refusals import BEHIND, FRAME, Output, Refusal, Refusals, largest_event
from pipeline.kafka.outbox import Outbox
from pipeline.kafka.seam import Kafka, Producer
from pipeline.record import LARGEST_EVENT

log = logging.getLogger(__name__)

HOLD_SECONDS = 0.5  # so that a whole row of refusals is seen before the first of it becomes a dead letter


class Writer:
    """The outbox of enrich, whose producer is another after a refusal, and what was refused."""

    def __init__(self, kafka: Kafka, bad: Bad) -> None:
        """`bad` judges whether what was refused is too much."""
        self._kafka = kafka
        self._bad = bad
        self.largest = largest_event(kafka.config(topics.EVENTS))  # bytes of an event
        self.refusals = Refusals(kafka.full(topics.EVENTS))
        self.outbox = Outbox(kafka, _gapless(kafka, self.largest))

    def put(self, output: Output) -> bool:
        """Whether the producer took it; not so while its queue is full, and once it ended. From any thread."""
        return self._took(self.outbox.producer, output)

    async def replace(self) -> None:
        """Writes anew what Kafka did not write, or dead letters for it where that is not too much; until cancelled."""
        while True:
            await asyncio.sleep(HOLD_SECONDS)
            if self.outbox.ended:  # by a refusal, so that what came behind it was not written before it
                await self.outbox.emptied()
                self.largest = largest_event(await asyncio.to_thread(self._kafka.config, topics.EVENTS))
                fresh = _gapless(self._kafka, self.largest)
                self._write_anew(fresh)
                self.outbox.renew(fresh)  # by now: what others produce comes behind what is written anew
            else:
                self._write_anew(self.outbox.producer)

    def _write_anew(self, producer: Producer) -> None:
        refused = self.refusals.taken()
        reasons = [one.reason(refused, self.largest) for one in refused]
        outputs = [one.buried(why) if why else one.output for one, why in zip(refused, reasons, strict=True)]
        dead = [one for one, why in zip(outputs, reasons, strict=True) if why]
        for one in dead:
            self._bad.late(one.record, one.place, one.offset)
        DEAD.inc(sum(one.source == topics.HITS for one in dead))
        for at, one in enumerate(outputs):
            if not self._took(producer, one):
                for rest in outputs[at:]:
                    self.refusals.take(Refusal(rest, BEHIND))
                break
        if refused:
            self.outbox.wake()
            why = next((reason for reason in reasons if reason), refused[0].error)
            log.warning("kafka refused events (%s): %d are dead letters, %d are written anew", why.str(), len(dead),
                        len(outputs) - len(dead))  # fmt: skip

    def _took(self, producer: Producer, output: Output) -> bool:
        record = output.record
        topic, headers = self._kafka.full(record.topic), list(record.headers) or None
        told = self.refusals.watch(output)
        try:
            producer.produce(topic, record.value, record.key, record.partition, on_delivery=told, headers=headers)
        except BufferError:
            return False
        except KafkaException as refused:
            return self._is_taken(output, refused)
        return True

    def _is_taken(self, output: Output, refused: KafkaException) -> bool:
        error = refused.args[0]
        if error.code() == KafkaError._FATAL:  # noqa: SLF001 (another takes its place)
            return False
        if not self.refusals.take(Refusal(output, error)):
            raise refused
        return True


def _gapless(kafka: Kafka, largest: int) -> Producer:
    """A producer that ends at the first refusal, so that nothing is written behind what was not.

    One request at a time: a broker that has nothing of a producer yet takes any batch as its first, so also the second
    one where it refused the first. Its batches are smaller than what `events` takes, since one is refused whole; an
    event of `largest` bytes goes alone.
    """
    batch = {"batch.size": (largest + FRAME) * 9 // 10} if largest < LARGEST_EVENT else {}
    more = {"enable.gapless.guarantee": True, "max.in.flight.requests.per.connection": 1} | batch
    return kafka.producer(**more)
