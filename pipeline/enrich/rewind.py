"""Hits of before are read again where a partition comes: what was lately clicked, and how much was bad."""

from collections.abc import Iterator, Sequence

from confluent_kafka import KafkaError, TopicPartition

from pipeline import topics
from pipeline.enrich.bursts import KEPT_MS
from pipeline.enrich.join import UnreadableError, hit_of
from pipeline.enrich.seen import Seen
from pipeline.kafka.seam import Kafka, Message, Offsets, at_hand
from pipeline.model.hits import Click
from pipeline.model.ids import milliseconds

AT_ONCE = 5000
MOST = 200_000  # hits read again; after a hit that was written late, a burst before it may pass for people's
PATIENCE = 100  # looks of 0.1 s at partitions that give nothing


class Rewind:
    """Used by the thread that reads."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._reader = kafka.reader()

    def to(self, messages: Sequence[Message], seen: Seen) -> bool:
        """Shows `seen` what was clicked in the seconds before the first click of a partition that is ours now.

        False where no click is among the messages: it is for those that follow. Only clicks make one forget others, so
        only a click's time says from where on they count; a bounce may be of any time its sender likes.
        """
        first = _first_click(messages)
        if first is None:
            return False
        place, end, at = (topics.HITS, messages[0].partition() or 0), *first
        since = max(at - KEPT_MS, 0)  # Kafka takes a negative time for a word of its own, or refuses it
        start = max(self._kafka.since([place], since)[place], end - MOST)
        if start < end:
            for message in self._read({place: start}, {place: end}):
                _remember(message, seen)
        return True

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


def _first_click(messages: Sequence[Message]) -> tuple[int, int] | None:
    """Its offset and its time in Unix milliseconds."""
    for message in messages:
        try:
            hit = hit_of(message.key(), message.value())
        except UnreadableError:
            continue
        if isinstance(hit, Click):
            return message.offset() or 0, milliseconds(hit.at)
    return None


def _remember(message: Message, seen: Seen) -> None:
    try:
        seen.remember(hit_of(message.key(), message.value()))
    except UnreadableError:
        return  # it is a dead letter since it was read
