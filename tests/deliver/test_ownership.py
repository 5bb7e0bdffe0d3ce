"""A file that was proved has to stay: when it is looked for again, and what follows from what is found."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from pipeline.deliver.ownership import Doubt, due, found_out
from pipeline.model.loops import Checked, Loop
from pipeline.model.standing import Standing
from pipeline.verification import Look, judge
from tests.examples import example

NOW = 1_775_000_000.0
WEEK = timedelta(days=7)
LOOP = msgspec.structs.replace(
    msgspec.convert(example("loop.v1", "active"), Loop), verified_at=datetime.fromtimestamp(NOW, UTC), epoch=3
)


@dataclass(frozen=True)
class Answer:
    status: int | None = None
    body: bytes = b""
    error: str | None = None


THERE = Answer(200, LOOP.content.encode() + b"\n")
NOT_FOUND, GONE, ANOTHER, EMPTY = Answer(404), Answer(410), Answer(200, b"<html>"), Answer(200)
SILENT, BROKEN, FORBIDDEN, MOVED = Answer(error="timed out"), Answer(503), Answer(403), Answer(302)
CUT = Answer(200, b"loopw", "the connection was reset")


def checked(misses: int, hours_ago: float, epoch: int = 3) -> Checked:
    return Checked(loop=LOOP.id, epoch=epoch, at=datetime.fromtimestamp(NOW - hours_ago * 3600, UTC), misses=misses)


@pytest.mark.parametrize(
    ("state", "known", "days", "is_due"),
    [
        ("active", None, 6.9, False),
        ("active", None, 7.0, True),
        ("paused", None, 7.0, True),
        ("unverified", None, 70, False),
        ("disabled", None, 70, False),
        ("active", checked(0, 6.9 * 24), 0, False),
        ("active", checked(0, 7 * 24), 0, True),
        ("active", checked(1, 5.9), 0, False),
        ("active", checked(1, 6), 0, True),
        ("active", checked(2, 6), 0, True),
        ("active", checked(2, 600, epoch=2), 0, False),
        ("active", checked(2, 600, epoch=2), 7, True),
    ],
)
def test_it_is_due_a_week_after_it_was_seen_and_six_hours_after_it_was_missed(
    state: Any, known: Checked | None, days: float, is_due: bool
) -> None:
    found = due(Standing(LOOP, state, None), known, WEEK, NOW + days * 86_400)
    expected = Doubt(LOOP, known if known is not None and known.epoch == 3 else None)
    assert found == (expected if is_due else None)


def found(misses: int, *answers: Answer) -> list[tuple[str, str, Any]]:
    looks = [
        Look(f"https://shop.example/{at}", answer, judge(answer, LOOP.content)) for at, answer in enumerate(answers)
    ]
    known = checked(misses, 6) if misses else None
    return [
        (record.topic, record.key.decode(), _about(json.loads(record.value or b"null")))
        for record in found_out(Doubt(LOOP, known), looks, NOW)
    ]


def _about(value: dict[str, Any]) -> Any:
    return {name: value[name] for name in ("misses", "reason", "type") if name in value}


def row(misses: int) -> tuple[str, str, Any]:
    return "loop-states", f"{LOOP.id}/checked", {"misses": misses} if misses else {}


def told(kind: str) -> tuple[str, str, Any]:
    return "events", f"shop/{LOOP.id}", {"type": kind}


@pytest.mark.parametrize("missing", [NOT_FOUND, GONE, ANOTHER, EMPTY])
def test_a_file_that_is_surely_gone_is_warned_of_twice_and_then_disables(missing: Answer) -> None:
    assert found(0, missing, NOT_FOUND) == [row(1), told("loop.ownership")]
    assert found(1, NOT_FOUND, missing) == [row(2), told("loop.ownership")]
    assert found(2, missing, GONE) == [
        ("loop-states", LOOP.id, {"reason": "ownership"}), told("loop.disabled"),
    ]  # fmt: skip


@pytest.mark.parametrize("unclear", [SILENT, BROKEN, FORBIDDEN, MOVED, CUT])
@pytest.mark.parametrize("misses", [0, 2])
def test_what_says_nothing_of_the_owner_changes_nothing(unclear: Answer, misses: int) -> None:
    assert found(misses, unclear, NOT_FOUND) == [row(misses)]
    assert found(misses, NOT_FOUND, unclear) == [row(misses)]


def test_a_file_that_stands_at_either_place_is_there_and_who_was_warned_is_told() -> None:
    assert found(0, THERE) == [row(0)]
    assert found(0, NOT_FOUND, THERE) == [row(0)]
    assert found(2, SILENT, THERE) == [row(0), told("loop.recovered")]
