"""A console with loops in every state, a customer's site, and who may sign in: what a browser is shown."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from pipeline.kafka.memory import Memory
from pipeline.model.loops import Loop, LoopState
from tests.console.attempting import attempt, attempts, event, until
from tests.console.deliver import QUIET, Told, deliver
from tests.console.dying import bury
from tests.console.running import ADMIN, TOPICS, Console, Site, rows, running, site
from tests.examples import example

PASSWORD = "correct horse battery"


class Cast(NamedTuple):
    """`viewer` may only look, the account of the key `empty` has no loop.

    `loops` are ids by name: shop (active), crm (paused), warehouse (disabled), new (unverified).
    """

    console: Console
    memory: Memory
    site: Site
    key: str
    viewer: str
    empty: str
    loops: dict[str, str]
    deliver: Told


@contextmanager
def cast(origin: str = "", **given: Any) -> Iterator[Cast]:
    """The whole cast, on ports of its own; with an `origin` the loops say that they are there, and not at the site."""
    memory = Memory(TOPICS)
    with site() as customer, deliver() as told, running(memory, metrics_port=told.metrics_port, **given) as console:
        key = console.account("acme")
        for name, role in (("jane", "editor"), ("victor", "viewer")):
            user = {"name": name, "role": role, "password": PASSWORD}
            assert console.call("POST", "/v1/accounts/acme/users", ADMIN, json=user).status_code == 201
        one = Cast(console, memory, customer, key, "victor", console.account("fresh"), {}, told)
        _add(
            one,
            origin,
            "shop",
            "Shop, production",
            ["open", "click", "unsubscribe", "bounce"],
            headers={"X-Key": "abc"},
        )
        _add(one, origin, "crm", "CRM", ["create", "update", "delete"], format="json")
        _add(
            one,
            origin,
            "warehouse",
            "Warehouse",
            ["open", "click"],
            filter={"tags": ["sale", "spring"], "machine": False},
        )
        one.loops["new"] = console.loop(key, name="Newsletter statistics", url="https://stats.example/in")["id"]
        console.call("POST", f"/v1/loops/{one.loops['crm']}/pause", key)
        found = LoopState(loop=one.loops["warehouse"], epoch=1, reason="failing", at=datetime.now(UTC))
        memory.producer().produce("loop-states", msgspec.json.encode(found), one.loops["warehouse"].encode())
        console.call("PATCH", f"/v1/loops/{one.loops['new']}", key, json={"rate": 5})  # all before it is known
        _post(one, "shop")
        told.lanes[one.loops["shop"]] = QUIET
        yield one


def _post(one: Cast, word: str) -> None:
    """Attempts of the last day: most were taken, some are tried again, some are dead, and one event stands in Kafka."""
    now = datetime.now(UTC)
    told = event(one.memory)
    for number in range(400):
        failed = 205 < number < 222 or number % 23 == 1  # an hour of trouble, and one now and then
        name = "dead" if number % 90 == 1 else "again" if failed else "delivered"
        ago = 3.4 * number + 60 * math.sin(number / 29)  # in minutes: there are busy hours and quiet ones
        at = (now - timedelta(minutes=ago, seconds=2)).isoformat()
        timings = example("attempt.v1", name)["timings"] | {"total": 81.5 + number % 7 * 30 + number % 31 * 9}
        known = {"event": f"e{number}", "delivery": f"msg_{number}"} if number else {"attempt": 2, "replay": "again_x"}
        kinds = ("click", "open", "unsubscribe")
        attempt(one.memory, one.loops[word], told, name, at=at, timings=timings, type=kinds[number % 3], **known)
    attempt(one.memory, one.loops[word], told)
    for number in range(7):
        bury(one.memory, one.loops[word], f"msg_{number}", type=("click", "open")[number % 2], id=f"e{number}")
    attempts(one.console, one.key, one.loops[word], 50)
    until(lambda: _sent(one, word) == 401)


def _sent(one: Cast, word: str) -> int:
    answer = one.console.call("GET", f"/v1/loops/{one.loops[word]}/stats", one.key).json()
    return int(answer["total"]["attempts"])


def _add(one: Cast, origin: str, word: str, name: str, events: list[str], **more: Any) -> None:
    """A verified loop."""
    url = f"{origin or one.site.url}/hooks/{word}"
    made = one.console.loop(one.key, name=name, url=url, events=events, **more)
    kept = next(
        msgspec.json.decode(value or b"", type=Loop)
        for key, value, _ in reversed(rows(one.memory, "loops"))
        if key == made["id"].encode()
    )
    known = replace(kept, verified_url=url, verified_at=datetime.now(UTC), epoch=1)
    one.memory.producer().produce("loops", msgspec.json.encode(known), made["id"].encode())
    one.loops[word] = made["id"]
    one.site.script[f"/hooks/{word}"] = (200, {}, b"thank you")
