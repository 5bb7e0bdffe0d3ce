"""A console with loops in every state, a customer's site, and who may sign in: what a browser is shown."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec
from msgspec.structs import replace

from pipeline.console.loop_health import Health, NothingKnown
from pipeline.kafka.memory import Memory
from pipeline.model.loops import Loop, LoopState
from tests.console.running import ADMIN, TOPICS, Console, Site, rows, running, site

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


@contextmanager
def cast(**given: Any) -> Iterator[Cast]:
    """The whole cast, on ports of its own."""
    memory = Memory(TOPICS)
    with patch.object(NothingKnown, "of", _fared), site() as customer, running(memory, **given) as console:
        key = console.account("acme")
        for name, role in (("jane", "editor"), ("victor", "viewer")):
            user = {"name": name, "role": role, "password": PASSWORD}
            assert console.call("POST", "/v1/accounts/acme/users", ADMIN, json=user).status_code == 201
        one = Cast(console, memory, customer, key, "victor", console.account("fresh"), {})
        _add(one, "shop", "Shop, production", ["open", "click", "unsubscribe", "bounce"], headers={"X-Key": "abc"})
        _add(one, "crm", "CRM", ["create", "update", "delete"], format="json")
        _add(one, "warehouse", "Warehouse", ["open", "click"], filter={"tags": ["sale", "spring"], "machine": False})
        one.loops["new"] = console.loop(key, name="Newsletter statistics", url="https://stats.example/in")["id"]
        console.call("POST", f"/v1/loops/{one.loops['crm']}/pause", key)
        found = LoopState(loop=one.loops["warehouse"], epoch=1, reason="failing", at=datetime.now(UTC))
        memory.producer().produce("loop-states", msgspec.json.encode(found), one.loops["warehouse"].encode())
        console.call("PATCH", f"/v1/loops/{one.loops['new']}", key, json={"rate": 5})  # all before it is known
        yield one


async def _fared(_self: object, _account: str, loops: Sequence[str], _now: datetime) -> Mapping[str, Health]:
    """Of the first loop a day like others; of the rest nothing, until somebody counts."""
    hours = [120, 90, 60, 40, 30, 45, 160, 420, 800, 1200, 1500, 1380, 1420, 1600, 1550, 1300, 1100, 900, 760, 640]
    return {loops[0]: Health([*hours, 520, 400, 300, 210], 0.9987, 143.0, 1204)} if loops else {}


def _add(one: Cast, word: str, name: str, events: list[str], **more: Any) -> None:
    """A loop that points at the site, verified."""
    url = f"{one.site.url}/hooks/{word}"
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
