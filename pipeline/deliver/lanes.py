"""A lane is one loop's way out: a few POSTs in flight, a short queue, and never a place where others wait."""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Job = TypeVar("Job")

IN_FLIGHT = 32  # POSTs at a time to one loop that sets no max_in_flight
QUEUE = 256  # deliveries of one loop that wait in memory
PATIENCE_SECONDS = 0.1  # a full lane may hold its partition this long, then its deliveries climb the ladder as held
EARLY_SECONDS = 0.005  # a timer of PATIENCE_SECONDS may come so much before its time


@dataclass(slots=True)
class Lane(Generic[Job]):
    """The POSTs of one loop: `cap` in flight, up to QUEUE waiting, in the order they came."""

    cap: int = IN_FLIGHT
    in_flight: int = 0
    waiting: deque[Job] = field(default_factory=deque)
    _full_since: float | None = None
    _begun: int = 0  # since it was full

    def offer(self, job: Job, now: float) -> bool:
        """Takes the job in, or not: then the lane is full."""
        if len(self.waiting) >= QUEUE:
            if self._full_since is None:
                self._full_since, self._begun = now, 0
            return False
        self.waiting.append(job)
        return True

    def stuck(self, now: float) -> bool:
        """Whether it has been full for longer than others can be asked to wait."""
        return self._full_since is not None and now - self._full_since > PATIENCE_SECONDS - EARLY_SECONDS

    def begin(self) -> Job | None:
        """The next job to start, counted as in flight; None where nothing waits or the cap is reached."""
        if not self.waiting or self.in_flight >= self.cap:
            return None
        self._begun += 1
        if self._begun >= QUEUE // 2:
            self._full_since = None  # it moves: half of it went within its patience, though it may be full again
        self.in_flight += 1
        return self.waiting.popleft()

    def end(self) -> None:
        """One job in flight is over."""
        self.in_flight -= 1

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not self.waiting and not self.in_flight
