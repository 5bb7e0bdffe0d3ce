"""What was done to a loop is written down with it: what, when, by whom, and never a value."""

from datetime import UTC, datetime

from pipeline.console import loops
from pipeline.kafka.memory import Memory
from tests.console.attempting import row_of
from tests.console.running import TOPICS, running, site
from tests.console.visitor import Visitor, user


def test_each_change_is_noted_with_who_made_it() -> None:
    memory = Memory(TOPICS)
    with site() as customer, running(memory) as console:
        key = console.account("acme")
        made = console.loop(key, url=f"{customer.url}/in", headers={"X-Key": "hunter2"})
        loop, proof = made["id"], made["verification"]
        customer.script[f"/{proof['file']}"] = (200, {}, proof["content"].encode())
        user(console, "jane", "editor")
        jane = Visitor(console)
        jane.as_user("acme", "jane")
        for method, path, body in (
            ("POST", "/verify", None),
            ("PATCH", "", {"name": "new", "rate": 5, "headers": {"X-Key": "hunter3"}, "filter": {"tags": ["sale"]}}),
            ("PATCH", "", {"name": "new"}),
            ("POST", "/pause", None),
            ("POST", "/pause", None),
            ("POST", "/secrets", None),
        ):
            assert console.call(method, f"/v1/loops/{loop}{path}", key, json=body).status_code < 300
        assert jane.post(f"/loops/{loop}/resume").status_code == 303
        found = console.call("GET", f"/v1/loops/{loop}/history", key).json()
        assert [(one["what"], one["by"], one["fields"]) for one in found] == [
            ("resumed", "jane", []),
            ("rotated", "API key", []),
            ("paused", "API key", []),
            ("changed", "API key", ["name", "filter", "headers", "rate"]),
            ("verified", "API key", []),
            ("created", "API key", []),
        ]
        times = [datetime.fromisoformat(one["at"]) for one in found]
        assert times == sorted(times, reverse=True)
        assert "history" not in console.call("GET", f"/v1/loops/{loop}", key).json()
        assert "hunter" not in str(row_of(memory, loop).history)


def test_the_newest_twenty_are_kept() -> None:
    memory = Memory(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        loop = console.loop(key)["id"]
    row = row_of(memory, loop)
    for number in range(30):
        row = loops.noted(row, "changed", f"u{number}", datetime.now(UTC))
    assert [one.by for one in row.history] == [f"u{number}" for number in range(29, 9, -1)]
