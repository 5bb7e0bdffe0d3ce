"""What the stages rely on holds on the real broker and on the one in memory."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaException, TopicPartition

from pipeline import topics
from pipeline.kafka.client import Cluster
from pipeline.kafka.consume import Batch, Feed, Moves
from pipeline.kafka.memory import Memory
from pipeline.kafka.mirror import Mirror
from pipeline.kafka.murmur2 import partition_of
from pipeline.kafka.outbox import Outbox
from pipeline.kafka.seam import Kafka, Place
from pipeline.record import Record

PARTITIONS = 4
Put = Callable[..., None]
NAMES = [topics.HITS, topics.PROFILES, topics.EVENTS]


@pytest.fixture(params=["memory", "broker"])
def kafka(request: pytest.FixtureRequest) -> Kafka:
    if request.param == "memory":
        return Memory(dict.fromkeys(NAMES, PARTITIONS))
    return Cluster(request.getfixturevalue("cluster_settings"))


@pytest.fixture
def feeds(kafka: Kafka) -> Iterator[Callable[..., Feed]]:
    made: list[Feed] = []

    def make(moves: Moves | None = None, names: Sequence[str] = (topics.HITS,)) -> Feed:
        made.append(Feed(kafka, "test", list(names), moves or Moves()))
        return made[-1]

    yield make
    for feed in made:
        feed.close()


@pytest.fixture
def put(kafka: Kafka) -> Put:
    producer = kafka.producer()

    def put(topic: str, *records: tuple[str, str | None]) -> None:
        for key, value in records:
            producer.produce(kafka.full(topic), value.encode() if value is not None else None, key.encode())
        assert producer.flush(30) == 0

    return put


def finish(batch: Batch) -> list[bytes]:
    """Takes a batch up and is done with it."""
    batch.ledger.open(batch.first, batch.end)
    batch.ledger.close(batch.first)
    return [message.value() or b"" for message in batch.messages]


def until(feeds: Sequence[Feed], holds: Callable[[], bool], seen: list[bytes] | None = None) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come true within 30 s"
        for feed in feeds:
            for batch in feed.fetch(100, 0.05):
                values = finish(batch)
                if seen is not None:
                    seen += values


def test_a_key_is_placed_by_murmur2_as_java_places_it(kafka: Kafka) -> None:
    keys = [f"shop/profile-{number}" for number in range(50)]
    placed: dict[str, int] = {}
    producer = kafka.producer()
    for key in keys:
        producer.produce(
            kafka.full(topics.HITS),
            b"x",
            key.encode(),
            on_delivery=lambda _error, message: placed.update(
                {(message.key() or b"").decode(): message.partition() or 0}
            ),
        )
    producer.flush(30)
    assert placed == {key: partition_of(key.encode(), PARTITIONS) for key in keys}


def test_a_record_arrives_with_its_headers_from_each_way_of_sending_one(
    kafka: Kafka, feeds: Callable[..., Feed]
) -> None:
    outbox = Outbox(kafka, kafka.producer())
    headers = (("reason", b"why"), ("offset", b"42"))
    outbox.send(Record(topics.HITS, b"shop/jane", None, headers), lambda _error, _message: None)
    outbox.producer.flush(30)
    feed, found = feeds(), list[Any]()
    deadline = time.monotonic() + 30
    while not found and time.monotonic() < deadline:
        found += [message for batch in feed.fetch(10, 0.1) for message in batch.messages]
    assert [(message.key(), message.value(), message.headers()) for message in found] == [
        (b"shop/jane", None, list(headers))
    ]


def test_a_new_group_starts_at_the_earliest_record_and_keeps_order_within_a_key(
    kafka: Kafka, feeds: Callable[..., Feed], put: Put
) -> None:
    put(topics.HITS, *(("shop/jane", str(number)) for number in range(20)))
    seen: list[bytes] = []
    feed = feeds()
    until([feed], lambda: len(seen) >= 20, seen)
    assert seen == [str(number).encode() for number in range(20)]


def test_what_was_not_finished_is_read_again_by_the_next_member(
    kafka: Kafka, feeds: Callable[..., Feed], put: Put
) -> None:
    put(topics.HITS, ("shop/jane", "one"))
    first = feeds()
    batches: list[Batch] = []
    while not batches:
        batches = first.fetch(10, 0.1)
    batches[0].ledger.open(batches[0].first, batches[0].end)  # and never closed
    first.close()
    seen: list[bytes] = []
    until([feeds()], lambda: bool(seen), seen)
    assert seen == [b"one"]


def test_what_was_finished_is_not_read_again(kafka: Kafka, feeds: Callable[..., Feed], put: Put) -> None:
    put(topics.HITS, ("shop/jane", "one"))
    seen: list[bytes] = []
    first = feeds()
    until([first], lambda: bool(seen), seen)
    first.close()
    put(topics.HITS, ("shop/jane", "two"))
    until([feeds()], lambda: len(seen) > 1, seen)
    assert seen == [b"one", b"two"]


def test_the_position_of_a_place_is_what_was_handed_out_by_whoever_had_it(
    kafka: Kafka, feeds: Callable[..., Feed], put: Put
) -> None:
    place: Place = (topics.HITS, partition_of(b"shop/jane", PARTITIONS))
    first, seen = feeds(), list[bytes]()
    until([first], lambda: len(first.places) == PARTITIONS)
    assert first.position(place) == 0
    put(topics.HITS, ("shop/jane", "one"), ("shop/jane", "two"))
    until([first], lambda: len(seen) == 2, seen)
    assert first.position(place) == 2
    first.close()
    second = feeds()
    until([second], lambda: len(second.places) == PARTITIONS)
    assert second.position(place) == 2


def test_two_members_share_partitions_and_each_owns_the_same_numbers_of_every_topic(
    kafka: Kafka, feeds: Callable[..., Feed]
) -> None:
    pair = [feeds(names=[topics.HITS, topics.EVENTS]), feeds(names=[topics.HITS, topics.EVENTS])]
    until(pair, lambda: [len(feed.places) for feed in pair] == [PARTITIONS, PARTITIONS])
    for feed in pair:
        numbers = {topic: sorted(n for t, n in feed.places if t == topic) for topic in (topics.HITS, topics.EVENTS)}
        assert numbers[topics.HITS] == numbers[topics.EVENTS]


def test_when_a_member_comes_the_other_settles_before_it_loses_partitions(
    kafka: Kafka, feeds: Callable[..., Feed]
) -> None:
    story: list[str] = []
    first = feeds(
        Moves(
            gained=lambda places: story.append(f"gained {len(places)}"),
            settle=lambda ledgers: story.append(f"settle {len(ledgers)}"),
            lost=lambda places: story.append(f"lost {len(places)}"),
        )
    )
    until([first], lambda: len(first.places) == PARTITIONS)
    second = feeds()
    until([first, second], lambda: len(second.places) == PARTITIONS // 2)
    assert [line for line in story if not line.endswith("0")] == ["gained 4", "settle 2", "lost 2"]


def test_a_paused_partition_gives_nothing_until_it_is_resumed(
    kafka: Kafka, feeds: Callable[..., Feed], put: Put
) -> None:
    feed = feeds()
    until([feed], lambda: len(feed.places) == PARTITIONS)
    place: Place = (topics.HITS, partition_of(b"shop/jane", PARTITIONS))
    feed.pause(place)
    put(topics.HITS, ("shop/jane", "one"))
    assert [batch for _ in range(5) for batch in feed.fetch(10, 0.1)] == []
    feed.resume(place)
    seen: list[bytes] = []
    until([feed], lambda: bool(seen), seen)
    assert seen == [b"one"]


def test_a_mirror_has_every_row_acknowledged_before_it_was_asked_to_catch_up(kafka: Kafka, put: Put) -> None:
    rows: dict[bytes, bytes] = {}

    def apply(_partition: int, key: bytes, value: bytes | None) -> None:
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value

    put(topics.PROFILES, ("shop/jane", "old"), ("shop/joe", "joe"))
    mirror = Mirror(kafka, {topics.PROFILES: apply})
    mirror.follow_all([topics.PROFILES])
    mirror.catch_up()
    assert rows == {b"shop/jane": b"old", b"shop/joe": b"joe"}
    for number in range(20):
        put(topics.PROFILES, ("shop/jane", f"new {number}"), ("shop/joe", None))
        mirror.catch_up()
        assert rows == {b"shop/jane": f"new {number}".encode()}
    mirror.close()


def test_a_mirror_that_forgot_a_partition_applies_nothing_of_it(kafka: Kafka, put: Put) -> None:
    applied: list[int] = []
    mirror = Mirror(kafka, {topics.PROFILES: lambda partition, _key, _value: applied.append(partition)})
    mirror.follow_all([topics.PROFILES])
    mirror.catch_up()
    gone = partition_of(b"shop/jane", PARTITIONS)
    mirror.forget([(topics.PROFILES, gone)])
    put(topics.PROFILES, ("shop/jane", "x"), *((f"shop/{number}", "y") for number in range(20)))
    mirror.catch_up()
    assert applied
    assert gone not in applied
    mirror.close()


def test_a_mirror_begins_where_it_is_told(kafka: Kafka, put: Put) -> None:
    applied: list[tuple[int, bytes]] = []
    put(topics.PROFILES, *(("shop/jane", str(number)) for number in range(10)))
    place: Place = (topics.PROFILES, partition_of(b"shop/jane", PARTITIONS))
    mirror = Mirror(
        kafka, {}, {topics.PROFILES: lambda message: applied.append((message.offset() or 0, message.value() or b""))}
    )
    mirror.follow([place], {place: 7})
    mirror.catch_up()
    assert applied == [(7, b"7"), (8, b"8"), (9, b"9")]
    mirror.close()


def test_a_topic_has_an_id_of_its_own_a_first_offset_and_its_configuration(kafka: Kafka) -> None:
    places: list[Place] = [(topics.PROFILES, number) for number in range(PARTITIONS)]
    assert kafka.starts(places) == dict.fromkeys(places, 0)
    ids = {topic: kafka.identity(topic) for topic in NAMES}
    assert len(set(ids.values())) == len(NAMES)
    assert {topic: kafka.identity(topic) for topic in NAMES} == ids
    assert kafka.config(topics.PROFILES).get("delete.retention.ms") in {None, "86400000"}


def test_a_topic_that_is_missing_is_named(kafka: Kafka) -> None:
    with pytest.raises(KafkaException, match=r"there is no topic .*nowhere"):
        kafka.partitions(["nowhere"])


def test_a_fetch_returns_as_soon_as_something_is_there(kafka: Kafka, feeds: Callable[..., Feed], put: Put) -> None:
    feed = feeds()
    until([feed], lambda: len(feed.places) == PARTITIONS)
    threading.Timer(0.2, put, (topics.HITS, ("shop/jane", "one"))).start()
    batches = feed.fetch(5000, 30)
    assert [finish(batch) for batch in batches] == [[b"one"]]


def test_a_time_has_an_offset_in_each_partition_and_the_end_where_nothing_came_later(kafka: Kafka, put: Put) -> None:
    places: list[Place] = [(topics.HITS, number) for number in range(PARTITIONS)]
    before = int(time.time() * 1000)
    put(topics.HITS, *((f"shop/{number}", "v") for number in range(40)))
    ends = kafka.ends(places)
    assert kafka.since(places, before) == dict.fromkeys(places, 0)
    assert kafka.since(places, round(time.time() * 1000) + 60_000) == ends
    while int(time.time() * 1000) <= max(_written(kafka, places)):
        pass  # a record of the same millisecond would be on this side of the time
    between = int(time.time() * 1000)
    put(topics.HITS, *((f"shop/{number}", "v") for number in range(40)))
    assert kafka.since(places, between) == ends
    assert kafka.since([], between) == {}


def _written(kafka: Kafka, places: list[Place]) -> list[int]:
    """When each record was written, in Unix milliseconds."""
    reader, found = kafka.reader(), list[int]()
    reader.assign([TopicPartition(kafka.full(topic), number, 0) for topic, number in places])
    while len(found) < sum(kafka.ends(places).values()):
        found += [message.timestamp()[1] for message in reader.consume(100, 1.0) if message.error() is None]
    reader.close()
    return found


def test_how_far_a_group_came_is_known_to_others(kafka: Kafka, feeds: Callable[..., Feed], put: Put) -> None:
    put(topics.HITS, *((f"shop/{number}", "v") for number in range(40)))
    places: list[Place] = [(topics.HITS, number) for number in range(PARTITIONS)]
    assert kafka.committed("loopwire-test", places) == {}
    feed, seen = feeds(), list[bytes]()
    until([feed], lambda: len(seen) == 40, seen)
    feed.close()
    assert kafka.committed("loopwire-test", places) == kafka.ends(places)
    assert kafka.committed("loopwire-nobody", places) == {}
    assert kafka.committed("loopwire-test", []) == {}
