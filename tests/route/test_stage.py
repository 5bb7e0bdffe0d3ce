"""An event becomes one delivery for each active loop of its account that wants it."""

import json
from typing import Any

import msgspec
import pytest

from pipeline.kafka.memory import Message
from pipeline.model.ids import delivery_id
from pipeline.model.loops import Loop
from pipeline.model.standing import Standings
from pipeline.record import Record
from pipeline.route.holds import Holds
from pipeline.route.stage import missed, outcome
from tests.examples import example, raw

CLICK = raw("event.v1", "click")
CLICK_ID = "019ab5c7-5f20-7b3c-9d01-0242ac120002"


def _message(value: bytes | None) -> Message:
    return Message("events", 3, 42, b"shop/jane", value, None)


def _standings(**loops: dict[str, Any]) -> Standings:
    made = Standings()
    for name, changed in loops.items():
        loop = msgspec.convert(example("loop.v1", "active") | {"id": name} | changed, Loop)
        made.put_loop(0, name.encode(), msgspec.json.encode(loop))
    return made


def test_a_delivery_holds_the_event_as_it_came_keyed_by_its_loop() -> None:
    (record,) = outcome(_message(CLICK), _standings(lp_7h3k={}), Holds())
    assert (record.topic, record.key, record.headers, record.partition) == ("deliveries", b"lp_7h3k", (), -1)
    assert json.loads(record.value or b"") == example("delivery.v1", "first")
    assert CLICK.strip() in (record.value or b"")


def test_each_active_loop_of_the_account_that_wants_it_gets_its_own() -> None:
    standings = _standings(
        one={},
        two={"format": "json"},
        other={"account": "other"},
        opens={"events": ["open"]},
        paused={"paused": True},
        moved={"url": "https://new.shop.example/"},
        unverified={"verified_url": None, "epoch": 0},
        disabled={},
    )
    standings.put_state(0, b"disabled", msgspec.json.encode(example("loop-state.v1", "gone") | {"loop": "disabled"}))
    records = outcome(_message(CLICK), standings, Holds())
    assert [(record.topic, record.key) for record in records] == [
        ("deliveries", b"one"),
        ("deliveries", b"two"),
        ("loop-states", b"paused/3"),
        ("loop-states", b"moved/3"),
        ("loop-states", b"disabled/3"),
    ]
    assert [json.loads(record.value or b"")["id"] for record in records[:2]] == [
        delivery_id(CLICK_ID, "one"),
        delivery_id(CLICK_ID, "two"),
    ]


def test_a_loop_that_only_fails_misses_too_as_long_as_it_is_verified_as_it_was_then() -> None:
    standings, holds = _standings(lp_7h3k={}), Holds()
    standings.put_state(0, b"lp_7h3k/failing", msgspec.json.encode(example("loop-state.v1", "fails-since")))
    assert standings.is_active("lp_7h3k")
    assert not standings.flows("lp_7h3k")
    (record,) = outcome(_message(CLICK), standings, holds)
    assert (record.topic, record.key) == ("loop-states", b"lp_7h3k/3")
    for over in ({"epoch": 7}, None):
        if over is None:
            standings.put_loop(0, b"lp_7h3k", msgspec.json.encode(example("loop.v1", "active")))
            standings.put_state(0, b"lp_7h3k/failing", None)
        else:
            standings.put_loop(0, b"lp_7h3k", msgspec.json.encode(example("loop.v1", "active") | over))
        assert standings.flows("lp_7h3k")
        (record,) = outcome(_message(CLICK), standings, holds)
        assert record.topic == "deliveries"


def test_a_loop_that_is_paused_misses_from_the_first_event_it_wants_and_that_is_written_once() -> None:
    standings, holds = _standings(lp_7h3k={"paused": True}), Holds()
    (record,) = outcome(_message(CLICK), standings, holds)
    assert record == Record(
        "loop-states",
        b"lp_7h3k/3",
        b'{"kind":"held","loop":"lp_7h3k","partition":3,"stretches":[{"start":42}]}',
    )
    assert outcome(_message(CLICK), standings, holds) == []


def test_what_a_loop_missed_comes_under_the_id_it_would_have_had() -> None:
    standing = _standings(lp_7h3k={}).get("lp_7h3k")
    assert standing
    record = missed(_message(CLICK), standing)
    assert record
    assert (record.topic, json.loads(record.value or b"")) == ("replays", example("delivery.v1", "first"))
    assert missed(_message(raw("event.v1", "of-a-newer-type")), standing) is None
    assert missed(_message(b"nonsense"), standing) is None
    other = _standings(lp_7h3k={"account": "other"}).get("lp_7h3k")
    assert other
    assert missed(_message(CLICK), other) is None


def test_an_event_nobody_wants_becomes_nothing() -> None:
    assert outcome(_message(CLICK), Standings(), Holds()) == []
    assert outcome(_message(raw("event.v1", "of-a-newer-type")), _standings(one={}), Holds()) == []


def test_what_an_event_holds_beside_what_decides_passes_untouched() -> None:
    odd = b'{"id":"1","type":"open","account":"shop","later":{"n":1e400,"x":"\\u007d"},"fields":{"a":1,"a":2}} \n'
    (record,) = outcome(_message(odd), _standings(one={}), Holds())
    assert odd.strip() in (record.value or b"")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, b"value: is null, which no event is"),
        (b"", b"value: Input data was truncated"),
        (b"[]", b"value: Expected `object`, got `array`"),
        (b'{"type":"open","account":"shop"}', b"value: Object missing required field `id`"),
        (b'{"id":"1","type":"open","account":"shop","tags":"sale"}', None),
        (b'{"id":"1","type":"open","account":"shop","mailing":"\xff"}', None),
        (b'{"id":"1","type":"open","account":"shop","x":%s}' % (b"[" * 100_000 + b"]" * 100_000), None),
    ],
)
def test_an_event_that_can_t_be_read_goes_as_it_came_to_the_dead(value: bytes | None, reason: bytes | None) -> None:
    (record,) = outcome(_message(value), _standings(one={}), Holds())
    found = dict(record.headers)["reason"]
    assert found.startswith(b"value: ")
    assert reason in {None, found}
    headers = (("reason", found), ("topic", b"events"), ("partition", b"3"), ("offset", b"42"))
    assert record == Record("hits-dead", b"shop/jane", value, headers)
