"""The tally of a run of chaos, and a short run of it."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.faults import FAULTS, bag
from tests.chaos.tally import Told, is_well, tally

NONE: dict[str, Any] = dict.fromkeys(("duplicated", "lost", "twins", "invented", "unsigned", "renamed"), 0) | {
    "lost_messages": []
}


def told(message: str, event: str = "", webhook: str = "", *, signed: bool = True) -> Told:
    """The POST of an event."""
    return Told(message, event or f"e-{message}", webhook or f"msg_{event or message}", signed)


@pytest.mark.parametrize(
    ("accepted", "found"),
    [
        ([told("m-1"), told("m-2")], {"delivered": 2}),
        ([told("m-1"), told("m-2"), told("m-1"), told("m-1")], {"delivered": 2, "duplicated": 2}),
        ([told("m-2"), told("m-3")], {"delivered": 1, "lost": 1, "lost_messages": ["m-1"]}),
        ([told("m-1"), told("m-2"), told("m-9")], {"delivered": 2, "invented": 1}),
        ([told("m-1"), told("m-2"), told("")], {"delivered": 2, "invented": 1}),
        ([told("m-1"), told("m-2"), told("m-2", "another")], {"delivered": 2, "twins": 1}),
        ([told("m-1"), told("m-2"), told("m-2", webhook="msg_x")], {"delivered": 2, "duplicated": 1, "renamed": 1}),
        ([told("m-1"), told("m-2", signed=False)], {"delivered": 2, "unsigned": 1}),
    ],
)
def test_what_is_counted(accepted: list[Told], found: dict[str, object]) -> None:
    counts = tally({"m-1", "m-2"}, 3, accepted)
    assert counts == NONE | {"answered": 2} | found
    assert is_well(counts) == (set(found) <= {"delivered", "duplicated"})


def test_each_fault_comes_once_before_one_comes_again_and_a_seed_repeats_the_order() -> None:
    drawn = bag(random.Random("a"))
    assert sorted(one.__name__ for one in drawn) == sorted(one.__name__ for one in FAULTS)
    assert drawn == bag(random.Random("a")) != bag(random.Random("b"))
    assert all(one.__doc__ for one in FAULTS)


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_a_minute_of_chaos_loses_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos"],
        env=os.environ | {"SECONDS": "60"},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    counts = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, counts["lost"], counts["wrong"]) == (0, 0, [])
    assert counts["answered"] == counts["delivered"] > 1_000
    assert counts["faults"]
