"""Deliver's door to the world: polls deliveries, posts them by libcurl, produces what came of it, commits."""

import asyncio
import contextlib
import logging
import resource
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar

import uvloop
from confluent_kafka import KafkaError, KafkaException

from pipeline import ending, health, keys, metrics, topics
from pipeline.deliver import gauges, recall
from pipeline.deliver.backlog import Job
from pipeline.deliver.dispatch import Dispatch
from pipeline.deliver.ladder import Ladder
from pipeline.deliver.rechecks import Rechecks
from pipeline.deliver.stage import Post, Sent, is_past, read
from pipeline.deliver.verdict import Reply
from pipeline.kafka.admin import check_family
from pipeline.kafka.client import Cluster
from pipeline.kafka.consume import Batch, Feed, Moves, Places
from pipeline.kafka.ledger import Ledger
from pipeline.kafka.mirror import Apply, Mirror
from pipeline.kafka.murmur2 import partition_of
from pipeline.kafka.outbox import POLL_SECONDS, Outbox
from pipeline.kafka.receipt import Receipt, shared
from pipeline.kafka.seam import Kafka, Message, OnDelivery, Place
from pipeline.model.sealed import unseal
from pipeline.model.standing import Standings
from pipeline.outbound import Answer, Calls, Guard, Request
from pipeline.record import Record
from pipeline.route.run import Router
from pipeline.settings import Settings

log = logging.getLogger(__name__)
Out = TypeVar("Out")

AT_ONCE = 200
FETCH_SECONDS = 0.1
COMMIT_SECONDS = 0.2
TELL_SECONDS = 1.0  # how often gauges are set
LAG_SECONDS = 10.0  # and the broker asked for the ends of topics
SETTLE_SECONDS = 5.0  # a POST still in flight after that is made again by the partition's next owner
POST_SECONDS = 15.0
PULSE_SECONDS, PULSE_WEIGHT = 0.02, 4  # how often the lateness is taken, and how many of them make the mean
LATE_SECONDS = 0.008  # idle it is below 0.001; posting all it can, a loop of this process is 0.02 and more behind

WRITTEN = metrics.counter("loopwire_deliver_records", "records written, by topic", "topic")


class Mark(NamedTuple):
    """Where a job's offset is kept."""

    ledger: Ledger
    offset: int


class Pulse:
    """How late this event loop comes to what was to be done by now: it is behind, or the machine is."""

    def __init__(self) -> None:
        self.late = False

    async def run(self) -> None:
        """Takes it until cancelled."""
        clock = asyncio.get_running_loop().time
        lateness = 0.0
        while True:
            due = clock() + PULSE_SECONDS
            await asyncio.sleep(PULSE_SECONDS)
            lateness += (clock() - due - lateness) / PULSE_WEIGHT
            self.late = lateness > LATE_SECONDS


class Wire:
    """The world as dispatch knows it: this event loop, libcurl and one Kafka producer."""

    def __init__(self, kafka: Kafka, guard: Guard) -> None:
        self.outbox = Outbox(kafka, kafka.producer())
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

    def late(self) -> bool:
        return self.pulse.late

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
            WRITTEN.labels(record.topic).inc()
            self._send(record, receipt)
        receipt.complete()

    def record(self, jobs: Sequence[Job[Mark]], record: Record) -> None:
        told = shared([receipt for job in jobs if (receipt := self._receipts.pop(job, None))])
        WRITTEN.labels(record.topic).inc()
        self._send(record, told)

    def note(self, record: Record) -> None:
        """Writes what belongs to no delivery."""
        WRITTEN.labels(record.topic).inc()
        self._send(record, self._noted)

    def _noted(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._refuse(error)

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
        prefetch = {"queued.min.messages": 2000, "queued.max.messages.kbytes": 16_384}
        self._names = names
        moves = Moves(self._gain, self._settle, self._lose)
        self._input = Feed(self._kafka, "deliver", names, moves, **prefetch)
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
        self._wire.dispatch.batching.recorded.forget({number for _topic, number in places})
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


class Deliver:
    """The whole process: the router on its thread, deliveries on theirs, POSTs on the event loop."""

    def __init__(self, kafka: Kafka, settings: Settings, master_key: bytes) -> None:
        self._router = Router(kafka)
        self._wire = Wire(kafka, Guard(settings.allow_networks, settings.egress_proxy))
        ladder = settings.retry_ladder
        self._deliveries = Deliveries(kafka, self._wire, [topics.retry_topic(delay) for delay in ladder])
        # A secret is opened once, not at each POST; the cache goes with the process.
        opened = lru_cache(10_000)(partial(unseal, master_key))
        self._wire.dispatch = Dispatch(self._wire, self._deliveries.standings, Ladder(ladder), opened)
        self._rechecks = None
        if settings.recheck is not None:
            self._rechecks = Rechecks(
                self._wire.calls,
                self._deliveries.standings,
                settings.recheck,
                self._deliveries.owns,
                self._wire.note,
                self._wire.now,
            )
        self._address = settings.console_host, settings.metrics_port + 1
        self._working = False

    @property
    def ready(self) -> bool:
        """Whether deliveries are read and the router routes."""
        return self._working and self._router.ready

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop`; then what is under way is finished and committed. Raises what broke it."""
        asyncio.get_running_loop().set_exception_handler(self._fault)
        server = health.serve(*self._address, lambda: self.ready)
        await self._deliveries.open()
        self._router.start()
        work = [self._deliveries.feed(), self._wire.outbox.run(), self._wire.pulse.run(), self._wire.tell()]
        if self._rechecks is not None:
            work.append(self._rechecks.run())
        tasks = [asyncio.create_task(one) for one in work]
        watch = [asyncio.create_task(one) for one in (_asked(stop), self._broken(), self._router_end())]
        self._working = True
        try:
            done, _ = await asyncio.wait([*tasks, *watch], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._working = False
            with ending.bounded():
                await self._end(tasks, watch)
            server.shutdown()
            server.server_close()

    async def _end(self, tasks: list["asyncio.Task[None]"], watch: list["asyncio.Task[None]"]) -> None:
        for task in [*tasks, *watch]:
            task.cancel()
        await asyncio.gather(*tasks, *watch, return_exceptions=True)  # what failed is raised by `run`
        try:
            await self._deliveries.close()
        finally:
            await asyncio.to_thread(self._router.stop)
            self._wire.close()

    async def _broken(self) -> None:
        """A worker that can't write, or has a fault, stops; the next owner begins below what was not done."""
        raise await self._wire.broken.get()

    def _fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A fault of our own in a callback would leave its delivery unfinished for ever."""
        log.error("deliver: %s", context["message"], exc_info=context.get("exception"))
        if isinstance(failed := context.get("exception"), BaseException):
            self._wire.broken.put_nowait(failed)

    async def _router_end(self) -> None:
        await asyncio.to_thread(self._router.join)
        if self._router.failed:
            raise self._router.failed


async def _asked(stop: asyncio.Event) -> None:
    await stop.wait()


def run(settings: Settings) -> None:
    """Runs the stage until SIGTERM or SIGINT."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a socket for each POST, and those that are kept
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    deliver = Deliver(Cluster(settings), settings, keys.master_key(settings))
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await deliver.run(stop)
