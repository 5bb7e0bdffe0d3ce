"""Records near a megabyte stop nothing: each ends as a dead letter, and what comes behind it arrives."""

import json
import time

import requests

from pipeline import topics
from pipeline.kafka.seam import Kafka, Message
from tests.customer import Customer
from tests.story.conftest import Sender
from tests.story.lines import Processes


def letters(kafka: Kafka, key: bytes, count: int) -> list[Message]:
    """The dead letters of the hits of that key, once there are `count`."""
    reader = kafka.consumer("loopwire-test")
    reader.subscribe([kafka.full(topics.HITS_DEAD)])
    found: list[Message] = []
    deadline = time.monotonic() + 30
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} dead letters after 30 s"
        found += [message for message in reader.consume(10, 0.2) if message.error() is None and message.key() == key]
    reader.close()
    return found


def test_large_records_end_as_dead_letters_and_the_next_hit_arrives(broker_line: Processes, customer: Customer) -> None:
    sender, kafka = Sender(broker_line), broker_line.kafka
    sender.loop(customer, events=["open"])
    key = f"{sender.account}/jane".encode()
    large = {"id": "e-1", "type": "open", "account": sender.account, "profile": "jane", "mailing": "m",
             "at": "2026-11-24T15:00:00Z", "details": {"x": "y" * 980_000}}  # fmt: skip
    producer = kafka.producer()
    producer.produce(kafka.full(topics.HITS), b"n" * 999_900, key)  # no hit, and too large for its letter
    producer.produce(kafka.full(topics.HITS), json.dumps(large).encode(), key)  # a hit too large to be an event
    producer.produce(kafka.full(topics.EVENTS), json.dumps(large).encode(), key)  # an event too large to be delivered
    assert producer.flush(30) == 0
    assert requests.get(sender.mail()["open"], timeout=20).status_code == 200
    [call] = customer.wait(lambda calls: bool(calls), 60)  # noqa: PLW0108 (a list is what it takes)
    assert call.form["id"] == "m-1"
    told = sorted((dict(one.headers() or []) for one in letters(kafka, key, 3)), key=lambda headers: headers["reason"])
    assert [(one["topic"], "truncated" in one) for one in told] == [
        (b"hits", True), (b"hits", True), (b"events", True),
    ]  # fmt: skip
