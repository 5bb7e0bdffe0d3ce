"""Hits of before are read again where a partition comes: what was lately clicked, and how much was bad."""

from collections.abc import Iterator

from confluent_kafka import KafkaError, TopicPartition

from pipeline import topics
from pipeline.enrich.bursts import KEPT_MS
from pipeline.enrich.join import UnreadableError, hit_of
from pipeline.enrich.seen import Seen
from pipeline.kafka.seam import Kafka, Message, Offsets, at_hand
from pipeline.model.ids import milliseconds

AT_ONCE = 5000
MOST = 200_000  # hits read again; after a hit that was written late, a burst before it may pass for people's
PATIENCE = 100  # looks of 0.1 s at partitions that give nothing


class Rewind:
    """Used by the thread that reads."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._reader = kafka.reader()

    def to(self, first: Message, seen: Seen) -> None:
        """Shows `seen` what came in the seconds before the first hit of a partition that is ours now."""
        number, end = first.partition() or 0, first.offset() or 0
        try:
            at = milliseconds(hit_of(first.key(), first.value()).at)
        except UnreadableError:
            at = first.timestamp()[1]
        place = topics.HITS, number
        start = max(self._kafka.since([place], at - KEPT_MS)[place], end - MOST)
        if start < end:
            for message in self._read({place: start}, {place: end}):
                _remember(message, seen)

    def last(self, ends: Offsets, most: int) -> Iterator[Message]:
        """Up to `most` hits before each of the offsets, each partition in order; to be read to its end."""
        return self._read({place: max(end - most, 0) for place, end in ends.items()}, ends)

    def close(self) -> None:
        """Stops reading."""
        self._reader.close()

    def _read(self, starts: Offsets, ends: Offsets) -> Iterator[Message]:
        left, empty = dict(ends), 0
        places = [TopicPartition(self._kafka.full(topic), number, at) for (topic, number), at in starts.items()]
        self._reader.incremental_assign(places)
        while left and empty < PATIENCE:
            messages = at_hand(self._reader, AT_ONCE, 0.1)
            empty = 0 if messages else empty + 1
            for message in messages:
                place = self._kafka.bare(message.topic() or ""), message.partition() or 0
                end, offset, error = left.get(place, 0), message.offset() or 0, message.error()
                if error is None and offset < end:
                    yield message
                if _is_end(error) or (error is None and offset + 1 >= end):
                    left.pop(place, None)
        self._reader.incremental_unassign(places)


def _is_end(error: KafkaError | None) -> bool:
    return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001


def _remember(message: Message, seen: Seen) -> None:
    try:
        seen.remember(hit_of(message.key(), message.value()))
    except UnreadableError:
        return  # it is a dead letter since it was read
