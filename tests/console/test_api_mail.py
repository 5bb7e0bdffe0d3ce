"""Accounts, profiles, mailings and links, by the API."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import pytest

from pipeline.capture.rewrite import PIXEL
from pipeline.capture.tokens import Link, read
from pipeline.console.accounts import hashed
from pipeline.kafka.memory import Memory
from pipeline.model.accounts import Account
from tests.console.running import ADMIN, TOKEN_KEY, TOPICS, TRACKING, Console, rows, running


class Cast(NamedTuple):
    """A console, its Kafka, and the key of an account named acme."""

    console: Console
    memory: Memory
    key: str


@pytest.fixture(scope="module")
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        yield Cast(console, memory, console.account("acme"))


def test_an_account_gets_a_key_once_and_its_hash_is_kept(cast: Cast) -> None:
    answer = cast.console.call("POST", "/v1/accounts", ADMIN, json={"name": "new-1"})
    assert (answer.status_code, set(answer.json())) == (201, {"account", "api_key"})
    key = answer.json()["api_key"]
    name, value, _ = rows(cast.memory, "accounts")[-1]
    kept = msgspec.json.decode(value or b"", type=Account)
    assert (name, [one.hash for one in kept.keys]) == (b"new-1", [hashed(key)])
    assert all(key.encode() not in (value or b"") for _, value, _ in rows(cast.memory, "accounts"))
    assert answer.headers["cache-control"] == "no-store"


def test_a_name_is_taken_once(cast: Cast) -> None:
    answer = cast.console.call("POST", "/v1/accounts", ADMIN, json={"name": "acme"})
    assert (answer.status_code, answer.json()["errors"]) == (
        409,
        [{"where": "body.name", "what": "acme is an account already"}],
    )


@pytest.mark.parametrize("name", ["", "Acme", "a_b", "a" * 41, "a\n", "é", 1, None])
def test_an_account_has_a_plain_name(cast: Cast, name: object) -> None:
    answer = cast.console.call("POST", "/v1/accounts", ADMIN, json={"name": name})
    assert (answer.status_code, answer.json()["errors"][0]["where"]) == (422, "body.name")


def test_a_profile_is_in_the_topic_when_it_is_answered(cast: Cast) -> None:
    before = datetime.now(UTC)
    body = {"email": "jan@example.com", "fields": {"city": "Utrecht", "n": [1, None]}, "interests": ["bikes"]}
    answer = cast.console.call(
        "PUT", "/v1/profiles/p:1@x+y", cast.key, json=body, headers={"loopwire-origin": "my crm"}
    )
    assert (answer.status_code, answer.content) == (204, b"")
    key, value, headers = _last(cast, "profiles", b"acme/p:1@x+y")
    kept = json.loads(value or b"")
    assert before <= datetime.fromisoformat(kept.pop("modified")) <= datetime.now(UTC)
    assert (key, kept) == (b"acme/p:1@x+y", {"id": "p:1@x+y", "account": "acme"} | body)
    assert headers == [("origin", b"my crm")]


def test_a_profile_is_erased(cast: Cast) -> None:
    answer = cast.console.call("DELETE", "/v1/profiles/gone", cast.key)
    assert (answer.status_code, answer.content) == (204, b"")
    assert _last(cast, "profiles", b"acme/gone") == (b"acme/gone", None, None)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "body.email"),
        ({"email": "jan"}, "body.email"),
        ({"email": "a@b", "fields": []}, "body.fields"),
        ({"email": "a@b", "interests": [1]}, "body.interests.0"),
        ({"email": "a@b", "interest": []}, "body.interest"),
        ({"email": "a@b", "id": "p1"}, "body.id"),
    ],
)
def test_a_profile_that_is_wrong_is_not_written(cast: Cast, body: dict[str, Any], where: str) -> None:
    answer = cast.console.call("PUT", "/v1/profiles/wrong", cast.key, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["where"]) == (422, where)
    assert not [key for key, _, _ in rows(cast.memory, "profiles") if key == b"acme/wrong"]


def test_an_origin_is_a_word(cast: Cast) -> None:
    answer = cast.console.call("DELETE", "/v1/profiles/p1", cast.key, headers={"loopwire-origin": "a" * 129})
    assert (answer.status_code, answer.json()["errors"][0]["where"]) == (422, "header.loopwire-origin")


def test_a_mailing_is_in_the_topic_when_it_is_answered(cast: Cast) -> None:
    answer = cast.console.call("PUT", "/v1/mailings/m1", cast.key, json={"name": "May", "tags": ["spring", "sale"]})
    assert (answer.status_code, answer.content) == (204, b"")
    key, value, _ = _last(cast, "tags", b"acme/m1")
    assert (key, json.loads(value or b"")) == (
        b"acme/m1",
        {"mailing": "m1", "account": "acme", "name": "May", "tags": ["spring", "sale"]},
    )


def test_links_lead_by_way_of_capture(cast: Cast) -> None:
    links = [f"https://shop.example/{number}?é=1" for number in range(2000)]
    body = {"profile": "p1", "mailing": "m1", "message": "x1", "links": links}
    answer = cast.console.call("POST", "/v1/track", cast.key, json=body)
    assert answer.status_code == 200
    shown, keys, mail = answer.json(), {"k1": TOKEN_KEY}, Link("acme", "p1", "m1", "x1")
    assert (set(shown), list(shown["clicks"])) == ({"open", "clicks", "unsubscribe"}, links)
    assert read(shown["open"].removeprefix(f"{TRACKING}/o/").removesuffix(".gif"), keys, "open") == mail
    assert read(shown["unsubscribe"].removeprefix(f"{TRACKING}/u/"), keys, "unsubscribe") == mail
    last = shown["clicks"][links[-1]].removeprefix(f"{TRACKING}/c/")
    assert read(last, keys, "click") == mail._replace(url=links[-1])


MAIL = (
    '<body><a href="https://shop.example/?a=1&amp;b=é">Buy</a> <a href="https://shop.example">shop.example</a>'
    '<a href="{}">Leave</a></body>'
)


def test_a_mail_comes_back_with_its_links_and_a_pixel(cast: Cast) -> None:
    way_out = cast.console.call("POST", "/v1/track", cast.key, json={"profile": "p", "mailing": "m"}).json()
    html = MAIL.format(way_out["unsubscribe"])
    body = {"profile": "p", "mailing": "m", "links": ["https://a.example"], "html": html}
    shown = cast.console.call("POST", "/v1/track", cast.key, json=body).json()
    assert set(shown) == {"open", "clicks", "unsubscribe", "html"}
    assert list(shown["clicks"]) == ["https://a.example", "https://shop.example/?a=1&b=é"]
    click = shown["clicks"]["https://shop.example/?a=1&b=é"]
    assert shown["html"] == html.replace("https://shop.example/?a=1&amp;b=é", click).replace(
        "</body>", PIXEL.format(shown["open"]) + "</body>"
    )
    more = cast.console.call("POST", "/v1/track", cast.key, json=body | {"url_texts": True}).json()
    assert list(more["clicks"]) == [*shown["clicks"], "https://shop.example"]


def test_a_mail_of_a_megabyte_comes_back(cast: Cast) -> None:
    html = "<p>Text</p>" * 100_000 + "<a href='https://shop.example/'>x</a>"
    shown = cast.console.call("POST", "/v1/track", cast.key, json={"profile": "p", "mailing": "m", "html": html}).json()
    assert len(shown["html"]) > len(html)


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        ({"html": 1}, "body.html", None),
        (
            {"html": "".join(f"<a href='https://a.example/{n}'>x</a>" for n in range(10_001))},
            "body.html",
            "has 10001 links: 10000 at most",
        ),
        (
            {"links": ["https://a.example/", "javascript:alert(1)"]},
            "body.links.1",
            "'javascript:alert(1)' can't be tracked: the address must begin with http:// or https://",
        ),
        ({"links": ["https://a.example/"] * 10_001}, "body.links", None),
        ({"profile": "a b"}, "body.profile", None),
        ({"message": ""}, "body.message", None),
    ],
)
def test_links_that_are_wrong_are_told_where(cast: Cast, change: dict[str, Any], where: str, what: str | None) -> None:
    answer = cast.console.call("POST", "/v1/track", cast.key, json={"profile": "p", "mailing": "m"} | change)
    error = answer.json()["errors"][0]
    assert (answer.status_code, error["where"], error["what"]) == (422, where, what or error["what"])


def _last(cast: Cast, topic: str, key: bytes) -> tuple[bytes | None, bytes | None, Any]:
    return [row for row in rows(cast.memory, topic) if row[0] == key][-1]
