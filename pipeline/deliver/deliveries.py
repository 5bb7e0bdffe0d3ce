"""Deliveries, retries and replays come in here, on a thread of their own: a part of deliver's door."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from confluent_kafka import KafkaException

from pipeline import topics
from pipeline.deliver import gauges, recall
from pipeline.deliver.jobs import Job
from pipeline.deliver.stage import is_past, read
from pipeline.deliver.wire import Mark, Wire
from pipeline.kafka.admin import check_family
from pipeline.kafka.consume import Batch, Feed, Moves, Places
from pipeline.kafka.ledger import Ledger
from pipeline.kafka.mirror import Apply, Mirror
from pipeline.kafka.murmur2 import partition_of
from pipeline.kafka.seam import Kafka, Message
from pipeline.model.standing import Standings

Out = TypeVar("Out")

AT_ONCE = 200
FETCH_SECONDS = 0.1
COMMIT_SECONDS = 0.2
LAG_SECONDS = 10.0  # how often the broker is asked for the ends of topics
PREFETCH = {"queued.min.messages": 2000, "queued.max.messages.kbytes": 16_384}
SETTLE_SECONDS = 5.0  # a POST still in flight after that is made again by the partition's next owner


class Deliveries:
    """The consumer's side, on a thread of its own: deliveries, retries and replays, and how loops stand."""

    def __init__(self, kafka: Kafka, wire: Wire, ladder_topics: list[str]) -> None:
        self._kafka = kafka
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "deliveries")
        self._ladder_topics = ladder_topics
        self._committed_at = self._lag_at = 0.0
        self.standings = Standings()

    async def open(self) -> None:
        """Checks the topics, loads the loops, joins the group."""
        await self._on_thread(self._open)

    def owns(self, loop: str) -> bool:
        """Whether this process delivers to the loop."""
        return self._input.owns((topics.DELIVERIES, partition_of(loop.encode(), self._partitions)))

    async def feed(self) -> None:
        """Hands batches to dispatch until cancelled."""
        while True:
            for batch in await self._on_thread(self._fetch):
                self._wire.dispatch.take((batch.topic, batch.partition), _jobs(batch))

    async def close(self) -> None:
        """Waits for the POSTs in flight as long as it may, commits, leaves the group."""
        leaving = asyncio.ensure_future(self._on_thread(self._close))
        while not leaving.done():
            await self._wire.outbox.breathe()
        await leaving
        self._thread.shutdown()

    def _open(self) -> None:
        names = sorted({*topics.family(topics.read(), "loop"), *self._ladder_topics, *self._old_ladders()})
        names.remove(topics.DELIVERIES_RETRY)
        check_family(self._kafka, names)
        self._partitions = self._kafka.partitions([topics.DELIVERIES])[topics.DELIVERIES]
        standings = self.standings
        tables: dict[str, Apply] = {topics.LOOPS: standings.put_loop, topics.LOOP_STATES: standings.put_state}
        self._mirror = Mirror(self._kafka, tables)
        self._mirror.follow_all(tables)
        self._mirror.catch_up()
        self._names = names
        moves = Moves(self._gain, self._settle, self._lose)
        self._input = Feed(self._kafka, "deliver", names, moves, **PREFETCH)
        self._input.floor = recall.floor(self._wire.dispatch.batching.recorded, self._input.safe)

    def _old_ladders(self) -> list[str]:
        """Retry topics of an earlier RETRY_LADDER: what waits in them is still due."""
        return [topic for topic in self._kafka.topics() if topic.startswith(topics.DELIVERIES_RETRY + "-")]

    def _fetch(self) -> list[Batch]:
        for place in list(self._wire.turns):
            on = self._wire.turns.pop(place)
            if place in self._input.places:
                (self._input.pause if on else self._input.resume)(place)
        batches = self._input.fetch(AT_ONCE, FETCH_SECONDS)
        recall.note(batches, self._wire.dispatch.batching.recorded)
        if batches:
            self._mirror.catch_up()
        else:
            self._mirror.take(0)
        if time.monotonic() - self._committed_at > COMMIT_SECONDS:
            self._input.commit()
            self._committed_at = time.monotonic()
        if time.monotonic() - self._lag_at > LAG_SECONDS:
            self._tell_lag()
            self._lag_at = time.monotonic()
        return batches

    def _tell_lag(self) -> None:
        with contextlib.suppress(KafkaException):  # the broker is away: then that is what there is to know
            gauges.show_lag(self._input.lag())

    def _settle(self, ledgers: Sequence[Ledger]) -> None:
        self._loop.call_soon_threadsafe(self._wire.dispatch.sweep)
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline and not all(ledger.finished for ledger in ledgers):
            time.sleep(0.002)  # the event loop is at it

    def _gain(self, places: Places) -> None:
        """Before the first delivery is read, it is known what is in a batch, and what has to go before it."""
        numbers = {number for topic, number in places if topic == topics.DELIVERIES}
        recall.batches(self._kafka, "loopwire-deliver", numbers, self._wire.dispatch.batching.recorded)
        self._mirror.catch_up()
        loops = recall.ordered(self.standings, numbers, self._partitions)
        if not loops:
            return
        found = recall.waiting(self._kafka, "loopwire-deliver", recall.retries(self._names, numbers), loops)
        for number, delivery in found:
            self._loop.call_soon_threadsafe(self._wire.dispatch.recall, number, delivery)

    def _lose(self, places: Places) -> None:
        gone = {number for topic, number in places if topic == topics.BATCHES}
        self._wire.dispatch.batching.recorded.forget(gone)
        self._loop.call_soon_threadsafe(self._wire.dispatch.forget, places)

    def _close(self) -> None:
        self._input.close()
        self._mirror.close()

    async def _on_thread(self, work: Callable[[], Out]) -> Out:
        return await self._loop.run_in_executor(self._thread, work)


def _jobs(batch: Batch) -> list[Job[Mark]]:
    return [_job(message, batch) for message in batch.messages]


def _job(message: Message, batch: Batch) -> Job[Mark]:
    what = read(message, batch.topic)
    offset, size = message.offset() or 0, len(message.value() or b"")
    return Job(what, Mark(batch.ledger, offset), is_past(what, batch.topic), size, offset, batch.partition)
