"""Attempts and stats by the API: what is shown, what may be asked, and what is told of a wrong parameter."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import pytest
import requests

from pipeline.console import openapi
from pipeline.kafka.memory import Memory
from tests.console.running import TOPICS, Console, running
from tests.examples import example

NOW = datetime.now(UTC).replace(microsecond=250_000)
COUNT = 120


class Cast(NamedTuple):
    console: Console
    key: str
    loop: str
    memory: Memory

    def ask(self, what: str, **asked: Any) -> requests.Response:
        named = {{"since": "from", "until": "to"}.get(name, name): value for name, value in asked.items()}
        return self.console.call("GET", f"/v1/loops/{self.loop}/{what}", self.key, params=named)

    def attempts(self, **asked: Any) -> list[dict[str, Any]]:
        answer = self.ask("attempts", **asked)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["attempts"]
        return found


def _record(loop: str, number: int) -> bytes:
    """One a minute, of an hour ago and before; each third failed for now, each tenth for good."""
    name = "dead" if number % 10 == 0 else "again" if number % 3 == 0 else "delivered"
    at = NOW - timedelta(hours=1, minutes=number)
    told = example("attempt.v1", name) | {"loop": loop, "account": "acme", "attempt": number + 1, "at": at.isoformat()}
    return msgspec.json.encode(told | {"event": f"e{number}", "type": "open" if number % 2 else "click"})


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        one = Cast(console, key, console.loop(key)["id"], memory)
        for loop in (one.loop, console.loop(key)["id"]):
            for number in range(COUNT):
                memory.producer().produce("attempts", _record(loop, number), loop.encode())
        until(lambda: one.ask("attempts").ok)  # the store is made
        until(lambda: len(one.attempts(limit=250)) == COUNT)
        yield one


def test_an_attempt_is_shown_whole(cast: Cast) -> None:
    [shown] = cast.attempts(event="e3")
    told = example("attempt.v1", "again")
    at = NOW - timedelta(hours=1, minutes=3)
    assert shown.pop("id").startswith("at_")
    assert datetime.fromisoformat(shown.pop("at")) == at
    same = ("delivery", "profile", "recipient", "message", "url", "status", "error", "response", "timings")
    assert shown == {name: told[name] for name in same} | {
        "event": "e3", "type": "open", "attempt": 4, "state": "retrying", "next_attempt": told["next_attempt"],
        "replay": None, "batch": [],
    }  # fmt: skip


def test_a_batch_is_shown_with_its_events_and_found_by_each_of_them(cast: Cast) -> None:
    carried = [
        {"event": f"c{at}", "type": "click", "profile": f"p{at}", "recipient": f"{at}%_@x.example"} for at in (1, 2)
    ]
    cast = cast._replace(loop=cast.console.loop(cast.key)["id"])
    told = msgspec.json.decode(_record(cast.loop, 5)) | carried[0] | {"batch": carried}
    cast.memory.producer().produce("attempts", msgspec.json.encode(told), cast.loop.encode())
    until(lambda: bool(cast.attempts(event="c1")))
    whole = [one | {"message": None} for one in carried]
    for asked in ({"event": "c2"}, {"profile": "p2"}, {"recipient": "2%_@x.example"}):
        [shown] = cast.attempts(**asked)
        assert (shown["event"], shown["batch"]) == ("c1", whole)
    assert cast.attempts(recipient="2xy@x.example") == []
    answer = cast.console.call("POST", f"/v1/loops/{cast.loop}/attempts/{shown['id']}/again", cast.key)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:loopwire:problem:a-batch")


def test_the_newest_come_first_page_by_page(cast: Cast) -> None:
    found: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = cast.ask("attempts", limit=50, cursor=cursor).json()
        found += [one["attempt"] for one in answer["attempts"]]
        cursor = answer["next_cursor"]
    assert found == list(range(1, COUNT + 1))


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({}, 50),
        ({"limit": 250}, 120),
        ({"state": "dead", "limit": 250}, 12),
        ({"state": "retrying", "limit": 250}, 36),
        ({"state": "failed", "limit": 250}, 48),
        ({"state": "delivered", "limit": 250}, 72),
        ({"type": "open", "limit": 250}, 60),
        ({"state": "", "type": "", "from": "", "cursor": "", "limit": ""}, 50),
        ({"since": (NOW - timedelta(minutes=70)).isoformat()}, 11),
        ({"until": (NOW - timedelta(minutes=70)).isoformat(), "limit": 250}, 109),
        ({"event": "e7"}, 1),
        ({"recipient": "jane@mail.example", "profile": "jane", "limit": 250}, 120),
        ({"recipient": "joe@mail.example"}, 0),
        ({"message": "spring-sale.jane", "delivery": "msg_50f860418eb7a06547c8d6b07371d4f0", "limit": 250}, 120),
    ],
)
def test_what_may_be_asked(cast: Cast, asked: dict[str, Any], count: int) -> None:
    assert len(cast.attempts(**asked)) == count


@pytest.mark.parametrize(
    ("what", "asked", "name", "says"),
    [
        ("attempts", {"state": "open"}, "state", "must be 'delivered', 'retrying', 'dead' or 'failed'"),
        ("attempts", {"type": "opne"}, "type", "must be "),
        ("attempts", {"limit": "0"}, "limit", "must be greater than or equal to 1"),
        ("attempts", {"limit": "251"}, "limit", "must be less than or equal to 250"),
        ("attempts", {"limit": "many"}, "limit", "must be a valid integer"),
        ("attempts", {"cursor": "abc"}, "cursor", "is no cursor"),
        ("attempts", {"since": "yesterday"}, "from", "must be a time such as"),
        ("attempts", {"since": "2026-03-20"}, "from", "must be a time such as"),
        ("attempts", {"until": "2026-03-20T09:00:00"}, "to", "must be a time such as"),
        ("attempts", {"until": "0001-01-01T00:00:00+14:00"}, "to", "must be a time such as"),
        ("attempts", {"until": "9999-12-31T23:59:59-14:00"}, "to", "must be a time such as"),
        ("attempts", {"since": "2026-03-20T09:00:00Z", "until": "2026-03-20T09:00:00Z"}, "from", "must be before to"),
        ("attempts", {"recipient": "a\0b"}, "recipient", "must match pattern"),
        ("attempts", {"profile": "a b"}, "profile", "must match pattern"),
        ("attempts", {"stat": "dead"}, "stat", "is no name that is known here"),
        ("stats", {"step": "5"}, "step", "must match pattern"),
        ("stats", {"step": "0m"}, "step", "must match pattern"),
        ("stats", {"step": "1m"}, "step", "makes more than 1000 points"),
        ("stats", {"since": "1970-01-01T00:00:00Z"}, "step", "makes more than 1000 points"),
        ("stats", {"since": "2026-03-20T09:00:00Z", "until": "2026-03-20T09:30:00Z", "step": "5m"}, "step",
         "must be whole hours for what is so long ago"),
        ("stats", {"since": "2999-01-01T00:00:00Z"}, "from", "must be before to"),
        ("stats", {"limit": "5"}, "limit", "is no name that is known here"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(cast: Cast, what: str, asked: dict[str, str], name: str, says: str) -> None:
    answer = cast.ask(what, **asked)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    [error] = answer.json()["errors"]
    assert error["where"] == f"query.{name}"
    assert says in error["what"]


def test_the_stats_of_the_last_day(cast: Cast) -> None:
    found = cast.ask("stats").json()
    assert (found["step"], len(found["points"])) in {("15m", 97), ("15m", 96)}
    total = found["total"]
    assert total.pop("types") == {"click": 60, "open": 60}
    assert total.pop("latency") == pytest.approx({"p50": 81.5, "p95": 81.5, "p99": 81.5}, rel=0.1)
    assert total == {"attempts": 120, "delivered": 72, "retrying": 36, "dead": 12}
    for name in total:
        assert sum(point[name] for point in found["points"]) == total[name]
    latencies = [point["latency"] is None for point in found["points"]]
    assert latencies == [point["attempts"] == 0 for point in found["points"]]
    starts = [datetime.fromisoformat(point["at"]) for point in found["points"]]
    assert {later - earlier for earlier, later in pairwise(starts)} == {timedelta(minutes=15)}
    assert starts[0] == datetime.fromisoformat(found["from"])


@pytest.mark.parametrize(
    ("hours", "step", "points"),
    [(1, "1m", 61), (3, "5m", 37), (99, "1h", 101), (24 * 20, "6h", 81), (24 * 30, "24h", 31), (24 * 90, "24h", 91)],
)
def test_the_step_is_chosen_for_a_hundred_points(cast: Cast, hours: int, step: str, points: int) -> None:
    found = cast.ask("stats", since=(NOW - timedelta(hours=hours)).isoformat(), until=NOW.isoformat()).json()
    assert found["step"] == step
    assert points - 1 <= len(found["points"]) <= points


def test_hours_count_what_minutes_count(cast: Cast) -> None:
    since = (NOW - timedelta(hours=20)).isoformat()
    totals = [cast.ask("stats", since=since, step=step).json()["total"] for step in ("90m", "2h", "5m", "1d")]
    assert totals == [totals[0]] * 4


def test_a_store_that_is_away_stops_no_other_call_and_is_said_so(caplog: pytest.LogCaptureFixture) -> None:
    with running(database_url="sqlite:////proc/nowhere/console.db") as console:
        key = console.account("acme")
        loop = console.loop(key)["id"]
        answer = console.call("GET", f"/v1/loops/{loop}/attempts", key)
        document = console.call("GET", "/openapi.json").json()
        assert console.call("GET", "/ready").status_code == 200
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:loopwire:problem:no-store")
    responses = dict(openapi.calls(document))["GET /v1/loops/{loop}/attempts"]["responses"]
    assert "no-store" in responses["503"]["content"]["application/problem+json"]["examples"]
    assert "/proc/nowhere" in caplog.text
