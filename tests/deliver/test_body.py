"""The body of the POST says the same in both formats; the form is read here as PHP reads it into $_POST."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest
from hypothesis import example as of
from hypothesis import given
from hypothesis import strategies as st

from pipeline.deliver.body import FORM, JSON, body_of, names
from pipeline.model.events import Event
from tests.examples import example, raw

BASE = {"id": "1", "type": "open", "account": "shop", "profile": "jane", "at": "2026-03-20T09:15:00Z"}
TOLD = {
    "type": "open",
    "event": "1",
    "timestamp": "2026-03-20 09:15:00",
    "time": 1773998100,
    "profile": "jane",
    "account": "shop",
}


def _event(**more: Any) -> Event:
    return msgspec.convert(BASE | more, Event)


def _php(body: bytes) -> dict[str, Any]:
    """What PHP makes of a form: `a[]` appends, `a[x]` sets, and an array with keys 0, 1, 2... is a list."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict"):
        base, *path = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name)
        into = found
        for step, following in zip([base, *path], [*path, None], strict=True):
            key = step or str(max((int(one) for one in into if one.isdigit()), default=-1) + 1)
            if following is None:
                into[key] = value
            else:
                into = into.setdefault(key, {})
    return {name: _listed(value) for name, value in found.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inside = {key: _listed(item) for key, item in value.items()}
    return list(inside.values()) if list(inside) == [str(number) for number in range(len(inside))] else inside


def _words(value: Any) -> Any:
    """A JSON value as a form can say it."""
    if isinstance(value, dict):
        return {key: _words(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_words(item) for item in value]
    return json.dumps(value) if isinstance(value, bool) else str(value)


def test_a_click_with_all_that_is_known_as_a_form() -> None:
    event = msgspec.json.decode(raw("event.v1", "click"), type=Event)
    kind, body = body_of(names(event), "form")
    assert kind == FORM == "application/x-www-form-urlencoded"
    assert body.decode() == (
        "type=click&id=spring-sale.jane&event=019ab5c7-5f20-7b3c-9d01-0242ac120002"
        "&timestamp=2026-03-20+09%3A15%3A00&time=1773998100&recipient=jane%40mail.example&ip=198.51.100.7"
        "&useragent=Mozilla%2F5.0+%28iPhone%3B+CPU+iPhone+OS+18_0+like+Mac+OS+X%29+AppleWebKit%2F605.1.15"
        "&referer=https%3A%2F%2Fmail.example%2F"
        "&original=https%3A%2F%2Fshop.example%2Ftulips%3Futm_source%3Dspring%26size%3D%2210%22"
        "&tags%5B%5D=sale&tags%5B%5D=spring&mailing=spring-sale&profile=jane&account=shop"
        "&fields%5Bcity%5D=Utrecht&fields%5Bvisits%5D=0&fields%5Bvip%5D=false&fields%5Bnote%5D="
        "&fields%5Bname%5D=Jan%C3%A9+%E2%80%9CJ%E2%80%9D+%C3%98deg%C3%A5rd&fields%5Bsize%5D%5Bshoe%5D=38.5"
        "&fields%5Borders%5D%5B0%5D%5Bid%5D=1&fields%5Borders%5D%5B0%5D%5Bpaid%5D=true"
        "&fields%5Borders%5D%5B1%5D%5Bid%5D=2&fields%5Borders%5D%5B1%5D%5Bpaid%5D=false"
        "&interests%5B%5D=tulips&interests%5B%5D=garden&machine=false&client=Apple+Mail&system=iOS&device=phone"
    )


def test_a_click_with_all_that_is_known_as_json() -> None:
    click = example("event.v1", "click")
    kind, body = body_of(names(msgspec.convert(click, Event)), "json")
    assert kind == JSON == "application/json"
    assert json.loads(body) == {
        "type": "click",
        "id": "spring-sale.jane",
        "event": "019ab5c7-5f20-7b3c-9d01-0242ac120002",
        "timestamp": "2026-03-20 09:15:00",
        "time": 1773998100,
        "recipient": "jane@mail.example",
        "original": click["url"],
        **{name: click[name] for name in (
            "ip", "useragent", "referer", "tags", "mailing", "profile", "account", "fields", "interests", "machine",
            "client", "system", "device",
        )},
    }  # fmt: skip


@pytest.mark.parametrize("name", ["click", "open-by-a-machine", "open-of-nobody-known", "bounce", "update"])
def test_form_and_json_say_the_same(name: str) -> None:
    told = names(msgspec.json.decode(raw("event.v1", name), type=Event))
    assert _php(body_of(told, "form")[1]) == _words(json.loads(body_of(told, "json")[1]))


def test_an_unknown_name_is_left_out_of_both() -> None:
    event = _event(recipient=None, ip=None, tags=[], fields={}, interests=[], signals=None, details={})
    assert names(event) == TOLD
    assert set(_php(body_of(names(event), "form")[1])) == set(TOLD)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"recipient": ""}, {"recipient": ""}),
        ({"machine": False}, {"machine": False}),
        ({"message": "spring-sale.jane"}, {"id": "spring-sale.jane"}),
        ({"url": "https://shop.example/"}, {"original": "https://shop.example/"}),
        ({"details": {"code": 0, "final": False, "text": ""}}, {"code": 0, "final": False, "text": ""}),
        ({"details": {"code": None, "list": [], "map": {}}}, {}),
        ({"parameters": {"city": "Utrecht"}, "previous": {"city": "Delft"}, "origin": "crm"},
         {"parameters": {"city": "Utrecht"}, "previous": {"city": "Delft"}, "origin": "crm"}),
    ],
)  # fmt: skip
def test_what_is_known_is_told_even_where_it_is_nothing_much(more: dict[str, Any], told: dict[str, Any]) -> None:
    assert names(_event(**more)) == TOLD | told


def test_details_can_t_take_the_place_of_a_name_that_is_ours() -> None:
    details = dict.fromkeys((
        "type", "id", "event", "timestamp", "time", "recipient", "ip", "useragent", "referer", "original", "tags",
        "mailing", "profile", "account", "fields", "interests", "machine", "signals", "client", "system", "device",
        "parameters", "previous", "origin",
    ), "forged")  # fmt: skip
    assert names(_event(details=details | {"code": "5.1.1"})) == TOLD | {"code": "5.1.1"}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (None, {"city": "Utrecht", "vip": False}),
        (["city"], {"city": "Utrecht"}),
        (["vip", "age"], {"vip": False}),
    ],
)
def test_a_loop_gets_the_profile_fields_it_asked_for(asked: list[str] | None, told: dict[str, Any]) -> None:
    assert names(_event(fields={"city": "Utrecht", "vip": False}), asked) == TOLD | {"fields": told}


def test_names_keep_their_order_where_fields_were_chosen() -> None:
    event = _event(type="update", parameters={"city": "Utrecht", "vip": True}, previous={"vip": False}, origin="crm")
    every, chosen = list(names(event)), list(names(event, ["city"]))
    assert chosen == [name for name in every if name in chosen]
    assert set(every) - set(chosen) == {"previous"}


def test_what_changed_of_other_fields_is_not_told_either() -> None:
    changed = {"city": "Utrecht", "vip": True, "email": "jane@example.com", "interests": ["tea"]}
    told = names(_event(type="update", parameters=changed, previous={"vip": False}), ["city"])
    assert told["parameters"] == {"city": "Utrecht", "email": "jane@example.com", "interests": ["tea"]}
    assert "previous" not in told


def test_a_loop_that_asked_for_none_of_them_or_for_unknown_ones_gets_no_fields() -> None:
    for asked in ([], ["age"]):
        assert names(_event(fields={"city": "Utrecht"}), asked) == TOLD


@pytest.mark.parametrize(
    ("at", "timestamp", "time"),
    [
        ("2026-03-20T09:15:00Z", "2026-03-20 09:15:00", 1773998100),
        ("2026-03-20T09:15:00.999999Z", "2026-03-20 09:15:00", 1773998100),
        ("2026-03-20T11:15:00+02:00", "2026-03-20 09:15:00", 1773998100),
        ("2026-03-19T23:45:00-09:30", "2026-03-20 09:15:00", 1773998100),
        ("2026-12-31T23:30:00-01:00", "2027-01-01 00:30:00", 1798763400),
    ],
)
def test_times_are_told_in_utc(at: str, timestamp: str, time: int) -> None:
    told = names(_event(at=at))
    assert (told["timestamp"], told["time"]) == (timestamp, time)


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ({"city": "Utrecht"}, "fields[city]=Utrecht"),
        ({"zero": 0, "no": False, "yes": True}, "fields[zero]=0&fields[no]=false&fields[yes]=true"),
        ({"empty": "", "a": " "}, "fields[empty]=&fields[a]= "),
        ({"null": None, "a": "b"}, "fields[a]=b"),
        ({"float": 38.5, "huge": 10**30}, "fields[float]=38.5&fields[huge]=1000000000000000000000000000000"),
        ({"name": "Jané 🌷"}, "fields[name]=Jané 🌷"),
        ({"sign": "a&b=c+d%20;e"}, "fields[sign]=a&b=c+d%20;e"),
        ({"lines": "a\r\nb"}, "fields[lines]=a\r\nb"),
        ({"a\x1fb": "c\x1ed", "e": "f\x1f"}, "fields[a\x1fb]=c\x1ed&fields[e]=f\x1f"),
        ({"colours": ["red", "blue"]}, "fields[colours][]=red&fields[colours][]=blue"),
        ({"in": {"a": {"b": [1, 2]}}}, "fields[in][a][b][]=1&fields[in][a][b][]=2"),
        ({"o": [{"id": 1, "n": 2}, {"id": 3}]}, "fields[o][0][id]=1&fields[o][0][n]=2&fields[o][1][id]=3"),
        ({"grid": [[1, 2], [3]]}, "fields[grid][0][]=1&fields[grid][0][]=2&fields[grid][1][]=3"),
        ({"mixed": ["a", {"b": "c"}]}, "fields[mixed][0]=a&fields[mixed][1][b]=c"),
    ],
)  # fmt: skip
def test_nested_values_as_php_reads_them(fields: dict[str, Any], form: str) -> None:
    told = names(_event(fields=fields))
    body = body_of({"fields": told["fields"]}, "form")[1]
    pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert "&".join(f"{name}={value}" for name, value in pairs) == form
    assert _php(body) == {"fields": _words(fields)}
    assert json.loads(body_of(told, "json")[1])["fields"] == fields


def test_a_form_is_pure_ascii_and_json_is_utf_8() -> None:
    told = names(_event(recipient="jané@mail.example"))
    assert body_of(told, "form")[1].isascii()
    assert '"recipient":"jané@mail.example"'.encode() in body_of(told, "json")[1]


@given(st.dictionaries(st.text(), st.text(st.characters(codec="utf-8"), max_size=400), max_size=8))
@of({"a\x1eb": "c", "d\x1fe": "%+ &=\x00\x7f\x1e"})
def test_a_form_is_as_the_standard_library_writes_it(told: dict[str, str]) -> None:
    assert body_of(told, "form")[1] == urlencode(told).encode()
