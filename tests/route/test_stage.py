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
from pipeline.route.stage import outcome
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
    (record,) = outcome(_message(CLICK), _standings(lp_7h3k={}))
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
        unverified={"verified_url": None},
        disabled={},
    )
    standings.put_state(0, b"disabled", msgspec.json.encode(example("loop-state.v1", "gone") | {"loop": "disabled"}))
    records = outcome(_message(CLICK), standings)
    assert [record.key for record in records] == [b"one", b"two"]
    assert [json.loads(record.value or b"")["id"] for record in records] == [
        delivery_id(CLICK_ID, "one"),
        delivery_id(CLICK_ID, "two"),
    ]


def test_an_event_nobody_wants_becomes_nothing() -> None:
    assert outcome(_message(CLICK), Standings()) == []
    assert outcome(_message(raw("event.v1", "of-a-newer-type")), _standings(one={})) == []


def test_what_an_event_holds_beside_what_decides_passes_untouched() -> None:
    odd = b'{"id":"1","type":"open","account":"shop","later":{"n":1e400,"x":"\\u007d"},"fields":{"a":1,"a":2}} \n'
    (record,) = outcome(_message(odd), _standings(one={}))
    assert odd.strip() in (record.value or b"")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, b"value: Input data was truncated"),
        (b"", b"value: Input data was truncated"),
        (b"[]", b"value: Expected `object`, got `array`"),
        (b'{"type":"open","account":"shop"}', b"value: Object missing required field `id`"),
        (b'{"id":"1","type":"open","account":"shop","tags":"sale"}', None),
        (b'{"id":"1","type":"open","account":"shop","mailing":"\xff"}', None),
        (b'{"id":"1","type":"open","account":"shop","x":%s}' % (b"[" * 100_000 + b"]" * 100_000), None),
    ],
)
def test_an_event_that_can_t_be_read_goes_as_it_came_to_the_dead(value: bytes | None, reason: bytes | None) -> None:
    (record,) = outcome(_message(value), _standings(one={}))
    found = dict(record.headers)["reason"]
    assert found.startswith(b"value: ")
    assert reason in {None, found}
    headers = (("reason", found), ("topic", b"events"), ("partition", b"3"), ("offset", b"42"))
    assert record == Record("hits-dead", b"shop/jane", value, headers)
