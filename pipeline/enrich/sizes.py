"""How large an event may be, and a batch of them is made."""

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.record import LARGEST_EVENT, Record

BROKERS_LARGEST = 1_048_588  # Kafka's default for a batch of records
LARGEST_BATCH = 1_000_000  # librdkafka's
FRAME = 512  # bytes of a record batch beside one event: 61 of the batch, 20 of the record, a key of 169


class Sizes(NamedTuple):
    """Both in bytes."""

    event: int
    batch: int

    def is_too_large(self, record: Record) -> bool:
        """Whether a record that was refused for its size would be again: it is too large, or it was sent alone."""
        return len(record.value or b"") > self.event or len(record.key) + len(record.value or b"") >= self.batch

    def after(self, config: Mapping[str, str], *, halve: bool) -> "Sizes":
        """What is tried next; half of a batch, where one was refused that should have been taken.

        So it comes to an end also where we may not know what `events` takes.
        """
        now = sizes(config)
        return Sizes(now.event, min(now.batch, max(self.batch // 2, 1) if halve else self.batch))


def sizes(config: Mapping[str, str]) -> Sizes:
    """What `events`, so configured, takes, and whoever reads it. A batch that is too large is refused whole."""
    most = int(config.get("max.message.bytes", BROKERS_LARGEST))
    return Sizes(min(LARGEST_EVENT, most - FRAME), max(min(LARGEST_BATCH, most * 9 // 10), 1))
