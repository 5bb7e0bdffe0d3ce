"""Dispatch leads each delivery from its partition's backlog into its loop's lane and out as a POST.

It decides who goes when; clock, network and Kafka are the World's.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from pipeline.deliver.failing import Failures
from pipeline.deliver.ladder import Ladder
from pipeline.deliver.lanes import IN_FLIGHT, PATIENCE_SECONDS, Lane
from pipeline.deliver.stage import Post, Sent, Unseal, buried, held, judged, onward, prepared
from pipeline.deliver.verdict import Dead
from pipeline.model.deliveries import Delivery
from pipeline.model.standing import Standings
from pipeline.record import Record

Place = tuple[str, int]
Mark = TypeVar("Mark")

HIGH = 200  # records at hand from which a partition is paused
LOW = 50  # and below which it is resumed
LONGEST_SLEEP = 5.0  # a clock that is set takes effect within it


@dataclass(eq=False, slots=True)
class Job(Generic[Mark]):
    """A delivery, or the dead letter of a record that held none; `mark` is what the World knows it by.

    One that is `past`, of a replay or missed and sent later, lets what happens now go first.
    """

    what: Delivery | Record
    mark: Mark
    past: bool = False


@dataclass(slots=True)
class Backlog(Generic[Mark]):
    """What was fetched of one partition and not begun, in order: its first job decides when it goes on."""

    jobs: deque[Job[Mark]] = field(default_factory=deque)
    paused: bool = False
    woken: bool = False


class World(Protocol[Mark]):
    """What dispatch can't decide by itself."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def late(self) -> bool:
        """Whether this process is behind with its own work: then no lane is to blame for being full."""
        ...

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Calls `do` then."""
        ...

    def pause(self, place: Place, *, on: bool) -> None:
        """Fetches no more of the partition, or again."""
        ...

    def owned(self, job: Job[Mark]) -> bool:
        """Whether the job's partition is still ours; where it isn't, the job is given up."""
        ...

    def begin(self, job: Job[Mark]) -> None:
        """The job's offset is under way; called in the order of offsets."""
        ...

    def post(self, job: Job[Mark], post: Post) -> None:
        """Makes the call; `Dispatch.answered` is told, later."""
        ...

    def end(self, job: Job[Mark], records: list[Record]) -> None:
        """Writes the records; the job's offset is safe once they are."""
        ...


class Dispatch(Generic[Mark]):
    """All backlogs and lanes of one process."""

    def __init__(self, world: World[Mark], standings: Standings, ladder: Ladder, unseal: Unseal) -> None:
        self._world = world
        self._standings = standings
        self._ladder = ladder
        self._unseal = unseal
        self._failures = Failures(standings)
        self._backlogs: defaultdict[Place, Backlog[Mark]] = defaultdict(Backlog)
        self._lanes: dict[str, Lane[Job[Mark]]] = {}
        self._blocked: defaultdict[str, set[Place]] = defaultdict(set)

    def take(self, place: Place, jobs: Iterable[Job[Mark]]) -> None:
        """Jobs of one partition, in the order of their offsets."""
        self._backlogs[place].jobs.extend(jobs)
        self._admit(place)

    def forget(self, places: Iterable[Place]) -> None:
        """Drops what was fetched of these partitions and not begun: they are another worker's."""
        for place in places:
            self._backlogs.pop(place, None)
        self._failures.forget()

    def sweep(self) -> None:
        """Gives up what waits in lanes and is another worker's by now."""
        for lane in self._lanes.values():
            for queue in (lane.now, lane.past):
                queue.jobs = deque(job for job in queue.jobs if self._world.owned(job))

    def answered(self, job: Job[Mark], post: Post, sent: Sent) -> None:
        """A POST came to its end: what follows is written, and the next of its lane begins."""
        loop, now = post.loop.id, self._world.now()
        self._world.end(job, judged(post, sent, self._ladder, self._failures, now))
        self._lanes[loop].end(job.past)
        self._drive(loop)
        for place in self._blocked.pop(loop, ()):
            self._admit(place)

    def _admit(self, place: Place) -> None:
        """Moves jobs from a backlog to their lanes, up to the first that has to wait."""
        backlog = self._backlogs.get(place)
        if backlog is None:
            return
        while backlog.jobs and self._enter(place, backlog, backlog.jobs[0]):
            backlog.jobs.popleft()
        if backlog.paused != (len(backlog.jobs) >= (LOW if backlog.paused else HIGH)):
            backlog.paused = not backlog.paused
            self._world.pause(place, on=backlog.paused)

    def _enter(self, place: Place, backlog: Backlog[Mark], job: Job[Mark]) -> bool:
        delivery, now = job.what, self._world.now()
        if isinstance(delivery, Record):
            self._world.begin(job)
            self._world.end(job, [delivery])
            return True
        if delivery.leaves > now:
            self._wake(place, backlog, min(delivery.leaves - now, LONGEST_SLEEP))
            return False
        return self._queue(place, backlog, job, delivery)

    def _queue(self, place: Place, backlog: Backlog[Mark], job: Job[Mark], delivery: Delivery) -> bool:
        now = self._world.now()
        queue = self._lane(delivery.loop).queue(job.past)
        if queue.offer(job, now):
            self._world.begin(job)
            self._drive(delivery.loop)
            return True
        if queue.stuck(now, self._world.late()):
            self._world.begin(job)
            self._world.end(job, [onward(delivery, self._ladder, now) or held(delivery, self._ladder, now)])
            return True
        self._blocked[delivery.loop].add(place)
        self._wake(place, backlog, PATIENCE_SECONDS)
        return False

    def _wake(self, place: Place, backlog: Backlog[Mark], seconds: float) -> None:
        if backlog.woken:
            return
        backlog.woken = True

        def wake() -> None:
            backlog.woken = False
            self._admit(place)

        self._world.later(seconds, wake)

    def _lane(self, loop: str) -> Lane[Job[Mark]]:
        lane = self._lanes.get(loop)
        if lane is None:
            lane = self._lanes[loop] = Lane()
        standing = self._standings.get(loop)
        lane.cap = (standing and standing.loop.max_in_flight) or IN_FLIGHT
        return lane

    def _drive(self, loop: str) -> None:
        """Begins what the lane lets begin. It admits nothing: it is called while a backlog is being admitted."""
        lane = self._lanes[loop]
        while (job := lane.begin()) is not None:
            self._start(lane, job)
        if lane.idle:
            del self._lanes[loop]

    def _start(self, lane: Lane[Job[Mark]], job: Job[Mark]) -> None:
        if not self._world.owned(job) or isinstance(job.what, Record):
            lane.end(job.past)  # its next owner begins it again
            return
        delivery, now = job.what, self._world.now()
        step = onward(delivery, self._ladder, now) or prepared(
            delivery, self._standings.get(delivery.loop), now, self._unseal
        )
        if isinstance(step, Post):
            self._world.post(job, step)
            return
        lane.end(job.past)
        self._world.end(job, [self._without_post(delivery, step, now)])

    def _without_post(self, delivery: Delivery, step: Record | Dead | str, now: float) -> Record:
        if isinstance(step, Record):
            return step
        return buried(delivery, step.error) if isinstance(step, Dead) else held(delivery, self._ladder, now)
