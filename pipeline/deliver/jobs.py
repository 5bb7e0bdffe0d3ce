"""A job is a delivery on its way through this process; a backlog is what was fetched of a partition and not begun."""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pipeline.model.deliveries import Delivery
from pipeline.record import Record

Place = tuple[str, int]
Mark = TypeVar("Mark")

HIGH, HIGH_BYTES = 200, 1024 * 1024  # records at hand, or bytes of them, from which a partition is paused
LOW, LOW_BYTES = 50, 256 * 1024  # and below which it is resumed


@dataclass(eq=False, slots=True)
class Job(Generic[Mark]):
    """A delivery, or the dead letter of a record that held none; `mark` is what the World knows it by.

    One that is `past`, of a replay or missed and sent later, lets what happens now go first. `size` is bytes.
    """

    what: Delivery | Record
    mark: Mark
    past: bool = False
    size: int = 0
    offset: int = 0
    number: int = 0  # of its partition
    profile: str = ""  # whose event it is, where its loop is ordered
    came: float = 0.0  # when it was fetched, by the clock that is never set
    until: float = 0.0  # how long it waits where it is, by the clock that is never set
    began: float = 0.0  # its POST
    quick: bool = False  # whether its slot is one of the quick


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
