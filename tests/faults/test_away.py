"""The broker is away for a whole minute under thousands of hits a second: all of them come, and new ones go first."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.capture.spooling import MOST, STEP_SECONDS
from tests.faults.capturing import MOST_BYTES, Capture, capturing, check, peak_bytes, readers_of
from tests.faults.readers import until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

AWAY_SECONDS = 60.0
LOOK_SECONDS = 5.0
PACE = 5_000  # asked for: this machine's readers may come to fewer
WORKERS = 2
DRAINED_MOST = WORKERS * MOST / STEP_SECONDS  # a second


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[Capture]:
    with capturing(tmp_path / "broker", tmp_path / "data", capture_workers=WORKERS) as made:
        yield made


class Look(NamedTuple):
    """What /metrics said, and when."""

    at: float
    figures: dict[str, float]


def look(capture: Capture) -> Look:
    return Look(time.monotonic(), capture.figures())


def looks(capture: Capture, seconds: float) -> list[Look]:
    """At the metrics, each few seconds."""
    seen, until_when = [look(capture)], time.monotonic() + seconds
    while time.monotonic() < until_when:
        until(lambda: time.monotonic() - seen[-1].at > LOOK_SECONDS)
        seen.append(look(capture))
    return seen


def made_at(hit: str) -> float:
    """When the id was made, in Unix seconds: a UUIDv7 begins with it (RFC 9562 section 5.7)."""
    return int(hit.replace("-", "")[:12], 16) / 1_000


def test_a_minute_without_a_broker_loses_nothing_and_what_was_kept_comes_behind_new_hits(
    capture: Capture, capsys: pytest.CaptureFixture[str]
) -> None:
    with readers_of(capture, pace=PACE).reading() as readers:
        readers.more(2_000)
        before = readers.times()
        capture.broker.stop()
        first = len(readers.took)
        away = looks(capture, AWAY_SECONDS)
        while_away, answered = readers.times(first), len(readers.took) - first
        assert capture.ready()
        capture.broker.start()
        capture.broker.wait_ready()
        until(lambda: capture.figures()["drained_total"] > 100)
        back, second = look(capture), len(readers.took)
        draining = [back, *looks(capture, 3 * LOOK_SECONDS)]
        while_draining = readers.times(second)
        readers.more(2_000)
    bytes_held = [one.figures["spool_bytes"] for one in away]
    paces = [
        (later.figures["drained_total"] - one.figures["drained_total"]) / (later.at - one.at)
        for one, later in pairwise(draining)
    ]
    with capsys.disabled():
        print(f"\n{answered / AWAY_SECONDS:,.0f} hits/s while away, answered in {while_away} (before: {before}; "
              f"while drained: {while_draining}); the spool grew to {max(bytes_held) / 2**20:,.0f} MiB, "
              f"{away[-1].figures['spool_oldest_seconds']:.0f} s old; drained at {max(paces):,.0f}/s")  # fmt: skip
    assert sorted(bytes_held) == bytes_held
    assert bytes_held[-1] > 10 * 2**20
    assert away[-1].figures["spool_oldest_seconds"] > AWAY_SECONDS - 2 * LOOK_SECONDS
    assert 0 < max(paces) < 1.1 * DRAINED_MOST
    new = {name: draining[-1].figures[name] - back.figures[name] for name in ("safe", "spooled")}
    assert new["safe"] > 10 * new["spooled"], "new hits go to the broker while what was kept is drained"
    assert max(map(peak_bytes, capture.workers)) < MOST_BYTES
    ids = check(capture, readers)
    assert not readers.lost
    assert list((capture.settings.data / "spool").iterdir()) == []
    end = capture.figures()
    assert end["lost"] == 0
    assert end["drained_total"] >= end["spooled"] > 0.9 * answered
    assert end["ack_seconds_count"] == end["safe"] + end["spooled"], "those that waited in vain are among them"
    late = {message for message, at in readers.safe.items() if abs(made_at(ids[message][0]) - at) > LOOK_SECONDS}
    assert not late, "ids are as they were when the hit was answered"
