"""No key, a wrong key, another account's key: each call says no, and which no."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import requests

from tests.console.running import ADMIN, JSON, Console, running

OPEN = {"/live", "/ready", "/metrics", "/openapi.json", "/docs"}
CALLS = [
    ("POST", "/v1/accounts"),
    ("POST", "/v1/accounts/{account}/users"),
    ("GET", "/v1/accounts/{account}/users"),
    ("DELETE", "/v1/accounts/{account}/users/{user}"),
    ("POST", "/v1/accounts/{account}/users/{user}/password"),
    ("GET", "/v1/accounts/{account}/domains"),
    ("PUT", "/v1/accounts/{account}/domains"),
    ("GET", "/v1/privacy"),
    ("PUT", "/v1/privacy"),
    ("PUT", "/v1/profiles/{profile}"),
    ("DELETE", "/v1/profiles/{profile}"),
    ("POST", "/v1/profiles"),
    ("PUT", "/v1/mailings/{mailing}"),
    ("POST", "/v1/track"),
    ("POST", "/v1/hits"),
    ("POST", "/v1/loops"),
    ("GET", "/v1/loops"),
    ("GET", "/v1/loops/{loop}"),
    ("PATCH", "/v1/loops/{loop}"),
    ("DELETE", "/v1/loops/{loop}"),
    ("POST", "/v1/loops/{loop}/verify"),
    ("POST", "/v1/loops/{loop}/pause"),
    ("POST", "/v1/loops/{loop}/resume"),
    ("POST", "/v1/loops/{loop}/test"),
    ("POST", "/v1/loops/{loop}/secrets"),
    ("POST", "/v1/loops/{loop}/replays"),
    ("GET", "/v1/loops/{loop}/replays"),
    ("GET", "/v1/replays/{replay}"),
    ("DELETE", "/v1/replays/{replay}"),
    ("GET", "/v1/loops/{loop}/attempts"),
    ("POST", "/v1/loops/{loop}/attempts/{attempt}/again"),
    ("GET", "/v1/loops/{loop}/stats"),
    ("GET", "/v1/loops/{loop}/history"),
    ("GET", "/v1/loops/{loop}/dead"),
    ("GET", "/v1/loops/{loop}/dead/{delivery}"),
    ("POST", "/v1/loops/{loop}/dead/redrive"),
    ("POST", "/v1/loops/{loop}/dead/purge"),
]
SPAN = {"from": "2026-03-20T09:00:00Z", "to": "2026-03-20T10:00:00Z", "dry_run": True}


class Cast(NamedTuple):
    """A console, the key of who owns the loop, the key of who doesn't, and the loop."""

    console: Console
    owner: str
    stranger: str
    loop: str
    replay: str


@pytest.fixture(scope="module")
def cast() -> Iterator[Cast]:
    with running() as console:
        owner, stranger = console.account("owner"), console.account("stranger")
        loop = console.loop(owner)["id"]
        replay = console.call("POST", f"/v1/loops/{loop}/replays", owner, json=SPAN).json()["id"]
        yield Cast(console, owner, stranger, loop, replay)


def test_the_table_has_every_call(cast: Cast) -> None:
    paths = cast.console.call("GET", "/openapi.json").json()["paths"]
    assert {(method.upper(), path) for path, calls in paths.items() for method in calls} == set(CALLS)


@pytest.mark.parametrize("key", ["", "lw_wrong", "é".encode().decode("latin-1"), "a b"])
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_without_a_key_nothing_is_answered_whatever_the_body(cast: Cast, method: str, path: str, key: str) -> None:
    answer = _call(cast, method, path, key, data=b"{")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:loopwire:problem:unauthorized"


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_the_admin_key_opens_the_admin_call_alone(cast: Cast, method: str, path: str) -> None:
    path = path.replace("{loop}", "lp_none")
    statuses = {key: _call(cast, method, path, key, data=b"{").status_code for key in (ADMIN, cast.owner)}
    refused = cast.owner if path.startswith("/v1/accounts") else ADMIN
    assert [key for key, status in statuses.items() if status == 401] == [refused]


@pytest.mark.parametrize(("method", "path"), [call for call in CALLS if "{loop}" in call[1]])
def test_anothers_loop_is_not_there(cast: Cast, method: str, path: str) -> None:
    body = SPAN if path.endswith("/replays") else {} if "/dead" in path else {"name": "mine"}
    data = json.dumps(body).encode()
    answer = _call(cast, method, path, cast.stranger, data)
    unknown = _call(cast, method, path.replace("{loop}", "lp_none"), cast.stranger, data)
    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no such loop")
    assert unknown.json() == answer.json()
    assert cast.console.call("GET", f"/v1/loops/{cast.loop}", cast.owner).json()["name"] == "shop"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_anothers_replay_is_not_there(cast: Cast, method: str) -> None:
    for replay in (cast.replay, "rp_none"):
        answer = cast.console.call(method, f"/v1/replays/{replay}", cast.stranger)
        assert (answer.status_code, answer.json()["detail"]) == (404, "there is no such replay")
    assert cast.console.call("GET", f"/v1/replays/{cast.replay}", cast.owner).json()["state"] == "done"


def test_a_list_holds_ones_own_loops(cast: Cast) -> None:
    lists = [cast.console.call("GET", "/v1/loops", key).json() for key in (cast.owner, cast.stranger)]
    assert [[loop["id"] for loop in one] for one in lists] == [[cast.loop], []]


@pytest.mark.parametrize("path", sorted(OPEN))
def test_watching_needs_no_key(cast: Cast, path: str) -> None:
    assert cast.console.call("GET", path).status_code == 200


def test_without_an_admin_key_admin_calls_are_refused() -> None:
    with running(admin_key="") as console:
        for key in ("", ADMIN):
            answer = console.call("POST", "/v1/accounts", key, json={"name": "acme"})
            assert answer.status_code == 401
            assert "LOOPWIRE_ADMIN_KEY" in answer.json()["detail"]


def _call(cast: Cast, method: str, path: str, key: str, data: bytes) -> requests.Response:
    names = {"profile": "p1", "mailing": "m1", "account": "owner", "user": "u1", "attempt": "at_1", "delivery": "msg_1"}
    filled = path.format(loop=cast.loop, replay=cast.replay, **names)
    return cast.console.call(method, filled, key, data=data, headers=dict(JSON))
