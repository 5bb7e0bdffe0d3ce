"""The supervisor keeps a handful of processes running: one that dies is started again, with a line that says so."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping

from pipeline.local.family import PARENT

AGAIN_SECONDS = 1.0  # a process that died is started again after this, or it would spin
STOP_SECONDS = 20.0


class StageFailedError(Exception):
    """A stage ended before it was ever ready: its own line says why."""


class Child:
    """One stage as a process of its own; start it from a thread that lives as long as it shall (see family.py)."""

    def __init__(self, stage: str, environment: Mapping[str, str]) -> None:
        self.stage = stage
        self.was_ready = False
        self._environment = {**os.environ, **environment, PARENT: str(os.getpid())}
        self._process: subprocess.Popen[bytes] | None = None
        self._died_at: float | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Starts it, in a session of its own: a Ctrl-C in the terminal is ours, and we stop it in order."""
        command = [sys.executable, "-m", "pipeline", self.stage]
        self._process = subprocess.Popen(command, env=self._environment, start_new_session=True)
        self._died_at = None

    def look_after(self) -> str | None:
        """Starts it again when it died; the line to be told, if there is one. StageFailedError at its first start."""
        if self._process is None or self._process.poll() is None:
            return None
        if not self.was_ready:
            raise StageFailedError(f"{self.stage} could not start (exit {self._process.returncode})")
        if self._died_at is None:
            self._died_at = time.monotonic()
            return None
        if time.monotonic() - self._died_at < AGAIN_SECONDS:
            return None
        ended = self._process.returncode
        self.start()
        return f"{self.stage} ended ({_said(ended)}) and was started again"

    def ask_to_stop(self) -> None:
        """SIGTERM: it finishes what is under way."""
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> None:
        """Until it ended; by force after 20 s."""
        if self._process is None:
            return
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def stop(children: list[Child]) -> None:
    """Stops them all at once."""
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.wait()


def _said(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"
