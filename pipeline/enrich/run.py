"""Enrich's door to the world: a Faust app whose agent joins batches that librdkafka feeds it."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

import faust
import uvloop
from confluent_kafka import KafkaError, KafkaException
from faust.app.base import BootStrategy
from mode import Service

from pipeline import health, metrics, topics
from pipeline.enrich.disk import Disk, sweep
from pipeline.enrich.join import Rows
from pipeline.enrich.joiner import Joiner
from pipeline.enrich.reader import Readers
from pipeline.enrich.rewind import Rewind
from pipeline.enrich.seen import Seen
from pipeline.enrich.tables import InMemory, Shelves, Tables
from pipeline.enrich.telling import Changes
from pipeline.kafka.admin import check_family
from pipeline.kafka.client import Cluster
from pipeline.kafka.consume import Batch, Feed, Moves, Places
from pipeline.kafka.ledger import Ledger
from pipeline.kafka.mirror import Mirror
from pipeline.kafka.receipt import Receipt
from pipeline.kafka.seam import Kafka, Message
from pipeline.settings import Settings, SettingsError, read

log = logging.getLogger(__name__)
Out = TypeVar("Out")

LOAD = metrics.gauge("loopwire_enrich_load_seconds", "seconds until the profiles of what last came were at hand")

GROUP = "loopwire-enrich"
AT_ONCE = 5000  # records a fetch: beyond it the join gains nothing, and a batch holds the event loop longer
FETCH_SECONDS = 0.1
COMMIT_SECONDS = 0.2
KEEP_SECONDS = 1.0
SAME_SECONDS = 60.0
CONSUMER = {
    "max.poll.interval.ms": 900_000,  # a load may take that long; else the group gives its partitions to another
    "queued.max.messages.kbytes": 32_768,  # librdkafka takes several times that for them
}
SETTLE_SECONDS = 10.0


def _soon(loop: asyncio.AbstractEventLoop, do: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(do)


def _safe(ledger: Ledger) -> int | None:
    return ledger.safe


class Work(NamedTuple):
    """A batch and the profiles it is joined with."""

    batch: Batch
    profiles: Rows


class Hits(Service):
    """Feeds the agent: fetches hits, drains the tables, hands over batches, commits what is safe."""

    def __init__(self, kafka: Kafka, joiner: Joiner, batches: Any, settings: Settings) -> None:  # noqa: ANN401
        super().__init__()
        self._kafka = kafka
        self._joiner = joiner
        self._batches = batches
        # The consumer and the tables belong to one thread; the join and the acknowledgements to the event loop.
        self._thread = ThreadPoolExecutor(1, "hits")
        self._committed_at = 0.0
        self._kept_at = self._asked_at = 0.0
        self._topic = ""
        self.ready = False
        server = health.serve(settings.console_host, settings.metrics_port, lambda: self.ready)
        # What was opened is closed, the last first, however far the start came.
        self._leaving = ExitStack()
        self._ending = ExitStack()
        self._ending.callback(server.server_close)
        self._ending.callback(server.shutdown)

    async def on_start(self) -> None:
        """Checks the topics, loads the mailings, joins the group."""
        self._ending.callback(self._thread.shutdown)
        loop, wake = asyncio.get_running_loop(), self._joiner.outbox.wake
        self._changes = Changes(self._kafka, self._joiner, partial(_soon, loop, wake))
        await self._on_thread(self._open)

    @Service.task
    async def _feed(self) -> None:
        while not self.should_stop:
            for work in await self._on_thread(self._fetch):
                await self._batches.send(value=work)

    @Service.task
    async def _acknowledge(self) -> None:
        await self._joiner.outbox.run()

    @Service.task
    async def _stop_when_broken(self) -> None:
        """A worker that can't write stops; who owns its partitions next begins below what was not written."""
        raise await self._joiner.broken.get()

    async def on_stop(self) -> None:
        """Waits for what is under way, commits, leaves the group, so that the next owner starts at once."""
        self.ready = False
        leaving = asyncio.ensure_future(self._on_thread(self._leaving.close))
        while not leaving.done():
            await self._joiner.outbox.breathe()
        await leaving
        self._ending.close()

    def _open(self) -> None:
        tables = self._joiner.tables
        check_family(self._kafka, topics.family(topics.read(), "profile"))
        self._leaving.callback(tables.close)
        self._mirror = Mirror(self._kafka, {topics.TAGS: tables.put_tags}, {topics.PROFILES: self._apply})
        self._leaving.callback(self._mirror.close)
        self._readers = Readers()
        self._rewind = Rewind(self._kafka)
        self._leaving.callback(self._rewind.close)
        self._mirror.follow_all([topics.TAGS])
        self._mirror.catch_up()
        moves = Moves(self._gain, self._settle, self._lose)
        self._hits = Feed(self._kafka, "enrich", [topics.HITS], moves, **CONSUMER)
        self._leaving.callback(self._hits.close)

    def _apply(self, message: Message) -> None:
        """A record of `profiles`: told first, while the row is as it was before."""
        self._changes.see(message)
        partition, offset = message.partition() or 0, message.offset() or 0
        self._joiner.tables.put_profile(partition, offset, message.key() or b"", message.value())

    def _fetch(self) -> list[Work]:
        batches = self._hits.fetch(AT_ONCE, FETCH_SECONDS)
        for batch in batches:
            self._prepare(batch)
        began = time.time()
        due = time.monotonic() - self._kept_at > KEEP_SECONDS
        if batches or due:
            self._mirror.catch_up()  # a hit sees every change acknowledged before the hit was
        else:
            self._mirror.take(0)  # changes are told, hits or none
        if due:
            self._kept_at = time.monotonic()
            self._joiner.tables.keep(began)
            self._same_topic()
        if time.monotonic() - self._committed_at > COMMIT_SECONDS:
            self._hits.commit()
            self._committed_at = time.monotonic()
        profiles = self._joiner.tables.profiles
        return [
            Work(batch, profiles(batch.partition, (message.key() or b"" for message in batch.messages)))
            for batch in batches
        ]

    def _same_topic(self) -> None:
        """Rows of a topic that was made anew while we run are nobody's: the worker stops, and loads again."""
        if time.monotonic() - self._asked_at > SAME_SECONDS:
            self._asked_at = time.monotonic()
            topic = self._kafka.identity(topics.PROFILES)
            if self._topic not in {"", topic}:
                reason = f"{self._kafka.full(topics.PROFILES)} was made anew: its rows are loaded again"
                raise KafkaException(KafkaError(KafkaError._STATE, reason))  # noqa: SLF001
            self._topic = topic

    def _prepare(self, batch: Batch) -> None:
        """What was lately clicked is known before the first batch of a partition that came."""
        if batch.partition not in self._joiner.seen:
            seen = Seen(self._readers)
            self._rewind.to(batch.messages[0], seen)
            self._joiner.seen[batch.partition] = seen

    def _gain(self, places: Places) -> None:
        profiles = [(topics.PROFILES, partition) for _, partition in places]
        began = time.monotonic()
        told = self._kafka.ends(profiles) | self._kafka.committed(GROUP, profiles)
        starts = {}
        for place in profiles:  # at the very first start all that is there counts as told
            ledger = self._hits.track(place)
            starts[place] = self._joiner.tables.own(place[1], partial(_safe, ledger))
            first = max(told[place], starts[place])  # a table on disk holds only what was told
            Receipt(ledger, first, first, self._joiner.refuse).complete()
            self._changes.own(place[1], first, ledger)
        self._mirror.follow(profiles, starts)
        self._mirror.catch_up()
        self.ready = True
        LOAD.set(time.monotonic() - began)
        log.info("hits of partitions %s are ours", [partition for _, partition in places])

    def _settle(self, ledgers: Sequence[Ledger]) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while not all(ledger.finished for ledger in ledgers) and time.monotonic() < deadline:
            time.sleep(0.002)  # the event loop is at it

    def _lose(self, places: Places) -> None:
        self._mirror.forget((topics.PROFILES, partition) for _, partition in places)
        self._joiner.tables.drop(partition for _, partition in places)
        for _, partition in places:
            self._changes.disown(partition)
            self._joiner.seen.pop(partition, None)

    async def _on_thread(self, work: Callable[[], Out]) -> Out:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class Boot(BootStrategy):
    """Faust without its own Kafka clients: librdkafka reads and writes."""

    enable_kafka = False
    enable_web = False
    enable_sensors = False


def build(settings: Settings, kafka: Kafka | None = None) -> faust.App:
    """The Faust app of the stage."""
    cluster = kafka or Cluster(settings)
    (settings.data / "faust").mkdir(parents=True, exist_ok=True)
    app = faust.App("loopwire-enrich", autodiscover=False, datadir=str(settings.data / "faust"), web_enabled=False)
    app.boot_strategy = Boot(app)
    app.flow_control.resume()  # without Faust's consumer nobody else would, and a channel's send would wait
    joiner = Joiner(cluster, Tables(_shelves(settings, cluster)))
    batches = app.channel(maxsize=2)

    @app.agent(batches, name="join")
    async def join(stream: faust.StreamT[Work]) -> None:
        async for work in stream:
            try:
                await joiner.join(work.batch, work.profiles)
            except Exception as failed:  # Faust would start the agent anew and forget the batch
                joiner.broken.put_nowait(failed)
                raise

    hits = Hits(cluster, joiner, batches, settings)
    app.service(cast("Any", hits))  # an instance will do, though the annotation says class
    return app


def _shelves(settings: Settings, kafka: Kafka) -> Shelves:
    """Where profiles are kept. What a worker once kept on disk does not outlive the setting: people may be erased."""
    folder = settings.data / "tables"
    if settings.table_store == "disk":
        return Disk(folder, kafka)
    sweep(folder)
    return InMemory()


def run(settings: Settings) -> None:
    """Runs the stage until SIGTERM or SIGINT; exits 1 where it could not go on."""
    for name in ("faust", "mode"):
        logging.getLogger(name).setLevel(logging.WARNING)
    worker = faust.Worker(
        build(settings, _checked(settings)),
        quiet=True,
        override_logging=False,
        redirect_stdouts=False,
        loop=uvloop.new_event_loop(),
    )
    worker.spinner = None
    worker.execute_from_commandline()


def _checked(settings: Settings) -> Cluster:
    """The cluster, its topics as they should be: one clear line where not, before Faust has the word."""
    cluster = Cluster(settings)
    check_family(cluster, topics.family(topics.read(), "profile"))
    return cluster


def __getattr__(name: str) -> faust.App:
    """`faust -A pipeline.enrich.run worker` asks for `app`; nothing runs at import."""
    if name != "app":
        raise AttributeError(name)
    try:
        settings = read()
        cluster = _checked(settings)
        return build(settings, cluster)
    except (SettingsError, KafkaException) as wrong:
        raise SystemExit(f"loopwire: {wrong.args[0]}") from None
