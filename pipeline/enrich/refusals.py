"""What Kafka did not write waits here until it is written anew, or buried: a part of enrich's door."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import NamedTuple

import msgspec
from confluent_kafka import KafkaError

from pipeline import topics
from pipeline.kafka.consume import Batch
from pipeline.kafka.proof import fault
from pipeline.kafka.receipt import Receipt
from pipeline.kafka.seam import Message, OnDelivery
from pipeline.record import LARGEST_EVENT, Record, dead

BROKERS_LARGEST = 1_048_588  # Kafka's default for a batch of records
FRAME = 512  # bytes of a record batch beside one event: 61 of the batch, 20 of the record, a key of 169
# The record itself is at fault, or we may not write it: it would be refused each time.
FOR_GOOD = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.INVALID_RECORD,
        KafkaError.POLICY_VIOLATION,
    }
)
# Nothing is wrong with it: its producer ended before it was sent, or another record of its batch is at fault.
BEHIND = KafkaError(KafkaError._PURGE_QUEUE)  # noqa: SLF001
BESIDE = frozenset({BEHIND.code(), KafkaError._INVALID_DIFFERENT_RECORD})  # noqa: SLF001


class Output(NamedTuple):
    """What a message of `source` became, and the receipt it is owed to."""

    turn: int  # outputs of an earlier turn come first; of one turn, those of earlier messages
    source: str
    message: Message
    record: Record
    receipt: Receipt

    @property
    def place(self) -> tuple[str, int]:
        """Where the message stands."""
        return self.source, self.message.partition() or 0

    @property
    def offset(self) -> int:
        """Where in it."""
        return self.message.offset() or 0


class Refusal(NamedTuple):
    """An output that was not written."""

    output: Output
    error: KafkaError

    @property
    def is_forbidden(self) -> bool:
        """Whether its topic may not be written."""
        return self.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED

    def reason(self, others: Sequence["Refusal"], largest: int) -> KafkaError | None:
        """Why it can't be written, where an event may have `largest` bytes; None where it can be, by a new producer.

        Where one of the `others` may not be written to the topic, it may not, either.
        """
        record = self.output.record
        if self.error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            alone = len(record.value or b"") <= largest  # it was too large only with the rest of its batch
            return None if alone else self.error
        if self.error.code() in FOR_GOOD:
            return self.error
        return next((one.error for one in others if one.is_forbidden and one.output.record.topic == record.topic), None)

    def buried(self, reason: KafkaError) -> Output:
        """The message as it came, for the dead letters."""
        why = f"{topics.EVENTS}: {reason.str()}"
        return self.output._replace(record=dead(topics.HITS_DEAD, self.output.source, self.output.message, why))


def largest_event(config: Mapping[str, str]) -> int:
    """The most bytes of an event that `events`, so configured, takes, and whoever reads it."""
    return min(LARGEST_EVENT, int(config.get("max.message.bytes", BROKERS_LARGEST)) - FRAME)


class _Event(msgspec.Struct):
    id: str


_event = msgspec.json.Decoder(_Event)


class Refusals:
    """Filled by delivery callbacks on the event loop, and by the thread that tells changes."""

    def __init__(self, events: str) -> None:
        """`events` is the topic's full name."""
        self._events = events
        self._waiting: list[Refusal] = []
        self._hits: dict[tuple[int, int], dict[str, list[Message]]] = {}  # a batch's, by id
        self._turns = count()

    def turn(self) -> int:
        """The next one, of outputs that are produced from now on."""
        return next(self._turns)

    def watch(self, output: Output) -> OnDelivery:
        """The delivery callback of an output that is not a plain event of a hit."""

        def told(error: KafkaError | None, written: Message) -> None:
            wrong = fault(error, written)
            if wrong is None or not self.take(Refusal(output, wrong)):
                output.receipt(error, written)

        return told

    def of_hit(self, turn: int, batch: Batch, error: KafkaError, event: Message, receipt: Receipt) -> bool:
        """Whether it is taken that one event of a batch was not written: it is told without the hit it is of."""
        if event.topic() != self._events or not _may_take(topics.EVENTS, error):
            return False
        hits = self._hits.get((batch.partition, batch.first))
        if hits is None:
            hits = self._hits[batch.partition, batch.first] = _by_id(batch)
        value = event.value() or b""
        record = Record(topics.EVENTS, event.key() or b"", value, partition=batch.partition)
        hit = hits[_event.decode(value).id].pop()
        return self.take(Refusal(Output(turn, topics.HITS, hit, record, receipt), error))

    def take(self, refusal: Refusal) -> bool:
        """Whether it can be written anew, or buried: a dead letter that is refused can't be."""
        if not _may_take(refusal.output.record.topic, refusal.error):
            return False
        self._waiting.append(refusal)
        return True

    def taken(self) -> list[Refusal]:
        """All that was not written, in the order in which it should have been; each is given once."""
        taken = self._waiting.copy()
        del self._waiting[: len(taken)]  # the same list stays: the other thread may be about to append to it
        self._hits.clear()
        return sorted(taken, key=lambda one: (one.output.turn, one.output.offset))


def _may_take(topic: str, error: KafkaError) -> bool:
    return error.code() in BESIDE or (error.code() in FOR_GOOD and topic == topics.EVENTS)


def _by_id(batch: Batch) -> dict[str, list[Message]]:
    found: defaultdict[str, list[Message]] = defaultdict(list)
    for message in reversed(batch.messages):  # the first of an id is taken first
        try:
            found[_event.decode(message.value() or b"").id].append(message)
        except msgspec.MsgspecError:
            continue  # it became no event
    return found
