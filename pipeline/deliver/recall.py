"""What is read again when partitions come, a part of deliver's door: batches, and what waits for ordered loops."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator

import msgspec
from confluent_kafka import TopicPartition

from pipeline import topics
from pipeline.deliver.recorded import SOURCES, Recorded
from pipeline.kafka.consume import Batch
from pipeline.kafka.murmur2 import partition_of
from pipeline.kafka.refusal import check_passing
from pipeline.kafka.seam import Kafka, Message, Place, at_hand
from pipeline.model.deliveries import Delivery
from pipeline.model.standing import Standings

log = logging.getLogger(__name__)

AT_ONCE = 1000
SECONDS = 30.0  # as long as the partitions may wait for it

_delivery = msgspec.json.Decoder(Delivery)


def ordered(standings: Standings, numbers: Iterable[int], partitions: int) -> set[bytes]:
    """The keys of ordered loops whose deliveries are in partitions of these numbers."""
    ours = set(numbers)
    loops = (standing.loop for standing in standings.every() if standing.loop.ordered)
    return {loop.id.encode() for loop in loops if partition_of(loop.id.encode(), partitions) in ours}


def waiting(kafka: Kafka, group: str, places: Iterable[Place], loops: set[bytes]) -> Iterator[tuple[int, Delivery]]:
    """The deliveries of the loops that the group is not done with in these partitions of retry topics, by number."""
    for message in left(kafka, group, places, "what waits for ordered loops; some may come out of order"):
        if message.key() in loops:
            yield from _read(message.partition() or 0, message.value())


def batches(kafka: Kafka, group: str, numbers: Iterable[int], recorded: Recorded) -> None:
    """Notes what stands in batches of these partitions, and how far the group came with what they are made of."""
    numbers = list(numbers)
    recorded.gain(kafka.committed(group, [(topic, number) for topic in SOURCES for number in numbers]).items())
    places = [(topics.BATCHES, number) for number in numbers]
    for message in left(kafka, group, places, "the batches that were written; some events may come in two of them"):
        recorded.note(message.partition() or 0, message.offset() or 0, message.value())


def note(fetched: Iterable[Batch], recorded: Recorded) -> None:
    """Notes the batches that were fetched, before anything is made of them."""
    for one in fetched:
        for message in one.messages if one.topic == topics.BATCHES else ():
            recorded.note(one.partition, message.offset() or 0, message.value())


def floor(recorded: Recorded, safe: Callable[[Place], int | None]) -> Callable[[Place], int | None]:
    """Below which offset a commit of each place has to stay: `batches` is kept while its events are not committed."""
    return lambda place: recorded.floor(place[1], safe) if place[0] == topics.BATCHES else None


def left(kafka: Kafka, group: str, places: Iterable[Place], what: str) -> Iterator[Message]:
    """The records that the group is not done with in these places; what they are is said where time is up."""
    ends = kafka.ends(places)
    begun = kafka.committed(group, ends)
    behind = {place: end for place, end in ends.items() if begun.get(place, 0) < end}
    if not behind:
        return
    reader = kafka.reader()
    reader.assign([TopicPartition(kafka.full(place[0]), place[1], begun.get(place, 0)) for place in behind])
    deadline = time.monotonic() + SECONDS
    try:
        while behind:
            if time.monotonic() > deadline:
                log.warning("deliver: could not read all of %s", what)
                return
            for message in at_hand(reader, AT_ONCE, 0.1):
                if (error := message.error()) is not None:
                    check_passing(error, message.topic())
                place = kafka.bare(message.topic() or ""), message.partition() or 0
                offset = message.offset() or 0
                if error is not None or offset + 1 >= behind.get(place, 0):
                    behind.pop(place, None)
                if error is None:
                    yield message
    finally:
        reader.close()


def retries(names: Iterable[str], numbers: Iterable[int]) -> list[Place]:
    """The partitions of those numbers of retry topics."""
    return [(name, number) for name in names if name.startswith(topics.DELIVERIES_RETRY) for number in set(numbers)]


def _read(number: int, value: bytes | None) -> Iterator[tuple[int, Delivery]]:
    try:
        yield number, _delivery.decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return  # a dead letter, once it is due to be read
