"""A change of a profile as an event: created, updated with what changed and what it was, deleted."""

import json
from typing import Any

import msgspec
import pytest

from pipeline.enrich.changes import change_of
from pipeline.enrich.join import profile_tail
from pipeline.kafka.memory import Message
from pipeline.model.events import Event
from pipeline.model.ids import EPOCH, made_at

KEY = b"shop/jane"
JANE: dict[str, Any] = {"id": "jane", "account": "shop", "email": "jane@mail.example",
                        "fields": {"city": "Utrecht", "visits": 3}, "interests": ["tea"]}  # fmt: skip


def message(value: dict[str, Any] | bytes | None, offset: int = 7) -> Message:
    raw = json.dumps(value).encode() if isinstance(value, dict) else value
    made = Message("profiles", 3, offset, KEY, raw, None)
    made._at = 1_774_000_000_123
    return made


def told(before: dict[str, Any] | None, after: dict[str, Any] | bytes | None, **more: Any) -> dict[str, Any] | None:
    old = None if before is None else profile_tail(KEY, json.dumps(before).encode())
    record = change_of(message(after), old, more.get("origin"))
    if record is None:
        return None
    assert (record.topic, record.key, record.partition, record.headers) == ("events", KEY, 3, ())
    found: dict[str, Any] = json.loads(record.value or b"")
    return found


def about(event: dict[str, Any] | None) -> tuple[Any, ...] | None:
    return None if event is None else (event["type"], event.get("parameters"), event.get("previous"))


FLAT = {"email": "jane@mail.example", "city": "Utrecht", "visits": 3, "interests": ["tea"]}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, JANE, ("create", FLAT, None)),
        (None, {"id": "jane"}, ("create", None, None)),
        (None, JANE | {"created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z"}, ("create", FLAT, None)),
        (None, JANE | {"created": "2026-01-01T00:00:00Z", "modified": "2026-02-01T00:00:00Z"}, ("update", FLAT, None)),
        (None, JANE | {"created": "2026-01-01T00:00:00", "modified": "2026-02-01T00:00:00Z"}, ("create", FLAT, None)),
        (JANE, JANE, None),
        (JANE, JANE | {"modified": "2026-02-01T00:00:00Z"}, None),
        (JANE, JANE | {"email": "j@mail.example"},
         ("update", {"email": "j@mail.example"}, {"email": "jane@mail.example"})),
        (JANE, JANE | {"fields": {"city": "Delft", "visits": 3}}, ("update", {"city": "Delft"}, {"city": "Utrecht"})),
        (JANE, JANE | {"fields": {"city": "Utrecht"}}, ("update", None, {"visits": 3})),
        (JANE, JANE | {"fields": JANE["fields"] | {"vip": True}}, ("update", {"vip": True}, None)),
        (JANE, JANE | {"interests": ["tea", "bikes"]},
         ("update", {"interests": ["tea", "bikes"]}, {"interests": ["tea"]})),
        (JANE, JANE | {"interests": []}, ("update", None, {"interests": ["tea"]})),
        (JANE, None, ("delete", None, FLAT)),
        (None, None, None),
    ],
)  # fmt: skip
def test_what_changed_and_what_it_was(
    before: dict[str, Any] | None, after: dict[str, Any] | bytes | None, expected: tuple[Any, ...] | None
) -> None:
    assert about(told(before, after)) == expected


def test_the_event_tells_who_it_is_now_and_who_made_the_change() -> None:
    event = told(JANE, JANE | {"fields": {"city": "Delft"}}, origin="crm")
    assert event
    assert {name: event[name] for name in event.keys() - {"id", "parameters", "previous"}} == {
        "type": "update", "account": "shop", "profile": "jane", "at": "2026-03-20T09:46:40.123000Z",
        "recipient": "jane@mail.example", "fields": {"city": "Delft"}, "interests": ["tea"], "origin": "crm",
    }  # fmt: skip


def test_who_was_deleted_is_told_as_it_was_known() -> None:
    event = told(JANE, None)
    assert event
    assert (event["recipient"], event["fields"], event["interests"]) == (JANE["email"], JANE["fields"], ["tea"])


def test_a_field_can_t_take_the_place_of_what_is_ours() -> None:
    assert about(told(None, JANE | {"fields": {"email": "x", "interests": "y"}})) == (
        "create", {"email": "jane@mail.example", "interests": ["tea"]}, None,
    )  # fmt: skip


def test_a_change_told_twice_is_one_event_and_another_is_another() -> None:
    records = [change_of(message(JANE, offset), None, None) for offset in (7, 7, 8)]
    ids = [json.loads((record and record.value) or b"")["id"] for record in records]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0][:13] == f"{1_774_000_000_123:012x}"[:8] + "-" + f"{1_774_000_000_123:012x}"[8:]


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (b"{", "value: Input data was truncated"),
        (JANE | {"id": "joe"}, "key: is shop/jane, but the value is of shop/joe"),
    ],
)
def test_one_that_can_t_be_read_is_a_dead_letter(after: dict[str, Any] | bytes, reason: str) -> None:
    came = message(after)
    record = change_of(came, profile_tail(KEY, json.dumps(JANE).encode()), None)
    assert record is not None
    assert (record.topic, record.key, record.value) == ("hits-dead", KEY, came.value())
    assert dict(record.headers) == {
        "reason": reason.encode(), "topic": b"profiles", "partition": b"3", "offset": b"7"}  # fmt: skip


@pytest.mark.parametrize("key", [b"", b"jane", b"shop/", b"/jane"])
def test_one_whose_key_names_nobody_is_a_dead_letter(key: bytes) -> None:
    record = change_of(Message("profiles", 3, 7, key, b'{"email":"jane@mail.example"}', None), None, None)
    assert record is not None
    assert (record.topic, dict(record.headers)["reason"]) == ("hits-dead", b"key: is not ACCOUNT/PROFILE")


def test_one_that_is_too_large_for_an_event_is_a_dead_letter() -> None:
    record = change_of(message(JANE | {"fields": {"note": "x" * 900_000}}), None, None)
    assert record
    assert (record.topic, record.key, dict(record.headers)["topic"]) == ("hits-dead", KEY, b"profiles")
    assert dict(record.headers)["reason"].startswith(b"event: would be ")


@pytest.mark.parametrize("at", [-1, 0, 1_774_000_000_123_456, 2**63 - 1])
def test_a_producer_s_clock_can_say_anything(at: int) -> None:
    """Anyone may produce to `profiles`: -1 is no time, microseconds by mistake are past the year 9999."""
    change = message(JANE)
    change._at = at
    record = change_of(change, None, None)
    assert record is not None
    event = msgspec.json.decode(record.value or b"", type=Event)
    assert made_at(event.id) is not None
    assert event.at >= EPOCH
