"""Writes events and dead letters, and anew what Kafka did not write: a part of enrich's door, on its event loop."""

import asyncio
import logging
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException

from pipeline import topics
from pipeline.enrich.figures import DEAD
from pipeline.enrich.limits import Bad
from pipeline.enrich.refusals import BEHIND, BESIDE, Output, Refusal, Refusals, closed
from pipeline.enrich.sizes import Sizes, sizes
from pipeline.kafka.making import UNHEARD
from pipeline.kafka.outbox import Outbox
from pipeline.kafka.seam import Kafka

log = logging.getLogger(__name__)

HOLD_SECONDS = 0.5  # so that a whole row of refusals is seen before the first of it becomes a dead letter


class Writer:
    """The outbox of enrich, whose producer is another after a refusal, and what was refused."""

    def __init__(self, kafka: Kafka, bad: Bad) -> None:
        """`bad` judges whether what was refused is too much."""
        self._kafka = kafka
        self._bad = bad
        self.sizes = sizes(kafka.config(topics.EVENTS))
        self.refusals = Refusals(kafka.full(topics.EVENTS))
        self.outbox = self._gapless()

    def put(self, output: Output) -> bool:
        """Whether the producer took it; not so while its queue is full, and once it ended. From any thread."""
        return self._took(self.outbox, output)

    async def replace(self) -> None:
        """Writes anew what Kafka did not write, or dead letters for it where that is not too much; until cancelled."""
        while True:
            await asyncio.sleep(HOLD_SECONDS)
            if not self.outbox.ended:
                await self._write_anew(self.refusals.taken(), self.sizes, self.outbox)
                continue
            await self.outbox.emptied()  # it ended by a refusal, so that what came behind was not written before it
            refused, before = self.refusals.taken(), self.sizes
            config = await asyncio.to_thread(self._kafka.config, topics.EVENTS)
            halve = any(one.is_for_size and not before.is_too_large(one.output.record) for one in refused)
            self.sizes = before.after(config, halve=halve)
            fresh = self._gapless()
            await self._write_anew(refused, before._replace(event=self.sizes.event), fresh)
            self.outbox.renew(fresh)  # by now: what others produce comes behind what is written anew

    async def _write_anew(self, refused: Sequence[Refusal], refused_by: Sizes, outbox: Outbox) -> None:
        shut = closed(refused)
        reasons = [one.reason(refused_by, shut) for one in refused]
        outputs = [one.buried(why) if why else one.output for one, why in zip(refused, reasons, strict=True)]
        dead = [one for one, why in zip(outputs, reasons, strict=True) if why]
        for one in dead:
            self._bad.late(one.record, one.place, one.offset)
        DEAD.inc(sum(one.source == topics.HITS for one in dead))
        for at, one in enumerate(outputs):
            while not (took := self._took(outbox, one)) and not outbox.ended:
                await outbox.breathe()
            if not took:
                self._wait_again(outputs[at:])
                break
        if refused:
            outbox.wake()
            why = next((one.error for one in refused if one.error.code() not in BESIDE), BEHIND)
            log.warning("kafka refused events (%s): %d are dead letters, %d are written anew", why.str(), len(dead),
                        len(outputs) - len(dead))  # fmt: skip

    def _wait_again(self, outputs: Sequence[Output]) -> None:
        for one in outputs:
            self.refusals.take(Refusal(one, BEHIND))

    def _gapless(self) -> Outbox:
        """Its producer ends at the first refusal, so that nothing is written behind what was not.

        One request at a time: a broker that has nothing of a producer yet takes any batch as its first, so also the
        second one where it refused the first.
        """
        more = {"enable.gapless.guarantee": True, "max.in.flight.requests.per.connection": 1, "logger": UNHEARD}
        return Outbox(self._kafka, self._kafka.producer(**more, **{"batch.size": self.sizes.batch}))

    def _took(self, outbox: Outbox, output: Output) -> bool:
        try:
            outbox.produce(output.record, self.refusals.watch(output))
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
