"""A process under measurement: started, watched, and its CPU-seconds read from /proc, children included."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.local.family import PARENT

ROOT = Path(__file__).parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
STOP_SECONDS = 30.0


class Missing(Exception):  # noqa: N818 (it is the tool that is missing)
    """A tool the benchmark needs is not on this machine; the message says how to get it."""


def tool(name: str, package: str) -> str:
    """Where a tool is; Debian keeps nginx where only root looks."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if not found:
        raise Missing(f"there is no {name} on this machine: apt-get install {package}")
    return found


def say(text: str) -> None:
    """Progress: stdout is for figures alone."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


class Process:
    """A command as a process of its own, in a session of its own; a `with` block ends it."""

    def __init__(self, command: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None) -> None:
        own = dict(os.environ) if environment is None else dict(environment)
        own |= {"PYTHONPATH": str(ROOT), PARENT: str(os.getpid())}
        stderr = sys.stderr.fileno()
        self.name = " ".join(Path(word).name for word in command[:4])
        self._popen = subprocess.Popen(
            command, env=own, cwd=cwd, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, start_new_session=True
        )

    @property
    def cpu_s(self) -> float:
        """CPU-seconds so far, of it and its children."""
        return family_cpu_s(self._popen.pid)

    @property
    def memory_mb(self) -> tuple[float, float]:
        """What it has resident, files it mapped included, and the most it ever had."""
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{self._popen.pid}/status").read_text().splitlines())
        resident, peak = (round(int(lines[name].split()[0]) / 1024, 1) for name in ("VmRSS", "VmHWM"))
        return resident, peak

    def wait_for(self, holds: Callable[[], bool], seconds: float = 120) -> None:
        """Until `holds`; RuntimeError where the process ends before, TimeoutError where time is up."""
        deadline = time.monotonic() + seconds
        while not holds():
            if self._popen.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self._popen.returncode}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: waited {seconds:.0f} s in vain")
            time.sleep(0.05)

    def stop(self) -> None:
        """SIGTERM, and its end awaited; by force after 30 s."""
        self._popen.terminate()
        try:
            self._popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"{self.name} did not end within {STOP_SECONDS:.0f} s and is killed")
            os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _wrong: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


def family_cpu_s(pid: int) -> float:
    """CPU-seconds of a process, of its children that live, and of those that it waited for."""
    return _own_cpu_s(pid) + sum(map(family_cpu_s, _children(pid)))


def busy_cores(seconds: float) -> float:
    """How many cores this machine uses, all processes together, in the next `seconds`."""
    before, since = _machine_cpu_s(), time.monotonic()
    time.sleep(seconds)
    return (_machine_cpu_s() - before) / (time.monotonic() - since)


def _machine_cpu_s() -> float:
    """The first line of /proc/stat without its idle and iowait; what a hypervisor stole from us counts as busy."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS


def _children(pid: int) -> Iterable[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that ended meanwhile
            yield from map(int, (task / "children").read_text().split())


def _own_cpu_s(pid: int) -> float:
    """utime, stime, cutime and cstime: fields 14 to 17 of proc(5)'s stat, where the second may hold spaces."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS
