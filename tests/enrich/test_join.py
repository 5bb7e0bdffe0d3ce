"""The join: an event is the hit as it came, with what is known about it appended."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.enrich.join import Tail, UnreadableError, event_of, profile_tail, tags_tail
from pipeline.model.events import Event
from pipeline.model.hits import AnyHit
from tests.examples import FOLDER, example, raw

KEY, MAILING = b"shop/jane", b"shop/spring-sale"
HIT = (
    b'{"type":"open","id":"019ab5c7","account":"shop","profile":"jane","mailing":"spring-sale",'
    b'"at":"2026-03-20T09:15:00.123456Z"%s}'
)
WHO = b',"recipient":"jane@mail.example","fields":{"city":"Utrecht"},"interests":["tulips"]'
WHAT = b',"tags":["sale","spring"]'


def _event(value: bytes, who: Tail = WHO, what: Tail = WHAT) -> bytes:
    return event_of(KEY, value, {KEY: who} if who else {}, {MAILING: what} if what else {}, lambda _hit: b"")


def _profile(**row: Any) -> Tail:
    return profile_tail(KEY, json.dumps({"id": "jane", "account": "shop"} | row).encode())


def _tags(**row: Any) -> Tail:
    return tags_tail(MAILING, json.dumps({"mailing": "spring-sale", "account": "shop"} | row).encode())


def test_what_is_known_stands_behind_the_hit_byte_for_byte() -> None:
    assert _event(HIT % b"") == (
        b'{"type":"open","id":"019ab5c7","account":"shop","profile":"jane","mailing":"spring-sale",'
        b'"at":"2026-03-20T09:15:00.123456Z","recipient":"jane@mail.example","fields":{"city":"Utrecht"},'
        b'"interests":["tulips"],"tags":["sale","spring"]}'
    )


@pytest.mark.parametrize(
    ("who", "what", "added"),
    [
        (WHO, b"", WHO),
        (b"", WHAT, WHAT),
        (b"", b"", b""),
    ],
)
def test_what_is_unknown_is_left_out(who: Tail, what: Tail, added: bytes) -> None:
    assert _event(HIT % b"", who, what) == HIT % added


@pytest.mark.parametrize("end", [b"\n", b" ", b"\r\n", b"\t\n  "])
@pytest.mark.parametrize("begin", [b"", b" \n"])
def test_white_space_around_a_hit_is_no_part_of_it(begin: bytes, end: bytes) -> None:
    assert json.loads(_event(begin + HIT % b"" + end)) == json.loads(HIT % (WHO + WHAT))
    assert json.loads(_event(begin + HIT % b"" + end, b"", b"")) == json.loads(HIT % b"")


@pytest.mark.parametrize(
    "more",
    [
        b',"useragent":"\\"}"',
        b',"useragent":"}\\\\"',
        b',"useragent":"a \\"quoted\\" end\\""',
        b',"useragent":"\\u007d"',
        ',"useragent":"Jané “}” 🌷"'.encode(),
        b',"details":{}',
        b',"details":{"a":{"b":[]}} ',
        b',"later":[{"x":"}"}]',
    ],
)
def test_whatever_a_hit_ends_with_the_event_is_the_hit_and_what_is_known(more: bytes) -> None:
    assert json.loads(_event(HIT % more)) == json.loads(HIT % more) | json.loads(b"{%s}" % (WHO + WHAT)[1:])


@pytest.mark.parametrize("path", sorted(FOLDER.glob("hit.v1/*.json")), ids=lambda path: str(path.stem))
def test_every_example_of_a_hit_becomes_an_event_with_all_it_held(path: Any) -> None:
    joined = _event(path.read_bytes(), profile_tail(KEY, raw("profile.v1", "jane")))
    jane = example("profile.v1", "jane")
    known = {"recipient": jane["email"], "fields": jane["fields"], "interests": jane["interests"]}
    assert json.loads(joined) == json.loads(path.read_bytes()) | known | {"tags": ["sale", "spring"]}
    event = msgspec.json.decode(joined, type=Event)
    assert (event.recipient, event.fields, event.tags) == (jane["email"], jane["fields"], ["sale", "spring"])


def test_what_the_tables_say_counts_where_the_hit_says_otherwise() -> None:
    event = msgspec.json.decode(_event(HIT % b',"recipient":"mallory@mail.example","tags":["x"]'), type=Event)
    assert (event.recipient, event.tags) == ("jane@mail.example", ["sale", "spring"])


def test_of_a_name_that_stands_twice_in_a_hit_the_last_counts_for_its_key_too() -> None:
    with pytest.raises(UnreadableError, match=r"^key: is shop/jane, but the value is of shop/joe$"):
        _event(HIT % b',"profile":"joe"')


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (KEY, None, "value: is null, which no hit is"),
        (KEY, b"", "value: Input data was truncated"),
        (KEY, b"null", "value: Expected `object`, got `null`"),
        (KEY, b"[]", "value: Expected `object`, got `array`"),
        (KEY, b"{}", "value: Object missing required field `type`"),
        (KEY, b"\xef\xbb\xbf" + HIT % b"", "value: JSON is malformed: invalid character (byte 0)"),
        (KEY, HIT % b"" + b"\0", "value: JSON is malformed: trailing characters (byte 125)"),
        (KEY, HIT % b"" + HIT % b"", "value: JSON is malformed: trailing characters (byte 125)"),
        (KEY, HIT % b',"details":{"n":NaN}', None),
        (KEY, HIT % b',"details":{"n":Infinity}', None),
        (KEY, HIT % b',"details":{"n":1e999}', "value: Number out of range - at `$.details[...]`"),
        (KEY, HIT % b',"details":"5.1.1"', "value: Expected `object | null`, got `str` - at `$.details`"),
        (KEY, HIT % b',"details":{"x":"\xff"}', None),
        (KEY, HIT % b',"details":{"x":"\\udc00"}', None),
        (KEY, HIT % b',"details":{"x":%s}' % (b"[" * 100_000 + b"]" * 100_000), None),
        (KEY, HIT % b',"later":%s' % (b"[" * 100_000 + b"]" * 100_000), None),
        (KEY, HIT.replace(b"Z", b"") % b"", None),
        (KEY, HIT.replace(b"T09", b" at 09") % b"", "value: Invalid RFC3339 encoded datetime - at `$.at`"),
        (None, HIT % b"", "key: is absent, but the value is of shop/jane"),
        (b"", HIT % b"", "key: is , but the value is of shop/jane"),
        (b"shop/joe", HIT % b"", "key: is shop/joe, but the value is of shop/jane"),
        (b"jane", HIT % b"", "key: is jane, but the value is of shop/jane"),
        (b"\xff", HIT % b"", "key: is \ufffd, but the value is of shop/jane"),
    ],
)
def test_a_hit_that_can_t_be_read_says_why(key: bytes | None, value: bytes | None, reason: str | None) -> None:
    with pytest.raises(UnreadableError) as refused:
        event_of(key, value, {KEY: WHO}, {MAILING: WHAT}, lambda _hit: b"")
    assert str(refused.value).startswith(("value: ", "key: "))
    if reason is not None:
        assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("more", "name", "value"),
    [
        (b',"details":{"n":123456789012345678901234567890}', "details", {"n": 123456789012345678901234567890}),
        (b',"details":{"zero":0,"no":false,"empty":""}', "details", {"zero": 0, "no": False, "empty": ""}),
        (b',"details":{"a":1,"a":2}', "details", {"a": 2}),
        (b',"details":null', "details", None),
        (b',"ip":null', "ip", None),
    ],
)
def test_values_pass_as_they_came(more: bytes, name: str, value: object) -> None:
    assert getattr(msgspec.json.decode(_event(HIT % more), type=Event), name) == value


@pytest.mark.parametrize(
    ("row", "added"),
    [
        ({"email": "jane@mail.example"}, b',"recipient":"jane@mail.example"'),
        ({"email": ""}, b',"recipient":""'),
        ({"email": "jané@mail.example"}, ',"recipient":"jané@mail.example"'.encode()),
        ({"email": "j@x", "fields": {"city": "Utrecht"}}, b',"recipient":"j@x","fields":{"city":"Utrecht"}'),
        (
            {"email": "j@x", "fields": {"zero": 0, "no": False, "empty": "", "null": None, "in": {"a": [1.5]}}},
            b',"recipient":"j@x","fields":{"zero":0,"no":false,"empty":"","null":null,"in":{"a":[1.5]}}',
        ),
        ({"email": "j@x", "fields": {"n": 10**30}}, b',"recipient":"j@x","fields":{"n":1%s}' % (b"0" * 30)),
        ({"email": "j@x", "fields": {}, "interests": []}, b',"recipient":"j@x"'),
        ({"email": "j@x", "fields": None, "interests": None, "created": None}, b',"recipient":"j@x"'),
        ({"email": None, "interests": ["a"]}, b',"interests":["a"]'),
        ({"interests": ["a"], "later": 1}, b',"interests":["a"]'),
        ({}, b""),
    ],
)
def test_what_a_profile_adds(row: dict[str, Any], added: Tail) -> None:
    assert _profile(**row) == added


@pytest.mark.parametrize(
    ("row", "added"),
    [
        ({"tags": ["sale", "“spring”"]}, ',"tags":["sale","“spring”"]'.encode()),
        ({"tags": []}, b""),
        ({"tags": None, "name": None}, b""),
        ({"name": "Spring sale"}, b""),
    ],
)
def test_what_a_mailing_adds(row: dict[str, Any], added: Tail) -> None:
    assert _tags(**row) == added


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"email": ["j@x"]}, "value: Expected `str | null`, got `array` - at `$.email`"),
        ({"fields": ["a"]}, "value: Expected `object | null`, got `array` - at `$.fields`"),
        ({"id": "joe"}, "key: is shop/jane, but the value is of shop/joe"),
        ({"account": "other"}, "key: is shop/jane, but the value is of other/jane"),
    ],
)
def test_a_profile_that_can_t_be_read_says_why(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        _profile(**row)
    assert str(refused.value) == reason


def test_a_mailing_under_another_s_key_says_so() -> None:
    with pytest.raises(UnreadableError, match=r"^key: is shop/spring-sale, but the value is of shop/summer$"):
        _tags(mailing="summer")


@pytest.mark.parametrize("value", [b"", b"null", b"[" * 100_000, b'{"account":"\xff"}'])
def test_a_row_that_is_no_row_is_unreadable(value: bytes) -> None:
    for tail in (profile_tail, tags_tail):
        with pytest.raises(UnreadableError, match=r"^value: "):
            tail(KEY, value)


def test_what_the_join_does_not_read_can_t_spoil_a_row_that_somebody_else_wrote() -> None:
    told = b'{"email":"jane@example.com","created":1577836800,"modified":"2020-01-01 00:00:00"}'
    assert profile_tail(b"shop/jane", told) == b',"recipient":"jane@example.com"'
    assert tags_tail(b"shop/spring", b'{"name":5,"tags":["sale"]}') == b',"tags":["sale"]'


WORDS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | WORDS, lambda inner: st.lists(inner, max_size=3))
KNOWN = st.dictionaries(st.sampled_from(["city", "n", "Ødegård", '"', "}"]), VALUES, max_size=3)
SPACE = st.text(" \t\r\n", max_size=3).map(str.encode)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["open", "delivery"])},
        optional={"useragent": WORDS, "ip": WORDS, "details": KNOWN, "later": VALUES, "recipient": WORDS},
    ),
    st.none() | st.fixed_dictionaries({}, optional={"email": WORDS, "fields": KNOWN, "interests": st.lists(WORDS)}),
    st.none() | st.fixed_dictionaries({}, optional={"tags": st.lists(WORDS, max_size=3)}),
    SPACE,
    SPACE,
)
def test_the_join_is_what_a_plain_one_would_be(
    hit: dict[str, Any],
    profile: dict[str, Any] | None,
    mailing: dict[str, Any] | None,
    before: bytes,
    after: bytes,
) -> None:
    hit |= {"id": "1", "account": "shop", "profile": "jane", "mailing": "spring-sale", "at": "2026-03-20T09:15:00Z"}
    value = before + json.dumps(hit, ensure_ascii=False).encode() + after
    who = {} if profile is None else {KEY: _profile(**profile)}
    what = {} if mailing is None else {MAILING: _tags(**mailing)}

    def told(one: AnyHit) -> Tail:
        return b',"machine":false' if one.useragent else b""

    event = event_of(KEY, value, who, what, told)
    machine = {"machine": False} if hit.get("useragent") else {}
    row, tags = profile or {}, mailing or {}
    known = {"recipient": row.get("email")} | {name: row.get(name) or None for name in ("fields", "interests")}
    known |= {"tags": tags.get("tags") or None}
    added = machine | {name: one for name, one in known.items() if one is not None}
    assert json.loads(event) == hit | added
    # Byte for byte the hit, and nothing but what was added.
    kept = value.rstrip()[:-1] if added else value
    assert event.startswith(kept)
    tail = event[len(kept) :]
    assert tail == (b"," + msgspec.json.encode(added)[1:] if added else b"")
