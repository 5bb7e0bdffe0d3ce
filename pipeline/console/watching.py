"""One thread reads the ends of `events` and `attempts` for all who watch, and only while somebody does."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec
from confluent_kafka import KafkaException, TopicPartition

from pipeline.console.live import Glance, Seen, Waiting, Wanted
from pipeline.console.pulse import Pulse
from pipeline.console.store.told import Told
from pipeline.kafka.refusal import check_passing
from pipeline.kafka.seam import Consumer, Kafka, Message, at_hand
from pipeline.model.events import Event
from pipeline.topics import ATTEMPTS, EVENTS

log = logging.getLogger(__name__)

WATCHERS, OF_AN_ACCOUNT = 200, 10
AT_ONCE = 1000
GLANCE_SECONDS = 0.25
GATHER_SECONDS = 0.2  # so that a busy account is a few rows at a time, not one
AGAIN_SECONDS = 1.0
READ_AHEAD = {"queued.max.messages.kbytes": 8192, "max.partition.fetch.bytes": 262_144, "fetch.max.bytes": 2_000_000}


class _Whose(msgspec.Struct, frozen=True):
    account: str


_whose = msgspec.json.Decoder(_Whose)
_event, _told = msgspec.json.Decoder(Event), msgspec.json.Decoder(Told)


class Watcher:
    """One who watches; belongs to the event loop."""

    def __init__(self, waiting: Waiting) -> None:
        self.waiting = waiting
        self.live = False
        self._news = asyncio.Event()

    async def next(self, seconds: float) -> Glance:
        """What came, gathered for a moment; an empty glance after so many seconds without any."""
        if not self.waiting:
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                pass
            else:
                await asyncio.sleep(GATHER_SECONDS)
        self._news.clear()
        return self.waiting.take(live=self.live)

    def wake(self) -> None:
        """There is something to look at."""
        self._news.set()


class Watching:
    """All who watch; belongs to the event loop."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._thread = ThreadPoolExecutor(1, "watching")
        self._asking = ThreadPoolExecutor(1, "watching-pulse")
        self._watchers: set[Watcher] = set()
        self._task: asyncio.Task[None] | None = None
        self._live = False
        self._closed = False

    def has_room(self, account: str) -> bool:
        """Whether one more may watch this account."""
        own = sum(one.waiting.account == account for one in self._watchers)
        return not self._closed and len(self._watchers) < WATCHERS and own < OF_AN_ACCOUNT

    def watch(self, account: str, wanted: Wanted) -> Watcher:
        """From now on: the account's own records, and no others."""
        watcher = Watcher(Waiting(account, wanted))
        watcher.live = self._live
        self._watchers.add(watcher)
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._run())
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """The watcher is gone."""
        self._watchers.discard(watcher)

    async def close(self) -> None:
        """Ends reading, and wakes all who watch."""
        self._closed = True
        self._tell(live=False)
        if self._task is not None:
            await asyncio.wait([self._task])
        for threads in (self._thread, self._asking):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        while self._watchers and not self._closed:
            try:
                await self._while_watched()
            except KafkaException as failed:
                log.warning("watching: kafka: %s; it is tried again", failed.args[0].str())
            except Exception:
                log.exception("watching: a fault of ours; it is tried again")
            else:
                continue
            self._tell(live=False)
            await asyncio.sleep(AGAIN_SECONDS)
        self._tell(live=False)
        self._task = None  # nothing was awaited since nobody watched: whoever comes next begins anew

    async def _while_watched(self) -> None:
        on_thread = asyncio.get_running_loop().run_in_executor
        reader = await on_thread(self._thread, self._open)
        pulse = Pulse(lambda: self._asking.submit(self._kafka.ends, [(EVENTS, 0)]), time.monotonic())
        try:
            self._tell(live=True)
            while self._watchers and not self._closed:
                accounts = frozenset(one.waiting.account for one in self._watchers)
                read, seen = await on_thread(self._thread, partial(self._read, reader, accounts))
                self._hand(seen)
                # The reader stays where it is while Kafka is away: what was written meanwhile is seen after it.
                if (live := pulse.beats(time.monotonic(), heard=read)) != self._live:
                    self._tell(live=live)
        finally:
            await on_thread(self._thread, reader.close)

    def _tell(self, *, live: bool) -> None:
        self._live = live
        for one in self._watchers:
            one.live = live
            one.wake()

    def _hand(self, seen: list[Seen]) -> None:
        for watcher in self._watchers:
            if sum(map(watcher.waiting.put, seen)):
                watcher.wake()

    def _open(self) -> Consumer:
        counts = self._kafka.partitions([EVENTS, ATTEMPTS])
        ends = self._kafka.ends([(topic, number) for topic, count in counts.items() for number in range(count)])
        reader = self._kafka.consumer("loopwire-watch", **READ_AHEAD)
        reader.assign([TopicPartition(self._kafka.full(topic), number, end) for (topic, number), end in ends.items()])
        return reader

    def _read(self, reader: Consumer, accounts: frozenset[str]) -> tuple[bool, list[Seen]]:
        """Whether anything was read, and what of it is these accounts'; the rest is not even decoded."""
        read, found = False, list[Seen]()
        for message in at_hand(reader, AT_ONCE, GLANCE_SECONDS):
            error = message.error()
            if error is not None:
                check_passing(error, message.topic())
                continue
            read = True
            one = self._seen(message, accounts)
            if one is not None:
                found.append(one)
        return read, found

    def _seen(self, message: Message, accounts: frozenset[str]) -> Seen | None:
        value, topic = message.value() or b"", self._kafka.bare(message.topic() or "")
        try:
            if _whose.decode(value).account not in accounts:
                return None
            return _event.decode(value) if topic == EVENTS else _told.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None  # whoever needs it says so: enrich, the recorder
