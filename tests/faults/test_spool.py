"""Answered means safe: whatever breaks under a thousand hits a second, each safely answered hit is in `hits`."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from confluent_kafka import TopicPartition

from pipeline import settings
from pipeline.capture.tokens import signing_key
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import Cluster
from pipeline.keys import link_keys
from pipeline.local.broker import Broker
from pipeline.model.hits import AnyHit
from pipeline.settings import Settings
from pipeline.topics import HITS
from tests.alive import alive
from tests.conftest import free_port
from tests.faults.readers import Readers, until
from tests.story.lines import environment

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

AWAY_SECONDS = 20.0
MOST_BYTES = 300 * 2**20  # of a worker: 80 MB that all have, librdkafka's 64 MiB, and a segment of 16


class Capture:
    """`loopwire capture` with two workers, and a broker of its own."""

    def __init__(self, told: Settings, broker: Broker) -> None:
        self.settings = told
        self.broker = broker
        self.lines: list[str] = []
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "capture"],
            env=environment(self.settings),
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, args=[self.process], daemon=True)
        self._listener.start()
        until(lambda: self.ready() is True)

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr
        with process.stderr as said:
            self.lines.extend(line.rstrip() for line in said)

    @property
    def workers(self) -> list[int]:
        return [int(pid) for pid in self._read(f"/proc/{self.process.pid}/task/{self.process.pid}/children").split()]

    def _read(self, path: str) -> str:
        with suppress(OSError):
            return Path(path).read_text()
        return ""

    def ready(self) -> bool | None:
        """None where it gives no answer."""
        with suppress(requests.RequestException):
            return requests.get(f"{self.settings.tracking_url}/ready", timeout=5).status_code == 200
        return None

    def figures(self) -> dict[str, float]:
        """Its metrics without labels, and its requests by outcome."""
        said = requests.get(f"{self.settings.tracking_url}/metrics", timeout=5).text
        found = re.findall(r'^loopwire_capture_(\w+)(?:\{kind="open",outcome="(\w+)"\})? ([\d.]+)$', said, re.MULTILINE)
        return {outcome or name: float(value) for name, outcome, value in found}

    def empty(self) -> bool:
        """Whether nothing waits, in memory or on the disk."""
        figures = self.figures()
        return not any(figures[name] for name in ("waiting", "queue", "spool_bytes"))

    def hits(self) -> dict[str, list[str]]:
        """The ids in `hits`, by message."""
        cluster = Cluster(self.settings)
        ends = cluster.ends((HITS, number) for number in range(cluster.partitions([HITS])[HITS]))
        reader = cluster.reader()
        reader.assign([TopicPartition(HITS, number, 0) for _, number in ends])
        ids: defaultdict[str, list[str]] = defaultdict(list)
        left = {number: end for (_, number), end in ends.items() if end}
        while left:
            for message in reader.consume(10_000, 0.5):
                if message.error() is None:
                    hit = msgspec.json.decode(message.value() or b"", type=AnyHit)
                    ids[hit.message or ""].append(hit.id)
                    number, offset = message.partition() or 0, message.offset() or 0
                    if offset + 1 >= left.get(number, sys.maxsize):
                        del left[number]
        reader.close()
        return ids

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(20) == 0
        self._listener.join(20)


@contextmanager
def capturing(broker_data: Path, data: Path, **more: Any) -> Iterator[Capture]:
    broker = Broker(broker_data, free_port(2))
    try:
        broker.start()
        broker.wait_ready()
        told = settings.read(
            kafka=broker.bootstrap, data=data, capture_port=free_port(), capture_workers=2,
            token_keys=f"k1:{'QUFB' * 10}QUE=", **more,
        )  # fmt: skip
        admin = Admin(told)
        admin.apply(admin.plan())
        capture = Capture(told, broker)
        try:
            yield capture
        finally:
            capture.end()
    finally:
        broker.stop()


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[Capture]:
    with capturing(tmp_path / "broker", tmp_path / "data") as made:
        yield made


def readers_of(capture: Capture) -> Readers:
    return Readers(capture.settings.capture_port, *signing_key(link_keys(capture.settings), "acme"))


def check(capture: Capture, readers: Readers) -> None:
    """Each safely answered hit is in `hits`, at least once, and under one id."""
    until(capture.empty, 120)
    until(capture.empty)  # a worker shows its figures ten times a second: those of all were of one moment
    ids = capture.hits()
    assert len(readers.safe) > 1_000
    assert readers.safe.keys() - ids.keys() == set()
    assert {message for message, found in ids.items() if len(set(found)) > 1} == set()


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


def test_a_broker_that_is_frozen_keeps_nobody_waiting(capture: Capture) -> None:
    pid = capture.broker.pid
    assert pid
    with readers_of(capture).reading() as readers:
        readers.more(2_000)
        os.kill(pid, signal.SIGSTOP)
        try:
            frozen = time.monotonic()
            readers.more(4_000)
            until(lambda: time.monotonic() - frozen > AWAY_SECONDS)
        finally:
            os.kill(pid, signal.SIGCONT)
        readers.more(4_000)
    check(capture, readers)
    assert not readers.lost


def peak_bytes(pid: int) -> int:
    """The most memory that a process ever had."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


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


@pytest.mark.parametrize("broker", ["well", "stopped"])
def test_sigterm_under_load_ends_it_within_seconds_and_loses_no_answered_hit(capture: Capture, broker: str) -> None:
    with readers_of(capture).reading() as readers:
        readers.more(4_000)
        if broker == "stopped":
            capture.broker.stop()
            readers.more(2_000)
        workers = capture.workers
        capture.process.terminate()
        assert capture.process.wait(5) == 0
        assert not [pid for pid in workers if alive(pid)]
    if broker == "stopped":
        capture.broker.start()
        capture.broker.wait_ready()
    capture.start()
    check(capture, readers)
    assert not readers.lost
