"""`loopwire capture` on a broker of its own, for tests that break either, and what must hold afterwards."""

import re
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
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
from tests.conftest import free_port
from tests.faults.readers import Readers, until
from tests.story.lines import environment

MOST_BYTES = 300 * 2**20  # of a worker: 80 MB that all have, librdkafka's 64 MiB, and a segment of 16


class Capture:
    """`loopwire capture`, and the brokers it was given."""

    def __init__(self, told: Settings, brokers: Sequence[Broker]) -> None:
        self.settings = told
        self.brokers = brokers
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
    def broker(self) -> Broker:
        """The only one, or the first."""
        return self.brokers[0]

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
    """On a broker of its own."""
    broker = Broker(broker_data, free_port(2))
    try:
        broker.start()
        broker.wait_ready()
        with capturing_on([broker], data, **more) as capture:
            yield capture
    finally:
        broker.stop()


@contextmanager
def capturing_on(brokers: Sequence[Broker], data: Path, **more: Any) -> Iterator[Capture]:
    """On brokers that run, with two workers where nothing else is said; its topics are made."""
    usual = {"data": data, "capture_port": free_port(), "capture_workers": 2, "token_keys": f"k1:{'QUFB' * 10}QUE="}
    told = settings.read(kafka=",".join(one.bootstrap for one in brokers), **(usual | more))
    admin = Admin(told)
    admin.apply(admin.plan())
    capture = Capture(told, brokers)
    try:
        yield capture
    finally:
        capture.end()


def readers_of(capture: Capture, connections: int = 64, pace: int = 2_000) -> Readers:
    """Readers of it; see `Readers`."""
    return Readers(capture.settings.capture_port, signing_key(link_keys(capture.settings), "acme"), connections, pace)


def check(capture: Capture, readers: Readers) -> dict[str, list[str]]:
    """Each safely answered hit is in `hits`, at least once, and under one id; the ids there, by message."""
    until(capture.empty, 120)
    until(capture.empty)  # a worker shows its figures ten times a second: those of all were of one moment
    ids = capture.hits()
    assert len(readers.safe) > 1_000
    assert readers.safe.keys() - ids.keys() == set()
    assert {message for message, found in ids.items() if len(set(found)) > 1} == set()
    return ids


def peak_bytes(pid: int) -> int:
    """The most memory that a process ever had."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024
