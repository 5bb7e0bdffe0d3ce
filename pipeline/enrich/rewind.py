"""Hits of before are read again where a partition comes, for what lately was clicked: a part of enrich's door."""

from confluent_kafka import KafkaError, TopicPartition

from pipeline import topics
from pipeline.enrich.bursts import KEPT_MS
from pipeline.enrich.join import UnreadableError, hit_of
from pipeline.enrich.seen import Seen
from pipeline.kafka.seam import Kafka, Message, at_hand
from pipeline.model.ids import milliseconds

AT_ONCE = 5000
MOST = 200_000  # hits read again; after a hit that was written late, a burst before it may pass for people's
PATIENCE = 100  # looks of 0.1 s at a partition that gives nothing


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
            self._show(TopicPartition(self._kafka.full(topics.HITS), number, start), end, seen)

    def _show(self, place: TopicPartition, end: int, seen: Seen) -> None:
        self._reader.incremental_assign([place])
        empty, there = 0, False
        while not there and empty < PATIENCE:
            messages = at_hand(self._reader, AT_ONCE, 0.1)
            empty = 0 if messages else empty + 1
            for message in messages:
                there = there or _is_end(message, end)
                if not there and message.error() is None:
                    _remember(message, seen)
        self._reader.incremental_unassign([place])

    def close(self) -> None:
        """Stops reading."""
        self._reader.close()


def _is_end(message: Message, end: int) -> bool:
    error = message.error()
    if error is not None:
        return error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001
    return (message.offset() or 0) >= end


def _remember(message: Message, seen: Seen) -> None:
    try:
        seen.remember(hit_of(message.key(), message.value()))
    except UnreadableError:
        return  # it is a dead letter since it was read
