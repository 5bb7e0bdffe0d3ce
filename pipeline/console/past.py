"""What Kafka knows of the past, asked on threads of its own: where a time stands, what was sent, one event."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TypeVar

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from pipeline import topics
from pipeline.console.console import NotReadError, Scan, StillLookedForError
from pipeline.console.sought import MOST_READ, MOST_SECONDS, Sought, is_it
from pipeline.kafka.murmur2 import partition_of
from pipeline.kafka.refusal import check_passing
from pipeline.kafka.seam import Kafka, Place, at_hand
from pipeline.model.events import Event
from pipeline.model.ids import milliseconds
from pipeline.model.replays import Range

log = logging.getLogger(__name__)
Out = TypeVar("Out")
SEARCHES = 2  # at once: a long one keeps nobody waiting who asks for what is quick
AT_ONCE = 2000
SCANNED = 20_000  # records of one partition
MOST_EVENTS = 1000  # of one profile: its newest
SCAN_SECONDS = 8.0
LOST_SECONDS = 4.0  # beyond a search's own time: then it hangs at a question to a broker that is away
KEPT_SECONDS = 5.0  # so long is known what a search came to, for a page that asks again each second
# Twenty thousand records are 20 MB or so: by librdkafka's defaults a reader would hold 64 MB of them.
READ_AHEAD = {"queued.max.messages.kbytes": 8192, "fetch.max.bytes": 4_000_000}


class Past:
    """Belongs to the event loop. KafkaException where the broker does not answer."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._thread = ThreadPoolExecutor(1, "past")
        self._searches = ThreadPoolExecutor(SEARCHES, "past-search")
        self._sought: dict[Sought, tuple[float, asyncio.Future[bytes | None]]] = {}

    async def ranges(self, since: datetime, until: datetime) -> list[Range]:
        """Where the events stand that were written from `since` to before `until`, a range for each partition."""
        return await self._on_thread(partial(self._ranges, since, until))

    async def delivered(self, ends: Mapping[int, int]) -> bool:
        """Whether all before these offsets of `replays`, by partition, was posted once, or waits for a retry."""
        return await self._on_thread(partial(self._delivered, ends))

    async def event(self, sought: Sought, seconds: float) -> bytes | None:
        """The event as it stands in `events`; None where it is no longer there.

        StillLookedForError after so many seconds: who asks again joins the same search. NotReadError where it ended
        without an answer.
        """
        began, search = self._search(sought)
        done, _ = await asyncio.wait([search], timeout=seconds)
        if not done and time.monotonic() - began > MOST_SECONDS + LOST_SECONDS:
            raise NotReadError("Kafka does not answer now")
        if not done:
            raise StillLookedForError
        try:
            return search.result()
        except (KafkaException, TimeoutError, asyncio.CancelledError) as failed:
            log.warning("an event was not read: %r", failed)
            raise NotReadError("Kafka does not answer now") from failed

    def _search(self, sought: Sought) -> "tuple[float, asyncio.Future[bytes | None]]":
        """When the search began, and what it comes to; one that is under way, or just ended, is not begun again."""
        if (known := self._sought.get(sought)) is not None:
            return known
        loop = asyncio.get_running_loop()
        search = loop.run_in_executor(self._searches, self._event, sought)
        search.add_done_callback(lambda _: loop.call_later(KEPT_SECONDS, self._sought.pop, sought, None))
        self._sought[sought] = time.monotonic(), search
        return self._sought[sought]

    async def of_profile(self, account: str, profile: str, since: datetime) -> Scan | None:
        """The profile's events that were written since then, among the newest 20,000 records of its partition.

        The newest 1,000 of them; None where the broker does not give them within 8 s.
        """
        try:
            async with asyncio.timeout(SCAN_SECONDS):
                work = partial(self._of_profile, account, profile, since)
                return await asyncio.get_running_loop().run_in_executor(self._searches, work)
        except (KafkaException, TimeoutError) as failed:
            log.warning("the events of a profile were not read: %r", failed)
            return None

    def close(self) -> None:
        """Ends the threads."""
        for threads in (self._thread, self._searches):
            threads.shutdown(wait=False, cancel_futures=True)

    def _ranges(self, since: datetime, until: datetime) -> list[Range]:
        places = [(topics.EVENTS, one) for one in range(self._kafka.partitions([topics.EVENTS])[topics.EVENTS])]
        starts = self._kafka.since(places, milliseconds(since))
        ends = self._kafka.since(places, milliseconds(until))
        ranges = [Range(partition=place[1], start=starts[place], end=ends[place]) for place in places]
        return [one for one in ranges if one.start < one.end]

    def _delivered(self, ends: Mapping[int, int]) -> bool:
        places = {(topics.REPLAYS, partition): end for partition, end in ends.items()}
        reached = self._kafka.committed("loopwire-deliver", places)
        return all(reached.get(place, 0) >= end for place, end in places.items())

    def _event(self, sought: Sought) -> bytes | None:
        count = self._kafka.partitions([topics.EVENTS])[topics.EVENTS]
        place = topics.EVENTS, partition_of(sought.key, count)
        start = self._kafka.since([place], milliseconds(sought.since))[place]
        end = self._kafka.since([place], milliseconds(sought.until))[place]
        found = self._read(place, start, min(end, start + MOST_READ), sought) if start < end else None
        if found is None and end > start + MOST_READ:
            raise NotReadError(f"it is not among the {MOST_READ:,} records that are looked through")
        return found

    def _read(self, place: Place, start: int, end: int, sought: Sought) -> bytes | None:
        reader, deadline = self._kafka.reader(), time.monotonic() + MOST_SECONDS
        try:
            reader.assign([TopicPartition(self._kafka.full(place[0]), place[1], start)])
            while time.monotonic() < deadline:
                for message in at_hand(reader, AT_ONCE, 0.5):
                    error, value = message.error(), message.value()
                    if error is not None:
                        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                            return None
                        raise KafkaException(error)
                    if value is not None and is_it(value, sought.event):
                        return value
                    if (message.offset() or 0) + 1 >= end:
                        return None
            raise NotReadError(f"it was not found within {MOST_SECONDS:.0f} seconds")
        finally:
            reader.close()

    def _of_profile(self, account: str, profile: str, since: datetime) -> Scan:
        key = f"{account}/{profile}".encode()
        place = topics.EVENTS, partition_of(key, self._kafka.partitions([topics.EVENTS])[topics.EVENTS])
        end = self._kafka.ends([place])[place]
        first = self._kafka.since([place], milliseconds(since))[place]
        start = max(first, end - SCANNED)
        events: list[Event] = []
        values = self._values(place[1], start, end, key) if start < end else []
        for value in values[-MOST_EVENTS:]:
            try:
                event = msgspec.json.decode(value, type=Event)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                log.debug("an event of %s can't be read", key)
                continue
            if (event.account, event.profile) == (account, profile):
                events.append(event)
        return Scan(events, start > first or len(values) > MOST_EVENTS)

    def _values(self, partition: int, start: int, end: int, key: bytes) -> list[bytes]:
        """What stands under the key from `start` to before `end`."""
        values: list[bytes] = []
        reader = self._kafka.consumer("loopwire-past", **READ_AHEAD, **{"enable.partition.eof": True})
        deadline = time.monotonic() + SCAN_SECONDS
        try:
            reader.assign([TopicPartition(self._kafka.full(topics.EVENTS), partition, start)])
            reached = start
            while reached < end:
                if time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "events are not read in time"))  # noqa: SLF001
                for message in at_hand(reader, AT_ONCE, 0.25):
                    error, offset = message.error(), message.offset() or 0
                    if error is None:
                        reached = offset + 1
                        if message.key() == key and offset < end:
                            values.append(message.value() or b"")
                    elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                        reached = end  # the last offsets may be no records
                    else:
                        check_passing(error, message.topic())
        finally:
            reader.close()
        return values

    async def _on_thread(self, work: Callable[[], Out]) -> Out:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
