"""What was sent to a loop, by hand: filtered, paged, opened, sent again; and only by who may."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import NamedTuple

import msgspec
import pytest

from pipeline.console import attempt_calls
from pipeline.console.pages import attempt_pages
from pipeline.kafka.memory import Memory
from pipeline.model.deliveries import Delivery
from tests.console.attempting import attempt, attempts, event, prove, until
from tests.console.away import Away
from tests.console.running import TOPICS, Console, rows, running
from tests.console.visitor import Visitor, editor, viewer


class Cast(NamedTuple):
    console: Console
    memory: Memory
    visitor: Visitor
    key: str
    loop: str

    @property
    def path(self) -> str:
        return f"/loops/{self.loop}/attempts"

    def get(self, more: str = "") -> str:
        answer = self.visitor.get(self.path + more)
        assert answer.status_code == 200, answer.text
        return unescape(answer.text)

    def listed(self, more: str = "") -> list[str]:
        return re.findall(r'href="/loops/\w+/attempts/(at_\w+)"', self.get(more))


@pytest.fixture
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        loop = console.loop(key, headers={"X-Key": "hunter2"})["id"]
        prove(console, memory, key, loop)
        until(lambda: console.call("GET", f"/v1/loops/{loop}/attempts", key).ok)  # the store is made meanwhile
        yield Cast(console, memory, editor(console, key), key, loop)


def test_where_nothing_was_sent_the_page_says_so(cast: Cast) -> None:
    assert "Nothing was sent yet" in cast.get()
    assert "No attempt fits" in cast.get("?state=dead")


def test_attempts_are_filtered_and_paged_without_a_script(cast: Cast) -> None:
    now, told = datetime.now(UTC), event(cast.memory)
    for number in range(120):
        at = (now - timedelta(minutes=number)).isoformat()
        name = "dead" if number % 10 == 0 else "delivered"
        attempt(cast.memory, cast.loop, told, name, at=at, recipient=f"r{number % 2}@x.example", delivery=f"m{number}")
    attempts(cast.console, cast.key, cast.loop, 50)
    found, page = list[str](), ""
    for _ in range(3):
        found += cast.listed(page)
        following = re.search(r'rel="next" href="/loops/\w+/attempts(\?[^"]+)"', cast.get(page))
        page = following[1] if following else "-"
    assert (page, len(found), len(set(found))) == ("-", 120, 120)
    since = f"{now - timedelta(minutes=9):%Y-%m-%dT%H:%M}"
    for asked, count in (
        ("state=dead", 12),
        ("state=failed&recipient=r1@x.example", 0),
        ("state=dead&recipient=r0@x.example&type=", 12),
        ("delivery=m7", 1),
        (f"from={since}&to=", 10),
        ("type=open", 0),
    ):
        assert abs(len(cast.listed(f"?{asked}")) - count) <= int("from=2" in asked), asked


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("from=yesterday", "From: must be a time such as"),
        ("state=odd", "State: must be"),
        ("message=a%20b", "Message: must match"),
        ("from=2026-03-20T10:00&to=2026-03-20T09:00", "From: must be before to."),
        ("cursor=abc", "Cursor: is no cursor"),
    ],
)
def test_a_filter_that_is_wrong_is_named_and_kept(cast: Cast, asked: str, told: str) -> None:
    answer = cast.visitor.get(f"{cast.path}?{asked}")
    assert answer.status_code == 422
    assert told in unescape(answer.text)
    for name in ("recipient", "type", "message"):
        assert "<i>x" not in cast.visitor.get(f"{cast.path}?{name}=<i>x").text


def test_an_attempt_is_shown_with_its_request_made_again(cast: Cast) -> None:
    told = event(cast.memory)
    first = attempt(cast.memory, cast.loop, told, response="<script>alert(1)</script>")
    attempt(cast.memory, cast.loop, told, "delivered", attempt=2)
    newest, older = attempts(cast.console, cast.key, cast.loop, 2)
    opened = newest["id"] if newest["attempt"] == 1 else older["id"]
    raw, page = cast.visitor.get(f"{cast.path}/{opened}").text, cast.get(f"/{opened}")
    assert "&lt;script&gt;alert(1)" in raw
    assert "<script>alert" not in raw
    for line in (
        f"webhook-id: {first['delivery']}",
        "loopwire-attempt: 1",
        "X-Key: ••••••",
        f"&event={told['id']}",
        "present settings",
    ):
        assert line in page
    assert "hunter2" not in page
    assert "whsec_" not in page
    assert len(re.findall(r'class="of-delivery"', page)) == 2


def test_one_delivery_is_sent_again_and_its_attempt_is_seen(cast: Cast) -> None:
    told = event(cast.memory)
    made = attempt(cast.memory, cast.loop, told, "dead")
    [shown] = attempts(cast.console, cast.key, cast.loop)
    assert "Send again" in cast.get(f"/{shown['id']}")
    answer = cast.visitor.post(f"{cast.path}/{shown['id']}/again")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{cast.path}?delivery={made['delivery']}"
    [(_, value, _)] = rows(cast.memory, "replays")
    sent = msgspec.json.decode(value or b"", type=Delivery)
    assert sent.id == made["delivery"]
    attempt(cast.memory, cast.loop, told, "delivered", replay=sent.replay)
    attempts(cast.console, cast.key, cast.loop, 2)
    page = cast.get(f"?delivery={made['delivery']}")
    assert "It is on its way again" in page
    assert page.count('<span class="chip">again</span>') == 1


def test_what_is_no_longer_kept_is_said_so_and_not_sent(cast: Cast) -> None:
    attempt(cast.memory, cast.loop, {"account": "acme", "id": "gone", "type": "click", "profile": "jane"})
    [shown] = attempts(cast.console, cast.key, cast.loop)
    page = cast.get(f"/{shown['id']}")
    assert "The event is no longer kept" in page
    assert "Send again" not in page
    answer = cast.visitor.post(f"{cast.path}/{shown['id']}/again")
    assert answer.headers["location"] == f"{cast.path}/{shown['id']}"
    assert "Nothing was sent: the event of this attempt is no longer kept" in cast.get(f"/{shown['id']}")
    assert rows(cast.memory, "replays") == []


def test_while_kafka_is_away_an_attempt_is_shown_without_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_pages, "SEARCH_SECONDS", 0.1)
    monkeypatch.setattr(attempt_calls, "MOST_SECONDS", -1.9)
    memory = Away(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        loop = console.loop(key)["id"]
        prove(console, memory, key, loop)
        attempt(memory, loop, event(memory), response="oops, we are broken")
        [shown] = attempts(console, key, loop)
        visitor, path = editor(console, key), f"/loops/{loop}/attempts/{shown['id']}"
        memory.here.clear()
        answer = visitor.get(path)
        assert answer.status_code == 200
        assert "oops, we are broken" in answer.text
        assert f'data-poll="{path}"' in answer.text
        assert visitor.post(f"{path}/again").headers["location"] == path
        assert "Nothing was sent: its event was not read: it is still looked for" in visitor.get(path).text
        assert console.call("POST", f"/v1{path}/again", key).status_code == 503
        memory.here.set()
        until(lambda: "webhook-id: msg_" in visitor.get(path).text)
        assert "data-poll" not in visitor.get(path).text
        assert rows(memory, "replays") == []


def test_a_viewer_a_stranger_and_a_form_from_elsewhere_send_nothing(cast: Cast) -> None:
    attempt(cast.memory, cast.loop, event(cast.memory))
    [shown] = attempts(cast.console, cast.key, cast.loop)
    path = f"{cast.path}/{shown['id']}"
    guest, stranger = viewer(cast.console), editor(cast.console, cast.console.account("other"))
    assert guest.get(path).status_code == 200
    assert "Send again" not in guest.get(path).text
    assert guest.post(f"{path}/again").status_code == 403
    assert stranger.get(path).status_code == 404
    assert stranger.post(f"{path}/again").status_code == 404
    assert cast.visitor.post(f"{path}/again", {"token": "x"}).status_code == 403
    assert rows(cast.memory, "replays") == []
