"""A worker's producer: where librdkafka gives one up for good, another takes its place, and hits are spooled meanwhile.

A part of the door: run.py alone uses it. All of it runs on the event loop.
"""

import logging
import time
from collections.abc import Callable

from confluent_kafka import KafkaException

from pipeline.kafka.refusal import forbidden
from pipeline.kafka.seam import Producer
from pipeline.settings import SettingsError

log = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0  # a cluster that refuses each new one is not asked more often


class Lasting:
    """A producer like those that `make` makes."""

    def __init__(self, make: Callable[[], Producer]) -> None:
        self._make = make
        self._use(make())
        self._said = ""

    def _use(self, producer: Producer) -> None:
        self._producer = producer
        self.produce = producer.produce  # once a hit: its own, not by way of us. KafkaException once it ended
        self._ended_at: float | None = None

    def poll(self, timeout: float = -1) -> int:
        """Hears of what was produced; all that one took which ended is refused."""
        self._renew()
        try:
            return self._producer.poll(timeout)
        except KafkaException as failed:
            self._end(failed)
            return 0

    def flush(self, timeout: float = -1) -> int:
        """As the producer does."""
        return self._producer.flush(timeout)

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """As the producer does."""
        self._producer.purge(in_queue, in_flight, blocking)

    def __len__(self) -> int:
        """How much is not told of yet."""
        return len(self._producer)

    def _end(self, failed: KafkaException) -> None:
        self._ended_at = time.monotonic()
        self._producer.purge(in_queue=True, in_flight=True, blocking=False)
        why = forbidden(failed.args[0], "IDEMPOTENT_WRITE", "the cluster, nor WRITE on a topic").str()
        self._say(why)

    def _say(self, why: str) -> None:
        if why != self._said:
            log.error("capture: hits are spooled, and a new producer is tried each %.0f s: %s", AGAIN_SECONDS, why)
        self._said = why

    def _renew(self) -> None:
        if self._ended_at is None or len(self._producer) or time.monotonic() - self._ended_at < AGAIN_SECONDS:
            return
        try:
            self._use(self._make())
        except (SettingsError, KafkaException) as failed:  # a certificate is being exchanged, say
            self._ended_at = time.monotonic()
            self._say(str(failed.args[0]))
