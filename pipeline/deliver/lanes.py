"""A lane is one loop's way out: a few POSTs in flight, two short queues, and never a place where others wait.

What happens now goes first; what is past (of a replay, or missed and sent later) goes where there is room beside it.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Job = TypeVar("Job")

IN_FLIGHT = 32  # POSTs at a time to one loop that sets no max_in_flight
QUEUE = 256  # deliveries of one loop that wait in memory, of now and of the past each
PATIENCE_SECONDS = 0.1  # a full lane may hold its partition this long, then its deliveries climb the ladder as held
MOVES = 4  # POSTs that begin within its patience, by which a queue moves
EARLY_SECONDS = 0.005  # a timer of PATIENCE_SECONDS may come so much before its time


@dataclass(slots=True)
class Queue(Generic[Job]):
    """Up to QUEUE jobs in the order they came, and for how long it has been full."""

    jobs: deque[Job] = field(default_factory=deque)
    in_flight: int = 0
    _full_since: float | None = None
    _begun: int = 0  # since it was full

    def offer(self, job: Job, now: float) -> bool:
        """Takes the job in, or not: then the queue is full."""
        if len(self.jobs) >= QUEUE:
            if self._full_since is None:
                self._full_since, self._begun = now, 0
            return False
        self.jobs.append(job)
        return True

    def stuck(self, now: float, late: bool = False) -> bool:
        """Whether it has been full for longer than others can be asked to wait.

        `late`: this very process is behind, so a queue that moves at all is not to blame.
        """
        if self._full_since is None or now - self._full_since <= PATIENCE_SECONDS - EARLY_SECONDS:
            return False
        if late and self._begun >= MOVES:
            self._full_since, self._begun = now, 0
            return False
        return True

    def begin(self) -> Job:
        """The next job, counted as in flight."""
        self._begun += 1
        if self._begun >= QUEUE // 2:
            self._full_since = None  # it moves: half of it went within its patience, though it may be full again
        self.in_flight += 1
        return self.jobs.popleft()


@dataclass(slots=True)
class Lane(Generic[Job]):
    """The POSTs of one loop: `cap` in flight, of which the past has half at most."""

    cap: int = IN_FLIGHT
    now: Queue[Job] = field(default_factory=Queue)
    past: Queue[Job] = field(default_factory=Queue)

    def queue(self, past: bool) -> Queue[Job]:
        """Where a job waits."""
        return self.past if past else self.now

    def begin(self) -> Job | None:
        """The next job to start, counted as in flight; None where nothing may start."""
        if self.in_flight >= self.cap:
            return None
        if self.now.jobs:
            return self.now.begin()
        if self.past.jobs and self.past.in_flight < max(self.cap // 2, 1):
            return self.past.begin()
        return None

    def end(self, past: bool) -> None:
        """One job in flight is over."""
        self.queue(past).in_flight -= 1

    @property
    def in_flight(self) -> int:
        """How many POSTs are under way."""
        return self.now.in_flight + self.past.in_flight

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not self.now.jobs and not self.past.jobs and not self.in_flight
