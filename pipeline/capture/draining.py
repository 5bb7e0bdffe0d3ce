"""The drain sends what is spooled to the broker, oldest first and behind new hits, under the ids it has.

A part of the door: it runs on the event loop, beside what answers.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from confluent_kafka import KafkaError, KafkaException

from pipeline.capture import segment
from pipeline.capture.held import Segment
from pipeline.capture.segment import Kept
from pipeline.capture.spool import Spool
from pipeline.capture.spooling import PROBE_SECONDS, STEP_SECONDS, Flow
from pipeline.kafka.proof import fault
from pipeline.kafka.seam import Message, Producer

log = logging.getLogger(__name__)


class Reading:
    """A segment on its way to the broker."""

    def __init__(self, held: Segment, data: bytes) -> None:
        self.held = held
        self._data = data
        self._at = segment.HEAD if held.seed else len(data)
        # Bytes that are no record, a torn tail apart. Where even the head is torn, nothing was ever safe behind it.
        self.damaged = 0 if held.seed or len(data) <= segment.HEAD else len(data)
        self.again: deque[Kept] = deque()
        self.under_way = 0

    def next(self) -> Kept | None:
        """The next record to be sent; None where there is none now."""
        found = segment.found(self._data, self.held.seed, self._at) if self._at < len(self._data) else None
        if found is not None:
            self.damaged += found.start - self._at
            self._at = found.end
            return found.kept
        self._at = len(self._data)
        return self.again.popleft() if self.again else None

    @property
    def done(self) -> bool:
        """Whether all of it is acknowledged."""
        return self._at >= len(self._data) and not self.again and not self.under_way


Outcome = tuple[Reading, Kept, KafkaError | None, float]  # of a record sent so many seconds ago


class Drain:
    """Empties a spool into a topic. Acknowledgements are heard on whatever thread polls the producer.

    `counted` hears of each record that was acknowledged, on the event loop.
    """

    def __init__(self, spool: Spool, producer: Producer, topic: str, counted: Callable[[], None]) -> None:
        self._spool = spool
        self._producer = producer
        self._topic = topic
        self._counted = counted
        self._flow = Flow()
        self._outcomes: deque[Outcome] = deque()
        self._reading: Reading | None = None
        self.held: Segment | None = None  # the segment that is drained
        self._looked = self._closed = float("-inf")

    @property
    def empty(self) -> bool:
        """Whether nothing is known to wait."""
        return self.held is None and not self._spool.writing and not self._spool.held

    async def run(self, waiting: Callable[[], float], deadline: float, well: Callable[[], None]) -> None:
        """Drains until cancelled.

        `waiting` tells how many seconds the oldest new hit waits; `well` hears of each step in which the broker
        acknowledged something within `deadline` seconds.
        """
        while True:
            await asyncio.sleep(STEP_SECONDS)
            if self._heard(deadline):
                well()
            if self._reading is None:
                await self._begin()
            if self._reading is not None:
                self._step(self._reading, waiting(), deadline)
                if self._reading.done:
                    await self._end(self._reading)

    def _heard(self, deadline: float) -> bool:
        """Whether the broker took something in time since the last step."""
        in_time = False
        while self._outcomes:
            reading, kept, error, seconds = self._outcomes.popleft()
            reading.under_way -= 1
            if error is None:
                self._counted()
                in_time |= seconds <= deadline
                self._flow = self._flow.acknowledged()
            else:
                reading.again.append(kept)
                self._flow = self._flow.failed(time.monotonic())
        return in_time

    async def _begin(self) -> None:
        """Opens the next segment, where there is one; what is written now is ended first."""
        now = time.monotonic()
        if not self._spool.full:
            if self._spool.writing and now - self._closed >= PROBE_SECONDS:  # so a segment holds a second's hits
                self._closed = now
                self._spool.close_segment()
            if now - self._looked < PROBE_SECONDS:
                return
            self._looked = now
        held = self._spool.next()
        if held is None:
            return
        self.held = held
        try:
            self._reading = Reading(held, await asyncio.to_thread(held.read))
        except OSError as failed:
            log.error("capture: %s can't be read: %s", held.path, failed.strerror)  # noqa: TRY400 (it is the disk's)
            self._spool.put_back(held)
            self.held = None
            await asyncio.sleep(PROBE_SECONDS)

    def _step(self, reading: Reading, waiting: float, deadline: float) -> None:
        now = time.monotonic()
        for _ in range(self._flow.allowed(now, reading.under_way, waiting, deadline)):
            kept = reading.next()
            if kept is None:
                return
            try:
                self._producer.produce(
                    self._topic, kept.value, kept.key, on_delivery=partial(self._told, reading, kept, now)
                )
            except (BufferError, KafkaException):
                reading.again.append(kept)
                self._flow = self._flow.failed(now)
                return
            reading.under_way += 1

    def _told(self, reading: Reading, kept: Kept, since: float, error: KafkaError | None, message: Message) -> None:
        self._outcomes.append((reading, kept, fault(error, message), time.monotonic() - since))

    async def _end(self, reading: Reading) -> None:
        """All of it is on the broker: it goes, unless somebody should look at what was in it."""
        self._reading = None
        try:
            if reading.damaged:
                await asyncio.to_thread(reading.held.put_aside)
                log.error("capture: %d bytes in %s were no hits; it is kept as *.damaged",
                          reading.damaged, reading.held.path)  # fmt: skip
            else:
                await asyncio.to_thread(reading.held.remove)
        except OSError as failed:  # then it is sent once more, under the same ids
            log.error("capture: %s can't be removed: %s", reading.held.path, failed.strerror)  # noqa: TRY400
        self.held = None
