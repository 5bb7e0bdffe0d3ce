"""The stage as its users see it: processes, signals, a port. Its Kafka is in memory (see stage.py)."""

import base64
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from pipeline.capture.answer import GIF
from pipeline.capture.following import FILE
from pipeline.capture.tokens import Link, sign, signing_key
from tests.alive import alive
from tests.conftest import free_port

KEY = b"k" * 32
PIXEL = "/o/" + sign(Link("acme", "p-1", "m-1"), "open", *signing_key({"k1": KEY}, "acme"))
SECONDS = 20.0


class Stage:
    """A running capture."""

    def __init__(self, port: int, process: "subprocess.Popen[str]") -> None:
        self.port = port
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as said:
            self.lines.extend(line for line in said)

    def end(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)
        self._reader.join(SECONDS)  # the workers are gone too, so the pipe has its end

    @property
    def workers(self) -> list[int]:
        return children(self.process.pid)

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        with connected(self.port) as connection:
            return got(connection, path)

    def metrics(self) -> str:
        return self.get("/metrics")[2].decode()

    def ready(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return self.get("/ready")[0] == 200
        return False


@contextmanager
def connected(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        yield connection
    finally:
        connection.close()


def got(connection: http.client.HTTPConnection, path: str) -> tuple[int, dict[str, str], bytes]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, dict(response.getheaders()), response.read()


def until(holds: Callable[[], bool], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def environment(port: int, workers: int, **more: str) -> dict[str, str]:
    keys = "k1:" + base64.b64encode(KEY).decode()
    own = {"CAPTURE_PORT": str(port), "CAPTURE_WORKERS": str(workers), "TOKEN_KEYS": keys}
    return dict(os.environ) | {f"LOOPWIRE_{name}": value for name, value in own.items()} | more


def started(port: int, workers: int, **more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.capture.stage", "capture"]
    return subprocess.Popen(command, env=environment(port, workers, **more), stderr=subprocess.PIPE, text=True)


@contextmanager
def running(workers: int = 1, **more: str) -> Iterator[Stage]:
    stage = Stage(port := free_port(), started(port, workers, **more))
    try:
        until(stage.ready)
        until(lambda: len(stage.workers) == workers)
        yield stage
    finally:
        stage.end()


def test_pictures_and_metrics_come_from_any_worker() -> None:
    with running(2) as stage:
        for _ in range(20):
            status, headers, body = stage.get(PIXEL)
            assert (status, headers["content-type"], len(body)) == (200, "image/gif", 43)
            assert "loopwire-hit" not in headers
        for _ in range(5):
            shown = stage.metrics()
            assert 'loopwire_capture_requests_total{kind="open",outcome="safe"} 20\n' in shown


def test_every_process_has_the_stage_as_an_argument() -> None:
    with running(2) as stage:
        for pid in [stage.process.pid, *stage.workers]:
            assert "capture" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def test_a_post_with_a_body_leaves_the_connection_usable() -> None:
    path = "/u/" + sign(Link("acme", "p-1", "m-1"), "unsubscribe", *signing_key({"k1": KEY}, "acme"))
    with running() as stage, connected(stage.port) as connection:
        for _ in range(2):
            connection.request("POST", path, "List-Unsubscribe=One-Click")
            response = connection.getresponse()
            assert (response.status, b"unsubscribed" in response.read()) == (200, True)


def test_a_refused_hit_is_safe_on_the_disk() -> None:
    with running(ACK_REFUSED="not yours") as stage:
        assert "loopwire-hit" not in stage.get(PIXEL)[1]
        assert 'loopwire_capture_requests_total{kind="open",outcome="spooled"} 1\n' in stage.metrics()
        assert stage.ready()


def test_a_hit_that_is_refused_and_has_no_disk_is_answered_as_lost() -> None:
    with running(ACK_REFUSED="not yours", LOOPWIRE_SPOOL_LIMIT="0") as stage:
        until(lambda: stage.get(PIXEL)[1].get("loopwire-hit") == "lost")
        line = "capture: [1-9] hits lost: not yours; the spool can't be written: SPOOL_LIMIT is reached\n"
        until(lambda: any(re.fullmatch(line, said) for said in stage.lines))
        until(lambda: stage.get(PIXEL)[::2] == (200, GIF) and not stage.ready())


def test_what_accounts_chose_holds_although_kafka_does_not_say_so_now(tmp_path: Path) -> None:
    row = {"account": "rival", "created": "2026-03-20T09:00:00Z", "domains": ["https://t.rival.example"]}
    (tmp_path / FILE).write_text(json.dumps([row]))
    with running(1, LOOPWIRE_DATA=str(tmp_path)) as stage, connected(stage.port) as connection:
        for host in ("t.rival.example", "t.example.com"):
            connection.request("GET", PIXEL, headers={"Host": host, "Sec-GPC": "1"})
            assert connection.getresponse().read()[:3] == b"GIF"
        counted = stage.metrics()
    assert 'loopwire_capture_requests_total{kind="open",outcome="bad"} 1\n' in counted
    outcomes = re.findall(r'\{kind="open",outcome="(?:safe|spooled)"\} (\d+)\n', counted)
    assert sum(map(int, outcomes)) == 1


def test_under_overload_connections_wait_and_no_hit_is_lost() -> None:
    with running(1, CONNECTIONS="8") as stage, ExitStack() as held:
        taken = [held.enter_context(connected(stage.port)) for _ in range(8)]
        assert [got(one, PIXEL)[0] for one in taken] == [200] * 8
        with connected(stage.port) as late:
            late.request("GET", PIXEL)
            assert not select.select([late.sock], [], [], 0.5)[0], "it waits where the kernel keeps it"
            assert [got(one, PIXEL)[0] for one in taken] == [200] * 8
            taken[0].close()
            response = late.getresponse()
            assert (response.status, response.getheader("loopwire-hit")) == (200, None)


def limited(port: int, files: int) -> "subprocess.Popen[str]":
    """A stage that may open so many files and no more."""
    command = ["sh", "-c", f"ulimit -n {files}; exec {sys.executable} -m tests.capture.stage capture"]
    return subprocess.Popen(command, env=environment(port, 1), stderr=subprocess.PIPE, text=True)


def test_with_few_open_files_it_takes_fewer_connections_and_says_so() -> None:
    stage = Stage(port := free_port(), limited(port, 300))
    try:
        until(stage.ready)
        line = "capture: the limit of open files (ulimit -Hn) is 300: a worker takes 172 connections, not 4096, "
        assert [said for said in stage.lines if said.startswith(line)] != []
        with ExitStack() as held:
            taken = [held.enter_context(connected(port)) for _ in range(172)]
            assert {got(one, PIXEL)[0] for one in taken} == {200}
            with connected(port) as late:
                late.request("GET", PIXEL)
                assert not select.select([late.sock], [], [], 0.5)[0], "it waits where the kernel keeps it"
                taken[0].close()
                assert late.getresponse().status == 200
    finally:
        stage.end()


def test_with_too_few_open_files_it_does_not_start() -> None:
    process = limited(free_port(), 100)
    _, said = process.communicate(timeout=SECONDS)
    assert (process.returncode, said.count("\n")) == (1, 1)
    assert said.startswith("capture: the limit of open files (ulimit -Hn) is 100: it needs 256, and 4224 for all")


def test_a_killed_worker_is_started_again_with_a_line_that_says_so() -> None:
    with running(2) as stage:
        victim = stage.workers[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(stage.workers) == 2 and victim not in stage.workers, 5)
        number = "worker [12]"
        line = rf"capture: {number} \(pid {victim}\) was killed by signal 9: started again as pid \d+\n"
        until(lambda: any(re.fullmatch(line, said) for said in stage.lines))
        assert stage.get(PIXEL)[0] == 200


def test_who_connects_while_the_only_worker_is_dead_is_answered_by_the_next() -> None:
    with running(1) as stage:
        os.kill(stage.workers[0], signal.SIGKILL)
        assert stage.get(PIXEL)[0] == 200


def test_a_killed_parent_takes_its_workers_along_and_its_port_is_free() -> None:
    with running(2) as stage:
        workers = stage.workers
        stage.process.kill()
        until(lambda: not any(map(alive, workers)), 5)
        with socket.create_server(("127.0.0.1", stage.port)):
            pass


def test_sigterm_ends_it_although_connections_are_kept_open() -> None:
    with running(2) as stage, connected(stage.port) as used, socket.create_connection(("127.0.0.1", stage.port)):
        assert got(used, PIXEL)[0] == 200
        workers = stage.workers
        stage.process.terminate()
        assert stage.process.wait(5) == 0
        assert not any(map(alive, workers))


def test_sigterm_waits_for_what_is_under_way_and_takes_no_more() -> None:
    with (
        running(1, ACK_SECONDS="2", LOOPWIRE_SPOOL_DEADLINE="1m") as stage,
        connected(stage.port) as idle,
        connected(stage.port) as busy,
    ):
        got(idle, "/live")
        busy.request("GET", PIXEL)
        until(lambda: "loopwire_capture_waiting 1\n" in stage.metrics())
        stage.process.terminate()
        until(lambda: refused(stage.port))
        response = busy.getresponse()
        assert (response.status, response.getheader("loopwire-hit"), len(response.read())) == (200, None, 43)
        assert stage.process.wait(5) == 0
        assert closed(idle)


def test_sigterm_closes_a_connection_whose_request_never_ends() -> None:
    with running(1) as stage, socket.create_connection(("127.0.0.1", stage.port), timeout=SECONDS) as half:
        half.sendall(f"GET {PIXEL} HTTP/1.1\r\nHost: t\r\nX-Half:".encode())
        stage.process.terminate()
        assert stage.process.wait(5) == 0
        with suppress(ConnectionResetError):  # the kernel's word for bytes that nobody read
            assert half.recv(100) == b""


def test_ctrl_c_ends_it_in_order() -> None:
    with running(2) as stage:
        for pid in [*stage.workers, stage.process.pid]:  # a terminal tells them all
            os.kill(pid, signal.SIGINT)
        assert stage.process.wait(5) == 0
        assert not any("Traceback" in line for line in stage.lines)


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def closed(connection: http.client.HTTPConnection) -> bool:
    readable, _, _ = select.select([connection.sock], [], [], SECONDS)
    return bool(readable) and connection.sock.recv(1) == b""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "LOOPWIRE_CAPTURE_PORT: 127.0.0.1:{port} can't be used: Address already in use\n"),
        ({"LOOPWIRE_CAPTURE_HOST": "192.0.2.1"}, "LOOPWIRE_CAPTURE_HOST: 192.0.2.1:{port} can't be used: "),
        ({"LOOPWIRE_CAPTURE_HOST": "no.such.invalid"}, "LOOPWIRE_CAPTURE_HOST: no.such.invalid:{port} can't be used: "),
        ({"LOOPWIRE_TOKEN_KEYS": "k1:YQ=="}, "LOOPWIRE_TOKEN_KEYS: key k1 must be 32 bytes"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_in_one_line(more: dict[str, str], message: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = started(port, 1, **more)
        _, said = process.communicate(timeout=SECONDS)
    assert (process.returncode, said.count("\n")) == (1, 1)
    assert said.startswith(message.format(port=port))
