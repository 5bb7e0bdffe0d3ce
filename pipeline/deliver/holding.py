"""A delivery that may not go now is held: it climbs the ladder, which costs no attempt, and why is counted."""

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

from pipeline.deliver.ladder import Ladder
from pipeline.deliver.lanes import Lane, Queue
from pipeline.deliver.order import AFTER_SECONDS
from pipeline.deliver.roster import Roster
from pipeline.deliver.stage import held, onward
from pipeline.model.deliveries import Delivery
from pipeline.record import Record

SOON = 60.0  # seconds in which a server goes on answering as it does
Why = Literal["full", "closed", "state", "order"]  # a delivery is held


@dataclass(slots=True)
class Holding:
    """Makes the records of what is held. `now` is Unix seconds, `tick` of a clock that is never set."""

    ladder: Ladder
    roster: Roster[Any]
    counts: Counter[Why] = field(default_factory=Counter)  # since somebody took note of it

    def behind(self, delivery: Delivery, before: float, now: float) -> Record:
        """It has to wait for an earlier one of its profile, which is due then."""
        self._count("order", delivery)
        return held(delivery, self.ladder, now, max(before - now, 0.0) + AFTER_SECONDS)

    def full(self, lane: Lane[Any], queue: Queue[Any], delivery: Delivery, now: float, tick: float) -> Record:
        """Its lane is full: it comes back at its turn.

        Where the loop sets no rate, it is known by how fast its server answers; what is far off may change, and climbs.
        """
        self._count("full", delivery)
        if link := onward(delivery, self.ladder, now):
            return link
        speed = lane.speed(past=queue is lane.past)
        turn = inf if speed is None else lane.pace.book(speed, len(queue.jobs), tick)
        return held(delivery, self.ladder, now, turn if turn < SOON or lane.rate is not None else None)

    def waiting(self, delivery: Delivery, why: Why, now: float) -> Record:
        """It waits without an attempt; one in the middle of a long wait just goes on."""
        self._count(why, delivery)
        return onward(delivery, self.ladder, now) or held(delivery, self.ladder, now)

    def _count(self, why: Why, delivery: Delivery) -> None:
        self.counts[why] += 1
        self.roster.held(delivery.loop)
