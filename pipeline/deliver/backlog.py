"""A backlog is what was fetched of one partition and not begun."""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic

from pipeline.deliver.jobs import Job, Mark

HIGH, HIGH_BYTES = 200, 1024 * 1024  # records at hand, or bytes of them, from which a partition is paused
LOW, LOW_BYTES = 50, 256 * 1024  # and below which it is resumed


@dataclass(slots=True)
class Backlog(Generic[Mark]):
    """What was fetched of one partition and not begun, in order: its first job decides when it goes on."""

    jobs: deque[Job[Mark]] = field(default_factory=deque)
    bytes: int = 0
    paused: bool = False
    woken: bool = False

    def add(self, job: Job[Mark]) -> None:
        """One more of the partition."""
        self.jobs.append(job)
        self.bytes += job.size

    def drop(self) -> None:
        """The first has begun."""
        self.bytes -= self.jobs.popleft().size

    @property
    def full(self) -> bool:
        """Whether there is enough at hand."""
        if self.paused:
            return len(self.jobs) >= LOW or (self.bytes >= LOW_BYTES and len(self.jobs) > 1)
        return len(self.jobs) >= HIGH or self.bytes >= HIGH_BYTES
