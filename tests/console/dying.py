"""Dead letters as deliver writes them, and as the API shows them."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from pipeline.kafka.memory import Memory
from tests.console.attempting import until
from tests.console.running import Console
from tests.examples import example


def bury(memory: Memory, loop: str, name: str, *, reason: str = "given up after 11 attempts: answered 500",
         account: str = "acme", **event: Any) -> str:  # fmt: skip
    """One dead letter; its delivery's id."""
    told = example("delivery.v1", "given-up") | {"id": name, "loop": loop, "account": account}
    told["event"] = told["event"] | {"account": account, "at": datetime.now(UTC).isoformat()} | event
    key, headers = f"{loop}/{name}".encode(), [("reason", reason.encode())]
    memory.producer().produce("deliveries-dead", msgspec.json.encode(told), key, headers=headers)
    return name


def letters(console: Console, key: str, loop: str, count: int | None = None, **asked: Any) -> list[dict[str, Any]]:
    """The loop's dead letters as the API shows them, once there are that many."""

    def ask() -> list[dict[str, Any]] | None:
        answer = console.call("GET", f"/v1/loops/{loop}/dead", key, params={"limit": 250} | asked).json()
        if "dead" not in answer or count not in {None, len(answer["dead"])}:
            return None  # the store may not be there yet
        return [answer["dead"]]

    [found] = until(ask)
    return list(found)
