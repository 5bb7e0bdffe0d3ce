"""Topics whose keys are placed otherwise than by murmur2 are refused, by topic, partition and key."""

import logging
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaException

from pipeline import topics
from pipeline.kafka.client import Cluster
from pipeline.kafka.memory import Memory
from pipeline.kafka.murmur2 import partition_of
from pipeline.kafka.placement import SAMPLE, check_placement
from pipeline.kafka.seam import Kafka, Message

PARTITIONS = 4
KEY = b"shop/jane"
RIGHT = partition_of(KEY, PARTITIONS)
WRONG = (RIGHT + 1) % PARTITIONS
Put = Callable[..., None]


@pytest.fixture(params=["memory", "broker"])
def kafka(request: pytest.FixtureRequest) -> Kafka:
    if request.param == "memory":
        return Memory(dict.fromkeys([topics.HITS, topics.PROFILES], PARTITIONS))
    return Cluster(request.getfixturevalue("cluster_settings"))


@pytest.fixture
def put(kafka: Kafka) -> Put:
    producer = kafka.producer()

    def put(topic: str, partition: int = -1, keys: int = 1, key: bytes = KEY, value: bytes | None = b"{}") -> None:
        for _ in range(keys):
            producer.produce(kafka.full(topic), value, key, partition)
        assert producer.flush(30) == 0

    return put


def _check(kafka: Kafka, owned: Callable[[Message], bool] = lambda _message: True) -> None:
    check_placement(kafka, {topics.HITS: owned, topics.PROFILES: owned})


def test_empty_topics_and_keys_that_are_where_they_belong_pass(kafka: Kafka, put: Put) -> None:
    _check(kafka)
    for number in range(100):
        put(topics.HITS, key=f"shop/{number}".encode())
    put(topics.PROFILES)
    _check(kafka)


def test_a_topic_that_is_placed_otherwise_is_refused_with_one_line(kafka: Kafka, put: Put) -> None:
    put(topics.HITS, RIGHT)
    put(topics.PROFILES, WRONG, keys=20)
    with pytest.raises(KafkaException) as refused:
        _check(kafka)
    assert refused.value.args[0].str() == (
        f"{kafka.full('profiles')} [{WRONG}] holds the key shop/jane, which murmur2 places into [{RIGHT}]: whoever"
        " writes it must use librdkafka's partitioner=murmur2_random (Java's default), then write it again;"
        f" a null under the key takes away what is in [{WRONG}]"
    )


def test_the_last_records_decide_so_that_what_was_written_again_passes(kafka: Kafka, put: Put) -> None:
    put(topics.PROFILES, RIGHT, keys=20)
    put(topics.PROFILES, RIGHT, keys=20, key=_key_of(WRONG))
    with pytest.raises(KafkaException):
        _check(kafka)
    put(topics.PROFILES, RIGHT, keys=SAMPLE)
    _check(kafka)


def test_what_was_erased_where_it_is_astray_counts_no_more(kafka: Kafka, put: Put) -> None:
    """In a partition where little is written nothing else would end it."""
    put(topics.PROFILES, WRONG)
    with pytest.raises(KafkaException):
        _check(kafka)
    put(topics.PROFILES, RIGHT)
    put(topics.PROFILES, WRONG, value=None)
    _check(kafka)


def test_a_single_one_among_others_is_said(kafka: Kafka, put: Put, caplog: pytest.LogCaptureFixture) -> None:
    put(topics.HITS, RIGHT, keys=3)
    put(topics.HITS, RIGHT, key=_key_of(WRONG))
    with caplog.at_level(logging.WARNING):
        _check(kafka)
    assert f"which murmur2 places into [{WRONG}]" in caplog.text


def test_what_is_not_under_its_own_key_says_nothing_of_placement(kafka: Kafka, put: Put) -> None:
    put(topics.HITS, WRONG, keys=20)
    _check(kafka, owned=lambda _message: False)


def _key_of(partition: int) -> bytes:
    return next(key for n in range(100) if partition_of(key := f"shop/k{n}".encode(), PARTITIONS) == partition)
