"""The world as dispatch knows it: POSTs by libcurl, records by one producer, the clocks: a part of deliver's door."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException

from pipeline.calls import Calls
from pipeline.deliver import gauges
from pipeline.deliver.dispatch import Dispatch
from pipeline.deliver.jobs import Job
from pipeline.deliver.pulse import Pulse
from pipeline.deliver.stage import Post, Sent
from pipeline.deliver.verdict import Reply
from pipeline.kafka.ledger import Ledger
from pipeline.kafka.outbox import POLL_SECONDS, Outbox
from pipeline.kafka.proof import noted
from pipeline.kafka.receipt import Receipt, shared
from pipeline.kafka.seam import Kafka, OnDelivery, Place
from pipeline.outbound import Answer, Guard, Request
from pipeline.record import Record
from pipeline.tallies import Tally

TELL_SECONDS = 1.0  # how often gauges are set
POST_SECONDS = 15.0
LINGER_MS = 20  # nobody waits for an attempt but the next commit, and each request to the broker costs it 0.1 ms

WRITTEN = Tally("loopwire_deliver_records", "records written, by topic", "topic")


class Mark(NamedTuple):
    """Where a job's offset is kept."""

    ledger: Ledger
    offset: int


class Wire:
    """The world as dispatch knows it: this event loop, libcurl and one Kafka producer."""

    def __init__(self, kafka: Kafka, guard: Guard) -> None:
        self.outbox = Outbox(kafka, kafka.producer(**{"linger.ms": LINGER_MS}))
        self.broken: asyncio.Queue[BaseException] = asyncio.Queue()
        self.pulse = Pulse()
        self.turns: dict[Place, bool] = {}  # partitions to pause or resume, for the thread that fetches
        self.dispatch: Dispatch[Mark]
        self._loop = asyncio.get_running_loop()
        self.calls = Calls(guard)
        self._receipts: dict[Job[Mark], Receipt] = {}

    def now(self) -> float:
        return time.time()

    def tick(self) -> float:
        return time.monotonic()

    def lateness(self) -> float:
        return self.pulse.lateness

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        self._loop.call_later(seconds, do)

    def pause(self, place: Place, *, on: bool) -> None:
        self.turns[place] = on

    def owned(self, job: Job[Mark]) -> bool:
        ledger, offset = job.mark
        if not ledger.live and job in self._receipts:
            del self._receipts[job]
            ledger.abandon(offset)
        return ledger.live

    def leaves(self, job: Job[Mark]) -> bool:
        return not job.mark.ledger.live and job in self._receipts

    def begin(self, job: Job[Mark]) -> bool:
        ledger, offset = job.mark
        receipt = Receipt(ledger, offset, offset + 1, self._refuse)
        if receipt.owed:
            self._receipts[job] = receipt
        return receipt.owed

    def post(self, job: Job[Mark], post: Post) -> None:
        request = Request(post.loop.url, post.body, post.headers, POST_SECONDS)
        self.calls.start(request, partial(self._answered, job, post))

    def end(self, job: Job[Mark], records: list[Record]) -> None:
        receipt = self._receipts.pop(job, None)
        if receipt is None:
            return  # its partition was another worker's before it began
        receipt.expect(len(records))
        for record in records:
            WRITTEN.counts[record.topic] += 1
            self._send(record, receipt)
        receipt.complete()

    def record(self, jobs: Sequence[Job[Mark]], record: Record) -> None:
        told = shared([receipt for job in jobs if (receipt := self._receipts.pop(job, None))])
        WRITTEN.counts[record.topic] += 1
        self._send(record, told)

    def note(self, record: Record) -> None:
        """Writes what belongs to no delivery."""
        WRITTEN.counts[record.topic] += 1
        self._send(record, noted(self._refuse))

    def _refuse(self, error: KafkaError) -> None:
        self.broken.put_nowait(KafkaException(error))

    async def tell(self) -> None:
        """Keeps the gauges true until cancelled."""
        while True:
            gauges.show(self.dispatch, self.tick())
            await asyncio.sleep(TELL_SECONDS)

    def close(self) -> None:
        """Gives up the POSTs in flight."""
        self.calls.close()

    def _answered(self, job: Job[Mark], post: Post, answer: Answer) -> None:
        reply = Reply(answer.status, answer.error, answer.retry_after)
        outcome = self.dispatch.answered(job, post, Sent(reply, answer.body, answer.timings))
        gauges.answered(outcome, answer.timings)

    def _send(self, record: Record, told: OnDelivery) -> None:
        while True:
            try:
                self.outbox.send(record, told)
                return
            except BufferError:  # the broker is far behind: nothing else may go on either
                self.outbox.producer.poll(POLL_SECONDS)
            except KafkaException as refused:
                self.broken.put_nowait(refused)
                return
