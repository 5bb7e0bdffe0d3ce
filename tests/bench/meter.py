"""A meter reads CPU-seconds: what some processes, and the broker beside them, spent since it was made."""

import time
from collections.abc import Iterable, Mapping

from tests.bench.figures import Run
from tests.bench.processes import Process, family_cpu_s


class Meter:
    """CPU-seconds of the processes and of the broker (a process id) since a moment."""

    def __init__(self, processes: Iterable[Process], broker: int) -> None:
        self._processes = list(processes)
        self._broker = broker
        self._cpu, self._broker_cpu = self._read()
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it runs."""
        return time.monotonic() - self._since

    def run(self, n: int, percentiles: Mapping[str, float] | None = None) -> Run:
        """The stretch since then, in which `n` things were done."""
        seconds = self.seconds
        cpu, broker = self._read()
        return Run(n, seconds, cpu - self._cpu, broker - self._broker_cpu, dict(percentiles or {}))

    def _read(self) -> tuple[float, float]:
        return sum(process.cpu_s for process in self._processes), family_cpu_s(self._broker)
