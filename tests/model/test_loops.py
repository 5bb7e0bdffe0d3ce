"""A loop's state is what the console wrote of it, and what deliver found out since it was verified last."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from pipeline.model.loops import Loop, LoopState, Reason, State, state_of
from tests.examples import example

NOW = datetime(2026, 3, 21, tzinfo=UTC)
MOVED = {"url": "https://new.shop.example/in"}


def _found(epoch: int, reason: Reason = "gone") -> LoopState:
    return LoopState(loop="lp_7h3k", epoch=epoch, reason=reason, at=NOW)


@pytest.mark.parametrize(
    ("changed", "found", "state"),
    [
        ({}, None, ("active", None)),
        ({"paused": True}, None, ("paused", None)),
        ({"verified_url": None}, None, ("unverified", None)),
        ({"verified_url": None, "paused": True}, None, ("unverified", None)),
        (MOVED, None, ("unverified", None)),
        (MOVED, _found(1), ("unverified", None)),
        ({"url": "https://shop.example/hooks/in.php/"}, None, ("unverified", None)),
        ({}, _found(1), ("disabled", "gone")),
        ({}, _found(1, "failing"), ("disabled", "failing")),
        ({"paused": True}, _found(1, "ownership"), ("disabled", "ownership")),
        ({"epoch": 2}, _found(1), ("active", None)),
        ({"epoch": 2, "paused": True}, _found(1), ("paused", None)),
        ({"epoch": 1}, _found(2), ("active", None)),
    ],
)
def test_the_state_of_a_loop(
    changed: dict[str, Any], found: LoopState | None, state: tuple[State, Reason | None]
) -> None:
    loop = msgspec.convert(example("loop.v1", "active") | changed, Loop)
    assert state_of(loop, found) == state
