"""Who calls too often is told when to come back; and every call is counted and timed."""

import pytest

from pipeline.console import run
from pipeline.console.limits import Limits
from tests.console.running import ADMIN, Console, running


def test_a_key_that_calls_too_often_is_told_when_to_come_back_and_no_other_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "Limits", lambda: Limits(rate=0.01, burst=3, most=10))
    with running() as console:
        busy, idle = console.account("busy"), console.account("idle")
        answers = [console.call("GET", "/v1/loops", busy) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[3].headers["content-type"] == "application/problem+json"
        assert answers[3].headers["retry-after"] == "100"
        assert answers[3].json()["type"] == "urn:loopwire:problem:too-many-calls"
        assert console.call("GET", "/v1/loops", idle).status_code == 200
        admin = [console.call("POST", "/v1/accounts", ADMIN, json={"name": name}).status_code for name in "cd"]
        assert admin == [201, 429]
        assert console.call("GET", "/live").status_code == 200


def test_a_burst_is_served() -> None:
    with running() as console:
        key = console.account("acme")
        assert {console.call("GET", "/v1/loops", key).status_code for _ in range(150)} == {200}


def test_calls_are_counted_by_call_and_status() -> None:
    asked = [
        ("GET /v1/loops", "200", "GET", "/v1/loops"),
        ("PATCH /v1/loops/{loop}", "404", "PATCH", "/v1/loops/lp_none"),
        ("POST /v1/accounts", "401", "POST", "/v1/accounts"),
        ("GET /live", "200", "GET", "/live"),
        ("none", "404", "GET", "/v1/loops/a/b/c"),
        ("none", "405", "BREW", "/v1/loops"),
    ]
    with running() as console:
        key = console.account("acme")
        before = [_count(console, call, status) for call, status, _, _ in asked]
        for _, _, method, path in asked:
            console.call(method, path, key, json={})
        after = [_count(console, call, status) for call, status, _, _ in asked]
    assert [now - was for now, was in zip(after, before, strict=True)] == [1] * len(asked)


def _count(console: Console, call: str, status: str) -> float:
    name = f'loopwire_console_seconds_count{{call="{call}",status="{status}"}} '
    lines = console.call("GET", "/metrics").text.splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))
