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
from pipeline.console.console import Scan
from pipeline.console.sought import MOST_READ, MOST_SECONDS, Sought, is_it
from pipeline.kafka.murmur2 import partition_of
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
# Twenty thousand records are 20 MB or so: by librdkafka's defaults a reader would hold 64 MB of them.
READ_AHEAD = {"queued.max.messages.kbytes": 8192, "fetch.max.bytes": 4_000_000}


class Past:
    """Belongs to the event loop. KafkaException where the broker does not answer."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._thread = ThreadPoolExecutor(1, "past")
        self._searches = ThreadPoolExecutor(SEARCHES, "past-search")

    async def ranges(self, since: datetime, until: datetime) -> list[Range]:
        """Where the events stand that were written from `since` to before `until`, a range for each partition."""
        return await self._on_thread(partial(self._ranges, since, until))

    async def delivered(self, ends: Mapping[int, int]) -> bool:
        """Whether all before these offsets of `replays`, by partition, was posted once, or waits for a retry."""
        return await self._on_thread(partial(self._delivered, ends))

    async def event(self, sought: Sought) -> bytes | None:
        """The event as it stands in `events`; None where it is not found within bounds of records and time."""
        return await asyncio.get_running_loop().run_in_executor(self._searches, self._event, sought)

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
        return self._read(place, start, min(end, start + MOST_READ), sought) if start < end else None

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
            return None
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
                    elif error.fatal():
                        raise KafkaException(error)
        finally:
            reader.close()
        return values

    async def _on_thread(self, work: Callable[[], Out]) -> Out:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
