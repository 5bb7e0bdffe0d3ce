"""Loops that are verified, and attempts of events that stand in `events`: what the pages and calls about them need."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from pipeline.kafka.memory import Memory
from pipeline.model.ids import delivery_id, uuid7
from pipeline.model.loops import Loop
from tests.console.running import Console, rows
from tests.examples import example


def until(condition: Callable[[], Any]) -> Any:
    """What the condition came to, once that is something."""
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def row_of(memory: Memory, loop: str) -> Loop:
    """The loop as `loops` has it."""
    values = [value for key, value, _ in rows(memory, "loops") if key == loop.encode()]
    return msgspec.json.decode(values[-1] or b"", type=Loop)


def prove(console: Console, memory: Memory, key: str, loop: str) -> None:
    """Makes the loop active, as if its file had been found."""
    known = row_of(memory, loop)
    proved = replace(known, verified_url=known.url, verified_at=datetime.now(UTC), epoch=1)
    memory.producer().produce("loops", msgspec.json.encode(proved), loop.encode())
    until(lambda: console.call("GET", f"/v1/loops/{loop}", key).json()["state"] == "active")


def event(memory: Memory, account: str = "acme", **more: Any) -> dict[str, Any]:
    """An event that was written now; `jane` is whom it is about."""
    at = datetime.now(UTC)
    told = example("event.v1", "click") | {"id": uuid7(at, os.urandom(10)), "account": account, "at": at.isoformat()}
    told |= more
    memory.producer().produce("events", msgspec.json.encode(told), f"{account}/{told['profile']}".encode())
    return told


def attempt(memory: Memory, loop: str, of: dict[str, Any], name: str = "again", **more: Any) -> dict[str, Any]:
    """An attempt of the event, a second ago; `name` is the example of `attempt.v1` it is like."""
    at = datetime.now(UTC) - timedelta(seconds=1)
    told = example("attempt.v1", name) | {
        "loop": loop,
        "account": of["account"],
        "event": of["id"],
        "delivery": delivery_id(of["id"], loop),
        "type": of["type"],
        "profile": of["profile"],
        "at": at.isoformat(),
    }
    if "next_attempt" in told:
        told["next_attempt"] = (at + timedelta(minutes=5)).isoformat()
    told |= more
    memory.producer().produce("attempts", msgspec.json.encode(told), loop.encode())
    return told


def attempts(console: Console, key: str, loop: str, count: int = 1) -> list[dict[str, Any]]:
    """The loop's attempts as the API shows them, once there are that many."""

    def asked() -> list[dict[str, Any]]:
        answer = console.call("GET", f"/v1/loops/{loop}/attempts", key).json()
        found: list[dict[str, Any]] = answer.get("attempts", [])  # the store may not be there yet
        return found if len(found) >= count else []

    found: list[dict[str, Any]] = until(asked)
    return found
