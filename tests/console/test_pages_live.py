"""What happens is seen as it happens, by its own account alone, and no stream outlives its session."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from html import unescape
from typing import Any, NamedTuple

import pytest
import requests

from pipeline.console.live import Waiting, Wanted
from pipeline.kafka.client import Cluster
from pipeline.kafka.memory import Memory
from pipeline.model.events import Event
from pipeline.settings import Settings
from tests.console.running import ADMIN, TOPICS, Console, running
from tests.console.test_pages_recipients import put_attempt, put_event
from tests.console.visitor import Visitor, editor, viewer

AT = datetime(2026, 3, 20, 9, 15, tzinfo=UTC)


def event(number: int = 1, **more: Any) -> Event:
    known: dict[str, Any] = {"id": f"ev_{number}", "type": "open", "account": "acme", "profile": "jane", "at": AT}
    return Event(**(known | more))


class Stream:
    """What a browser's EventSource gets."""

    def __init__(self, visitor: Visitor, query: str = "") -> None:
        self.answer = visitor.session.get(f"{visitor.url}/watch/stream{query}", stream=True, timeout=20)
        self._lines = self.answer.iter_lines()

    def next(self, name: str) -> Any:
        """The data of the next event of that name."""
        for line in self._lines:
            if line == f"event: {name}".encode():
                return json.loads(next(self._lines).removeprefix(b"data: "))
        raise AssertionError(f"the stream ended without {name}")

    def live(self) -> "Stream":
        """Once the console reads on."""
        while not self.next("state")["live"]:
            pass
        return self

    def rows(self, count: int) -> str:
        """So many rows, as one text."""
        found: list[str] = []
        while len(found) < count:
            found += self.next("rows")["rows"]
        assert len(found) == count
        return unescape("".join(found))

    def close(self) -> None:
        self.answer.close()


@contextmanager
def stream(visitor: Visitor, query: str = "") -> Iterator[Stream]:
    one = Stream(visitor, query)
    try:
        yield one.live()
    finally:
        one.close()


class Cast(NamedTuple):
    console: Console
    memory: Memory
    key: str
    mine: Visitor
    other: Visitor
    loop: str


@pytest.fixture
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        keys = [console.account(name) for name in ("acme", "rival")]
        loop = console.loop(keys[0], name="<b>shop</b>")["id"]
        yield Cast(console, memory, keys[0], editor(console, keys[0]), editor(console, keys[1]), loop)


@pytest.mark.parametrize(
    ("wanted", "more", "fits"),
    [
        (Wanted(), {}, True),
        (Wanted(kind="events"), {}, True),
        (Wanted(kind="attempts"), {}, False),
        (Wanted(type="click"), {}, False),
        (Wanted(loop="lp_a"), {}, False),
        (Wanted(who="jane"), {}, True),
        (Wanted(who="JANE"), {}, False),
        (Wanted(who="Jane@Example.com"), {"recipient": "jane@example.com"}, True),
        (Wanted(who="jo@example.com"), {"recipient": "jane@example.com"}, False),
    ],
)
def test_a_filter_wants_what_it_names(wanted: Wanted, more: dict[str, Any], fits: bool) -> None:
    assert wanted.fits(event(**more)) is fits


def test_who_falls_behind_loses_the_oldest_and_is_told_how_many() -> None:
    waiting = Waiting("acme", Wanted(), most=3)
    assert [waiting.put(event(number)) for number in range(5)] == [True] * 5
    assert not waiting.put(event(9, account="rival"))
    assert waiting.take(live=True) == ([event(2), event(3), event(4)], 2, True)
    assert waiting.take(live=True) == ([], 0, True)


def test_each_account_sees_its_own_and_nothing_else(cast: Cast) -> None:
    with stream(cast.mine) as mine, stream(cast.other) as other:
        for account, word in (("acme", "m-acme"), ("rival", "m-rival")):
            put_event(cast.memory, account=account, mailing=word)
            put_attempt(cast.memory, account=account, loop=cast.loop, url=f"https://{word}.example/")
        seen, theirs = mine.rows(2), other.rows(2)
    assert "m-acme" in seen
    assert "m-acme.example" in seen
    assert "m-rival" not in seen
    assert "m-rival.example" in theirs
    assert "acme" not in theirs
    assert "<b>shop</b>" not in theirs


def test_rows_lead_to_the_loop_and_the_recipient_and_are_escaped(cast: Cast) -> None:
    with stream(cast.mine) as one:
        put_attempt(cast.memory, loop=cast.loop, recipient="<i>@example.com", outcome="dead", status=500, error="no")
        (row,) = one.next("rows")["rows"]
    assert f'href="/loops/{cast.loop}">&lt;b&gt;shop' in row
    assert 'href="/recipients?q=jane">&lt;i&gt;@example.com' in row
    assert "500" in row
    assert "<i>" not in row


@pytest.mark.parametrize(
    ("query", "wanted"),
    [("?kind=events", "event"), ("?kind=attempts", "attempt"), ("?loop=LOOP", "attempt"), ("?who=ED@example.com", "ed"),
     ("?type=bounce", "bounce")],
)  # fmt: skip
def test_filters_are_the_server_s(cast: Cast, query: str, wanted: str) -> None:
    with stream(cast.mine, query.replace("LOOP", cast.loop)) as one:
        if wanted in {"ed", "bounce"}:
            put_event(cast.memory, mailing="unwanted")
            put_attempt(cast.memory, loop=cast.loop, type="open", url="https://unwanted.example/")
        put_event(cast.memory, mailing="event", **({"type": "bounce"} if wanted == "bounce" else {}))
        if wanted != "bounce":
            put_attempt(cast.memory, loop=cast.loop, url="https://attempt.example/")
        if wanted == "ed":
            put_event(cast.memory, mailing="ed", profile="ed", recipient="ed@example.com")
        row = one.rows(1)
    assert {"event": "event", "attempt": "attempt.example", "ed": "ed@example.com", "bounce": "bounce"}[wanted] in row
    assert "unwanted" not in row


def test_a_session_that_ends_ends_its_stream(cast: Cast) -> None:
    reader = viewer(cast.console)
    with stream(reader) as by_user, stream(cast.mine) as by_key:
        copied = Visitor(cast.console)
        copied.session.cookies.update(cast.mine.session.cookies.get_dict())
        assert cast.mine.post("/logout").status_code == 303
        assert by_key.next("over") == {}
        assert not copied.is_in, "whoever kept the cookie is signed out as well"
        gone = cast.console.call("DELETE", "/v1/accounts/acme/users/victor", ADMIN)
        assert gone.status_code == 204
        assert by_user.next("over") == {}
    assert reader.get("/watch/stream").headers["location"].startswith("/login")


def test_so_many_may_watch_and_whoever_leaves_makes_room(cast: Cast) -> None:
    streams = [Stream(cast.mine).live() for _ in range(10)]
    refused = cast.mine.get("/watch/stream", stream=True)
    assert refused.status_code == 429
    with stream(cast.other):
        pass  # another account is not in the way
    streams.pop().close()
    deadline = time.monotonic() + 20
    while (again := cast.mine.get("/watch/stream", stream=True)).status_code == 429:
        assert time.monotonic() < deadline
    again.close()
    for one in streams:
        one.close()


def test_who_comes_after_all_left_sees_what_comes_then(cast: Cast) -> None:
    for word in ("first", "second"):
        with stream(cast.mine) as one:
            put_event(cast.memory, mailing=word)
            assert word in one.rows(1)


def test_the_console_ends_its_streams_when_it_stops() -> None:
    with running(Memory(TOPICS)) as console:
        one = Stream(editor(console, console.account("acme"))).live()
        console.stop()
        with pytest.raises((AssertionError, requests.RequestException)):
            one.next("rows")


def test_without_a_script_the_page_lists_the_latest_attempts(cast: Cast) -> None:
    assert "Nothing yet" in cast.mine.get("/watch").text
    put_attempt(cast.memory, loop=cast.loop, recipient="jane@example.com")
    put_attempt(cast.memory, loop=cast.loop, recipient="ed@example.com", profile="ed", type="bounce")
    put_attempt(cast.memory, loop=cast.loop, account="rival", recipient="rival@example.com")
    deadline = time.monotonic() + 20
    while "ed@example.com" not in (page := cast.mine.get("/watch").text):
        assert time.monotonic() < deadline
    assert "jane@example.com" in page
    assert "rival@example.com" not in page
    assert "<noscript><a" in page
    page = cast.mine.get("/watch?type=bounce&who=ed").text
    assert "ed@example.com" in page
    assert "jane@example.com" not in page
    assert 'data-stream="/watch/stream?type=bounce&amp;who=ed"' in page


def test_it_watches_a_real_broker(cluster_settings: Settings) -> None:
    cluster = Cluster(cluster_settings)
    with running(cluster) as console:
        mine = editor(console, console.account("acme"))
        with stream(mine) as one:
            producer = cluster.producer()
            body = json.dumps(
                {"id": "ev_1", "type": "open", "account": "acme", "profile": "jane", "at": AT.isoformat()}
                | {"mailing": "m-7"}
            )
            producer.produce(cluster.full("events"), body.encode(), b"acme/jane")
            assert producer.flush(30) == 0
            assert "m-7" in one.rows(1)
        assert "m-7" in mine.get("/recipients?q=jane").text
