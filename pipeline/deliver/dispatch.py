"""Dispatch leads each delivery from its partition's backlog into its loop's lane and out as a POST.

It decides who goes when; clocks, network and Kafka are the World's.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Generic

from pipeline import topics
from pipeline.deliver import attempt_line
from pipeline.deliver.backlog import Backlog
from pipeline.deliver.batching import Batching
from pipeline.deliver.failing import Failures
from pipeline.deliver.holding import Holding, Why
from pipeline.deliver.jobs import Job, Mark, Place
from pipeline.deliver.ladder import Ladder
from pipeline.deliver.lanes import LONGEST_WAIT, PATIENCE_SECONDS, Lane, Queue
from pipeline.deliver.order import Orders, placed, profile_of
from pipeline.deliver.room import Room
from pipeline.deliver.roster import Roster
from pipeline.deliver.stage import (
    Post,
    Sent,
    Unseal,
    judged,
    letters,
    onward,
    outcome_of,
    prepared,
    unsent,
    waits_until,
)
from pipeline.deliver.verdict import Dead
from pipeline.deliver.world import World
from pipeline.model.deliveries import Delivery, Outcome
from pipeline.model.lanes import LaneNow
from pipeline.model.standing import Standing, Standings
from pipeline.record import Record

LONGEST_SLEEP = 5.0  # a clock that is set takes effect within it


class Dispatch(Generic[Mark]):
    """All backlogs and lanes of one process."""

    def __init__(self, world: World[Mark], standings: Standings, ladder: Ladder, unseal: Unseal) -> None:
        self._world = world
        self._standings = standings
        self._ladder = ladder
        self._unseal = unseal
        self._failures = Failures(standings)
        self._ended: dict[str, int] = {}  # loop -> the epoch in which an answer disabled it
        self._roster = Roster[Mark](standings)
        self._holding = Holding(ladder, self._roster)
        self._backlogs: defaultdict[Place, Backlog[Mark]] = defaultdict(Backlog)
        self._blocked: defaultdict[str, set[Place]] = defaultdict(set)
        self._orders = Orders()
        self.batching: Batching[Mark] = Batching(world, standings)
        self.lanes = self._roster.lanes
        self.room = Room()
        self.held = self._holding.counts

    def take(self, place: Place, jobs: Iterable[Job[Mark]]) -> None:
        """Jobs of one partition, in the order of their offsets."""
        now, tick, longest = self._world.now(), self._world.tick(), self._ladder.longest(place[0])
        backlog = self._backlogs[place]
        for job in jobs:
            job.came = tick
            if isinstance(job.what, Delivery):
                job.until = tick + min(job.what.leaves - now, longest)
            backlog.add(job)
        self._admit(place)

    def recall(self, number: int, delivery: Delivery) -> None:
        """The delivery of an ordered loop waits in a retry topic, since before the partitions of that number came."""
        self._orders.waits(delivery, profile_of(delivery), number, delivery.due)

    def forget(self, places: Iterable[Place]) -> None:
        """Drops what was fetched of these partitions and not begun: they are another worker's."""
        places = set(places)
        self._orders.forget({number for _topic, number in places})
        for place in places:
            self._backlogs.pop(place, None)
        self.batching.forget(places)
        self._failures.forget()
        self._roster.tidy(0, self._world.tick())

    def sweep(self) -> None:
        """Gives up what waits in lanes and is another worker's by now; what is gathered is left to it as batches.

        What has waited for long goes to the ladder: given up, it would have all that was sent since sent again.
        """
        self.batching.close()
        for lane in self.lanes.values():
            for queue in (lane.now, lane.past):
                for job in list(queue.drain()):
                    if self._world.leaves(job) and self._waited(job) > LONGEST_WAIT:
                        self._end(job, [self._held(job.delivery, "full")])
                    elif self._world.owned(job):
                        queue.take(job)
                    else:
                        self.room.release(job.size)

    def answered(self, job: Job[Mark], post: Post, sent: Sent) -> Outcome:
        """A POST came to its end: what follows is written, and the next of its lane begins. What it came to."""
        loop, tick = post.loop.id, self._world.tick()
        lane = self.lanes[loop]
        lane.answered(job, job.past, sent.reply, job.began, tick)
        self.room.give(job.quick)
        records = judged(post, sent, self._ladder, self._failures, self._world.now())
        # The attempt's own record is the first, and mostly the only one.
        if len(records) > 1 and any(one.topic == topics.LOOP_STATES and one.key == loop.encode() for one in records):
            self._ended[loop] = post.loop.epoch
        attempt_line.tell(post, sent, records, lane, tick)
        self._end(job, records)
        if lane.closed(tick):
            self._spill(lane)
        self._drive(loop)
        self._take_turns()
        self._clear(lane)
        for place in self._blocked.pop(loop, ()):
            self._admit(place)
        return outcome_of(records)

    def told(self, loop: str) -> LaneNow:
        """How the loop's lane stands; another thread may ask."""
        return self._roster.told(loop, self._world.tick())

    def failing(self) -> int:
        """How many loops that get POSTs here only failed for so long that their accounts were told."""
        return sum(map(self._standings.warned, self.lanes))

    def overdue(self) -> dict[str, float]:
        """By topic, for how many seconds the oldest that may go has been waiting here."""
        now, found = self._world.now(), dict[str, float]()
        for (topic, _), backlog in self._backlogs.items():
            head = backlog.jobs[0].what if backlog.jobs else None
            age = now - head.leaves if isinstance(head, Delivery) and head.leaves else 0.0
            found[topic] = max(found.get(topic, 0.0), age)
        return found

    def _admit(self, place: Place) -> None:
        """Moves jobs from a backlog to their lanes, up to the first that has to wait."""
        backlog = self._backlogs.get(place)
        if backlog is None:
            return
        while backlog.jobs and self._enter(place, backlog, backlog.jobs[0]):
            backlog.drop()
        if backlog.paused != backlog.full:
            backlog.paused = not backlog.paused
            self._world.pause(place, on=backlog.paused)

    def _enter(self, place: Place, backlog: Backlog[Mark], job: Job[Mark]) -> bool:
        delivery = job.what
        if isinstance(delivery, Record):
            self._world.begin(job)
            self._world.end(job, [delivery])
            return True
        # The clock put back makes nobody wait for longer than it said when the job came.
        if (
            delivery.leaves
            and (seconds := min(delivery.leaves - self._world.now(), job.until - self._world.tick())) > 0
        ):
            self._wake(place, backlog, min(seconds, LONGEST_SLEEP))
            return False
        if self.batching.takes(place, job):
            return True
        return self._queue(place, backlog, job)

    def _queue(self, place: Place, backlog: Backlog[Mark], job: Job[Mark]) -> bool:
        delivery, tick = job.delivery, self._world.tick()
        lane = self._roster.lane(delivery.loop, tick)
        queue = lane.queue(job.past)
        if lane.ordered:
            if not place[0].startswith(topics.DELIVERIES_RETRY):
                delivery = job.what = placed(delivery, job.offset, job.past)
            job.profile = profile_of(delivery)
        else:
            self._orders.drop(delivery.loop)
        if further := onward(delivery, self._ladder, self._world.now()) or self._behind(job, delivery):
            self._world.begin(job)
            self._written(job, [further])
            return True
        if lane.closed(tick):
            self._world.begin(job)
            self._written(job, self._shut_out(delivery))
            return True
        # A server that has nothing here has a place like the quick: the backlogs of others must not keep it out.
        if lane.fits(job.size, job.past, tick) and self.room.admit(job.size, lane.quick or lane.idle):
            self._world.begin(job)
            queue.take(job)
            self._drive(delivery.loop)
            return True
        queue.refused(tick)
        if queue.stuck(tick, lane.excused(self._world.lateness())):
            self._world.begin(job)
            self._written(job, [self._full(lane, queue, delivery)])
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

    def _drive(self, loop: str) -> None:
        """Begins what the lane lets begin. It admits nothing: it is called while a backlog is being admitted."""
        lane = self.lanes.get(loop)
        if lane is None:
            return
        tick = self._world.tick()
        while (wait := lane.wait(tick)) == 0 and self.room.take(loop, lane.quick):
            self._start(lane, lane.begin(tick), lane.quick)
        if wait:
            self._drive_later(loop, lane, wait)

    def _drive_later(self, loop: str, lane: Lane[Job[Mark]], seconds: float) -> None:
        if lane.woken:
            return
        lane.woken = True

        def drive() -> None:
            lane.woken = False
            self._drive(loop)
            for place in self._blocked.pop(loop, ()):
                self._admit(place)

        self._world.later(seconds, drive)

    def _take_turns(self) -> None:
        """Gives the slots that are free to the lanes that wait for one, one each in turn."""
        while (turn := self.room.turn()) is not None:
            loop, quick = turn
            lane, tick = self.lanes.get(loop), self._world.tick()
            if lane is None or lane.wait(tick) != 0:
                self.room.give(quick)  # what it waited for went another way
                continue
            self._start(lane, lane.begin(tick), quick)
            if (wait := lane.wait(tick)) == 0:
                self.room.line_up(loop, lane.quick)
            elif wait:
                self._drive_later(loop, lane, wait)

    def _start(self, lane: Lane[Job[Mark]], job: Job[Mark], quick: bool) -> None:
        job.began, job.quick = self._world.tick(), quick
        if not self._world.owned(job) or isinstance(job.what, Record):
            self._leave(lane, job)  # its next owner begins it again
            self.room.release(job.size)
            return
        delivery, now = job.what, self._world.now()
        step = (
            onward(delivery, self._ladder, now)
            or self._behind(job, delivery)
            or prepared(delivery, self._standing(delivery.loop), now, self._unseal)
        )
        if isinstance(step, Post):
            self._world.post(job, step)
            return
        self._leave(lane, job)
        self._end(job, self._without_post(delivery, step))

    def _standing(self, loop: str) -> Standing | None:
        """How the loop stands. What an answer made of it holds at once, not when it is read back from the topic."""
        standing = self._standings.get(loop)
        if standing is not None and standing.state == "active" and self._ended.get(loop) == standing.loop.epoch:
            return standing._replace(state="disabled")
        return standing

    def _leave(self, lane: Lane[Job[Mark]], job: Job[Mark]) -> None:
        lane.gave_up(job, job.past)
        self.room.give(job.quick)

    def _end(self, job: Job[Mark], records: list[Record]) -> None:
        self.room.release(job.size)
        self._written(job, records)

    def _written(self, job: Job[Mark], records: list[Record]) -> None:
        """Ends the job; of an ordered loop it is remembered which deliveries wait."""
        self._world.end(job, records)
        delivery = job.what
        if not job.profile or isinstance(delivery, Record):
            return
        if (due := waits_until(records)) is not None:
            if self._world.owned(job):  # else how it goes on is heard of by another, and it would wait here for ever
                self._orders.waits(delivery, job.profile, job.number, due)
        else:
            self._orders.gone(delivery, job.profile)

    def _behind(self, job: Job[Mark], delivery: Delivery) -> Record | None:
        """The record of a delivery that has to wait for an earlier one of its profile; it costs no attempt."""
        before = self._orders.before(delivery, job.profile)
        return None if before is None else self._holding.behind(delivery, before, self._world.now())

    def _clear(self, lane: Lane[Job[Mark]]) -> None:
        """What would wait here for long waits in the ladder: for a slow server, or the past for what happens now."""
        tick = self._world.tick()
        while (queue := lane.overlong(tick)) is not None:
            self._put_back(queue.give_back(-1), partial(self._full, lane, queue))
        while lane.starved and self._waited(lane.past.jobs[0]) > LONGEST_WAIT:
            self._put_back(lane.past.give_back(0), partial(self._full, lane, lane.past))

    def _put_back(self, job: Job[Mark], held: Callable[[Delivery], Record]) -> None:
        """A job that waited in its lane waits in the ladder, if it is still ours."""
        if self._world.owned(job):
            self._end(job, [held(job.delivery)])
        else:
            self.room.release(job.size)

    def _waited(self, job: Job[Mark]) -> float:
        """For how many seconds it might have gone."""
        return self._world.tick() - max(job.came, job.until)

    def _spill(self, lane: Lane[Job[Mark]]) -> None:
        """The lane is closed: what waits in it waits in the ladder."""
        for queue in (lane.now, lane.past):
            for job in queue.drain():
                self._put_back(job, partial(self._held, why="closed"))

    def _shut_out(self, delivery: Delivery) -> list[Record]:
        """What becomes of a delivery whose lane is closed. To a loop that is not sent to no probe will open it."""
        standing = self._standing(delivery.loop)
        if standing is not None and standing.state == "active":
            return [self._held(delivery, "closed")]
        return self._without_post(delivery, unsent(standing))

    def _without_post(self, delivery: Delivery, step: Record | Dead | str) -> list[Record]:
        if isinstance(step, Record):
            return [step]
        return letters(delivery, step.error) if isinstance(step, Dead) else [self._held(delivery, "state")]

    def _held(self, delivery: Delivery, why: Why) -> Record:
        return self._holding.waiting(delivery, why, self._world.now())

    def _full(self, lane: Lane[Job[Mark]], queue: Queue[Job[Mark]], delivery: Delivery) -> Record:
        return self._holding.full(lane, queue, delivery, self._world.now(), self._world.tick())
