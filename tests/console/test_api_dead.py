"""Dead letters by the API: listed and searched, shown whole, redriven at a pace, purged; and whose they are."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest
import requests

from pipeline.console import dead, dead_calls, recorder
from pipeline.kafka.memory import Memory
from pipeline.model.deliveries import Delivery
from tests.console.attempting import prove, until
from tests.console.dying import bury, letters
from tests.console.running import TOPICS, Console, rows, running
from tests.examples import example

RETRY = "deliveries-retry-5s"


class Cast(NamedTuple):
    console: Console
    memory: Memory
    key: str
    loop: str

    def ask(self, method: str, path: str = "", key: str = "", **more: Any) -> requests.Response:
        return self.console.call(method, f"/v1/loops/{self.loop}/dead{path}", key or self.key, **more)

    def names(self, **asked: Any) -> list[str]:
        answer = self.ask("GET", params=asked)
        assert answer.status_code == 200, answer.text
        return [one["delivery"] for one in answer.json()["dead"]]

    def waiting(self) -> list[Delivery]:
        """What was redriven, in the order it was written."""
        found = [msgspec.json.decode(value or b"", type=Delivery) for _, value, _ in rows(self.memory, RETRY)]
        return [one for one in found if one.loop == self.loop]


@pytest.fixture
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        loop = console.loop(key, name="shop")["id"]
        prove(console, memory, key, loop)
        yield Cast(console, memory, key, loop)


def _five(cast: Cast) -> list[str]:
    kinds = ("open", "click", "open", "bounce", "click")
    names = [
        bury(cast.memory, cast.loop, f"msg_{number}", type=kind, profile=f"p{number % 2}", id=f"e{number}")
        for number, kind in enumerate(kinds)
    ]
    letters(cast.console, cast.key, cast.loop, 5)
    return names


def test_a_letter_is_shown_with_its_reason_its_history_and_its_event(cast: Cast) -> None:
    bury(cast.memory, cast.loop, "msg_1", reason="answered 410 Gone", id="e1")
    [listed] = letters(cast.console, cast.key, cast.loop, 1)
    told = example("delivery.v1", "given-up")
    at = datetime.fromisoformat(listed["at"])
    assert datetime.now(UTC) - timedelta(minutes=1) < at <= datetime.now(UTC)
    assert {name: listed[name] for name in ("delivery", "event", "reason", "attempts", "readable", "recipient")} == {
        "delivery": "msg_1",
        "event": "e1",
        "reason": "answered 410 Gone",
        "attempts": told["attempts"],
        "readable": True,
        "recipient": told["event"]["recipient"],
    }
    assert [(one["attempt"], one["error"]) for one in listed["history"]] == [
        (one["attempt"], one["error"]) for one in told["history"]
    ]
    whole = cast.ask("GET", "/msg_1").json()
    assert whole.pop("content")["id"] == "e1"
    assert whole == listed
    assert cast.ask("GET", "/msg_2").status_code == 404


def test_they_come_page_by_page_the_newest_first(cast: Cast) -> None:
    names = _five(cast)
    found, cursor = list[str](), ""
    while cursor is not None:
        answer = cast.ask("GET", params={"limit": 2, "cursor": cursor}).json()
        assert answer["total"] == 5
        found += [one["delivery"] for one in answer["dead"]]
        cursor = answer["next_cursor"]
    assert sorted(found) == names


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"type": "open"}, {"msg_0", "msg_2"}),
        ({"profile": "p1"}, {"msg_1", "msg_3"}),
        ({"event": "e4"}, {"msg_4"}),
        ({"reason": "ANSWERED 5"}, {"msg_0", "msg_1", "msg_2", "msg_3", "msg_4"}),
        ({"reason": "5%"}, set()),
        ({"recipient": "nobody@mail.example"}, set()),
        ({"recipient": "Jane@Mail.example", "type": "bounce"}, {"msg_3"}),
        ({"to": "2026-03-20T09:00:00Z"}, set()),
        ({"from": "2026-03-20T09:00:00Z", "type": "bounce"}, {"msg_3"}),
    ],
)
def test_what_may_be_asked(cast: Cast, asked: dict[str, str], found: set[str]) -> None:
    _five(cast)
    assert set(cast.names(**asked)) == found


def test_all_are_redriven_under_their_ids_with_their_history_at_a_pace(cast: Cast) -> None:
    names = _five(cast)
    before = datetime.now(UTC).timestamp()
    answer = cast.ask("POST", "/redrive", json={"rate": 2})
    assert (answer.status_code, answer.json()["redriven"], answer.json()["left"]) == (202, 5, 0)
    sent = cast.waiting()
    assert sorted(one.id for one in sent) == names
    assert {(one.attempts, one.holds) for one in sent} == {(0, 0)}
    assert all(len(one.history) == len(example("delivery.v1", "given-up")["history"]) for one in sent)
    dues = [one.due - sent[0].due for one in sent]
    assert dues == pytest.approx([0, 0.5, 1, 1.5, 2])
    assert sent[0].due >= before + 5  # the first rung
    assert all(one.leaves <= one.due for one in sent)
    assert datetime.fromisoformat(answer.json()["last_due"]).timestamp() == pytest.approx(sent[-1].due)
    assert cast.names() == []
    gone = {key for key, value, _ in rows(cast.memory, "deliveries-dead") if value is None}
    assert gone == {f"{cast.loop}/{name}".encode() for name in names}
    bury(cast.memory, cast.loop, "msg_0")  # it failed for good once more: behind the ones that are under way
    letters(cast.console, cast.key, cast.loop, 1)
    assert cast.ask("POST", "/redrive", json={"rate": 2}).json()["redriven"] == 1
    assert cast.waiting()[-1].due == pytest.approx(sent[-1].due + 0.5)


def test_some_are_redriven_and_the_others_stay(cast: Cast) -> None:
    _five(cast)
    assert cast.ask("POST", "/redrive", json={"deliveries": ["msg_3", "msg_1", "none"]}).json()["redriven"] == 2
    assert cast.ask("POST", "/redrive", json={"type": "open"}).json()["redriven"] == 2
    assert {one.id for one in cast.waiting()} == {"msg_0", "msg_1", "msg_2", "msg_3"}
    assert cast.names() == ["msg_4"]
    assert cast.ask("POST", "/redrive").json()["redriven"] == 1  # no body: all


def test_a_call_takes_so_many_and_says_what_is_left(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_calls, "MOST", 3)
    monkeypatch.setattr(dead_calls, "AT_ONCE", 1)
    _five(cast)
    assert cast.ask("POST", "/redrive").json()["left"] == 2
    assert cast.ask("POST", "/redrive").json() | {"last_due": None} == {"redriven": 2, "left": 0, "last_due": None}
    assert cast.ask("POST", "/redrive").json() == {"redriven": 0, "left": 0, "last_due": None}


def test_a_loop_that_is_disabled_meanwhile_keeps_the_others(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter([None, None, None, "the loop is disabled", "the loop is disabled"])
    monkeypatch.setattr(dead_calls, "AT_ONCE", 1)
    monkeypatch.setattr(dead, "refusal", lambda _state: next(said))
    _five(cast)
    answer = cast.ask("POST", "/redrive").json()
    assert (answer["redriven"], answer["left"], len(cast.waiting())) == (2, 3, 2)
    assert cast.ask("POST", "/redrive").status_code == 409


@pytest.mark.parametrize("what", ["redrive", "purge"])
def test_what_the_store_has_not_noticed_is_not_taken_twice(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def away(*_words: object) -> None:
        raise OSError("the disk is away")

    _five(cast)
    monkeypatch.setattr(dead_calls, "SEEN_SECONDS", 0.1)
    with monkeypatch.context() as broken:
        broken.setattr(recorder, "bury", away)
        said = [cast.ask("POST", f"/{what}", json={"type": kind}).json() for kind in ("open", "open", "click")]
        assert [(one[f"{what}{'n' if what == 'redrive' else 'd'}"], one["left"]) for one in said] == [
            (2, 0),
            (0, 0),
            (2, 0),
        ]
        assert len(cast.names()) == 5
    until(lambda: cast.names() == ["msg_3"])
    assert len(cast.waiting()) == (4 if what == "redrive" else 0)
    bury(cast.memory, cast.loop, "msg_0")  # another letter of a delivery that was taken away
    letters(cast.console, cast.key, cast.loop, 2)
    assert cast.ask("POST", "/redrive").json()["redriven"] == 2


def test_what_is_purged_has_to_be_said(cast: Cast) -> None:
    _five(cast)
    refused = cast.ask("POST", "/purge", json={})
    assert (refused.status_code, refused.json()["errors"][0]["where"]) == (422, "body")
    assert cast.ask("POST", "/purge", json={"deliveries": ["msg_0"]}).json() == {"purged": 1, "left": 0}
    assert cast.ask("POST", "/purge", json={"type": "click"}).json() == {"purged": 2, "left": 0}
    assert sorted(cast.names()) == ["msg_2", "msg_3"]
    assert cast.ask("POST", "/purge", json={"all": True}).json() == {"purged": 2, "left": 0}
    assert (cast.names(), cast.waiting()) == ([], [])


def test_nothing_is_redriven_to_an_address_that_is_not_proved(cast: Cast) -> None:
    _five(cast)
    cast.console.call("PATCH", f"/v1/loops/{cast.loop}", cast.key, json={"url": "https://moved.example/in"})
    answer = cast.ask("POST", "/redrive")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:loopwire:problem:unverified")
    assert cast.waiting() == []
    assert len(cast.names()) == 5


def test_the_letters_of_a_removed_loop_can_be_read_and_purged(cast: Cast) -> None:
    _five(cast)
    cast.console.call("DELETE", f"/v1/loops/{cast.loop}", cast.key)
    assert len(cast.names()) == 5
    refused = cast.ask("POST", "/redrive")
    assert (refused.status_code, "was removed" in refused.json()["detail"]) == (404, True)
    assert cast.ask("POST", "/purge", json={"all": True}).json()["purged"] == 5
    until(lambda: cast.ask("GET").status_code == 404)


def test_another_account_sees_none_of_it(cast: Cast) -> None:
    _five(cast)
    other = cast.console.account("other")
    for method, path in (("GET", ""), ("GET", "/msg_0"), ("POST", "/redrive"), ("POST", "/purge")):
        more = {"json": {"all": True}} if path == "/purge" else {}
        assert cast.ask(method, path, other, **more).status_code == 404
    assert len(cast.names()) == 5


def test_a_record_that_holds_no_delivery_is_shown_and_can_only_be_purged(cast: Cast) -> None:
    key = f"{cast.loop}/deliveries-1-77".encode()
    headers = [("reason", b"value: JSON is malformed"), ("topic", b"deliveries")]
    cast.memory.producer().produce("deliveries-dead", b"{", key, headers=headers)
    [shown] = letters(cast.console, cast.key, cast.loop, 1)
    assert (shown["delivery"], shown["readable"], shown["reason"]) == (
        "deliveries-1-77",
        False,
        "value: JSON is malformed",
    )
    assert cast.ask("GET", "/deliveries-1-77").json()["content"] is None
    assert cast.ask("POST", "/redrive").json() == {"redriven": 0, "left": 1, "last_due": None}
    assert cast.ask("POST", "/purge", json={"deliveries": ["deliveries-1-77"]}).json()["purged"] == 1
    assert cast.names() == []


def test_a_letter_whose_event_is_no_event_can_be_read(cast: Cast) -> None:
    letter = {"id": "msg_1", "loop": cast.loop, "account": "acme", "event": ["what"]}
    headers = [("reason", b"the event can't be read: Expected `object`, got `array`")]
    cast.memory.producer().produce(
        "deliveries-dead", msgspec.json.encode(letter), f"{cast.loop}/msg_1".encode(), headers=headers
    )
    letters(cast.console, cast.key, cast.loop, 1)
    answer = cast.ask("GET", "/msg_1")
    assert (answer.status_code, answer.json()["content"], answer.json()["type"]) == (200, None, None)


def test_a_letter_that_others_took_away_is_gone(cast: Cast) -> None:
    _five(cast)
    cast.memory.producer().produce("deliveries-dead", None, f"{cast.loop}/msg_2".encode())
    assert "msg_2" not in [one["delivery"] for one in letters(cast.console, cast.key, cast.loop, 4)]
    bury(cast.memory, cast.loop, "msg_1", reason="answered 410 Gone")
    until(lambda: cast.names(reason="410") == ["msg_1"])
    assert len(cast.names()) == 4


def test_a_paused_loop_s_letters_wait_on_their_way(cast: Cast) -> None:
    _five(cast)
    cast.console.call("POST", f"/v1/loops/{cast.loop}/pause", cast.key)
    assert cast.ask("POST", "/redrive").json()["redriven"] == 5
