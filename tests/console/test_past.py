"""A past event is found again in `events`, in memory and on a broker, and what is not there is told so soon."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from pipeline import topics
from pipeline.console import past as module
from pipeline.console.console import NotReadError, StillLookedForError
from pipeline.console.past import Past
from pipeline.console.sought import is_it, sought
from pipeline.kafka.client import Cluster
from pipeline.kafka.memory import Memory
from pipeline.kafka.seam import Kafka
from pipeline.model.ids import made_at, uuid7
from tests.console.away import Away

NOW = datetime.now(UTC)


@pytest.fixture(params=["memory", "broker"])
def kafka(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    if request.param == "memory":
        yield Memory({topics.EVENTS: 4})
    else:
        yield Cluster(request.getfixturevalue("cluster_settings"))


def _write(kafka: Kafka, events: Mapping[str, str]) -> Mapping[str, bytes]:
    """Writes an event of that id for each profile; what was written, by profile."""
    values = {profile: json.dumps({"id": event, "profile": profile}).encode() for profile, event in events.items()}
    producer = kafka.producer()
    for profile, value in values.items():
        producer.produce(kafka.full(topics.EVENTS), value, f"acme/{profile}".encode())
    assert producer.flush(20) == 0
    return values


def test_each_event_is_found_by_its_key_and_id(kafka: Kafka) -> None:
    events = {f"p{number}": uuid7(NOW, os.urandom(10)) for number in range(200)}
    values = _write(kafka, events)
    after = datetime.now(UTC)

    async def look() -> None:
        past = Past(kafka)
        try:
            for profile in ("p0", "p77", "p199"):
                assert await past.event(sought("acme", profile, events[profile], after), 20) == values[profile]
            for account, profile, event, attempted in (
                ("other", "nobody-s", events["p0"][:-1] + "x", after),
                ("acme", "p0", uuid7(NOW, os.urandom(10)), after),
                ("acme", "p0", "e-without-time", after - timedelta(hours=2)),
            ):
                assert await past.event(sought(account, profile, event, attempted), 20) is None
        finally:
            past.close()

    asyncio.run(look())


def test_where_to_look_follows_from_the_id_or_else_from_the_attempt() -> None:
    made = datetime(2026, 3, 20, 9, 15, 0, 123_000, tzinfo=UTC)
    event = uuid7(made, bytes(10))
    assert made_at(event) == made
    for other in ("e1", event.upper() + "X", event[:14] + "4" + event[15:], f"{event}\n", "f" + event[1:]):
        assert made_at(other) is None
    attempted = made + timedelta(hours=30)
    assert sought("acme", "jane", event, attempted) == (
        event, b"acme/jane", made - timedelta(seconds=10), attempted + timedelta(seconds=10),
    )  # fmt: skip
    for strange in ("loop.failing.lp_1.1", uuid7(attempted + timedelta(days=1), bytes(10))):
        assert sought("acme", "jane", strange, attempted).since == attempted - timedelta(days=1, seconds=10)


@pytest.mark.parametrize(
    ("value", "it"),
    [
        (b'{"id":"e1"}', True),
        (b'{"profile":"x","id":"e1"}', True),
        (b'{"id":"e2","details":{"id":"e1"}}', False),
        (b'{"id":"e10"}', False),
        (b'{"id":"e1"', False),
        (b"e1", False),
        (b"\xffe1", False),
    ],
)
def test_only_the_event_s_own_id_counts(value: bytes, it: bool) -> None:
    assert is_it(value, "e1") is it


def test_who_asks_again_joins_the_search_and_a_broker_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Away({topics.EVENTS: 4})
    event = uuid7(NOW, os.urandom(10))
    value, asked = _write(memory, {"jane": event})["jane"], sought("acme", "jane", event, datetime.now(UTC))
    memory.here.clear()

    async def look() -> None:
        past = Past(memory)
        try:
            for _ in range(5):
                with pytest.raises(StillLookedForError):
                    await past.event(asked, 0.01)
            monkeypatch.setattr(module, "LOST_SECONDS", -8.0)
            with pytest.raises(NotReadError, match="Kafka does not answer now"):
                await past.event(asked, 0.01)
            memory.here.set()
            assert await past.event(asked, 20) == value
            assert memory.asked == 1
        finally:
            past.close()

    asyncio.run(look())


def test_what_stands_behind_too_many_records_is_not_said_to_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory({topics.EVENTS: 1})
    monkeypatch.setattr(module, "MOST_READ", 3)
    events = [uuid7(NOW, os.urandom(10)) for _ in range(5)]
    for event in events:
        _write(memory, {"jane": event})

    async def look() -> None:
        past = Past(memory)
        try:
            assert await past.event(sought("acme", "jane", events[2], datetime.now(UTC)), 20)
            with pytest.raises(NotReadError, match="not among the 3 records"):
                await past.event(sought("acme", "jane", events[4], datetime.now(UTC)), 20)
        finally:
            past.close()

    asyncio.run(look())
