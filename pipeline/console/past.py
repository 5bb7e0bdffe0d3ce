"""What Kafka knows of the past, asked on a thread of its own: where a time stands in `events`, and what was sent."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TypeVar

from pipeline import topics
from pipeline.kafka.seam import Kafka
from pipeline.model.ids import milliseconds
from pipeline.model.replays import Range

Out = TypeVar("Out")


class Past:
    """Belongs to the event loop. KafkaException where the broker does not answer."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._thread = ThreadPoolExecutor(1, "past")

    async def ranges(self, since: datetime, until: datetime) -> list[Range]:
        """Where the events stand that were written from `since` to before `until`, a range for each partition."""
        return await self._on_thread(partial(self._ranges, since, until))

    async def delivered(self, ends: Mapping[int, int]) -> bool:
        """Whether all before these offsets of `replays`, by partition, was posted once, or waits for a retry."""
        return await self._on_thread(partial(self._delivered, ends))

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

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

    async def _on_thread(self, work: Callable[[], Out]) -> Out:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
