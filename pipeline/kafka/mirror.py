"""A mirror keeps a compacted topic's rows at hand: read to its end before it is asked, then kept up."""

import time
from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from pipeline.kafka.refusal import check_passing
from pipeline.kafka.seam import Kafka, Message, Offsets, Place, at_hand

# partition, key, value (None: the row is gone)
Apply = Callable[[int, bytes, bytes | None], None]
Watch = Callable[[Message], None]
AT_ONCE = 5000
PATIENCE_SECONDS = 60.0
UNDECIDED_SECONDS = 1.0  # a marker is written within milliseconds of its commit, more on a busy machine


class Mirror:
    """Reads the chosen partitions of some compacted topics and applies each record, in order.

    Used by one thread at a time.
    """

    def __init__(self, kafka: Kafka, tables: dict[str, Apply], whole: dict[str, Watch] | None = None) -> None:
        """Of the topics in `whole` each record is applied as it was read."""
        self._kafka = kafka
        self._tables = tables
        self._whole = whole or {}
        self._reader = kafka.reader()
        self._read: Offsets = {}
        self._open: Offsets = {}  # where a transaction that stayed open kept us from reading on
        self.hurried = False

    def follow(self, places: Iterable[Place], starts: Mapping[Place, int] | None = None) -> None:
        """Begins to read the places, from their first record or the offset that `starts` has for them."""
        new = {place: (starts or {}).get(place, 0) for place in places if place not in self._read}
        self._read.update(new)
        if new:
            self._reader.incremental_assign([self._at(place, start) for place, start in new.items()])

    def follow_all(self, topics: Iterable[str]) -> None:
        """Begins to read all partitions of the topics."""
        counts = self._kafka.partitions(list(topics))
        self.follow([(topic, number) for topic, count in counts.items() for number in range(count)])

    def forget(self, places: Iterable[Place]) -> None:
        """Stops reading the places. Their rows are the caller's to drop."""
        old = [place for place in places if place in self._read]
        for place in old:
            del self._read[place]
            self._open.pop(place, None)
        if old:
            self._reader.incremental_unassign([self._at(place) for place in old])

    def catch_up(self) -> None:
        """Applies everything that was acknowledged in the followed places before this call.

        KafkaException where the broker gives nothing of it for 60 s, or at once where we are `hurried`; a large table
        may take longer than that to load.
        """
        behind, deadline = self._behind(), time.monotonic() + PATIENCE_SECONDS
        while behind:
            before = sum(self._read.values())
            if self.take(UNDECIDED_SECONDS):
                deadline = time.monotonic() + PATIENCE_SECONDS
            behind = {place: end for place, end in behind.items() if self._read[place] < end}
            if behind and sum(self._read.values()) == before:
                behind = self._without_open(behind)
            if behind and (self.hurried or time.monotonic() > deadline):
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"tables stay behind: {behind}"))  # noqa: SLF001

    def _behind(self) -> Offsets:
        """Which places are not read to their end, where transactions count that are not known to be decided."""
        ends = self._kafka.ends(self._read, undecided=True)
        behind = {place: end for place, end in ends.items() if self._read[place] < end}
        waited = {place: end for place, end in behind.items() if self._open.get(place) == self._read[place]}
        if not waited:
            return behind
        still = self._without_open(waited)
        return {place: end for place, end in behind.items() if place not in waited or place in still}

    def _without_open(self, behind: Offsets) -> Offsets:
        """Without the places where nothing is missing but what an open transaction holds back.

        A commit is acknowledged before its marker is written, so it is waited for a moment: once for a transaction.
        """
        decided = self._kafka.ends(behind)
        self._open |= {place: self._read[place] for place, end in decided.items() if end <= self._read[place]}
        return {place: end for place, end in behind.items() if self._read[place] < decided[place]}

    def take(self, timeout: float) -> int:
        """Applies what is there, waiting up to `timeout` seconds for the first of it; how many records that were."""
        messages = at_hand(self._reader, AT_ONCE, timeout)
        for message in messages:
            self._apply(message)
        return len(messages)

    def close(self) -> None:
        """Stops reading."""
        self._reader.close()

    def _apply(self, message: Message) -> None:
        place = self._kafka.bare(message.topic() or ""), message.partition() or 0
        error, offset = message.error(), message.offset() or 0
        if place not in self._read:
            return  # read ahead before `forget`
        if error is None:
            if apply := self._whole.get(place[0]):
                apply(message)
            else:
                self._tables[place[0]](place[1], message.key() or b"", message.value())
            self._read[place] = offset + 1
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._read[place] = offset  # what compaction took from the end is passed as well
        else:
            check_passing(error, message.topic())

    def _at(self, place: Place, start: int = 0) -> TopicPartition:
        return TopicPartition(self._kafka.full(place[0]), place[1], start or OFFSET_BEGINNING)
