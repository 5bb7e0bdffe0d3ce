"""More readers than a worker serves, and no broker: connections wait, memory is bounded, and hits are safe."""

import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import requests

from pipeline.capture.listening import CONNECTIONS
from pipeline.capture.talking import HEAD_BYTES
from tests.faults.capturing import MOST_BYTES, Capture, capturing, check, peak_bytes, readers_of
from tests.faults.readers import until

# Every connection may hold a request's head, and 16 KiB are for what is kept of a connection beside.
MOST_CROWDED_BYTES = MOST_BYTES + CONNECTIONS * (HEAD_BYTES + 16 * 2**10)
HURRY = 1_000_000  # no reader rests between two mails
FROZEN_SECONDS = 10.0

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 3 * CONNECTIONS, reason="too few files may be opened here"
    ),
]


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[Capture]:
    with capturing(tmp_path / "broker", tmp_path / "data", capture_workers=1, spool_deadline="2s") as made:
        yield made


@contextmanager
def frozen(capture: Capture) -> Iterator[None]:
    """The broker stands still, its connections open."""
    pid = capture.broker.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def hoarders(capture: Capture, count: int) -> Iterator[None]:
    """So many connections, each of which has sent all of a large request's head but its end."""
    head = b"GET /o/x.gif HTTP/1.1\r\nHost: t\r\nX-Long: "
    with ExitStack() as held:
        for _ in range(count):
            one = held.enter_context(socket.create_connection(("127.0.0.1", capture.settings.capture_port)))
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.send(head + b"a" * (HEAD_BYTES - len(head) - 100))
        yield


def test_as_many_readers_as_a_worker_takes_may_wait_for_a_frozen_broker_at_once(
    capture: Capture, capsys: pytest.CaptureFixture[str]
) -> None:
    [worker] = capture.workers
    calm = peak_bytes(worker)
    asking, readers = requests.Session(), readers_of(capture, CONNECTIONS + 500, HURRY)
    waiting(capture, asking)  # it has its connection before they come
    with asking, readers.reading():
        readers.more(2_000)
        crowded = peak_bytes(worker)
        with frozen(capture):
            began, most = time.monotonic(), 0.0
            while time.monotonic() - began < FROZEN_SECONDS:
                most = max(most, waiting(capture, asking))
                time.sleep(0.05)
        readers.more(4_000)
    with capsys.disabled():
        print(f"\n{calm / 2**20:,.0f} MiB calm, {crowded / 2**20:,.0f} with {CONNECTIONS} readers, "
              f"{peak_bytes(worker) / 2**20:,.0f} after up to {most:,.0f} hits waited at once")  # fmt: skip
    assert most > CONNECTIONS / 4
    assert peak_bytes(worker) < MOST_BYTES
    check(capture, readers)
    assert not readers.lost


def test_connections_that_hold_memory_hold_no_more_than_they_may_and_readers_go_on(
    capture: Capture, capsys: pytest.CaptureFixture[str]
) -> None:
    [worker] = capture.workers
    with readers_of(capture, 200).reading() as readers:
        readers.more(1_000)
        with hoarders(capture, CONNECTIONS), frozen(capture):
            began = time.monotonic()
            readers.more(2_000)
            until(lambda: time.monotonic() - began > FROZEN_SECONDS)
        readers.more(2_000)
    with capsys.disabled():
        print(f"\n{peak_bytes(worker) / 2**20:,.0f} MiB with {CONNECTIONS} connections that hold half a request")
    assert peak_bytes(worker) < MOST_CROWDED_BYTES
    check(capture, readers)
    assert not readers.lost


def waiting(capture: Capture, asking: requests.Session) -> float:
    """How many hits wait."""
    said = asking.get(f"{capture.settings.tracking_url}/metrics", timeout=20).text
    return float(said.partition("\nloopwire_capture_waiting ")[2].partition("\n")[0])
