"""The dead letters of a loop, by hand: searched, opened, redriven and purged, one, some or all; only by who may."""

import re
from collections.abc import Iterator
from datetime import datetime
from html import unescape
from typing import NamedTuple

import msgspec
import pytest

from pipeline.kafka.memory import Memory
from pipeline.model.deliveries import Delivery
from tests.console.attempting import attempt, attempts, event, prove, until
from tests.console.dying import bury, letters
from tests.console.running import TOPICS, Console, rows, running
from tests.console.visitor import Visitor, editor, viewer

NAMES = (("event", "id"), ("type", "type"), ("profile", "profile"))


class Cast(NamedTuple):
    console: Console
    memory: Memory
    visitor: Visitor
    key: str
    loop: str

    @property
    def path(self) -> str:
        return f"/loops/{self.loop}/dead"

    def get(self, more: str = "", status: int = 200) -> str:
        answer = self.visitor.get(self.path + more)
        assert answer.status_code == status, answer.text
        return unescape(answer.text)

    def listed(self, more: str = "") -> set[str]:
        return set(re.findall(r'href="/loops/\w+/dead/(msg_\w+)"', self.get(more)))

    def do(self, what: str, form: list[tuple[str, str]]) -> str:
        """What the page says that follows."""
        answer = self.visitor.post(f"{self.path}/{what}", form)
        assert answer.status_code == 303, answer.text
        page = unescape(self.visitor.get(answer.headers["location"]).text)
        told = re.search(r'role="status">.*?<p>(.*?)</p>', page, re.DOTALL)
        assert told, page
        return told[1]

    def redriven(self) -> int:
        return len(rows(self.memory, "deliveries-retry-5s"))


@pytest.fixture
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        loop = console.loop(key)["id"]
        prove(console, memory, key, loop)
        until(lambda: console.call("GET", f"/v1/loops/{loop}/dead", key).ok)  # the store is made meanwhile
        yield Cast(console, memory, editor(console, key), key, loop)


def _five(cast: Cast) -> None:
    for number, kind in enumerate(("open", "click", "open", "click", "open")):
        reason = "answered 410 Gone" if number == 4 else "given up after 11 attempts: answered 500"
        bury(cast.memory, cast.loop, f"msg_{number}", type=kind, reason=reason)
    letters(cast.console, cast.key, cast.loop, 5)


def test_where_nothing_died_the_page_says_so(cast: Cast) -> None:
    assert "No dead letters" in cast.get()
    assert "No dead letter fits" in cast.get("?type=open")


def test_they_are_searched(cast: Cast) -> None:
    _five(cast)
    assert cast.listed() == {f"msg_{number}" for number in range(5)}
    assert cast.listed("?reason=410") == {"msg_4"}
    assert cast.listed("?type=click") == {"msg_1", "msg_3"}
    assert "From: must be a time" in cast.get("?from=nonsense", 422)


def test_one_is_shown_with_its_reason_its_history_and_its_event(cast: Cast) -> None:
    _five(cast)
    page = cast.get("/msg_4")
    assert "answered 410 Gone" in page
    assert "Failed attempts" in page
    assert '"recipient": "jane@mail.example"' in page
    cast.get("/msg_9", 404)


def test_its_attempts_are_found_also_where_it_was_one_of_a_batch(cast: Cast) -> None:
    mine, other = event(cast.memory), event(cast.memory, profile="joe")
    told = [{name: one[key] for name, key in NAMES} for one in (other, mine)]
    attempt(cast.memory, cast.loop, other, delivery="batch_1", batch=told)
    bury(cast.memory, cast.loop, "msg_1", id=mine["id"])
    letters(cast.console, cast.key, cast.loop, 1)
    attempts(cast.console, cast.key, cast.loop)
    link = re.search(r'href="(/loops/\w+/attempts\?[^"]+)"', cast.get("/msg_1"))
    assert link
    assert "2 events" in cast.visitor.get(link[1]).text


def test_the_ticked_are_redriven_then_all_that_fit_then_all(cast: Cast) -> None:
    _five(cast)
    assert cast.do("redrive", [("which", "ticked")]) == "Nothing was done: tick the letters first."
    told = cast.do("redrive", [("delivery", "msg_0"), ("delivery", "msg_1"), ("which", "ticked")])
    assert told.startswith("2 dead letters are on the way again")
    assert cast.do("redrive", [("which", "all"), ("reason", "410")]).startswith("1 dead letter is")
    assert cast.listed() == {"msg_2", "msg_3"}
    assert cast.do("redrive", [("which", "all")]).startswith("2 dead letters are")
    assert (cast.redriven(), cast.listed()) == (5, set())


def test_the_page_goes_on_behind_what_the_api_redrove(cast: Cast) -> None:
    _five(cast)
    path = f"/v1{cast.path}/redrive"
    asked = cast.console.call("POST", path, cast.key, json={"deliveries": ["msg_0", "msg_1"], "rate": 1}).json()
    assert cast.do("redrive", [("which", "all")]).startswith("3 dead letters are")
    found = [
        msgspec.json.decode(value or b"", type=Delivery) for _, value, _ in rows(cast.memory, "deliveries-retry-5s")
    ]
    last = datetime.fromisoformat(asked["last_due"]).timestamp()
    assert sorted(one.due - last for one in found) == pytest.approx([-1, 0, 1, 1.005, 1.01], abs=0.001)


def test_they_are_purged_likewise(cast: Cast) -> None:
    _five(cast)
    assert cast.do("purge", [("delivery", "msg_0")]) == "1 dead letter is purged."
    assert cast.do("purge", [("which", "all"), ("type", "click")]) == "2 dead letters are purged."
    assert cast.do("purge", [("which", "all")]) == "2 dead letters are purged."
    assert (cast.redriven(), cast.listed()) == (0, set())


def test_to_an_address_that_is_not_proved_nothing_is_redriven(cast: Cast) -> None:
    _five(cast)
    cast.console.call("PATCH", f"/v1/loops/{cast.loop}", cast.key, json={"url": "https://moved.example/in"})
    assert "Redrive" not in cast.get().replace("Redriven", "")
    assert cast.do("redrive", [("which", "all")]).startswith("Nothing was done: the loop is unverified")
    assert len(cast.listed()) == 5


def test_a_viewer_sees_them_and_no_button(cast: Cast) -> None:
    _five(cast)
    one = viewer(cast.console)
    for path in (cast.path, f"{cast.path}/msg_0"):
        page = one.get(path).text
        assert "answered 500" in page
        assert not re.search(r"<button[^>]*>(Redrive|Purge)", page)
        assert 'type="checkbox"' not in page
