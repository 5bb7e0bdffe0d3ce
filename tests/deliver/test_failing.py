"""A loop that does nothing but fail: noted after minutes, told of after a day, disabled after five."""

import json
from typing import Any

import msgspec
import pytest

from pipeline.deliver.failing import Failures
from pipeline.model.loops import Failing, Loop
from pipeline.model.standing import Standings
from pipeline.record import Record
from tests.examples import example

NOW = 1_774_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
LOOP = msgspec.convert(example("loop.v1", "active"), Loop)
SINCE = "2026-03-20T09:46:40+00:00"


def told(records: list[Record]) -> list[tuple[str, str, Any]]:
    """Topic and key of each record, and what its value is about."""
    return [(record.topic, record.key.decode(), _about(record)) for record in records]


def _about(record: Record) -> Any:
    if record.value is None:
        return None
    value = json.loads(record.value)
    return value["type"] if record.topic == "events" else {k: v for k, v in value.items() if k in {"warned", "reason"}}


class Worker:
    """A deliver process: its failures, and the topic they are written to."""

    def __init__(self) -> None:
        self.standings = Standings()
        self.failures = Failures(self.standings)

    def fails(self, after: float, *, read_back: bool = True) -> list[tuple[str, str, Any]]:
        return self._take(self.failures.failed(LOOP, "answered 500", NOW + after), read_back)

    def answers(self, after: float, *, read_back: bool = True) -> list[tuple[str, str, Any]]:
        return self._take(self.failures.succeeded(LOOP, NOW + after), read_back)

    def _take(self, records: list[Record], read_back: bool) -> list[tuple[str, str, Any]]:
        for record in records if read_back else ():
            if record.topic == "loop-states":
                self.standings.put_state(0, record.key, record.value)
        return told(records)


@pytest.fixture
def worker() -> Worker:
    return Worker()


NOTED: list[tuple[str, str, Any]] = [("loop-states", "lp_7h3k/failing", {})]
WARNED = [("loop-states", "lp_7h3k/failing", {"warned": True}), ("events", "shop/lp_7h3k", "loop.failing")]
DISABLED = [("loop-states", "lp_7h3k", {"reason": "failing"}), ("events", "shop/lp_7h3k", "loop.disabled")]
FORGOTTEN = [("loop-states", "lp_7h3k/failing", None)]
RECOVERED = [*FORGOTTEN, ("events", "shop/lp_7h3k", "loop.recovered")]


@pytest.mark.parametrize("read_back", [True, False], ids=["read back", "not read back yet"])
def test_each_step_is_taken_once_at_its_time(worker: Worker, read_back: bool) -> None:
    steps = [
        (0, []), (4 * MINUTE, []), (5 * MINUTE, NOTED), (6 * MINUTE, []), (DAY - 1, []), (DAY, WARNED), (DAY + 1, []),
        (5 * DAY - 1, []), (5 * DAY, DISABLED),
    ]  # fmt: skip
    for after, expected in steps:
        assert worker.fails(after, read_back=read_back) == expected, after


def test_short_trouble_is_nobody_s_business(worker: Worker) -> None:
    for second in range(100):
        assert worker.fails(second) == []
        assert worker.answers(second + 0.5) == []


def test_an_answer_ends_it_and_who_was_told_of_it_is_told_of_that(worker: Worker) -> None:
    worker.fails(0)
    assert worker.fails(HOUR) == NOTED
    assert worker.answers(HOUR + 1) == FORGOTTEN
    assert worker.answers(HOUR + 2) == []
    worker.fails(2 * HOUR)
    assert worker.fails(2 * HOUR + DAY) == WARNED
    assert worker.answers(2 * HOUR + DAY + 1) == RECOVERED
    assert worker.fails(6 * DAY) == [], "it begins anew"


def test_an_answer_ends_it_though_the_topic_still_tells_of_it(worker: Worker) -> None:
    worker.fails(0)
    worker.fails(DAY)
    assert worker.answers(DAY + 1, read_back=False) == RECOVERED
    assert worker.answers(DAY + 2, read_back=False) == []
    assert worker.fails(6 * DAY) == []


def test_the_next_owner_knows_what_was_written_and_begins_nothing_anew(worker: Worker) -> None:
    worker.fails(0)
    worker.fails(HOUR)
    worker.failures.forget()
    assert worker.fails(DAY) == WARNED
    worker.failures.forget()
    assert worker.fails(5 * DAY) == DISABLED
    worker.failures.forget()
    assert worker.answers(5 * DAY + 1) == RECOVERED


def test_what_was_found_of_an_earlier_epoch_no_longer_counts(worker: Worker) -> None:
    row = Failing(loop=LOOP.id, epoch=LOOP.epoch - 1, since=LOOP.created_at, warned=True)
    worker.standings.put_state(0, b"lp_7h3k/failing", msgspec.json.encode(row))
    assert worker.fails(0) == []
    assert worker.answers(1) == []
    assert worker.fails(2) == []


def test_a_notice_tells_which_loop_and_why_under_one_id(worker: Worker) -> None:
    worker.fails(0)
    _, record = worker.failures.failed(LOOP, "answered 500", NOW + DAY)
    event = json.loads(record.value or b"")
    assert {name: event[name] for name in ("id", "type", "account", "profile")} == {
        "id": f"loop.failing.lp_7h3k.{int(NOW)}", "type": "loop.failing", "account": "shop", "profile": "lp_7h3k",
    }  # fmt: skip
    assert event["details"] == {
        "loop": "lp_7h3k", "name": LOOP.name, "url": LOOP.url, "since": SINCE, "error": "answered 500",
    }  # fmt: skip
