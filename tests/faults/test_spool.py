"""Answered means safe: whatever breaks under a thousand hits a second, each safely answered hit is in `hits`."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.alive import alive
from tests.faults.capturing import MOST_BYTES, Capture, capturing, check, peak_bytes, readers_of
from tests.faults.readers import Readers, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

AWAY_SECONDS = 20.0


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[Capture]:
    with capturing(tmp_path / "broker", tmp_path / "data") as made:
        yield made


def test_after_kill_9_of_workers_every_safely_answered_hit_is_there(capture: Capture) -> None:
    with readers_of(capture).reading() as readers:
        for _ in range(4):
            readers.more(2_000)
            os.kill(capture.workers[0], signal.SIGKILL)
        readers.more(4_000)
    check(capture, readers)
    assert not readers.lost
    assert sum("was killed by signal 9: started again" in line for line in capture.lines) == 4


def test_after_kill_9_of_the_parent_every_safely_answered_hit_is_there(capture: Capture) -> None:
    with readers_of(capture).reading() as readers:
        readers.more(2_000)
        capture.process.kill()
        capture.process.wait()
        capture.start()
        readers.more(4_000)
    check(capture, readers)
    assert not readers.lost


def test_after_kill_9_of_all_while_they_spool_the_next_ones_send_what_was_on_the_disk(capture: Capture) -> None:
    with readers_of(capture).reading() as readers:
        readers.more(1_000)
        capture.broker.stop()
        readers.more(4_000)
        for worker in capture.workers:
            os.kill(worker, signal.SIGKILL)
        readers.more(4_000)
        capture.process.kill()
        capture.process.wait()
        capture.start()
        readers.more(4_000)
        capture.broker.start()
        capture.broker.wait_ready()
        readers.more(4_000)
    check(capture, readers)
    assert not readers.lost


def test_while_the_broker_is_stopped_hits_are_answered_from_the_disk_and_come_later(capture: Capture) -> None:
    with readers_of(capture).reading() as readers:
        readers.more(2_000)
        capture.broker.stop()
        away = time.monotonic()
        until(lambda: time.monotonic() - away > AWAY_SECONDS)
        figures = capture.figures()
        assert figures["spooled"] > 1_000
        assert figures["spool_bytes"] > 100_000
        assert figures["spool_oldest_seconds"] > 1
        assert capture.ready()
        assert max(map(peak_bytes, capture.workers)) < MOST_BYTES
        capture.broker.start()
        capture.broker.wait_ready()
        readers.more(4_000)
        until(lambda: capture.figures()["drained_total"] > 1_000)
        assert max(map(peak_bytes, capture.workers)) < MOST_BYTES
    check(capture, readers)
    assert not readers.lost
    assert list((capture.settings.data / "spool").iterdir()) == []


@pytest.mark.parametrize(("before", "seconds"), [(2_000, AWAY_SECONDS), (0, 7.0)], ids=["well known", "new to it"])
def test_a_broker_that_is_frozen_keeps_nobody_waiting(capture: Capture, before: int, seconds: float) -> None:
    """One that had nothing of capture's before is where librdkafka made up acknowledgements: `kafka/proof.py`."""
    pid = capture.broker.pid
    assert pid
    with readers_of(capture).reading() as readers:
        readers.more(before)
        os.kill(pid, signal.SIGSTOP)
        try:
            frozen = time.monotonic()
            readers.more(4_000)
            until(lambda: time.monotonic() - frozen > seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
        readers.more(4_000)
    check(capture, readers)
    assert not readers.lost


@contextmanager
def tiny_disk(folder: Path) -> Iterator[None]:
    """A file system of 3 MB there; only root may mount one."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "loopwire-test", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mounts() -> bool:
    tried = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
    return os.geteuid() == 0 and tried.returncode == 0


@contextmanager
def as_it_is(_folder: Path) -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    ("disk", "limit"),
    [
        pytest.param(tiny_disk, "2GiB", marks=pytest.mark.skipif(not mounts(), reason="only root may mount a disk")),
        (as_it_is, "3MiB"),
    ],
)
def test_with_a_full_disk_and_no_broker_pictures_come_and_say_that_the_hit_is_lost(
    tmp_path: Path, disk: Callable[[Path], Any], limit: str
) -> None:
    data = tmp_path / "data"
    with disk(data), capturing(tmp_path / "broker", data, spool_limit=limit) as capture:
        with readers_of(capture).reading() as readers:
            readers.more(1_000)
            capture.broker.stop()
            until(lambda: len(readers.lost) > 2_000)
            until(lambda: capture.ready() is False)
            assert capture.figures()["lost"] > 1_000
            lines = [line for line in capture.lines if " hits lost: " in line]
            capture.broker.start()
            capture.broker.wait_ready()
            until(lambda: capture.ready() is True)
            lost = len(readers.lost)
            readers.more(4_000)
            until(capture_takes_all(readers, lost))
        check(capture, readers)
        assert 0 < len(lines) <= 2 * AWAY_SECONDS


def capture_takes_all(readers: Readers, lost: int) -> Callable[[], bool]:
    """Whether 2,000 were answered since and none of them as lost."""
    seen = [lost, len(readers.safe)]

    def holds() -> bool:
        if len(readers.lost) > seen[0]:
            seen[:] = len(readers.lost), len(readers.safe)
        return len(readers.safe) > seen[1] + 2_000

    return holds


@pytest.mark.parametrize("broker", ["well", "stopped", "frozen"])
def test_sigterm_under_load_ends_it_within_seconds_and_loses_no_answered_hit(capture: Capture, broker: str) -> None:
    with readers_of(capture).reading() as readers:
        readers.more(4_000)
        if broker == "stopped":
            capture.broker.stop()
            readers.more(2_000)
        elif broker == "frozen":  # at once: hits are on their way to it, and to the disk
            os.kill(capture.broker.pid or 0, signal.SIGSTOP)
        workers = capture.workers
        capture.process.terminate()
        assert capture.process.wait(5) == 0
        assert not [pid for pid in workers if alive(pid)]
    assert readers.torn == 0, "no answer ends in its middle"
    if broker == "frozen":
        os.kill(capture.broker.pid or 0, signal.SIGCONT)
    elif broker == "stopped":
        capture.broker.start()
        capture.broker.wait_ready()
    capture.start()
    check(capture, readers)
    assert not readers.lost
