"""What tests of faults share: all of `loopwire up` as a user starts it, deliver workers, and a customer."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline import settings
from pipeline.settings import Settings
from tests.bench.ground import MASTER
from tests.conftest import free_port
from tests.customer import Customer
from tests.faults.delivering import Workers
from tests.story.conftest import line_settings
from tests.story.lines import environment, wait_ready


class Up:
    """The whole of it, with its own broker; `lines` is what it said."""

    def __init__(self, told: Settings) -> None:
        self.settings = told
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "up"],
            env=environment(told),
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        wait_ready(told)

    @property
    def pid(self) -> int:
        """The parent of all."""
        return self._process.pid

    @property
    def admin_key(self) -> str:
        """As `up` made it, in DATA."""
        return (self.settings.data / "admin_key").read_text().strip()

    def pids(self, stage: str) -> list[int]:
        """The stage's processes, workers included: each has the stage's name as an argument of its own."""
        mine = re.compile(rb"LOOPWIRE_DATA=" + re.escape(str(self.settings.data).encode()) + rb"\0")
        return sorted(pid for pid in _all_pids() if stage in _words(pid) and mine.search(_read(pid, "environ")))

    def kill(self, stage: str) -> None:
        """kill -9 of every process of the stage, at once."""
        for pid in self.pids(stage):
            os.kill(pid, signal.SIGKILL)

    def close(self) -> int:
        """One Ctrl-C; the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        code = self._process.wait(60)
        self._listener.join(10)
        return code

    def destroy(self) -> None:
        """kill -9 of the parent alone."""
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout
        with self._process.stdout as said:
            for line in said:
                self.lines.append(line.rstrip())


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _words(pid: int) -> list[str]:
    return _read(pid, "cmdline").decode(errors="replace").split("\0")


def _read(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:  # it ended meanwhile
        return b""


@pytest.fixture
def customer() -> Iterator[Customer]:
    made = Customer()
    yield made
    made.close()


@pytest.fixture
def ladder() -> tuple[timedelta, ...]:
    """A module may have another."""
    return timedelta(seconds=1), timedelta(seconds=2)


@pytest.fixture
def workers(kafka_address: str, tmp_path: Path, ladder: tuple[timedelta, ...]) -> Iterator[Workers]:
    """None runs yet."""
    told = line_settings(tmp_path, kafka_address)
    made = Workers(told.model_copy(update={"master_key": MASTER, "retry_ladder": ladder}))
    yield made
    for worker in list(made.running):
        made.stop(worker)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    made = Up(
        settings.read(
            data=tmp_path / "data",
            broker_port=free_port(2),
            capture_port=free_port(),
            capture_workers=1,
            console_port=free_port(),
            metrics_port=free_port(2),
            retry_ladder="1s,2s,5s",
            allow_networks="127.0.0.0/8",
        )
    )
    yield made
    made.close()
