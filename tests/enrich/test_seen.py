"""What a hit's request tells: of opens and clicks alone, with what lately came in the partition."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from pipeline import topics
from pipeline.enrich.bursts import KEPT_MS
from pipeline.enrich.reader import Readers
from pipeline.enrich.rewind import Rewind
from pipeline.enrich.seen import Seen
from pipeline.kafka.client import Cluster
from pipeline.kafka.memory import Memory
from pipeline.kafka.seam import Kafka, Message
from pipeline.model.hits import AnyHit
from pipeline.model.ids import utc
from tests.examples import example

NOW = 1_774_000_000.0
PERSON = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
WITH = {"client": "Firefox 140", "system": "Windows 10", "device": "desktop"}


@pytest.fixture(scope="module")
def readers() -> Readers:
    return Readers()


def hit(kind: str, after: float = 0.0, **more: Any) -> AnyHit:
    known = example("hit.v1", kind) | {"at": utc(NOW + after).isoformat(), "useragent": PERSON, "ip": "198.51.100.7"}
    made: AnyHit = msgspec.convert(known | more, AnyHit)
    return made


def told(seen: Seen, one: AnyHit) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b"{" + seen.of(one)[1:] + b"}")
    return found


def test_a_person_a_machine_and_what_a_mail_server_tells(readers: Readers) -> None:
    seen = Seen(readers)
    assert told(seen, hit("open")) == {"machine": False} | WITH
    assert told(seen, hit("open", method="HEAD"))["signals"] == ["head-request"]
    assert told(seen, hit("click", useragent="curl/8.5.0"))["machine"] is True
    for kind in ("bounce", "delivery", "abuse", "unsubscribe"):
        assert seen.of(hit(kind)) == b""


def test_many_links_at_once_are_a_machine_s(readers: Readers) -> None:
    seen = Seen(readers)
    clicks = [hit("click", at / 10, url=f"https://shop.example/{at}") for at in range(4)]
    assert [told(seen, click).get("signals") for click in clicks] == [
        None, None, ["many-links-at-once"], ["many-links-at-once"],
    ]  # fmt: skip


@pytest.fixture(params=["memory", "broker"])
def kafka(request: pytest.FixtureRequest) -> Kafka:
    if request.param == "memory":
        return Memory({topics.HITS: 2})
    return Cluster(request.getfixturevalue("cluster_settings"))


@pytest.fixture
def rewind(kafka: Kafka) -> Iterator[Rewind]:
    made = Rewind(kafka)
    yield made
    made.close()


def read(kafka: Kafka) -> list[Message]:
    reader, found = kafka.reader(), list[Message]()
    from confluent_kafka import TopicPartition

    reader.assign([TopicPartition(kafka.full(topics.HITS), 1, 0)])
    while len(found) < kafka.ends([(topics.HITS, 1)])[topics.HITS, 1]:
        found += [message for message in reader.consume(100, 1.0) if message.error() is None]
    reader.close()
    return found


def put(kafka: Kafka, *hits: AnyHit | bytes) -> None:
    producer = kafka.producer()
    for one in hits:
        value = one if isinstance(one, bytes) else msgspec.json.encode(one)
        producer.produce(kafka.full(topics.HITS), value, b"shop/jane", 1)
    assert producer.flush(30) == 0


@pytest.mark.parametrize("first", [0, 1, 2, 3, 4])
def test_a_worker_that_comes_later_sees_what_the_one_before_it_saw(
    kafka: Kafka, rewind: Rewind, readers: Readers, first: int
) -> None:
    import time

    began = time.time() - NOW
    links = [hit("click", began + at / 10, url=f"https://shop.example/{at}") for at in range(3)]
    put(kafka, links[0], b"no hit", links[1], links[2], hit("click", began + 0.4, url="https://shop.example/3"))
    messages, seen = read(kafka), Seen(readers)
    assert rewind.to(messages[first:], seen)
    rest = [
        msgspec.json.decode(one.value() or b"", type=AnyHit) for one in messages[first:] if one.value() != b"no hit"
    ]
    signals = [told(seen, one).get("signals") for one in rest]
    assert signals == [None, None, ["many-links-at-once"], ["many-links-at-once"]][-len(signals) :]


def test_what_came_long_before_is_not_read_again(kafka: Kafka, rewind: Rewind, readers: Readers) -> None:
    import time

    put(kafka, hit("click", url="https://shop.example/1"))
    while int(time.time() * 1000) <= read(kafka)[-1].timestamp()[1]:
        pass
    late = time.time() - NOW + KEPT_MS / 1000 + 1
    put(kafka, hit("click", late, url="https://shop.example/2"))
    seen = Seen(readers)
    rewind.to(read(kafka)[-1:], seen)
    assert len(seen._bursts) == 0


@pytest.mark.parametrize("at", ["1970-01-01T00:00:00Z", "1970-01-01T00:00:09.999Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("kind", ["bounce", "click"])
def test_a_first_hit_of_any_time_is_no_obstacle(
    kafka: Kafka, rewind: Rewind, readers: Readers, kind: str, at: str
) -> None:
    put(kafka, hit("open"), hit(kind, at=at))
    assert rewind.to(read(kafka)[1:], Seen(readers)) is (kind == "click")


@pytest.mark.parametrize(("kind", "after"), [("bounce", 86_400.0), ("open", 60.0), ("delivery", -86_400.0)])
def test_only_a_click_says_from_where_on_clicks_count(
    kafka: Kafka, rewind: Rewind, readers: Readers, kind: str, after: float
) -> None:
    """Two links were clicked, the worker ended, and the next begins with a hit that another clock gave its time."""
    import time

    began = time.time() - NOW
    links = [hit("click", began + at / 10, url=f"https://shop.example/{at}") for at in range(3)]
    put(kafka, links[0], links[1], hit(kind, began + after), links[2])
    messages, seen = read(kafka), Seen(readers)
    assert not rewind.to(messages[2:3], seen)
    assert rewind.to(messages[3:], seen)
    assert told(seen, links[2])["signals"] == ["many-links-at-once"]
