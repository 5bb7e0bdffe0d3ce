"""What Kafka refused for good waits a moment here, until it is known that not all is: a part of enrich's door."""

import asyncio
from collections import defaultdict
from typing import NamedTuple

import msgspec
from confluent_kafka import KafkaError

from pipeline import topics
from pipeline.kafka.consume import Batch
from pipeline.kafka.receipt import Receipt
from pipeline.kafka.seam import Message
from pipeline.record import Record, dead

HOLD_SECONDS = 0.5  # so that a whole row of refusals is seen before the first of it becomes a dead letter
FRAME = 512  # bytes of a record batch beside one event and its key: 61 of the batch, 20 of the record, a key of 169
# The record itself is at fault, or we may not write it: it would be refused each time.
FOR_GOOD = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.INVALID_RECORD,
        KafkaError.POLICY_VIOLATION,
    }
)


class Refusal(NamedTuple):
    """A record of `source` whose event of `size` bytes was refused, and the receipt its dead letter is owed to."""

    source: str
    message: Message
    error: KafkaError
    size: int
    receipt: Receipt

    def fits(self, largest: int) -> bool:
        """Whether it was too large only with the others of its batch, where a batch may have `largest` bytes."""
        return self.error.code() == KafkaError.MSG_SIZE_TOO_LARGE and self.size + FRAME <= largest

    @property
    def place(self) -> tuple[str, int]:
        """Where the record stands."""
        return self.source, self.message.partition() or 0

    @property
    def offset(self) -> int:
        """Where in it."""
        return self.message.offset() or 0

    @property
    def letter(self) -> Record:
        """The record as it came, for the dead letters."""
        return dead(topics.HITS_DEAD, self.source, self.message, f"{topics.EVENTS}: {self.error.str()}")


class _Event(msgspec.Struct):
    id: str


_event = msgspec.json.Decoder(_Event)


class Refusals:
    """Filled by delivery callbacks on the event loop, and by the thread that tells changes."""

    def __init__(self, events: str) -> None:
        """`events` is the topic's full name: the dead letters' own refusals are not taken."""
        self._events = events
        self._waiting: list[Refusal] = []
        self._hits: dict[tuple[int, int], dict[str, list[Message]]] = {}  # a batch's, by id

    def of_hit(self, batch: Batch, error: KafkaError, event: Message, receipt: Receipt) -> bool:
        """Whether the refusal of one event of a batch is taken."""
        if event.topic() != self._events:
            return False
        hits = self._hits.get((batch.partition, batch.first))
        if hits is None:
            hits = self._hits[batch.partition, batch.first] = _by_id(batch)
        value = event.value() or b""
        return self.take(topics.HITS, hits[_event.decode(value).id].pop(), error, len(value), receipt)

    def of_change(self, change: Message, error: KafkaError, event: Message, receipt: Receipt) -> bool:
        """Whether the refusal of a change's event is taken."""
        return event.topic() == self._events and self.take(
            topics.PROFILES, change, error, len(event.value() or b""), receipt
        )

    def take(self, source: str, message: Message, error: KafkaError, size: int, receipt: Receipt) -> bool:
        """Whether the refusal is one for good."""
        if error.code() not in FOR_GOOD:
            return False
        self._waiting.append(Refusal(source, message, error, size, receipt))
        return True

    async def next(self) -> list[Refusal]:
        """What was refused and has waited long enough, in the order of the records; after half a second."""
        before = len(self._waiting)
        await asyncio.sleep(HOLD_SECONDS)
        if not before:
            return []
        taken = self._waiting.copy()
        del self._waiting[: len(taken)]  # the same list stays: the other thread may be about to append to it
        self._hits.clear()
        return sorted(taken, key=lambda one: (one.place, one.offset))


def _by_id(batch: Batch) -> dict[str, list[Message]]:
    found: defaultdict[str, list[Message]] = defaultdict(list)
    for message in reversed(batch.messages):  # the first of an id is taken first
        try:
            found[_event.decode(message.value() or b"").id].append(message)
        except msgspec.MsgspecError:
            continue  # it became no event
    return found
