"""What waits in retry topics for ordered loops is read again when their partitions come: a part of deliver's door."""

import logging
import time
from collections.abc import Iterable, Iterator

import msgspec
from confluent_kafka import TopicPartition

from pipeline import topics
from pipeline.kafka.murmur2 import partition_of
from pipeline.kafka.seam import Kafka, Place, at_hand
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
    ends = kafka.ends(places)
    begun = kafka.committed(group, ends)
    left = {place: end for place, end in ends.items() if begun.get(place, 0) < end}
    if not left:
        return
    reader = kafka.reader()
    reader.assign([TopicPartition(kafka.full(place[0]), place[1], begun.get(place, 0)) for place in left])
    deadline = time.monotonic() + SECONDS
    try:
        while left:
            if time.monotonic() > deadline:
                log.warning("deliver: what waits for ordered loops could not all be read; some may come out of order")
                return
            for message in at_hand(reader, AT_ONCE, 0.1):
                place = kafka.bare(message.topic() or ""), message.partition() or 0
                offset = message.offset() or 0
                if message.error() is not None or offset + 1 >= left.get(place, 0):
                    left.pop(place, None)
                if message.error() is None and message.key() in loops:
                    yield from _read(place[1], message.value())
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
