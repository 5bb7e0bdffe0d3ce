"""A hit becomes the event it is, or the dead letter that says why it is none."""

import pytest

from pipeline.enrich.stage import buried, outcome
from pipeline.kafka.memory import Message
from pipeline.model.hits import AnyHit
from pipeline.record import Record
from tests.examples import raw

KEY = b"shop/jane"
OPEN = raw("hit.v1", "open")


def _nothing(_hit: AnyHit) -> bytes:
    return b""


def _message(value: bytes | None, key: bytes | None = KEY) -> Message:
    return Message("staging-hits", 3, 42, key, value, [("traceparent", b"00-1-2-03")])


def _dead(value: bytes | None, reason: bytes, key: bytes = KEY) -> Record:
    headers = (("reason", reason), ("topic", b"hits"), ("partition", b"3"), ("offset", b"42"))
    return Record("hits-dead", key, value, headers)


def test_a_hit_is_the_event_it_becomes() -> None:
    assert outcome(_message(OPEN), {KEY: b',"recipient":"jane@mail.example"'}, {}, _nothing) == (
        OPEN.rstrip()[:-1] + b',"recipient":"jane@mail.example"}'
    )


@pytest.mark.parametrize(
    ("value", "key", "reason"),
    [
        (None, KEY, b"value: is null, which no hit is"),
        (b"\xff not JSON", KEY, b"value: JSON is malformed: invalid character (byte 0)"),
        (raw("hit.v1/rejected", "click-without-url"), KEY, b"value: Object missing required field `url`"),
        (OPEN, None, b"key: is absent, but the value is of shop/jane"),
    ],
)
def test_what_is_none_goes_as_it_came_to_the_dead(value: bytes | None, key: bytes | None, reason: bytes) -> None:
    assert outcome(_message(value, key), {}, {}, _nothing) == _dead(value, reason, key or b"")


@pytest.mark.parametrize("name", ["unknown-type", "no-type", "no-profile", "details-are-a-list", "time-without-zone"])
def test_every_rejected_example_is_buried(name: str) -> None:
    value = raw("hit.v1/rejected", name)
    record = outcome(_message(value), {}, {}, _nothing)
    assert isinstance(record, Record)
    assert (record.topic, record.value) == ("hits-dead", value)


def test_an_event_that_kafka_refused_is_buried_as_the_hit_it_was() -> None:
    assert buried(_message(OPEN), "events: too large") == _dead(OPEN, b"events: too large")
