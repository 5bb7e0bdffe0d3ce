"""What Kafka did not write waits here until it is written anew, or buried: a part of enrich's door."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import count
from typing import NamedTuple

import msgspec
from confluent_kafka import KafkaError

from pipeline import topics
from pipeline.enrich.sizes import Sizes
from pipeline.kafka.consume import Batch
from pipeline.kafka.proof import fault
from pipeline.kafka.receipt import Receipt
from pipeline.kafka.seam import Message, OnDelivery
from pipeline.record import Record, dead

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
    def is_for_size(self) -> bool:
        """Whether it, or the batch it was in, was too large."""
        return self.error.code() == KafkaError.MSG_SIZE_TOO_LARGE

    def reason(self, sizes: Sizes, closed: Mapping[str, KafkaError]) -> KafkaError | None:
        """Why it can't be written; None where it can be, by a new producer that makes smaller batches.

        `closed` are the topics that may not be written: what came behind may not, either.
        """
        if self.is_for_size:
            return self.error if sizes.is_too_large(self.output.record) else None
        return self.error if self.error.code() in FOR_GOOD else closed.get(self.output.record.topic)

    def buried(self, reason: KafkaError) -> Output:
        """The message as it came, for the dead letters."""
        why = f"{topics.EVENTS}: {reason.str()}"
        return self.output._replace(record=dead(topics.HITS_DEAD, self.output.source, self.output.message, why))


def closed(refused: Iterable[Refusal]) -> dict[str, KafkaError]:
    """The topics that may not be written, each with Kafka's words."""
    return {
        one.output.record.topic: one.error
        for one in refused
        if one.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    }


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
        hit = _own(hits[_event.decode(value).id], value)
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


def _own(hits: list[Message], event: bytes) -> Message:
    """Takes that of the hits of one id which the event begins with."""
    own = next((one for one in hits if event.startswith((one.value() or b"").rstrip()[:-1])), hits[0])
    hits.remove(own)
    return own


def _by_id(batch: Batch) -> dict[str, list[Message]]:
    found: defaultdict[str, list[Message]] = defaultdict(list)
    for message in batch.messages:
        try:
            found[_event.decode(message.value() or b"").id].append(message)
        except msgspec.MsgspecError:
            continue  # it became no event
    return found
