"""Feeds the join: fetches hits, keeps the tables up, commits what is safe. A part of enrich's door."""

import asyncio
import gc
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import KafkaError, KafkaException
from mode import Service

from pipeline import ending, health, topics
from pipeline.enrich.figures import COMMIT, LOAD, Figures, State
from pipeline.enrich.join import Rows
from pipeline.enrich.joiner import Joiner
from pipeline.enrich.limits import WINDOW, TooManyBadError
from pipeline.enrich.reader import Readers
from pipeline.enrich.rewind import Rewind
from pipeline.enrich.seen import Seen
from pipeline.enrich.stage import is_hit
from pipeline.enrich.telling import Changes
from pipeline.kafka.admin import check_family
from pipeline.kafka.consume import Batch, Feed, Moves, Places
from pipeline.kafka.ledger import Ledger
from pipeline.kafka.mirror import Mirror
from pipeline.kafka.receipt import Receipt
from pipeline.kafka.seam import Kafka, Message, Offsets
from pipeline.settings import Settings

log = logging.getLogger(__name__)
Out = TypeVar("Out")


GROUP = "loopwire-enrich"
# Records a fetch, which takes some 40 ms whatever it brings, most of it waiting: a join in memory takes longer. From a
# disk they are joined slowly, by who has no memory for more.
AT_ONCE = {"memory": 20_000, "disk": 5_000}
FETCH_SECONDS = 0.1
COMMIT_SECONDS = 0.2
KEEP_SECONDS = 1.0
SAME_SECONDS = 60.0
AHEAD_KBYTES = {"memory": 32_768, "disk": 8_192}  # librdkafka takes several times that for them
LOAD_MS = 900_000  # a load may take that long; else the group gives its partitions to another
SETTLE_SECONDS = 10.0
STUCK_SECONDS = 3.0  # and no longer than that while nothing is acknowledged: the broker is away
FAILED_SECONDS = 1.0  # the same where something is never finished, since the worker stops for it
TELL_SECONDS = 1.0
SPARE_SECONDS = 10.0  # a worker that was given no partition in that time is a spare one, and ready
# A fetch is thousands of objects that come and go without a cycle: at Python's 700 they were looked through in vain
# for a tenth of the time.
YOUNG_OBJECTS = 100_000


def _soon(loop: asyncio.AbstractEventLoop, do: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(do)


def _now() -> int:
    return int(time.time() * 1000)


def _passed_over(fetch: asyncio.Future[Any]) -> None:
    """What a fetch failed with that nobody waits for any more."""
    if not fetch.cancelled():
        fetch.exception()


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
        self._kept_in = settings.table_store
        # The consumer and the tables belong to one thread; the join and the acknowledgements to the event loop.
        self._thread = ThreadPoolExecutor(1, "hits")
        self._committed_at = self._kept_at = self._asked_at = self._told_at = self._joined_at = 0.0
        self._topic = ""
        self._loaded = False  # the tables are as they should be
        self._began: dict[int, int] = {}  # what was committed of a partition before it came
        self._unclicked: set[int] = set()  # partitions of which no click came yet
        self._figures = Figures()
        server = health.serve(settings.console_host, settings.metrics_port, self._is_ready)
        # What was opened is closed, the last first, however far the start came.
        self._leaving = ExitStack()
        self._ending = ExitStack()
        self._ending.callback(server.server_close)
        self._ending.callback(server.shutdown)

    async def on_start(self) -> None:
        """Checks the topics, loads the mailings, joins the group."""
        self._ending.callback(self._thread.shutdown)
        loop, wake = asyncio.get_running_loop(), self._joiner.writer.outbox.wake
        self._changes = Changes(self._kafka, self._joiner, partial(_soon, loop, wake))
        await self._on_thread(self._open)

    @Service.task
    async def _feed(self) -> None:
        ahead = self._begin_fetch()
        try:
            while not self.should_stop:
                found = await ahead
                if self.should_stop:
                    return
                ahead = self._begin_fetch()  # beside the join: a fetch waits for the broker, and for Python's lock
                for work in found:
                    await self._batches.send(value=work)
        except KafkaException:
            if not self._joiner.stopping:
                raise  # else the broker is away, and what was fetched is for the next owner
        finally:
            ahead.add_done_callback(_passed_over)
            ahead.cancel()

    def _begin_fetch(self) -> asyncio.Future[list[Work]]:
        return asyncio.ensure_future(self._on_thread(self._fetch))

    @Service.task
    async def _acknowledge(self) -> None:
        await self._joiner.writer.outbox.run()

    @Service.task
    async def _replace(self) -> None:
        try:
            await self._joiner.writer.replace()
        except (TooManyBadError, KafkaException) as failed:
            if not self._joiner.stopping:  # else the broker is away, and the next owner writes it
                self._joiner.fail(failed)

    @Service.task
    async def _stop_when_broken(self) -> None:
        """A worker that can't write stops; who owns its partitions next begins below what was not written."""
        raise await self._joiner.broken.get()

    async def on_stop(self) -> None:
        """Waits for what is under way, commits, leaves the group, so that the next owner starts at once."""
        self._loaded, self._joiner.stopping = False, True
        self._hurry()
        with ending.bounded():
            leaving = asyncio.ensure_future(self._on_thread(self._leaving.close))
            while not leaving.done():
                await self._joiner.writer.outbox.breathe()
            await leaving
            self._ending.close()

    def _hurry(self) -> None:
        """Nothing is waited for that a broker which is away would have to do."""
        self._kafka.hurry()
        if hasattr(self, "_mirror"):
            self._mirror.hurried = True

    def _open(self) -> None:
        tables = self._joiner.tables
        self._joiner.partitions = check_family(self._kafka, topics.family(topics.read(), "profile"))
        self._leaving.callback(tables.close)
        self._mirror = Mirror(self._kafka, {topics.TAGS: tables.put_tags}, {topics.PROFILES: self._apply})
        self._leaving.callback(self._mirror.close)
        self._readers = Readers()
        self._rewind = Rewind(self._kafka)
        self._leaving.callback(self._rewind.close)
        self._mirror.follow_all([topics.TAGS])
        self._mirror.catch_up()
        moves = Moves(self._gain, self._settle, self._lose)
        consumer = {"max.poll.interval.ms": LOAD_MS, "queued.max.messages.kbytes": AHEAD_KBYTES[self._kept_in]}
        self._hits = Feed(self._kafka, "enrich", [topics.HITS], moves, **consumer)
        self._hits.took = COMMIT.observe
        self._leaving.callback(self._hits.close)
        self._loaded, self._joined_at = True, time.monotonic()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)

    def _is_ready(self) -> bool:
        return self._loaded and bool(self._hits.places or time.monotonic() - self._joined_at > SPARE_SECONDS)

    def _apply(self, message: Message) -> None:
        """A record of `profiles`: told first, while the row is as it was before."""
        self._changes.see(message)
        partition, offset = message.partition() or 0, message.offset() or 0
        self._joiner.tables.put_profile(partition, offset, message.key() or b"", message.value())

    def _fetch(self) -> list[Work]:
        batches = self._hits.fetch(AT_ONCE[self._kept_in], FETCH_SECONDS)
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
        if time.monotonic() - self._told_at > TELL_SECONDS:
            self._told_at = time.monotonic()
            self._tell()
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

    def _tell(self) -> None:
        places = self._hits.places
        states = [State(place[1], self._hits.known_end(place), self._began[place[1]], self._hits.safe(place))
                  for place in places]  # fmt: skip
        self._figures.tell(states, len(self._joiner.tables), self._joiner.tables.size, _now())

    def _prepare(self, batch: Batch) -> None:
        """What was lately clicked is known before the first click of a partition that came."""
        self._figures.fetched(batch.partition, batch.end, batch.messages[0].timestamp()[1])
        if batch.partition not in self._joiner.seen:
            self._joiner.seen[batch.partition] = Seen(self._readers)
            self._unclicked.add(batch.partition)
        if batch.partition in self._unclicked and self._rewind.to(batch.messages, self._joiner.seen[batch.partition]):
            self._unclicked.remove(batch.partition)

    def _gain(self, places: Places) -> None:
        if not places:
            return  # the classic protocol says so too
        self._loaded = False
        profiles = [(topics.PROFILES, partition) for _, partition in places]
        known = self._kafka.committed(GROUP, [*places, *profiles])
        told = self._kafka.ends(profiles) | {place: known[place] for place in profiles if place in known}
        began, starts = time.monotonic(), {}
        for place in profiles:  # at the very first start all that is there counts as told
            ledger = self._hits.track(place)
            starts[place] = self._joiner.tables.own(place[1], partial(_safe, ledger))
            first = max(told[place], starts[place])  # a table on disk holds only what was told
            Receipt(ledger, first, first, self._joiner.refuse).complete()
            self._changes.own(place[1], first, ledger)
        self._mirror.follow(profiles, starts)
        self._mirror.catch_up()
        LOAD.set(time.monotonic() - began)
        self._recount({place: known.get(place, 0) for place in places})
        self._loaded = True
        log.info("hits of partitions %s are ours", [partition for _, partition in places])

    def _recount(self, ends: Offsets) -> None:
        """What became of the hits before ours counts: each restart would let as many bad ones pass otherwise."""
        self._began |= {partition: end for (_, partition), end in ends.items()}
        bad: defaultdict[int, list[bool]] = defaultdict(list)
        for message in self._rewind.last({place: end for place, end in ends.items() if end}, WINDOW):
            stray = self._joiner.stray(message.partition() or 0, message.key() or b"")
            bad[message.partition() or 0].append(bool(stray) or not is_hit(message))
        share = WINDOW // max(len(bad), 1)  # those from whom nothing came yet leave their share to the others
        for _, partition in ends:
            self._joiner.before.append((partition, bad.get(partition, []), share))

    def _settle(self, ledgers: Sequence[Ledger]) -> bool:
        begun = moved = time.monotonic()
        patience, left = FAILED_SECONDS if self._joiner.failed else STUCK_SECONDS, -1
        while not all(ledger.finished for ledger in ledgers):
            now = time.monotonic()
            if left != (left := len(self._joiner.writer.outbox.producer)):
                moved = now
            if now - moved > patience:
                return self._joiner.failed  # else the broker is away, and a commit would wait for it
            if now - begun > SETTLE_SECONDS:
                return True
            time.sleep(0.002)  # the event loop is at it
        return True

    def _lose(self, places: Places) -> None:
        self._mirror.forget((topics.PROFILES, partition) for _, partition in places)
        self._joiner.tables.drop(partition for _, partition in places)
        for _, partition in places:
            self._changes.disown(partition)
            self._joiner.seen.pop(partition, None)
            self._unclicked.discard(partition)
            self._figures.lost(partition)

    async def _on_thread(self, work: Callable[[], Out]) -> Out:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
