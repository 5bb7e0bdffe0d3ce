"""Real keys are looked at before work begins: a topic that is placed otherwise than by murmur2 is not joined."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from pipeline.kafka.murmur2 import partition_of
from pipeline.kafka.seam import Consumer, Kafka, Message, Offsets, Place

log = logging.getLogger(__name__)

SAMPLE = 5  # records at the end of each partition
SECONDS = 10.0
Owned = Callable[[Message], bool]


def check_placement(kafka: Kafka, owned: Mapping[str, Owned]) -> None:
    """Looks at the last records of each partition of the topics; KafkaException where most of a partition's are astray.

    `owned` says for each topic whether a record's key is what it should be: others don't count. A single one that is
    astray among others is said, and left to who reads it; what a null erased since is none. What can't be read within
    10 s passes; empty topics do.
    """
    counts = kafka.partitions(list(owned))
    ends = kafka.ends([(name, number) for name, count in counts.items() for number in range(count)])
    for place, keys in _sample(kafka, {place: end for place, end in ends.items() if end}, owned).items():
        right = [(key, partition_of(key, counts[place[0]])) for key in keys]
        astray = [(key, number) for key, number in right if number != place[1]]
        if not astray:
            continue
        line = _line(kafka.full(place[0]), place[1], *astray[-1])
        if 2 * len(astray) > len(keys):
            raise KafkaException(KafkaError(KafkaError._INVALID_ARG, line))  # noqa: SLF001
        log.warning("%s", line)


def _line(topic: str, partition: int, key: bytes, right: int) -> str:
    return (
        f"{topic} [{partition}] holds the key {key.decode(errors='replace')}, which murmur2 places into [{right}]:"
        " whoever writes it must use librdkafka's partitioner=murmur2_random (Java's default), then write it again;"
        f" a null under the key takes away what is in [{partition}]"
    )


def _sample(kafka: Kafka, ends: Offsets, owned: Mapping[str, Owned]) -> dict[Place, list[bytes]]:
    found: defaultdict[Place, list[bytes]] = defaultdict(list)
    if not ends:
        return found
    reader = kafka.reader()
    try:
        reader.incremental_assign([TopicPartition(kafka.full(place[0]), place[1], max(0, end - SAMPLE))
                                   for place, end in ends.items()])  # fmt: skip
        for place, message in _until(kafka, reader, ends):
            key = message.key() or b""
            if message.value() is None:
                found[place] = [one for one in found[place] if one != key]
            elif owned[place[0]](message):
                found[place].append(key)
    finally:
        reader.close()
    return found


def _until(kafka: Kafka, reader: Consumer, ends: Offsets) -> Iterable[tuple[Place, Message]]:
    """The records below the ends, as far as they come in time."""
    left, deadline = set(ends), time.monotonic() + SECONDS
    while left and time.monotonic() < deadline:
        for message in reader.consume(SAMPLE * len(left), 0.05):
            place = kafka.bare(message.topic() or ""), message.partition() or 0
            error, offset = message.error(), message.offset() or 0
            if error is None and place in left and offset < ends[place]:
                yield place, message
            if (error is None and offset + 1 >= ends[place]) or _is_end(error):
                left.discard(place)


def _is_end(error: KafkaError | None) -> bool:
    return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001
