"""The crew: every process of the line, each of which may be killed, stopped, frozen, and started again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.local.family import PARENT
from pipeline.settings import Settings
from tests.conftest import free_port
from tests.faults.readers import until
from tests.story.lines import environment, ready, says_yes

READY_SECONDS = 120.0
END_SECONDS = 40.0
STAGES = {"capture": 1, "enrich": 2, "deliver": 3, "console": 1}  # how many of each


class Member:
    """One process, as `loopwire <stage>` starts it; what it says goes to a file."""

    def __init__(self, name: str, stage: str, told: Settings, said: Path) -> None:
        self.name = name
        self.stage = stage
        self.settings = told.model_copy(update={"metrics_port": free_port(2)})
        self.settings.model_fields_set.add("metrics_port")
        self._said = said
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """It begins; `wait` tells when it is ready."""
        with self._said.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline", self.stage],
                env=environment(self.settings) | {PARENT: str(os.getpid())},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def ready(self) -> bool:
        """What /ready says."""
        return says_yes(ready(self.settings, self.stage))

    @property
    def last_words(self) -> str:
        """The last line of what it said."""
        return (self._said.read_text(errors="replace").splitlines() or [""])[-1]

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> None:
        """Until it is ready, or ended by itself."""
        until(lambda: self.ready or not self.alive, READY_SECONDS)

    def kill(self) -> None:
        """kill -9, its workers included, as a machine that dies."""
        if self._process:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and its end awaited; AssertionError where it does not end well in time."""
        if self._process and self.alive:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
            code = self._process.poll()
            assert code == 0, f"{self.name} ended with {code}, None being not at all: {self.last_words}"

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It stands still as long as the block runs, and knows nothing of it."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            if self._process:
                os.killpg(self._process.pid, number)


@contextmanager
def crew_of(told: Settings, folder: Path) -> Iterator[list[Member]]:
    """All of it, ready; killed at the end, where it was not stopped."""
    members: list[Member] = []
    try:
        for stage, count in STAGES.items():
            for number in range(1, count + 1):
                name = f"{stage}-{number}"
                members.append(Member(name, stage, told, folder / f"{name}.log"))
        for member in members:
            member.wait()
            assert member.alive, f"{member.name} ended at its start: {member.last_words}"
        yield members
    finally:
        for member in members:
            member.kill()
