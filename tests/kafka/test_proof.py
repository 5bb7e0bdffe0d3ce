"""What is called delivered is in its topic: an acknowledgement that librdkafka made up is told from the broker's."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, TopicPartition

from pipeline import settings
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import Cluster
from pipeline.kafka.memory import Message as Placed
from pipeline.kafka.proof import UNPLACED, fault
from pipeline.kafka.seam import Message, at_hand
from pipeline.local.broker import Broker
from pipeline.topics import HITS
from tests.conftest import free_port
from tests.kafka.between import Between, between

REFUSED = KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)


@pytest.mark.parametrize(
    ("error", "offset", "wrong"),
    [(None, 0, None), (None, None, UNPLACED), (REFUSED, None, REFUSED), (REFUSED, 0, REFUSED)],
)
def test_an_acknowledgement_is_proof_where_it_has_an_offset(
    error: KafkaError | None, offset: int | None, wrong: KafkaError | None
) -> None:
    assert fault(error, Placed(HITS, 0, offset, b"k", b"v", None)) is wrong  # type: ignore[arg-type]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[tuple[Between, Cluster]]:
    """A broker that is reached through a door, and its client."""
    port, behind = free_port(), free_port(2)
    broker = Broker(tmp_path, behind, {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}"})
    try:
        broker.start()
        with between(port, behind) as made:
            broker.wait_ready()
            told = settings.read(kafka=f"127.0.0.1:{port}", topic_partitions=1)
            admin = Admin(told)
            admin.apply(admin.plan())
            yield made, Cluster(told)
    finally:
        broker.stop()


def test_of_a_new_producer_s_two_batches_the_first_is_refused_and_not_taken_for_safe(
    door: tuple[Between, Cluster],
) -> None:
    """The broker takes the second, since it never had one of this producer's."""
    made, kafka = door
    safe: set[bytes | None] = set()

    def told(error: KafkaError | None, message: Message) -> None:
        if fault(error, message) is None:
            safe.add(message.value())

    producer = kafka.producer(**{"linger.ms": 0})
    producer.produce(HITS, b"first", b"k", on_delivery=told)
    made.wait_held()
    producer.produce(HITS, b"second", b"k", on_delivery=told)
    assert producer.flush(30) == 0
    assert safe == set(_values(kafka))


def _values(kafka: Cluster) -> Iterator[bytes | None]:
    """All records of the topic's one partition."""
    reader = kafka.reader()
    reader.assign([TopicPartition(HITS, 0, 0)])
    while True:
        for message in at_hand(reader, 10, 30):
            if message.error() is not None:  # its end
                reader.close()
                return
            yield message.value()
