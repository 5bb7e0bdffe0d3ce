"""A mirror has all that was acknowledged before it was asked, whatever became of partitions and transactions."""

import secrets
import threading
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from pipeline import topics
from pipeline.kafka.client import Cluster
from pipeline.kafka.mirror import Mirror
from pipeline.kafka.seam import Kafka, Place
from pipeline.settings import Settings

PARTITIONS = 4
PLACES: list[Place] = [(topics.PROFILES, number) for number in range(PARTITIONS)]


@pytest.fixture
def kafka(cluster_settings: Settings) -> Kafka:
    return Cluster(cluster_settings)


class Rows:
    """What a mirror holds, by partition."""

    def __init__(self, kafka: Kafka) -> None:
        self.by_partition: list[dict[bytes, bytes]] = [{} for _ in range(PARTITIONS)]
        self.mirror = Mirror(kafka, {topics.PROFILES: self._put, topics.TAGS: self._put})

    def _put(self, partition: int, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.by_partition[partition].pop(key, None)
        else:
            self.by_partition[partition][key] = value

    def drop(self, places: list[Place]) -> None:
        """As when partitions go."""
        self.mirror.forget(places)
        for _, partition in places:
            self.by_partition[partition].clear()

    @property
    def all(self) -> dict[bytes, bytes]:
        """All rows together."""
        return {key: value for rows in self.by_partition for key, value in rows.items()}


@pytest.fixture
def rows(kafka: Kafka) -> Iterator[Rows]:
    made = Rows(kafka)
    yield made
    made.mirror.close()


@pytest.mark.parametrize("topic", [topics.PROFILES, topics.TAGS])
def test_transactions_that_end_in_markers_or_were_aborted_are_passed(
    kafka: Kafka, cluster_settings: Settings, rows: Rows, topic: str
) -> None:
    writer = Producer({
        "bootstrap.servers": cluster_settings.bootstrap, "transactional.id": secrets.token_hex(4),
        "partitioner": "murmur2_random",
    })  # fmt: skip
    writer.init_transactions()
    rows.mirror.follow_all([topic])
    for number in range(6):
        writer.begin_transaction()
        for key in range(20):
            writer.produce(kafka.full(topic), f"{number}".encode(), f"shop/{key}".encode())
        if number % 2:
            writer.abort_transaction()
        else:
            writer.commit_transaction()
        rows.mirror.catch_up()
        assert set(rows.all.values()) == {f"{number - number % 2}".encode()}
        assert len(rows.all) == 20


def test_a_transaction_that_stays_open_holds_up_nothing_but_itself(
    kafka: Kafka, cluster_settings: Settings, rows: Rows
) -> None:
    writer = Producer({"bootstrap.servers": cluster_settings.bootstrap, "transactional.id": secrets.token_hex(4)})
    writer.init_transactions()
    rows.mirror.follow_all([topics.PROFILES])
    writer.begin_transaction()
    writer.produce(kafka.full(topics.PROFILES), b"held back", b"shop/0", partition=0)
    writer.flush()
    other = kafka.producer()
    for number in range(5):
        other.produce(kafka.full(topics.PROFILES), str(number).encode(), b"shop/1", partition=1)
        other.flush()
        rows.mirror.catch_up()
        assert rows.all == {b"shop/1": str(number).encode()}
    writer.commit_transaction()
    rows.mirror.catch_up()
    while b"shop/0" not in rows.all:  # its marker may be written later, as it was not waited for twice
        rows.mirror.catch_up()
    assert rows.all == {b"shop/0": b"held back", b"shop/1": b"4"}


def test_partitions_that_go_and_come_while_rows_change_are_whole_each_time(kafka: Kafka, rows: Rows) -> None:
    safe, end = dict[bytes, int](), threading.Event()

    def write() -> None:
        producer, version = kafka.producer(), 0
        while not end.is_set():
            version += 1
            for key in [f"shop/{number}".encode() for number in range(100)]:
                producer.produce(kafka.full(topics.PROFILES), str(version).encode(), key)
            producer.flush(30)
            safe.update(dict.fromkeys([f"shop/{number}".encode() for number in range(100)], version))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        rows.mirror.follow(PLACES)
        for turn in range(15):
            known = dict(safe)
            rows.mirror.catch_up()
            held = rows.all
            assert {key: version for key, version in known.items() if int(held.get(key, 0)) < version} == {}
            going = PLACES[turn % 2 :: 2]
            rows.drop(going)
            if turn % 3:
                rows.mirror.take(0.01)  # what was read ahead is not applied
            rows.mirror.follow(going)
    finally:
        end.set()
        writer.join()
