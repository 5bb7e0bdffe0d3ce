"""An outbox puts records into topics from an event loop and says on that loop when each is safe."""

import asyncio
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException

from pipeline.kafka.proof import fault
from pipeline.kafka.refusal import unwritten
from pipeline.kafka.seam import Kafka, Message, OnDelivery, Producer
from pipeline.record import Record

POLL_SECONDS = 0.001  # while something is under way: what an ack waits at most for us
IDLE_SECONDS = 1.0  # else librdkafka's own callbacks (errors, statistics) are served this often


class Outbox:
    """One producer, polled on the event loop while `run` runs."""

    def __init__(self, kafka: Kafka, producer: Producer) -> None:
        self._kafka = kafka
        self.producer = producer
        self.ended = False  # a refusal ended a producer that leaves no gap: it takes nothing any more
        self._busy = asyncio.Event()

    def send(self, record: Record, told: OnDelivery) -> None:
        """Produces the record, as `produce` does, and has its acknowledgement looked after."""
        self.produce(record, told)
        self.wake()

    def produce(self, record: Record, told: OnDelivery) -> None:
        """Produces the record; `told` gets None and the record once all in-sync replicas have it, else the error.

        What it gets is for `proof.fault` to judge. Any thread may call it, and has `wake` called on the event loop.

        BufferError where the queue is full, KafkaException where the record is refused at once (too large, no such
        topic): nothing was taken.
        """
        topic, headers = self._kafka.full(record.topic), list(record.headers) or None
        try:
            self.producer.produce(topic, record.value, record.key, record.partition, on_delivery=told, headers=headers)
        except KafkaException as refused:
            raise unwritten(refused, topic) from refused

    def wake(self) -> None:
        """Something was produced, here or straight on `producer`: `run` looks after its acknowledgement."""
        self._busy.set()

    async def breathe(self) -> None:
        """Serves acknowledgements once and lets others run: for who waits for room in the queue."""
        self._poll()
        await asyncio.sleep(POLL_SECONDS)

    async def put(self, *records: Record) -> None:
        """Produces the records and waits until all are safe; KafkaException where one can't be.

        Then others may be safe, or may become so. BufferError where the queue is full.
        """
        safe: asyncio.Future[KafkaError | None] = asyncio.get_running_loop().create_future()
        owed = len(records)

        def told(error: KafkaError | None, message: Message) -> None:
            nonlocal owed
            owed -= 1
            wrong = fault(error, message)
            if (wrong is not None or not owed) and not safe.done():
                safe.set_result(wrong)

        for record in records:
            self.send(record, told)
        error = await safe if records else None
        if error is not None:
            raise KafkaException(error)

    async def run(self) -> None:
        """Serves acknowledgements until cancelled."""
        while True:
            if len(self.producer):
                await self.breathe()
                continue
            self._busy.clear()
            self._poll()
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    IDLE_SECONDS
                ):  # `wait_for` forgets to be cancelled when it is woken just then
                    await self._busy.wait()

    async def emptied(self) -> None:
        """Waits until all is told of that a producer took which ended; what it did not send it will not."""
        while len(self.producer):
            self.producer.purge(in_queue=True, in_flight=False, blocking=False)  # it may overlook what came as it ended
            await self.breathe()

    def renew(self, other: "Outbox") -> None:
        """The other's producer takes the place of one that ended."""
        self.producer, self.ended = other.producer, other.ended
        self.wake()

    async def drain(self, seconds: float) -> int:
        """Waits up to `seconds` for all that was sent; how many records are still not safe."""
        deadline = asyncio.get_running_loop().time() + seconds
        while len(self.producer) and asyncio.get_running_loop().time() < deadline:
            await self.breathe()
        return len(self.producer)

    def _poll(self) -> None:
        try:
            self.producer.poll(0)
        except KafkaException as failed:
            if failed.args[0].code() != KafkaError._GAPLESS_GUARANTEE:  # noqa: SLF001
                raise
            self.ended = True
