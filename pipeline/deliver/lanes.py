"""A lane is one loop's way out: a few POSTs in flight, two short queues, and never a place where others wait.

What happens now goes first; what is past (of a replay, or missed and sent later) goes where there is room beside it.
"""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from pipeline.deliver.breaker import Breaker
from pipeline.deliver.cap import Cap
from pipeline.deliver.pace import Pace
from pipeline.deliver.verdict import Reply, broken, slow_down, well


class Sized(Protocol):
    """What waits in a lane."""

    size: int  # bytes
    profile: str  # whose POSTs go one at a time; "" where the loop is not ordered


Job = TypeVar("Job", bound=Sized)

IN_FLIGHT = 32  # POSTs at a time, at most, to one loop that sets no max_in_flight
QUEUE = 256  # deliveries of one loop that wait in memory, of now and of the past each
QUEUE_BYTES = 1024 * 1024  # and of so many bytes, but for one that is larger and alone
LONGEST_WAIT = 15.0  # seconds that a job waits in a lane: as a POST does, it keeps its partition's commits back
PATIENCE_SECONDS = 0.1  # a full lane may hold its partition this long, then its deliveries climb the ladder as held
BEHIND = 8  # times as long as this process is behind a POST may take, until its server is slow by itself
MOVES = 4  # POSTs that begin within its patience, by which a queue moves
EARLY_SECONDS = 0.005  # a timer of PATIENCE_SECONDS may come so much before its time
QUICK_SECONDS = 1.0  # a server whose last answer came within it has slots to itself
LATELY = 32  # POSTs, or so, of which it is the mean how long one takes


@dataclass(slots=True)
class Queue(Generic[Job]):
    """Up to QUEUE jobs in the order they came, and for how long it has been full."""

    jobs: deque[Job] = field(default_factory=deque)
    in_flight: int = 0
    _bytes: int = 0
    _full_since: float | None = None
    _begun: int = 0  # since it was full

    def fits(self, size: int) -> bool:
        """Whether there is room for one more of so many bytes."""
        return not self.jobs or (len(self.jobs) < QUEUE and self._bytes + size <= QUEUE_BYTES)

    def take(self, job: Job) -> None:
        """One more job."""
        self.jobs.append(job)
        self._bytes += job.size

    def refused(self, now: float) -> None:
        """A job did not fit."""
        if self._full_since is None:
            self._full_since, self._begun = now, 0

    def stuck(self, now: float, excused: bool = False) -> bool:
        """Whether it has been full for longer than others can be asked to wait; `excused` if it moves at all."""
        if self._full_since is None or now - self._full_since <= PATIENCE_SECONDS - EARLY_SECONDS:
            return False
        if excused and self._begun >= MOVES:
            self._full_since, self._begun = now, 0
            return False
        return True

    def first(self, busy: Collection[str]) -> int | None:
        """Which job is next, where the profiles that are `busy` have to wait."""
        if not busy:
            return 0 if self.jobs else None
        return next((at for at, job in enumerate(self.jobs) if job.profile not in busy), None)

    def begin(self, at: int) -> Job:
        """The job there, counted as in flight."""
        self._begun += 1
        if self._begun >= QUEUE // 2:
            self._full_since = None  # it moves: half of it went within its patience, though it may be full again
        self.in_flight += 1
        return self._out(at)

    def give_back(self, at: int) -> Job:
        """The job there, which goes nowhere."""
        return self._out(at)

    def drain(self) -> Iterator[Job]:
        """All that waits; it is empty then."""
        self._full_since = None
        while self.jobs:
            yield self._out(0)

    def _out(self, at: int) -> Job:
        job = self.jobs[at]
        del self.jobs[at]
        self._bytes -= job.size
        return job


@dataclass(slots=True)
class Lane(Generic[Job]):
    """The POSTs of one loop, of which the past has half at most. `most` in flight and `rate` are the loop's wishes.

    Times are seconds of a clock that is never set.
    """

    most: int = IN_FLIGHT
    rate: float | None = None
    cap: Cap = field(default_factory=Cap)
    pace: Pace = field(default_factory=Pace)
    breaker: Breaker = field(default_factory=Breaker)
    now: Queue[Job] = field(default_factory=Queue)
    past: Queue[Job] = field(default_factory=Queue)
    ordered: bool = False  # whether the POSTs of one profile go one at a time
    quick: bool = False  # whether its last answer was good and came soon
    busy: set[str] = field(default_factory=set)  # profiles whose POST is under way, where the loop is ordered
    held: int = 0  # deliveries that were put back without an attempt
    woken: bool = False  # whether a timer will begin its next
    took: float = 0.0  # seconds a POST takes, of late
    used_at: float = 0.0

    def queue(self, past: bool) -> Queue[Job]:
        """Where a job waits."""
        return self.past if past else self.now

    def fits(self, size: int, past: bool, now: float) -> bool:
        """Whether one more of so many bytes has room, and its turn comes soon."""
        ahead = len(self.now.jobs) + (len(self.past.jobs) if past else 0)
        return not self._waits_long(ahead, now) and self.queue(past).fits(size)

    def overlong(self, now: float) -> Queue[Job] | None:
        """The queue whose last job would wait for too long, by what is known of the server since it came."""
        queue, ahead = (self.past if self.past.jobs else self.now), len(self.now.jobs) + len(self.past.jobs) - 1
        return queue if ahead >= 0 and self._waits_long(ahead, now) else None

    def speed(self, past: bool) -> float | None:
        """How many POSTs a second it gets, by the loop's wish or by its server; None where nothing is known of it."""
        if self.rate is not None or not self.took:
            return self.rate
        return (self._half if past else self.cap.size(self.most)) / self.took

    def excused(self, lateness: float) -> bool:
        """Whether a queue is full because of this process, which is so many seconds behind, and not of its server."""
        return self.took < BEHIND * lateness

    @property
    def starved(self) -> bool:
        """Whether what is past waits, and what happens now takes all there is."""
        return bool(self.past.jobs and self.now.jobs) and not self.past.in_flight

    def closed(self, now: float) -> bool:
        """Whether nothing is sent for now and what comes has to wait elsewhere."""
        return self.breaker.state(now) == "open"

    def wait(self, now: float) -> float | None:
        """In how many seconds the next job may begin, 0 for now; None where something else has to happen first."""
        if self._next() is None or not self.breaker.lets(now):
            return None
        return self.pace.wait(self.rate, now)

    def begin(self, now: float) -> Job:
        """The next job, counted as in flight; only where `wait` is 0."""
        self.pace.spend(self.rate, now)
        self.breaker.began()
        self.used_at = now
        queue, at = self._next() or (self.now, 0)
        job = queue.begin(at)
        if job.profile:
            self.busy.add(job.profile)
        return job

    def gave_up(self, job: Job, past: bool) -> None:
        """A job that began made no POST."""
        self._over(job, past)
        self.breaker.gave_up()
        self.pace.gave_up(self.rate)

    def answered(self, job: Job, past: bool, reply: Reply, began: float, now: float) -> None:
        """A POST that began then is over."""
        if well(reply):
            self.cap.well(self._used(), self.most)
        elif slow_down(reply):
            self.cap.badly(began, now)
        if broken(reply):
            self.breaker.badly(began, now)
        else:
            self.breaker.well()
        took = now - began
        self.quick = well(reply) and took < QUICK_SECONDS
        self.took = self.took + (took - self.took) / LATELY if self.took else took
        self._over(job, past)
        self.used_at = now
        if self.rate is None and self.idle:
            self.pace.free()

    def _waits_long(self, ahead: int, now: float) -> bool:
        """Whether who comes behind so many waits for long, as fast as its server answers and as the loop wishes."""
        if ahead * self.took > LONGEST_WAIT * self.cap.size(self.most):
            return True
        return self.rate is not None and ahead / self.rate + self.pace.wait(self.rate, now) > LONGEST_WAIT

    def _used(self) -> int:
        """How much of the cap: what is past has shown as well that it may grow once it has all that it gets, half."""
        return self.cap.size(self.most) if self.past.in_flight >= self._half else self.in_flight

    @property
    def _half(self) -> int:
        """How much of the cap the past gets at most."""
        return max(self.cap.size(self.most) // 2, 1)

    def _over(self, job: Job, past: bool) -> None:
        self.queue(past).in_flight -= 1
        self.busy.discard(job.profile)

    def _next(self) -> tuple[Queue[Job], int] | None:
        if self.now.in_flight + self.past.in_flight >= self.cap.size(self.most):
            return None
        if (at := self.now.first(self.busy)) is not None:
            return self.now, at
        if self.past.in_flight < self._half and (at := self.past.first(self.busy)) is not None:
            return self.past, at
        return None

    @property
    def in_flight(self) -> int:
        """How many POSTs are under way."""
        return self.now.in_flight + self.past.in_flight

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not self.now.jobs and not self.past.jobs and not self.in_flight
