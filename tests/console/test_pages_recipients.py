"""A recipient's timeline: events from Kafka, attempts from the store, one account's alone."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any, NamedTuple

import msgspec
import pytest

from pipeline.console import past
from pipeline.kafka.memory import Memory
from tests.console.running import TOPICS, Console, running
from tests.console.visitor import Visitor, editor
from tests.examples import example


class Cast(NamedTuple):
    """Two accounts with a loop each."""

    console: Console
    memory: Memory
    visitor: Visitor
    other: Visitor
    loop: str

    def event(self, **more: Any) -> None:
        put_event(self.memory, **more)

    def attempt(self, **more: Any) -> None:
        put_attempt(self.memory, **({"loop": self.loop} | more))

    def page(self, word: str) -> str:
        answer = self.visitor.get("/recipients", params={"q": word})
        assert answer.status_code == 200, answer.text
        return unescape(answer.text)

    def shows(self, word: str, text: str) -> str:
        """The page, once the text is on it: attempts are seen a moment after they were made."""
        deadline = time.monotonic() + 20
        while text not in (page := self.page(word)):
            assert time.monotonic() < deadline, page
        return page


def put_event(memory: Memory, **more: Any) -> None:
    known = {"id": "ev_1", "type": "click", "account": "acme", "profile": "jane", "at": datetime.now(UTC).isoformat()}
    event = known | more
    memory.producer().produce("events", msgspec.json.encode(event), f"{event['account']}/{event['profile']}".encode())


def put_attempt(memory: Memory, **more: Any) -> None:
    known = {"account": "acme", "profile": "jane", "event": "ev_1", "at": datetime.now(UTC).isoformat()}
    attempt = example("attempt.v1", "delivered") | known | more
    memory.producer().produce("attempts", msgspec.json.encode(attempt), attempt["loop"].encode())


@pytest.fixture
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        keys = [console.account(name) for name in ("acme", "rival")]
        loop = console.loop(keys[0], name="<b>shop</b>")["id"]
        yield Cast(console, memory, editor(console, keys[0]), editor(console, keys[1]), loop)


def test_what_is_looked_for_is_escaped_and_what_is_not_there_is_said(cast: Cast) -> None:
    assert "Whom are you looking for?" in cast.page("")
    assert "Nothing is known of <script>" in cast.page("<script>")
    assert "<script>alert" not in cast.visitor.get("/recipients?q=<script>alert").text


def test_a_profile_s_events_come_with_their_attempts_in_order(cast: Cast) -> None:
    now = datetime.now(UTC)
    cast.event(id="ev_0", type="open", at=(now - timedelta(hours=2)).isoformat(), machine=True, signals=["apple"])
    cast.event(mailing="m-7", message="msg-9", url="https://shop.example/?a=<1>", recipient="jane@example.com")
    again = {"outcome": "again", "status": 503, "error": "answered 503", "next_attempt": now.isoformat()}
    cast.attempt(at=(now - timedelta(seconds=9)).isoformat(), **again)
    cast.attempt(attempt=2, recipient="jane@example.com", message="msg-9")
    page = cast.shows("jane", "answered 503")
    cast.shows("jane", 'data-label="Attempt">2')
    page = cast.page("jane")
    places = [page.index(text) for text in ("m-7", "answered 503", 'data-label="Attempt">2', "a machine")]
    assert places == sorted(places)
    assert "<b>shop</b>" not in cast.visitor.get("/recipients?q=jane").text
    assert "https://shop.example/?a=<1>" in page


@pytest.mark.parametrize("word", ["jane@example.com", "Jane@Example.com", "msg-9"])
def test_an_address_and_a_message_are_found_by_what_was_sent(cast: Cast, word: str) -> None:
    cast.event(message="msg-9", recipient="jane@example.com", mailing="m-7")
    cast.event(id="ev_2", type="open", message="msg-8", recipient="old@example.com", mailing="m-6")
    assert "Nothing is known" in cast.page("nobody@example.com")
    cast.attempt(recipient="jane@example.com", message="msg-9")
    page = cast.shows(word, "m-7")
    assert "m-6" not in page


def test_an_attempt_whose_event_is_gone_is_shown_all_the_same(cast: Cast) -> None:
    cast.attempt(event="ev_gone", type="bounce")
    page = cast.shows("jane", "ev_gone")
    assert "<h2>bounce</h2>" in page


def test_another_account_s_profile_is_nothing(cast: Cast) -> None:
    cast.event(mailing="m-7")
    cast.event(account="rival", mailing="m-rival", id="ev_r")
    cast.attempt(recipient="jane@example.com", message="msg-9")
    cast.shows("msg-9", "ev_1")
    for word in ("jane", "jane@example.com", "msg-9"):
        page = cast.other.get("/recipients", params={"q": word}).text
        assert "m-7" not in page
        assert "ev_1" not in page
    assert "m-rival" in cast.other.get("/recipients?q=jane").text
    assert "m-rival" not in cast.page("jane")


def test_the_scan_is_bounded_and_says_so(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    cast.event(id="ev_first")
    for number in range(5):
        cast.event(id=f"ev_{number}")
    assert "ev_first" in cast.page("jane")
    monkeypatch.setattr(past, "SCANNED", 5)
    page = cast.page("jane")
    assert "ev_first" not in page
    assert "Events were cut" in page


def test_of_a_batch_only_the_recipient_s_own_events_are_shown(cast: Cast) -> None:
    batch = [
        {"event": f"ev_{who}", "type": kind, "profile": who, "recipient": f"{who}@x.example"}
        for who, kind in (("jane", "click"), ("joe", "open"))
    ]
    cast.attempt(**batch[0], batch=batch)
    page = cast.shows("joe@x.example", "ev_joe")
    assert "<h2>open</h2>" in page
    assert "jane@x.example" not in page
    assert "ev_jane" not in page
